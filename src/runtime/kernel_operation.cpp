#include "runtime/kernel_operation.hpp"

#include <utility>

#include "runtime/scheduler.hpp"

namespace ringo::detail {

void kernel_operation::start(scheduler& on) noexcept {
  on_ = &on;
  in_flight_ = true;
  on.counts.calls.add();
  on.driver_->submit(*this);
}

void kernel_operation::start(scheduler& on, const wait_queue& waiting) noexcept {
  const bool is_noted = !on.shared || on_ == &on;
  start(on);
  if (is_noted) return;
  for (const waiter* each = waiting.front(); each != nullptr; each = each->next) {
    each->blocked->is_fed_by_also(on.index);
  }
}

void kernel_operation::feeds(routine& r) noexcept {
  if (!in_flight_) {
    on_ = nullptr;
  } else if (on_->shared) {
    r.is_fed_by(on_->index);
  }
}

void kernel_operation::end_early(scheduler& here) noexcept {
  if (!in_flight_) return;
  if (on_ == &here) return here.driver_->end_early(*this);
  if (std::exchange(asked_, true)) return;
  keep();
  on_->to_end.add(*this);
  on_->wake();
}

// Only under the lock is it certain on which ring the operation is: another worker may submit it again on its own ring.
// The driver must not be asked about an operation that its ring does not have: it would read what the other worker
// writes, and keep an address that may be freed.
void kernel_operation::was_asked(scheduler* ring) noexcept {
  asked_ = false;
  if (ring != nullptr && in_flight_ && on_ == ring) ring->driver_->end_early(*this);
}

void kernel_operation::fill_pause(kernel_call& call) noexcept {
  static constexpr pause_length length{0, 10'000'000};  // the kernel only reads it
  call.set_pause(length);
}

void early_ends::add(kernel_operation& one) noexcept {
  kernel_operation* top = first_.load(std::memory_order_relaxed);
  do {
    one.next_to_end_ = top;
    // release: its worker reads the link.
  } while (!first_.compare_exchange_weak(top, &one, std::memory_order_release, std::memory_order_relaxed));
}

// An operation that has ended since is left alone. One that was submitted again on this ring since is ended for
// nothing; its source submits it once more.
void early_ends::carry_out(scheduler* ring) noexcept {
  kernel_operation* one = first_.exchange(nullptr, std::memory_order_acquire);
  while (one != nullptr) std::exchange(one, one->next_to_end_)->let_go(ring);
}

}  // namespace ringo::detail
