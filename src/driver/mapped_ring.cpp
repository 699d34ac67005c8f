#include "driver/mapped_ring.hpp"

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <iterator>
#include <string>

#include "driver/refusal.hpp"

namespace ringo::detail {
namespace {

constexpr unsigned most_entries = 32768;  // what the kernel allows
constexpr unsigned fewest_entries = 8;    // fewer save nothing: the least is a page of memory

// A new ring may get the addresses of an old one. The kernel orders the two; ThreadSanitizer cannot see that, so this
// tells it.
std::atomic<unsigned> rings_unmapped = 0;

std::string sizes_tried(unsigned first, unsigned last) {
  return (first == last ? "" : std::to_string(first) + " down to ") + std::to_string(last) + " entries";
}

}  // namespace

mapped_ring::mapped_ring(unsigned entries, task_work best) {
  constexpr unsigned always = IORING_SETUP_R_DISABLED | IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP |
                              IORING_SETUP_SUBMIT_ALL | IORING_SETUP_TASKRUN_FLAG;
  constexpr unsigned steps[] = {
      always | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,
      always | IORING_SETUP_COOP_TASKRUN,
  };
  constexpr std::size_t last = std::size(steps) - 1;
  unsigned size = std::min(entries, most_entries);
  std::size_t step = static_cast<std::size_t>(best);
  for (;;) {
    parameters_ = {};
    parameters_.flags = steps[step];
    parameters_.cq_entries = size * 4;
    const int error = -::io_uring_queue_init_params(size, &ring_, &parameters_);
    if (error == 0) break;
    if (error == EINVAL && step < last) {
      ++step;
    } else if (error == ENOMEM && size > fewest_entries) {
      size = std::max(size / 2, fewest_entries);
    } else {
      throw refusal("io_uring_setup", error, sizes_tried(std::min(entries, most_entries), size));
    }
  }
  (void)rings_unmapped.load(std::memory_order_acquire);
  try {
    check_calls();
    // Else a child that is forked while a runtime runs would write into the parent's queues.
    if (const int result = ::io_uring_ring_dontfork(&ring_); result < 0) throw refusal("madvise", -result);
  } catch (...) {
    ::io_uring_queue_exit(&ring_);
    throw;
  }
  // Entry i is always submitted in slot i, so this is written once.
  if (ring_.sq.array == nullptr) return;
  for (unsigned i = 0; i < parameters_.sq_entries; ++i) ring_.sq.array[i] = i;
}

// A profile may allow io_uring_setup alone. The automatic choice of a driver has to hear of that before the workers
// start.
void mapped_ring::check_calls() const {
  const auto number = static_cast<unsigned>(ring_.ring_fd);
  alignas(io_uring_probe) std::byte known[sizeof(io_uring_probe)]{};
  if (const int result = ::io_uring_register(number, IORING_REGISTER_PROBE, known, 0); result < 0)
    throw refusal("io_uring_register", -result);
  // Any other error is the ring's own answer: it is not enabled yet.
  const int result = ::io_uring_enter(number, 0, 0, 0, nullptr);
  if (result == -EPERM || result == -EACCES || result == -ENOSYS) throw refusal("io_uring_enter", -result);
}

mapped_ring::~mapped_ring() {
  rings_unmapped.fetch_add(1, std::memory_order_release);
  if (!is_abandoned_) ::io_uring_queue_exit(&ring_);
}

}  // namespace ringo::detail
