// The threads of blocking(). One pool a runtime, which its threads and calls keep alive: a call may outlast the
// runtime.
//
// A call goes into the queue when it is first waited for, possibly under the locks of a select. The threads for it are
// woken or started outside of those, by staff(), so that as many are on their way as there are calls in the queue. The
// thread that became idle last is woken first, so that those that are not needed stay idle and end.
//
// A thread that is done with a call puts it among the completed ones, and the first to do so rings for a worker, under
// the mutex, so that the runtime is there; the worker makes ready whoever waits, for all that have come together. A
// call that nobody holds any more ends on its thread.
//
// Lock order: a call's lock, then the mutex, then what the runtime locks to wake a worker. No call runs, and nothing of
// the user's is destroyed, under the mutex.
#pragma once
#include <sys/types.h>

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include <ringo/clock.hpp>
#include <ringo/detail/blocking_call.hpp>

namespace ringo::detail {

class runtime_core;

// Of the runtime whose blocking() the calling thread works for now; 0: of none.
std::uint64_t runtime_of_blocking_call() noexcept;

// First in, first out, and out of the middle.
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

class blocking_pool : public std::enable_shared_from_this<blocking_pool> {
 public:
  blocking_pool(runtime_core& rt, std::size_t most_threads, duration idle_time, bool simulated);
  blocking_pool(const blocking_pool&) = delete;
  blocking_pool& operator=(const blocking_pool&) = delete;

  void add(blocking_call& c) noexcept;       // unless it has it already
  void withdraw(blocking_call& c) noexcept;  // if it is still in the queue
  bool has_begun_or_queued(const blocking_call& c) const;
  bool is_queued(const blocking_call& c) const;

  // On a worker of the runtime, without locks.
  void staff() noexcept;
  void serve(worker& w) noexcept;

  // Appends the ids that gettid() gives.
  void list_threads(std::vector<pid_t>& ids) const;

  // When the workers have stopped: no call begins any more. Waits until the deadline for those that run; joins their
  // threads, and leaves the others to themselves.
  void shut_down(time_point until) noexcept;

  // In a simulation: how many calls could be the next to run, and runs one of them.
  std::size_t runnable() const;
  void run_simulated(std::size_t index) noexcept;

 private:
  struct member {
    std::thread thread;
    std::condition_variable wake;
    member* idle_below = nullptr;
    pid_t id = 0;
    bool woken = false;
    bool ended = false;  // about to leave, and to be joined
  };

  void work(member& self) noexcept;
  bool wait_for_work(std::unique_lock<std::mutex>& guard, member& self);
  std::exception_ptr start_thread() noexcept;
  void run(blocking_call& c, std::unique_lock<std::mutex>& guard) noexcept;
  std::list<member> take_ended();
  void count(int change) noexcept;

  const std::uint64_t runtime_id_;
  const std::size_t most_threads_;
  const duration idle_time_;
  const bool simulated_;

  mutable std::mutex mutex_;  // guards all below
  runtime_core* runtime_;     // null when it has ended
  blocking_call_list queue_;
  blocking_call_list completed_;
  std::list<member> members_;
  member* idle_ = nullptr;     // the last to become idle
  std::size_t threads_ = 0;    // that live or are being started
  std::size_t coming_ = 0;     // of those: woken or started, and have not yet looked at the queue
  std::size_t in_flight_ = 0;  // calls that are queued or run
  bool closed_ = false;
  std::condition_variable all_ended_;
};

}  // namespace ringo::detail
