// The threads of one epoll driver, for calls that may wait in the kernel: files, and what names them by a path.
//
// They are not those of blocking(): there, a user's calls that wait for a routine which waits for a file would hold the
// file up for ever if they had all the threads. io_uring has such threads of its own, too, and this keeps one meaning.
// At most `usual` threads carry out calls that wait for a disk. A call that may wait for long (opening a FIFO, writing
// to a terminal) has one more. A thread that has been idle for a while ends.
//
// Ending. A call in the queue is withdrawn, without effect. A running call that may wait for long is interrupted: by a
// signal, with a handler that does nothing and without SA_RESTART, so that the system call returns EINTR. A signal that
// comes just before the system call, or just after it, ends nothing, so the driver repeats it until the call is over
// (interrupt()): no interruption is lost, and none reaches a later call, since the thread blocks the signal except in a
// call that may be interrupted, and a later one only returns EINTR, which its requester takes for no effect. Other
// calls are waited for: the kernel ends them in time.
//
// The signal is a real-time one, from SIGRTMAX - 1 downwards the first that has its default action or this handler:
// ordinary ones mean something to programs, and a thread's own signal disturbs no sigwaitinfo() or signalfd elsewhere.
// If the program handles that signal later, the next one is taken.
//
// Locks: one mutex, of all below; the driver is woken under it, which takes no lock. A call's answer is written before
// it is listed under the mutex, and read after it was taken from there.
#pragma once
#include <sys/types.h>

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <list>
#include <mutex>
#include <thread>
#include <vector>

#include "driver/begun_call.hpp"
#include "driver/wake_event.hpp"
#include "platform/ranked_lock.hpp"

namespace ringo::detail {

class call_threads {
 public:
  explicit call_threads(wake_event& wakes) noexcept : wakes_(wakes) {}
  call_threads(const call_threads&) = delete;
  call_threads& operator=(const call_threads&) = delete;
  ~call_threads();  // waits for the calls that run; forgets those that are queued or done

  void add(begun_call& c) noexcept;
  bool withdraw(begun_call& c) noexcept;  // false: it has begun, and may be over; then interrupt() ends it if it can
  // Interrupts the running calls that withdraw() came too late for, and that may wait for long. Returns whether there
  // is one: then the driver calls this again after a moment.
  bool interrupt() noexcept;

  bool has_done() const noexcept { return has_done_.load(std::memory_order_acquire); }  // any thread
  begun_list take_done() noexcept;
  void list_threads(std::vector<pid_t>& ids) const;  // any thread

 private:
  struct member {
    std::thread thread;
    begun_call* running = nullptr;
    pid_t id = 0;
    bool ended = false;  // about to return
  };

  using locked = ranked_lock<lock_rank::leaf>;

  void staff(locked& guard) noexcept;
  bool start_thread() noexcept;
  void work(member& self) noexcept;
  void finish(begun_call& c) noexcept;
  void join_ended(locked& guard) noexcept;
  void check() const;

  wake_event& wakes_;
  mutable std::mutex mutex_;
  std::condition_variable come_;
  begun_list queue_, done_;
  std::list<member> members_;
  std::size_t queued_ = 0;
  std::size_t threads_ = 0;  // that have not ended
  std::size_t idle_ = 0;
  std::size_t long_calls_ = 0;  // queued or running
  bool closed_ = false;
  std::atomic<bool> has_done_ = false;
};

}  // namespace ringo::detail
