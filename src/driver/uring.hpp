// The driver over io_uring. One ring per worker; the worker's thread alone touches it.
#pragma once
#include <cstddef>
#include <memory>

#include "driver/driver.hpp"

namespace ringo::detail {

// Thread: attach() binds the ring to the calling thread; from then on every call but wake() and in_flight() comes from
// that thread (asserted in debug builds; a deferred ring refuses it in any). So what is handed to the kernel and what
// comes back from it never crosses threads inside the driver, and ThreadSanitizer has nothing to be told.
//
// wake() may be called from any thread, and from a signal handler. It costs one atomic exchange, and a system call only
// for the first wake() of a sleep. What was written before a wake() is seen after the poll() that it ended.
//
// in_flight() counts what prepare() was called for and has not had its last answer; the driver's own wake-up read does
// not count. Any thread may ask; the answer is exact for the owner, and for who knows that the owner sleeps.
//
// The destructor runs in the owner's thread, or after that thread has ended, or in whichever thread if attach() never
// was called; no wake() may be running or follow. In the owner's thread it cancels what is in flight and waits for the
// last answers, as long as the kernel takes. When the owner's thread has ended, the kernel has cancelled its operations
// and nobody hears of it: none may be in flight then. In a forked child, whose copy of the ring is unusable, it only
// closes the child's descriptors.
class uring : public driver {
 public:
  // An entry of the submission queue, all zero but for its user_data, for the caller to fill at once; it is submitted
  // by the next poll(), or by a later prepare() when the queue is full. Throws std::system_error when the kernel takes
  // no more. For what is no request.
  virtual io_uring_sqe& prepare(completion&) = 0;

  virtual std::size_t lent() const noexcept = 0;  // blocks, to the kernel

  // As end_early(); throws as prepare() does.
  virtual void cancel(completion&) = 0;
};

// How the kernel hands over completions that its interrupts prepared: when the worker asks (Linux 6.1), when it enters
// the kernel for any reason (5.19), or at any time, by interrupting it (the only way before).
enum class task_work { deferred, cooperative, eager };

// A ring with that many submission entries (rounded up to a power of two, at most 32768; fewer when memory is short)
// and four times as many completion entries. Steps down from `best` to what the kernel has. Call from any thread.
// Throws std::invalid_argument for no entries; std::system_error that names the cause and the remedy when the kernel
// refuses (refusal.hpp).
std::unique_ptr<uring> make_uring(unsigned entries, task_work best = task_work::deferred);

}  // namespace ringo::detail
