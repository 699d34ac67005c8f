// A count that is written under a lock, and that a report reads without it.
#pragma once
#include <atomic>
#include <cstddef>

namespace ringo::detail {

// The lock orders the writes, so each is a plain load and store. Without the lock a report sees some value that the
// count has had. Relaxed: the report reads nothing else that depends on it.
class locked_count {
 public:
  locked_count(std::size_t n) noexcept : value_(n) {}
  operator std::size_t() const noexcept { return value_.load(std::memory_order_relaxed); }
  locked_count& operator=(std::size_t n) noexcept {
    value_.store(n, std::memory_order_relaxed);
    return *this;
  }
  locked_count& operator++() noexcept { return *this = *this + 1; }
  locked_count& operator--() noexcept { return *this = *this - 1; }

 private:
  std::atomic<std::size_t> value_;
};

}  // namespace ringo::detail
