// The one lock of the hot paths. Held for tens of nanoseconds; user code never runs under it (semantics D30).
//
// Lock order: a select takes the locks of its sources in the order of their addresses; nobody else holds two.
#pragma once
#include <atomic>

#include <ringo/detail/compilers.hpp>

namespace ringo::detail {

// Between two looks at what another thread is about to change; `turns` is the number of looks before. After some it
// gives the CPU away: the other thread may have been preempted, and this CPU be the one that it needs.
void pause_while_spinning(int turns) noexcept;

class spin_lock {
 public:
  RINGO_ALWAYS_INLINE void lock() noexcept {
    // acquire: what the last holder wrote is seen. unlock's release is its pair.
    if (held_.exchange(true, std::memory_order_acquire)) [[unlikely]]
      wait();
  }
  void unlock() noexcept { held_.store(false, std::memory_order_release); }

 private:
  void wait() noexcept;

  std::atomic<bool> held_ = false;
};

// Locks only where more than one worker can come: with one worker the lock costs a predicted branch.
class optional_guard {
 public:
  optional_guard(spin_lock& lock, bool needed) noexcept : optional_guard(needed ? &lock : nullptr) {}
  explicit optional_guard(spin_lock* lock) noexcept : lock_(lock) {
    if (lock_) lock_->lock();
  }
  optional_guard(const optional_guard&) = delete;
  optional_guard& operator=(const optional_guard&) = delete;
  ~optional_guard() { unlock(); }
  void unlock() noexcept {
    if (lock_) lock_->unlock();
    lock_ = nullptr;
  }

 private:
  spin_lock* lock_;
};

}  // namespace ringo::detail
