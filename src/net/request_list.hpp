// The cases that wait on one side of a source, oldest first, where each brings more than its waiter. Under the source's
// lock. Request has next, previous, is_listed and waits.
#pragma once

namespace ringo::detail {

template <class Request>
class request_list {
 public:
  bool empty() const noexcept { return first_ == nullptr; }
  Request* front() const noexcept { return first_; }
  void push_back(Request& r) noexcept {
    r.next = nullptr;
    r.previous = last_;
    (last_ != nullptr ? last_->next : first_) = &r;
    last_ = &r;
    r.is_listed = true;
  }
  void remove(Request& r) noexcept {
    (r.previous != nullptr ? r.previous->next : first_) = r.next;
    (r.next != nullptr ? r.next->previous : last_) = r.previous;
    r.is_listed = false;
  }

 private:
  Request* first_ = nullptr;
  Request* last_ = nullptr;
};

}  // namespace ringo::detail
