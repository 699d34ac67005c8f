// The record of a blocking call: the function, its arguments, its result and its state. The awaited operation holds it.
// The pool holds it, too, from when it has the call until the call is over or withdrawn. So the memory of a running
// call stays, although its waiter may have gone.
//
// The pool gets a call when a routine first waits for it (beside `otherwise` no routine waits, and no call starts).
// When its last waiter leaves, a queued call is taken out of the queue, without effect; a running call goes on. The
// pool's threads do not touch `lock`, nor what it guards, since with one worker it does not lock. A worker delivers the
// result.
#pragma once
#include <atomic>
#include <cstdint>
#include <exception>
#include <string>
#include <utility>

#include <ringo/detail/current_worker.hpp>
#include <ringo/detail/pointers.hpp>
#include <ringo/detail/task_promise.hpp>

namespace ringo::detail {

class blocking_pool;

class blocking_call {
 public:
  blocking_call(const blocking_call&) = delete;
  blocking_call& operator=(const blocking_call&) = delete;

  // On a thread of the pool: calls the function, keeps the result, and destroys the function and its arguments.
  virtual void run() noexcept = 0;
  virtual void fail(std::exception_ptr error) noexcept = 0;  // no thread could be started

  // Chooses the worker's pool. Throws std::logic_error if another runtime's pool has the call.
  void enter(worker& w);
  // Under the lock. `soon`: the worker calls staff_pool() at the end of its turn; else the caller calls it next.
  void add_waiter(waiter& one, worker& w, bool soon) noexcept;
  void remove_waiter(waiter& one) noexcept;
  void append_to(wait_report& text) const;

  void hold() noexcept { count_.fetch_add(1, std::memory_order_relaxed); }
  void release() noexcept;

  spin_lock lock;
  bool delivered = false;  // under the lock: the waiters may take the result
  bool taken = false;      // by the routine that has awaited it

 protected:
  blocking_call() = default;
  virtual ~blocking_call() = default;

 private:
  friend class blocking_pool;
  friend class blocking_call_list;
  enum class stage : std::uint8_t { new_or_withdrawn, queued, running, over };

  wait_queue waiting_;  // under the lock
  shared<blocking_pool> pool_;
  std::atomic<std::uint32_t> count_ = 1;
  // Under the pool's mutex.
  stage stage_ = stage::new_or_withdrawn;
  blocking_call* next_ = nullptr;
  blocking_call* previous_ = nullptr;
};

// Wakes or starts threads for the queued calls of the worker's runtime. Called without locks.
void staff_pool(worker& w) noexcept;

[[noreturn]] void throw_empty_blocking_call();

template <class R>
class blocking_call_of : public blocking_call {
 public:
  void fail(std::exception_ptr error) noexcept override { outcome.set_error(std::move(error)); }

  result<R> outcome;
};

}  // namespace ringo::detail
