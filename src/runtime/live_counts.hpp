// Counts of the objects that exist in this process: the workers' own counts, and one for all other threads.
#pragma once
#include <atomic>
#include <cstdint>

namespace ringo::detail {

struct worker_free_counts {
  std::atomic<std::int64_t> frames = 0, routines = 0, timers = 0, operations = 0;
};
inline worker_free_counts& outside_counts() noexcept {
  static constinit worker_free_counts counts;
  return counts;
}

}  // namespace ringo::detail
