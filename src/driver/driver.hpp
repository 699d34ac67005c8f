// The seam between a worker and the kernel. `uring` and `epoll` are the real drivers, `simulated` the one on virtual
// time. What each must do is written here, and test/driver_conformance.cpp tries it on the real ones.
#pragma once
#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <vector>

#include <ringo/clock.hpp>

#include "driver/buffer_pool.hpp"
#include "driver/kernel_call.hpp"

namespace ringo::detail {

// An operation of the kernel, as a driver sees it. This object, and the memory that its call names, must live until its
// answer: the kernel may write until then, even after end_early().
class kernel_request {
 public:
  // The request sets what it asks the kernel for. The driver calls this once in each submit(), while the caller of
  // submit() holds the lock of the operation's source; and later, if the call says can_ask_again.
  virtual void fill(kernel_call& call) noexcept = 0;

  // The one answer to a submit(). The driver does not touch the object again. Called in the worker's thread, inside
  // poll(), drain() or the driver's destructor. May submit and end other requests, and submit this one again.
  virtual void complete(const kernel_answer& answer) noexcept = 0;

  // The driver's own, from submit() until the answer.
  kernel_request* next = nullptr;
  void* record = nullptr;    // of its call, if the driver keeps it while the request waits
  unsigned position = 0;     // its place in a ring's submission queue; epoll: its attempts in vain, without a record
  bool is_put_off = false;   // the kernel's ring had no room for it yet
  bool waits_first = false;  // its call's
  enum class unrecorded : std::uint8_t { none, waits, is_ready, ended, starved } stage = unrecorded::none;  // epoll's

 protected:
  kernel_request() = default;
  kernel_request(const kernel_request&) = delete;
  kernel_request& operator=(const kernel_request&) = delete;
  ~kernel_request() = default;
};

// Is told of each call that a driver submits, and of each answer, before its request is.
class call_listener {
 public:
  virtual void submitted(const kernel_request& r, const kernel_call& call) noexcept = 0;
  virtual void answered(const kernel_request& r, const kernel_answer& answer) noexcept = 0;

 protected:
  ~call_listener() = default;
};

// One for each worker. Other threads may only call wake(), and what says "Thread: any".
class driver {
 public:
  driver() = default;
  driver(bool may_put_off_looks, bool makes_each_call)
      : puts_off_looks(may_put_off_looks), makes_calls(makes_each_call) {}
  driver(const driver&) = delete;
  driver& operator=(const driver&) = delete;
  virtual ~driver() = default;

  // Binds the driver to the calling thread; once, before anything else. Throws std::system_error.
  virtual void attach() = 0;

  virtual time_point now() const noexcept = 0;

  // Submits the queued operations, and reaps the completed ones. Sleeps until a completion, a wake() or `until`; it may
  // also return early for no reason. time_point::min(): does not sleep, and makes no system call if there is nothing to
  // submit or to reap. Another time that has passed: does not sleep, and misses no
  // answer that came before. time_point::max(): sleeps without limit. Returns whether anything had completed. Throws
  // std::system_error if the ring is lost.
  virtual bool poll(time_point until) = 0;

  // Whether poll(time_point::min()) may leave answers that have come for a later call.
  const bool puts_off_looks = false;

  // Whether each request costs this thread a system call. Then a source may as well make one itself that does not wait,
  // and save the request.
  const bool makes_calls = false;

  // Whether a poll() that begins now may find a completion: operations were submitted since the last poll(), or the
  // kernel has an answer. False is certain for completions older than some microseconds. Thread: any.
  virtual bool may_have_answers() const noexcept = 0;

  // Ends the current sleep, or the next one if there is none. Thread: any.
  virtual void wake() noexcept = 0;

  // The number of operations that are queued or in flight.
  virtual std::size_t in_flight() const noexcept = 0;

  // Submits the operation with the next poll(), or with a later one if the kernel has no room.
  virtual void submit(kernel_request& r) noexcept = 0;
  // Asks for an early end of an operation that is in flight in this driver. Its answer comes in either case, inside a
  // later poll(), and says how it ended: ECANCELED or EINTR if the call has had no effect.
  virtual void end_early(kernel_request& r) noexcept = 0;
  // Ends all operations early, and returns when the last answer has come.
  virtual void drain() noexcept = 0;

  // Whether calls may ask the driver to lend a buffer (kernel_call::lends), so that an operation which waits for bytes
  // needs none of its own. `more`: after ENOBUFS, provides more. False if the kernel lacks this, or has the most
  // buffers.
  virtual bool lends_buffers(bool more) noexcept = 0;

  // Appends the ids of the driver's own threads, as gettid() gives them, which post no work of their own. Thread: any.
  virtual void list_threads(std::vector<pid_t>& ids) const { (void)ids; }

  // Changes by how many the kernel's threads for this worker's file operations may exceed the usual number, because
  // some of them may wait for long.
  virtual void add_waiting_threads(int more) noexcept { (void)more; }

  // Frees up to half of the buffers that were not needed since the last call; provided ones, too.
  virtual void give_back_unneeded() noexcept { buffers.free_unneeded(); }
  // Whether it holds more buffers than an idle worker should.
  virtual bool has_plenty() const noexcept { return buffers.held() != 0; }

  buffer_pool buffers;
  call_listener* listener = nullptr;
  // Whether a sleep may leave a timer that ends later ones (sleep_alarm.hpp). Not where others ask may_have_answers(),
  // which cannot tell that timer's end from an answer.
  bool may_leave_alarm = false;

 protected:
  void fill(kernel_request& r, kernel_call& call) const noexcept {
    r.fill(call);
    if (listener != nullptr) listener->submitted(r, call);
  }
  void answer(kernel_request& r, const kernel_answer& with) const noexcept {
    if (listener != nullptr) listener->answered(r, with);
    r.complete(with);
  }
};

}  // namespace ringo::detail
