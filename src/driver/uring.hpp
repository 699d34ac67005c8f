// The driver over io_uring. Each worker has one ring, which only the worker's thread touches.
#pragma once
#include <cstddef>
#include <memory>

#include "driver/driver.hpp"

namespace ringo::detail {

// Thread: attach() binds the ring to the calling thread. After it, all calls but wake() and in_flight() must come from
// that thread (debug builds assert this; a deferred ring refuses other threads). So submissions and answers never cross
// threads inside the driver, and ThreadSanitizer needs no annotation.
//
// wake() may be called from any thread, and from a signal handler. It costs one atomic exchange, and a system call only
// for the first wake() of a sleep. What was written before a wake() is seen after the poll() that it ended.
//
// in_flight() counts the operations that were submitted and have not been answered; the driver's own read of its
// eventfd does not count. Any thread may call it; the result is exact for the owner, and while the owner sleeps.
//
// The destructor runs in the owner's thread, or after that thread has ended; in any thread if attach() was never
// called. No wake() may run or follow. In the owner's thread it cancels the operations in flight, and waits for their
// last answers. When the owner's thread has ended, no operation may be in flight: the kernel has cancelled them, and no
// answer comes. In a forked child, whose copy of the ring is unusable, it only closes the child's descriptors.
class uring : public driver {
 public:
  virtual std::size_t provided() const noexcept = 0;  // the number of provided buffers
};

// When the kernel posts completions: when the worker asks for them (Linux 6.1), or when it enters the kernel for any
// reason (5.19). Before 5.19 the kernel interrupts the worker at any time, and lacks more of what ringo uses
// (docs/platforms.md), so a ring is refused there.
enum class task_work { deferred, cooperative };

// Makes a ring with `entries` submission entries (rounded up to a power of two, at most 32768; fewer if memory is
// short) and four times as many completion entries, with the best mode, up to `best`, that the kernel has. Thread: any.
// Throws std::invalid_argument for 0 entries; std::system_error, with cause and remedy, if the kernel refuses.
std::unique_ptr<uring> make_uring(unsigned entries, task_work best = task_work::deferred);

}  // namespace ringo::detail
