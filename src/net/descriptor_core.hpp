// What everything that is made of a descriptor has in common: its owner, its life, and how it is closed.
//
// Closing. What waits is ended, what is in flight is asked to end early, and when the last answer has come the
// descriptor is closed: so the kernel never writes to memory that is gone, and a number is never used after it may have
// become another's. close() on its own would neither end an operation nor let the peer know (the operation keeps the
// file).
//
// Life. Handles are counted by an atomic, for they may be dropped on any thread; when the last goes, the descriptor is
// closed. Everything else that refers to it (a case that waits, an operation in flight, a worker that was asked to end
// one) counts in `uses_`, under the lock. Whoever finds it unused, which it remains, deletes it.
#pragma once
#include <poll.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <string>
#include <utility>

#include <ringo/descriptor.hpp>
#include <ringo/detail/operation.hpp>
#include <ringo/detail/ownership.hpp>

#include "runtime/outside_error.hpp"
#include "runtime/ring_operation.hpp"
#include "runtime/scheduler.hpp"

namespace ringo::detail {

class descriptor_core {
 public:
  descriptor_core(const descriptor_core&) = delete;
  descriptor_core& operator=(const descriptor_core&) = delete;

  // Throws std::logic_error in a simulation, which has no outside world, and in another runtime than its own.
  void enter(const worker* w, const char* call);
  int descriptor() const noexcept { return descriptor_; }
  bool is_open() const noexcept { return state_ == state::open; }      // under the lock
  bool is_closed() const noexcept { return state_ == state::closed; }  // under the lock

  void add_handle() noexcept { handles_.fetch_add(1, std::memory_order_relaxed); }
  bool try_add_handle() noexcept;  // false if there is none any more
  void drop_handle() noexcept;     // any thread; from one that is no worker it is closed soon after

  // Under the lock.
  void begin_closing(worker* w) noexcept;
  void use() noexcept { ++uses_; }
  void disuse() noexcept { --uses_; }
  bool unused() const noexcept { return state_ == state::closed && uses_ == 0 && is_dropped_; }

  // Of one that nothing has used yet, and nothing else refers to: deletes it, and the descriptor is the caller's again.
  int take_back_unused() noexcept {
    const int descriptor = descriptor_;
    delete this;
    return descriptor;
  }

  void end_use() noexcept;                      // without the lock: as disuse(), and deletes it if it was the last
  void delete_this() noexcept { delete this; }  // by who has found it unused, without the lock

  spin_lock lock;
  ownership owner;
  wait_queue closing;  // who waits until it is closed

 protected:
  explicit descriptor_core(int descriptor) noexcept : descriptor_(descriptor) {}
  virtual ~descriptor_core();

  // Under the lock, once: ends who waits (worker::wake_besides), and asks for the end of what is in flight.
  virtual void stop(worker* w) noexcept = 0;
  virtual bool quiet() const noexcept = 0;  // nothing is in flight

  // Under the lock, at the end of every complete(): what there is to do when the last answer has come. True: delete it.
  bool settle(worker& w) noexcept;

  // An operation of this descriptor. Where the kernel does not wait in it, but answers EAGAIN (of a device that was
  // made not to wait, or of what another file has been put in the place of), `Events` are waited for before it is tried
  // again: the core sees EAGAIN, and when they have come EINTR. Where the answer is EAGAIN again although they had
  // come, there is a pause before they are waited for anew: they could be there at once.
  template <class Core, void (Core::*Fill)(io_uring_sqe&) noexcept, void (Core::*Complete)(int, unsigned) noexcept,
            short Events = 0>
  class operation_of final : public ring_operation {
   public:
    explicit operation_of(Core& of) noexcept : of_(of) {}
    void fill(io_uring_sqe& entry) noexcept override {
      switch (turn_) {
        case turn::waits:
          return fill_poll(entry, of_.descriptor(), Events);
        case turn::pauses:
          return fill_pause(entry);
        default:
          return (of_.*Fill)(entry);
      }
    }
    void complete(int result, unsigned flags) noexcept override {
      if constexpr (Events != 0) {
        if (turn_ != turn::asks || result == -EAGAIN) [[unlikely]]
          result = note_turn(result);
      }
      (of_.*Complete)(result, flags);
    }

   private:
    void keep() noexcept override { of_.use(); }
    void let_go(scheduler* ring) noexcept override {
      bool last;
      {
        const optional_guard guard(of_.lock, true);  // only another worker could ask
        was_asked(ring);
        of_.disuse();
        last = of_.unused();
      }
      if (last) of_.delete_this();
    }

    enum class turn : std::uint8_t { asks, waits, asks_again, pauses };
    int note_turn(int result) noexcept {
      if (turn_ == turn::waits || turn_ == turn::pauses) {
        turn_ = turn_ == turn::waits ? turn::asks_again : turn::waits;
        return -EINTR;
      }
      if (result == -EAGAIN) {
        turn_ = turn_ == turn::asks ? turn::waits : turn::pauses;
      } else {
        turn_ = turn::asks;
      }
      return result;
    }

    Core& of_;
    turn turn_ = turn::asks;
  };

 private:
  enum class state : std::uint8_t { open, closing, being_closed, closed };

  static void fill_poll(io_uring_sqe& entry, int descriptor, short events) noexcept;
  void drop_here(worker* w) noexcept;
  void fill_close(io_uring_sqe& entry) noexcept;
  void has_closed(int result, unsigned flags) noexcept;

  int descriptor_;
  state state_ = state::open;
  bool is_dropped_ = false;  // no handle is left, and who dropped the last is done with it
  std::uint32_t uses_ = 0;
  std::atomic<std::uint32_t> handles_ = 0;
  operation_of<descriptor_core, &descriptor_core::fill_close, &descriptor_core::has_closed> close_{*this};
};

// A new core over the descriptor, which it takes, also where this throws std::bad_alloc; with one handle.
template <class Core, class... A>
Core* make_core(int number, A&&... args) {
  ringo::descriptor owned(number);
  auto* core = new Core(number, std::forward<A>(args)...);
  (void)owned.release();
  core->add_handle();
  return core;
}

// A request counts in the uses from when it is linked until it has been taken, or taken out. Without the lock.
template <class Request>
void stop_counting(descriptor_core& in, Request& r) noexcept {
  if (std::exchange(r.counts, false)) in.end_use();
}

}  // namespace ringo::detail
