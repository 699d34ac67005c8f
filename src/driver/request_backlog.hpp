#pragma once
#include <utility>

#include "driver/driver.hpp"

namespace ringo::detail {

// Operations for which the kernel had no room yet, in their order.
class request_backlog {
 public:
  bool empty() const noexcept { return first_ == nullptr; }
  ring_request* front() const noexcept { return first_; }
  void push_back(ring_request& r) noexcept {
    r.next_ = nullptr;
    (last_ != nullptr ? last_->next_ : first_) = &r;
    last_ = &r;
    r.is_put_off = true;
  }
  void pop_front() noexcept {
    first_->is_put_off = false;
    first_ = first_->next_;
    if (first_ == nullptr) last_ = nullptr;
  }
  // False if it is not in it.
  bool remove(ring_request& r) noexcept {
    if (!r.is_put_off) return false;  // saves the search
    ring_request* before = nullptr;
    for (ring_request* each = first_; each != nullptr; before = std::exchange(each, each->next_)) {
      if (each != &r) continue;
      (before != nullptr ? before->next_ : first_) = r.next_;
      if (last_ == &r) last_ = before;
      r.is_put_off = false;
      return true;
    }
    return false;
  }

 private:
  ring_request* first_ = nullptr;
  ring_request* last_ = nullptr;
};

}  // namespace ringo::detail
