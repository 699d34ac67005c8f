#pragma once
#include <utility>

#include "driver/driver.hpp"

namespace ringo::detail {

// Operations for which the kernel had no room yet, in their order.
class request_backlog {
 public:
  bool empty() const noexcept { return first_ == nullptr; }
  kernel_request* front() const noexcept { return first_; }
  void push_back(kernel_request& r) noexcept {
    r.next = nullptr;
    (last_ != nullptr ? last_->next : first_) = &r;
    last_ = &r;
    r.is_put_off = true;
  }
  void pop_front() noexcept {
    first_->is_put_off = false;
    first_ = first_->next;
    if (first_ == nullptr) last_ = nullptr;
  }
  // False if it is not in it.
  bool remove(kernel_request& r) noexcept {
    if (!r.is_put_off) return false;  // saves the search
    kernel_request* before = nullptr;
    for (kernel_request* each = first_; each != nullptr; before = std::exchange(each, each->next)) {
      if (each != &r) continue;
      (before != nullptr ? before->next : first_) = r.next;
      if (last_ == &r) last_ = before;
      r.is_put_off = false;
      return true;
    }
    return false;
  }

 private:
  kernel_request* first_ = nullptr;
  kernel_request* last_ = nullptr;
};

}  // namespace ringo::detail
