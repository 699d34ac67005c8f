// The lock of the sources. Most sections are a few dozen instructions long; docs/invariants.md lists those that are
// longer.
#pragma once
#include <atomic>

#include <ringo/detail/compilers.hpp>
#include <ringo/detail/lock_rank.hpp>

namespace ringo::detail {

// For a thread that waits for another thread to change something; `turns` counts the calls. After 128 turns it yields
// the CPU, for the other thread may have been preempted.
void pause_while_spinning(int turns) noexcept;

class raw_spin_lock {
 public:
  RINGO_ALWAYS_INLINE void lock() noexcept {
    // acquire: what the last holder wrote is seen. unlock's release is its pair.
    if (held_.exchange(true, std::memory_order_acquire)) [[unlikely]]
      wait();
  }
  bool try_lock() noexcept { return !held_.exchange(true, std::memory_order_acquire); }
  void unlock() noexcept { held_.store(false, std::memory_order_release); }

 private:
  void wait() noexcept;

  std::atomic<bool> held_ = false;
};

// The lock of a source.
class spin_lock : public ranked<raw_spin_lock, lock_rank::source> {};
// A lock under which no other is taken.
class leaf_spin_lock : public ranked<raw_spin_lock, lock_rank::leaf> {};

// Locks only if the runtime has several workers: with one worker the lock costs a predicted branch.
template <class Lock>
class optional_guard {
 public:
  RINGO_ALWAYS_INLINE optional_guard(Lock& lock, bool needed) noexcept : optional_guard(needed ? &lock : nullptr) {}
  RINGO_ALWAYS_INLINE explicit optional_guard(Lock* lock) noexcept : lock_(lock) {
    if (lock_) lock_->lock();
  }
  optional_guard(const optional_guard&) = delete;
  optional_guard& operator=(const optional_guard&) = delete;
  RINGO_ALWAYS_INLINE ~optional_guard() { unlock(); }
  RINGO_ALWAYS_INLINE void unlock() noexcept {
    if (lock_) lock_->unlock();
    lock_ = nullptr;
  }

 private:
  Lock* lock_;
};

}  // namespace ringo::detail
