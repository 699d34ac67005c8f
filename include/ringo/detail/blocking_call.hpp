// The record of a blocking call: the function, its arguments and its result, and where the call stands. The operation
// that is awaited holds it, and the pool does from when it has the call until the call is over or withdrawn: so what a
// running call uses stays, whatever has become of who waited for it.
//
// A call is the pool's from when somebody first waits for it (with nobody's turn to wait, as beside `otherwise`,
// nothing is started). When its last waiter leaves, a call that is still queued is taken out of the queue, and has had
// no effect; one that runs goes on. The pool's threads touch neither `lock` nor what it guards: with one worker it is
// no lock. A worker delivers what is over.
#pragma once
#include <atomic>
#include <cstdint>
#include <exception>
#include <memory>
#include <string>
#include <utility>

#include <ringo/detail/current_worker.hpp>
#include <ringo/task.hpp>

namespace ringo::detail {

class blocking_pool;

class blocking_call {
 public:
  blocking_call(const blocking_call&) = delete;
  blocking_call& operator=(const blocking_call&) = delete;

  // On a thread of the pool: calls, keeps what came of it, and lets go of the function and the arguments.
  virtual void run() noexcept = 0;
  virtual void fail(std::exception_ptr error) noexcept = 0;  // no thread could be had

  // Chooses the worker's pool; throws std::logic_error if another runtime's has it.
  void enter(worker& w);
  // Under the lock. `soon`: the worker is to see to a thread at the end of its turn, else staff_pool() is called next.
  void add_waiter(waiter& one, worker& w, bool soon) noexcept;
  void remove_waiter(waiter& one) noexcept;
  void tell(std::string& text) const;

  void hold() noexcept { count_.fetch_add(1, std::memory_order_relaxed); }
  void release() noexcept;

  spin_lock lock;
  bool delivered = false;  // under the lock: the result is there
  bool taken = false;      // by the routine that has awaited it

 protected:
  blocking_call() = default;
  virtual ~blocking_call() = default;

 private:
  friend class blocking_pool;
  friend class blocking_call_list;
  enum class stage : std::uint8_t { new_or_withdrawn, queued, running, over };

  wait_queue waiting_;  // under the lock
  std::shared_ptr<blocking_pool> pool_;
  std::atomic<std::uint32_t> count_ = 1;
  // Under the pool's mutex.
  stage stage_ = stage::new_or_withdrawn;
  blocking_call* next_ = nullptr;
  blocking_call* previous_ = nullptr;
};

// Wakes or starts threads for the calls that are queued with the worker's runtime. Without locks.
void staff_pool(worker& w) noexcept;

[[noreturn]] void throw_empty_blocking_call();

template <class R>
class blocking_call_of : public blocking_call {
 public:
  void fail(std::exception_ptr error) noexcept override { outcome.set_error(std::move(error)); }

  result<R> outcome;
};

}  // namespace ringo::detail
