#include "runtime/global_queue.hpp"

#include <algorithm>
#include <new>

namespace ringo::detail {

void global_queue::add(std::span<routine* const> routines, bool shared) noexcept {
  const optional_guard guard(lock_, shared);
  for (routine* r : routines) {
    try {
      routines_.push_back(r);
    } catch (const std::bad_alloc&) {
      without_memory_.push_back(*r);
    }
  }
  count_.store(count_.load(std::memory_order_relaxed) + routines.size(), std::memory_order_release);
}

routine* global_queue::pop_locked() noexcept {
  if (routines_.empty()) return without_memory_.pop_front();
  routine* r = routines_.front();
  routines_.pop_front();
  return r;
}

std::size_t global_queue::take_share(std::span<routine*> into, std::size_t room, std::size_t workers) noexcept {
  const optional_guard guard(lock_, workers > 1);
  const std::size_t there = count_.load(std::memory_order_relaxed);
  const std::size_t share = std::min(there, std::max<std::size_t>(std::min(there / workers + 1, room), 1));
  for (std::size_t i = 0; i < share; ++i) into[i] = pop_locked();
  count_.store(there - share, std::memory_order_release);
  return share;
}

routine* global_queue::pop() noexcept {
  routine* const r = pop_locked();
  if (r == nullptr) count_.store(0, std::memory_order_relaxed);
  return r;
}

}  // namespace ringo::detail
