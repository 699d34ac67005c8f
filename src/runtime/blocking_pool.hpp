// The threads of blocking(). Each runtime has one pool. Its threads and calls keep it alive: a call may outlive the
// runtime.
//
// A call enters the queue when a routine first waits for it, possibly under the locks of a select. staff() wakes or
// starts threads after these locks are released, as many as there are calls in the queue. The thread that became idle
// last is woken first, so that threads that are not needed stay idle, and end.
//
// A thread that has finished a call puts it into the list of completed calls. The first one rings for a worker, under
// the mutex, which keeps the runtime alive; the worker makes the waiters of all completed calls ready. A call without
// holders is destroyed on its thread.
//
// Lock order: a call's lock, then the mutex, then the locks that the runtime needs to wake a worker. No call runs, and
// no object of the user's is destroyed, under the mutex.
#pragma once
#include <sys/types.h>

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <list>
#include <mutex>
#include <thread>
#include <vector>

#include <ringo/clock.hpp>
#include <ringo/detail/blocking_call.hpp>

namespace ringo::detail {

class runtime_core;

// The id of the runtime whose blocking() runs on the calling thread; 0 if none.
std::uint64_t runtime_of_blocking_call() noexcept;

// A queue, first in, first out, that can also remove from its middle.
class blocking_call_list {
 public:
  blocking_call* first() const noexcept { return first_; }
  std::size_t size() const noexcept { return size_; }
  void push_back(blocking_call& c) noexcept;
  void remove(blocking_call& c) noexcept;
  blocking_call* pop_front() noexcept;

 private:
  blocking_call* first_ = nullptr;
  blocking_call* last_ = nullptr;
  std::size_t size_ = 0;
};

class blocking_pool final : public shared_object {
 public:
  blocking_pool(runtime_core& rt, std::size_t most_threads, duration longest_idle, bool simulated);
  blocking_pool(const blocking_pool&) = delete;
  blocking_pool& operator=(const blocking_pool&) = delete;

  void add(blocking_call& c) noexcept;       // nothing if the call was added before
  void withdraw(blocking_call& c) noexcept;  // if it is still in the queue
  bool has_begun_or_queued(const blocking_call& c) const;
  bool is_queued(const blocking_call& c) const;

  // Called on a worker of the runtime, without locks.
  void staff() noexcept;
  void serve(worker& w) noexcept;

  // Appends the threads' ids, as gettid() gives them.
  void list_threads(std::vector<pid_t>& ids) const;

  // Called when the workers have stopped. No further call begins. Waits for the running calls until the deadline, and
  // joins the threads of those that end in time; the others run on without the pool.
  void shut_down(time_point until) noexcept;

  // In a simulation: the number of calls that could run next; and runs one of them.
  std::size_t runnable() const;
  void run_simulated(std::size_t index) noexcept;

 private:
  class locked;
  struct member {
    std::thread thread;
    std::condition_variable wake;
    member* idle_below = nullptr;
    pid_t id = 0;
    bool woken = false;
    bool ended = false;  // about to return; another thread joins it
  };

  void work(member& self) noexcept;
  bool wait_for_work(locked& guard, member& self);
  std::exception_ptr start_thread() noexcept;
  void run(blocking_call& c, locked& guard) noexcept;
  std::list<member> take_ended();
  void count(int change) noexcept;
  void check() const;

  const std::uint64_t runtime_id_;
  const std::size_t most_threads_;
  const duration idle_time_;
  const bool simulated_;

  mutable std::mutex mutex_;  // guards all below
  runtime_core* runtime_;     // null after its end
  blocking_call_list queue_;
  blocking_call_list completed_;
  std::list<member> members_;
  member* idle_ = nullptr;     // the last to become idle
  std::size_t threads_ = 0;    // threads that live or are being started
  std::size_t coming_ = 0;     // of these, the ones that were woken or started and have not yet looked at the queue
  std::size_t in_flight_ = 0;  // calls that are queued or run
  bool closed_ = false;
  std::condition_variable all_ended_;
};

}  // namespace ringo::detail
