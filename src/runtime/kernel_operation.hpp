// An operation of the kernel for a source. It knows its worker's ring, and can be ended from another worker.
#pragma once
#include <atomic>

#include "driver/driver.hpp"

namespace ringo::detail {

class scheduler;
struct routine;
class wait_queue;

// Its source's lock guards it, except for fill() and complete(), which its worker calls. The source must live until the
// last answer, and until the worker that was asked to end it has called let_go().
class kernel_operation : public kernel_request {
 public:
  bool in_flight() const noexcept { return in_flight_; }
  void start(scheduler& on) noexcept;
  // The same for an operation that may begin again on another ring: the routines that wait for it note that ring.
  void start(scheduler& on, const wait_queue& waiting) noexcept;
  // Called when a routine begins to wait for this operation: notes its ring, if it is in flight (routine::is_fed_by).
  void feeds(routine& r) noexcept;
  // Called first in complete(), after the last answer.
  void over() noexcept { in_flight_ = false; }

  // Ends the operation early. `here` is the calling thread's worker. If the ring is another worker's, asks that worker.
  void end_early(scheduler& here) noexcept;

 protected:
  kernel_operation() = default;
  ~kernel_operation() = default;

  // Keeps the source until let_go(), for the worker that was asked to end the operation. Under the lock.
  virtual void keep() noexcept = 0;
  // Called without the lock, which it takes for was_asked().
  virtual void let_go(scheduler* ring) noexcept = 0;
  // Under the lock: ends the operation early if it is in flight on `ring`, the calling worker's. `ring` may be null.
  void was_asked(scheduler* ring) noexcept;

  // A pause of 10 ms, before a second attempt at a call that failed although the kernel had reported readiness.
  static void fill_pause(kernel_call& call) noexcept;

 private:
  friend class early_ends;

  // The ring that it is or was on, which all that wait for it have noted; null if some may not have.
  scheduler* on_ = nullptr;
  kernel_operation* next_to_end_ = nullptr;
  bool in_flight_ = false;
  bool asked_ = false;  // it is in its worker's list of operations to end
};

// The operations of one ring that other workers have asked to end early.
class early_ends {
 public:
  void add(kernel_operation& one) noexcept;  // from another worker, which wakes the ring's worker then
  bool empty() const noexcept { return first_.load(std::memory_order_relaxed) == nullptr; }
  // In the ring's worker; null if its thread has ended, and no operation is in flight.
  void carry_out(scheduler* ring) noexcept;

 private:
  std::atomic<kernel_operation*> first_ = nullptr;
};

}  // namespace ringo::detail
