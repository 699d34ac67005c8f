// The cases that wait on one side of a source, oldest first, where each brings more than its waiter. Under the source's
// lock. Request has next, previous, is_listed, waits and error.
#pragma once
#include <ringo/detail/current_worker.hpp>

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

  // The first whose wait can be claimed, claimed and out of the list; null if there is none.
  Request* claim_first(bool shared) noexcept {
    while (Request* r = first_) {
      remove(*r);
      if (r->waits->who->claim(shared)) return r;  // others find that they are out of it
    }
    return nullptr;
  }
  // All fail with that error. Where there is no worker nobody can be made ready, and they are only taken out.
  void end_all(worker* w, int error) noexcept {
    while (w == nullptr && first_ != nullptr) remove(*first_);
    if (w == nullptr) return;
    while (Request* r = claim_first(w->shared)) {
      r->error = error;
      r->waits->state = progress::failed;
      w->push(*r->waits->who);
    }
  }

 private:
  Request* first_ = nullptr;
  Request* last_ = nullptr;
};

}  // namespace ringo::detail
