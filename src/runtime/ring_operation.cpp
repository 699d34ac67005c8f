#include "runtime/ring_operation.hpp"

#include <liburing.h>

#include <utility>

#include "runtime/scheduler.hpp"

namespace ringo::detail {

void ring_operation::start(scheduler& on) noexcept {
  on_ = &on;
  on.driver_->submit(*this);
}

void ring_operation::feeds(routine& r) const noexcept {
  if (on_ != nullptr && on_->shared) r.is_fed_by(on_->index);
}

void ring_operation::end_early(scheduler& here) noexcept {
  if (on_ == nullptr) return;
  if (on_ == &here) return here.driver_->end_early(*this);
  if (std::exchange(asked_, true)) return;
  keep();
  on_->to_end.add(*this);
  on_->wake();
}

// Only under the lock is it certain on which ring the operation is: another worker may submit it again on its own ring.
// The driver must not be asked about an operation that its ring does not have: it would read what the other worker
// writes, and keep an address that may be freed.
void ring_operation::was_asked(scheduler* ring) noexcept {
  asked_ = false;
  if (ring != nullptr && on_ == ring) ring->driver_->end_early(*this);
}

void ring_operation::fill_pause(io_uring_sqe& entry) noexcept {
  static __kernel_timespec length{0, 10'000'000};  // the kernel only reads it
  ::io_uring_prep_timeout(&entry, &length, 0, 0);
}

void early_ends::add(ring_operation& one) noexcept {
  ring_operation* top = first_.load(std::memory_order_relaxed);
  do {
    one.next_to_end_ = top;
    // release: its worker reads the link.
  } while (!first_.compare_exchange_weak(top, &one, std::memory_order_release, std::memory_order_relaxed));
}

// An operation that has ended since is left alone. One that was submitted again on this ring since is ended for
// nothing; its source submits it once more.
void early_ends::carry_out(scheduler* ring) noexcept {
  ring_operation* one = first_.exchange(nullptr, std::memory_order_acquire);
  while (one != nullptr) std::exchange(one, one->next_to_end_)->let_go(ring);
}

}  // namespace ringo::detail
