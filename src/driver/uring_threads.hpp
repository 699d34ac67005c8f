// How many of the kernel's threads may serve one ring's files at the same time.
#pragma once
#include <liburing.h>

namespace ringo::detail {

class uring_threads {
 public:
  // Some operations may wait for long: lets the kernel have as many threads more than it usually may.
  void add_waiting(int ring, int more) noexcept {
    waiting_ += static_cast<unsigned>(more);
    if (usual_ == 0) usual_ = limit(ring, 0);
    // 0: the kernel does not say, or is older than 5.15 and has no such limit.
    if (usual_ != 0) limit(ring, usual_ + waiting_);
  }

 private:
  // Sets the limit of threads for bounded operations, and returns the limit before; 0 only asks.
  static unsigned limit(int ring, unsigned bounded) noexcept {
    unsigned most[] = {bounded, 0};
    const int result = ::io_uring_register(static_cast<unsigned>(ring), IORING_REGISTER_IOWQ_MAX_WORKERS, most, 2);
    return result < 0 ? 0 : most[0];
  }

  unsigned usual_ = 0;  // the kernel's own limit; 0: not known
  unsigned waiting_ = 0;
};

}  // namespace ringo::detail
