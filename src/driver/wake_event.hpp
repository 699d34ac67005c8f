// How a sleeping worker is woken, and why no wake-up is lost
//
// state_ is awake, sleeping or notified. wake() exchanges it for notified, and writes to the eventfd only if it was
// sleeping. Before a poll() sleeps, the driver makes sure that a write will end the sleep, and then tries to change
// awake to sleeping. If that fails, it takes the notification and does not sleep. After the sleep it exchanges the
// state for awake.
//
// All changes are read-modify-writes of one variable, so they have one order. A wake() before the change to sleeping
// makes that change fail. Of the wake()s after it, the first one finds sleeping, and its write ends the sleep. Each
// wake() releases and the poll() acquires, and a chain of read-modify-writes carries each release in it: so the poll()
// that took these wake()s sees all that was done before any of them.
//
// A write may come late, when the sleep has already ended for another reason. Then it ends a later sleep early, which
// the driver's contract allows.
#pragma once
#include <atomic>
#include <cstdint>

#include "driver/owned_descriptor.hpp"

namespace ringo::detail {

class wake_event {
 public:
  wake_event();  // throws std::system_error that says why (refusal.hpp)

  void wake() noexcept;  // any thread, and signal handlers: it leaves errno alone

  // These are the worker's.
  bool begin_sleep() noexcept {  // false: it was woken since the last sleep, and that is taken
    auto expected = state::awake;
    if (state_.compare_exchange_strong(expected, state::sleeping, std::memory_order_acq_rel,
                                       std::memory_order_relaxed)) {
      return true;
    }
    end_sleep();
    return false;
  }
  void end_sleep() noexcept { state_.exchange(state::awake, std::memory_order_acq_rel); }

  int number() const noexcept { return event_.number(); }
  void forget_descriptor() noexcept { event_.forget(); }

 private:
  enum class state : std::uint8_t { awake, sleeping, notified };

  owned_descriptor event_;
  alignas(64) std::atomic<state> state_ = state::awake;  // the only member that other threads write
};

}  // namespace ringo::detail
