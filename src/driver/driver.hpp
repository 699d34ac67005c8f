// The seam between a worker and the kernel. `uring` is the real driver, `simulated` the one on virtual time.
#pragma once
#include <ringo/clock.hpp>

namespace ringo::detail {

// One per worker. Only wake() may be called from a thread that is not the worker's own.
class driver {
 public:
  driver() = default;
  driver(const driver&) = delete;
  driver& operator=(const driver&) = delete;
  virtual ~driver() = default;

  // Binds the driver to the calling thread; once, before anything else. Throws std::system_error.
  virtual void attach() = 0;

  virtual time_point now() const noexcept = 0;

  // Submits what is queued and reaps what has completed. Sleeps until a completion, a wake() or `until`, never returns
  // early for a reason that a caller could mistake for the deadline, but may return early for no reason at all.
  // time_point::min(): does not sleep (and makes no system call when it has nothing to ask of the kernel);
  // time_point::max(): sleeps without limit. Throws std::system_error when the ring is lost.
  virtual void poll(time_point until) = 0;

  // Ends the current or the next sleep. Any thread. A wake() that comes before the sleep is remembered.
  virtual void wake() noexcept = 0;

  // Operations that the kernel has and will complete.
  virtual std::size_t in_flight() const noexcept = 0;
};

}  // namespace ringo::detail
