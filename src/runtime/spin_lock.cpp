#include <ringo/detail/spin_lock.hpp>

#include <sched.h>

#include <ringo/detail/machine_code.hpp>

namespace ringo::detail {

void pause_while_spinning(int turns) noexcept {
  if (turns < 128) {
    pause_processor();
  } else {
    ::sched_yield();
  }
}

void raw_spin_lock::wait() noexcept {
  for (int turns = 0;; ++turns) {
    while (held_.load(std::memory_order_relaxed)) pause_while_spinning(++turns);
    if (!held_.exchange(true, std::memory_order_acquire)) return;
  }
}

}  // namespace ringo::detail
