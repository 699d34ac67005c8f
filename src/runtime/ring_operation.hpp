// An operation of the kernel on behalf of a source: on which worker's ring it is, and how it is ended from another.
#pragma once
#include <atomic>

#include "driver/driver.hpp"

namespace ringo::detail {

class scheduler;
struct routine;

// Guarded by its source's lock, but for fill() and complete(), which its worker calls. The source lives until the last
// answer, and until the worker that was asked to end it has let go.
class ring_operation : public ring_request {
 public:
  bool in_flight() const noexcept { return on_ != nullptr; }
  void start(scheduler& on) noexcept;
  // For a routine that begins to wait for this one, which has been started: notes whose ring it is on
  // (routine::is_fed_by).
  void feeds(routine& r) const noexcept;
  // First of all in complete(), after the last answer.
  void over() noexcept { on_ = nullptr; }

  // Asks for its early end. `here` is the calling thread's worker; a ring is its own worker's, who is asked if that is
  // another one.
  void end_early(scheduler& here) noexcept;

 protected:
  ring_operation() = default;
  ~ring_operation() = default;

  // Its worker is asked to end it, and keeps the source until let_go(). Under the lock.
  virtual void keep() noexcept = 0;
  // Without the lock: takes it, for was_asked().
  virtual void let_go(scheduler* ring) noexcept = 0;
  // Under the lock: ends it early if it is in flight on that ring, which is the calling worker's, or null.
  void was_asked(scheduler* ring) noexcept;

  // 10 ms, before something is tried again that could not be done although the kernel had said that it could.
  static void fill_pause(io_uring_sqe& entry) noexcept;

 private:
  friend class scheduler;

  scheduler* on_ = nullptr;
  ring_operation* next_to_end_ = nullptr;
  bool asked_ = false;  // it is in the list of its worker
};

}  // namespace ringo::detail
