// A lock with a rank, for a condition variable, which takes a plain mutex only.
#pragma once
#include <mutex>

#include <ringo/detail/lock_rank.hpp>

namespace ringo::detail {

// A thread that waits for the condition variable counts as one that holds the lock: it takes no other one meanwhile.
template <lock_rank Rank>
class ranked_lock : public std::unique_lock<std::mutex> {
 public:
  explicit ranked_lock(std::mutex& m) : std::unique_lock<std::mutex>(m, std::defer_lock) { lock(); }
  ranked_lock(const ranked_lock&) = delete;
  ranked_lock& operator=(const ranked_lock&) = delete;
  ~ranked_lock() {
    if (owns_lock()) unlock();
  }

  void lock() {
    if constexpr (checked_build) note_lock(Rank, mutex());
    std::unique_lock<std::mutex>::lock();
  }
  void unlock() {
    std::unique_lock<std::mutex>::unlock();
    if constexpr (checked_build) note_unlock(mutex());
  }
};

}  // namespace ringo::detail
