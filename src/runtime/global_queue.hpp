// The queue of routines that each worker of a runtime may take.
#pragma once
#include <atomic>
#include <cstddef>
#include <deque>
#include <span>

#include <ringo/detail/routine.hpp>
#include <ringo/detail/spin_lock.hpp>

namespace ringo::detail {

class global_queue {
 public:
  bool empty() const noexcept { return count_.load(std::memory_order_acquire) == 0; }
  void add(std::span<routine* const> routines, bool shared) noexcept;
  // Takes one worker's share: at least one, so that the oldest does not wait for ever, and at most as many as `into`
  // has places. Returns the number.
  std::size_t take_share(std::span<routine*> into, std::size_t room, std::size_t workers) noexcept;
  routine* pop() noexcept;  // null if it is empty; the caller is the only thread

 private:
  routine* pop_locked() noexcept;

  leaf_spin_lock lock_;
  // Addresses, not links: the records of a long queue are not in the cache, and queueing must not touch them.
  std::deque<routine*> routines_;
  routine_list without_memory_;         // after these, if the deque could not grow
  std::atomic<std::size_t> count_ = 0;  // the length of both; written under the lock
};

}  // namespace ringo::detail
