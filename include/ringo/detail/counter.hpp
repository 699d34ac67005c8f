// Numbers that a worker counts and any thread may read.
#pragma once
#include <atomic>
#include <cstdint>

#include <ringo/detail/machine_code.hpp>

namespace ringo::detail {

// Only its worker writes it, by plain additions, without a locked read-modify-write.
class counter {
 public:
  explicit counter(std::int64_t first = 0) noexcept : value_(first) {}
  RINGO_ALWAYS_INLINE void add(std::int64_t n = 1) noexcept { add_as_only_writer(value_, n); }
  // With acquire the caller sees what the worker did before it counted.
  std::int64_t value(std::memory_order order = std::memory_order_relaxed) const noexcept { return value_.load(order); }

 private:
  std::atomic<std::int64_t> value_;
};

struct counters {
  counter frames, operations;  // made less destroyed, by this worker
  counter ended;               // routines that have ended on this worker; scheduler::started() counts the others
  counter resumes, steals, parks, wakes, waits, steals_failed;  // events
  counter calls, bytes_received, bytes_sent;
};

}  // namespace ringo::detail
