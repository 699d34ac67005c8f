// The seam between a worker and the kernel. `uring` is the real driver, `simulated` the one on virtual time.
#pragma once
#include <cstddef>

#include <ringo/clock.hpp>

#include "driver/block_pool.hpp"

struct io_uring_sqe;

namespace ringo::detail {

// Where the kernel's answers to one operation arrive. It, and the memory that the operation names, live until the last
// answer: the kernel may write until then, whatever was cancelled.
class completion {
 public:
  // `result` and `flags` are the completion entry's. Answers follow while `flags` has IORING_CQE_F_MORE; without it
  // this was the last, and the driver touches the object no more. Called in the owner's thread, inside poll(), drain()
  // or the driver's destructor; may submit, prepare and cancel others, and itself anew after the last answer.
  virtual void complete(int result, unsigned flags) noexcept = 0;

 protected:
  completion() = default;
  completion(const completion&) = default;
  completion& operator=(const completion&) = default;
  ~completion() = default;
};

// One that can say what it asks for, when there is room to say it.
class ring_request : public completion {
 public:
  // Fills an entry of the submission queue, all zero but for its user_data.
  virtual void fill(io_uring_sqe& entry) noexcept = 0;

  unsigned position = 0;    // the driver's: which it was in the submission queue
  bool is_put_off = false;  // the driver's: the kernel has had no room for it

 protected:
  ring_request() = default;
  ring_request(const ring_request&) = delete;
  ring_request& operator=(const ring_request&) = delete;
  ~ring_request() = default;

 private:
  friend class request_backlog;
  ring_request* next_ = nullptr;
};

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
  // time_point::max(): sleeps without limit. Throws std::system_error when the ring is lost. Returns whether anything
  // had completed.
  virtual bool poll(time_point until) = 0;

  // Any thread. Whether a poll() that begins now may find something completed: operations have been submitted since the
  // last one, or the kernel has an answer to one. False is certain for all that came some microseconds ago.
  virtual bool may_have_answers() const noexcept = 0;

  // Ends the current or the next sleep. Any thread. A wake() that comes before the sleep is remembered.
  virtual void wake() noexcept = 0;

  // Operations that the kernel has, or is about to be given, and will complete.
  virtual std::size_t in_flight() const noexcept = 0;

  // Hands it to the kernel with the next poll(), or a later one while the kernel takes no more.
  virtual void submit(ring_request& r) noexcept = 0;
  // Asks the kernel to end it early; what it has not been given yet, it is not given. The last answer comes as ever,
  // and tells what became of it. It is in flight in this driver.
  virtual void end_early(ring_request& r) noexcept = 0;
  // Asks that of all that is in flight, and returns when the last answer has come.
  virtual void drain() noexcept = 0;

  // Blocks that are lent to the kernel, so that an operation which waits for bytes has none of its own
  // (IOSQE_BUFFER_SELECT, group 0). False: the kernel cannot borrow, or has as many as there may be (`more`, after
  // ENOBUFS).
  virtual bool lends_blocks(bool more) noexcept = 0;
  // The one that an answer with these flags has filled; null if there is none in them.
  virtual block* filled_block(unsigned flags) noexcept = 0;

  // So many more, or fewer, of the kernel's threads that do files' operations for this worker may wait for long,
  // besides the few that it has.
  virtual void add_waiting_threads(int more) noexcept { (void)more; }

  // Frees up to half of the blocks that have not been needed since the last call, of those that are lent, too.
  virtual void give_back_unneeded() noexcept { blocks.free_unneeded(); }
  // Whether it holds more blocks than an idle worker is to hold.
  virtual bool has_plenty() const noexcept { return blocks.held() != 0; }

  block_pool blocks;
};

}  // namespace ringo::detail
