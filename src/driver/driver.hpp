// The seam between a worker and the kernel. `uring` is the real driver, `simulated` the one on virtual time.
#pragma once
#include <cstddef>

#include <ringo/clock.hpp>

#include "driver/buffer_pool.hpp"

struct io_uring_sqe;

namespace ringo::detail {

// Receives the kernel's answers to one operation. This object, and the memory that the operation names, must live until
// the last answer: the kernel may write until then, even after a cancellation.
class completion {
 public:
  // `result` and `flags` are the completion entry's. If `flags` lacks IORING_CQE_F_MORE this is the last answer, and
  // the driver does not touch the object again. Called in the owner's thread, inside poll(), drain() or the driver's
  // destructor. May submit and cancel other operations, and after the last answer submit this one again.
  virtual void complete(int result, unsigned flags) noexcept = 0;

 protected:
  completion() = default;
  completion(const completion&) = default;
  completion& operator=(const completion&) = default;
  ~completion() = default;
};

// A completion that fills its own submission entry, when the queue has room.
class ring_request : public completion {
 public:
  // Fills an entry of the submission queue, which is zero except for its user_data.
  virtual void fill(io_uring_sqe& entry) noexcept = 0;

  unsigned position = 0;    // for the driver: its place in the submission queue
  bool is_put_off = false;  // for the driver: the kernel had no room for it yet

 protected:
  ring_request() = default;
  ring_request(const ring_request&) = delete;
  ring_request& operator=(const ring_request&) = delete;
  ~ring_request() = default;

 private:
  friend class request_backlog;
  ring_request* next_ = nullptr;
};

// One for each worker. Other threads may only call wake(), and what says "Thread: any".
class driver {
 public:
  driver() = default;
  driver(const driver&) = delete;
  driver& operator=(const driver&) = delete;
  virtual ~driver() = default;

  // Binds the driver to the calling thread; once, before anything else. Throws std::system_error.
  virtual void attach() = 0;

  virtual time_point now() const noexcept = 0;

  // Submits the queued operations, and reaps the completed ones. Sleeps until a completion, a wake() or `until`; it may
  // also return early for no reason. time_point::min(): does not sleep, and makes no system call if there is nothing to
  // submit or to reap. time_point::max(): sleeps without limit. Returns whether anything had completed. Throws
  // std::system_error if the ring is lost.
  virtual bool poll(time_point until) = 0;

  // Whether a poll() that begins now may find a completion: operations were submitted since the last poll(), or the
  // kernel has an answer. False is certain for completions older than some microseconds. Thread: any.
  virtual bool may_have_answers() const noexcept = 0;

  // Ends the current sleep, or the next one if there is none. Thread: any.
  virtual void wake() noexcept = 0;

  // The number of operations that are queued or in flight.
  virtual std::size_t in_flight() const noexcept = 0;

  // Submits the operation with the next poll(), or with a later one if the kernel has no room.
  virtual void submit(ring_request& r) noexcept = 0;
  // Asks the kernel to end an operation that is in flight in this driver, or takes it out of the queue if it is not yet
  // submitted. Its last answer comes in either case, and says how it ended.
  virtual void end_early(ring_request& r) noexcept = 0;
  // Ends all operations early, and returns when the last answer has come.
  virtual void drain() noexcept = 0;

  // Provides buffers that the kernel chooses from (IOSQE_BUFFER_SELECT, group 0), so that an operation which waits for
  // bytes needs none of its own. `more`: after ENOBUFS. False if the kernel lacks this, or has the most buffers.
  virtual bool provides_buffers(bool more) noexcept = 0;
  // The buffer that an answer with these flags has filled; null if it has none.
  virtual buffer* filled_buffer(unsigned flags) noexcept = 0;

  // Changes by how many the kernel's threads for this worker's file operations may exceed the usual number, because
  // some of them may wait for long.
  virtual void add_waiting_threads(int more) noexcept { (void)more; }

  // Frees up to half of the buffers that were not needed since the last call; provided ones, too.
  virtual void give_back_unneeded() noexcept { buffers.free_unneeded(); }
  // Whether it holds more buffers than an idle worker should.
  virtual bool has_plenty() const noexcept { return buffers.held() != 0; }

  buffer_pool buffers;
};

}  // namespace ringo::detail
