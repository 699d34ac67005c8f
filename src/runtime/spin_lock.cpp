#include <ringo/detail/spin_lock.hpp>

#include <sched.h>

namespace ringo::detail {

void spin_lock::wait() noexcept {
  // The holder needs tens of nanoseconds; if it has been preempted, its CPU may be this one.
  for (int spins = 0;; ++spins) {
    while (held_.load(std::memory_order_relaxed)) {
      if (++spins < 128) {
#if defined(__x86_64__)
        __builtin_ia32_pause();
#endif
      } else {
        ::sched_yield();
      }
    }
    if (!held_.exchange(true, std::memory_order_acquire)) return;
  }
}

}  // namespace ringo::detail
