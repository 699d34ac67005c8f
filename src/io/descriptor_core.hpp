// The kernel's side of every descriptor: its operations in flight, and how it is closed.
//
// Closing. The core ends the requests that wait, asks the kernel to end the operations in flight, and closes the
// descriptor after the last answer. So the kernel never writes to memory that has been freed, and no number is used
// after another file may have got it. close(2) alone would neither end an operation nor tell the peer, since an
// operation keeps the file.
//
// System calls. The core makes none under the lock. A routine makes its own in take() (io_request::acts). The calls
// before a close are made by farewell(), which the answer to a no-op runs. While a thread uses the descriptor without
// the lock, the core is not quiet(), so the number stays its own.
#pragma once
#include <poll.h>

#include <cerrno>
#include <cstdint>
#include <utility>

#include <ringo/descriptor.hpp>
#include <ringo/detail/io_operation.hpp>

#include "runtime/kernel_operation.hpp"
#include "runtime/outside_error.hpp"
#include "runtime/scheduler.hpp"

namespace ringo::detail {

// Whether a write to this file, or its close, may wait in the kernel although poll(2) says that it is ready: a terminal
// or a serial line is ready when it has room for some of the bytes, and a write waits until it has room for all.
bool waits_when_ready(int descriptor) noexcept;

class descriptor_core : public descriptor_source {
 public:
  // Deletes a core that no operation has used and that nothing else refers to. The caller owns the descriptor then.
  int take_back_unused() noexcept {
    const int number = descriptor();
    delete this;
    return number;
  }

 protected:
  explicit descriptor_core(int number, bool waits = false) noexcept
      : descriptor_source(number), waits_when_ready_(waits), identity_(next_identity()) {}

  void begin_closing(detail::section& here) noexcept override;
  [[noreturn]] void fail(const io_request& r) override { throw_outside_error(r.failure, "ringo: " + doing(r)); }
  virtual std::string doing(const io_request&) const { return name(); }  // begins the message of a failure

  // Under the lock, once, before the waiting requests end: asks the kernel to end what is in flight, if w is not null.
  // Returns whether farewell() has to run.
  virtual bool stop(worker* w) noexcept = 0;
  // Without the lock: makes the system calls that go before the close. w is null if no runtime runs.
  virtual void farewell(worker*) noexcept {}
  // Under the lock: no operation is in flight, and no thread uses the descriptor without the lock.
  virtual bool quiet() const noexcept = 0;

  // Whether requests may wait without an operation in flight: its runtime ends, or the calling thread is no worker of
  // it.
  bool has_ended() const noexcept;

  // Under the lock: closes the descriptor if the core is closing and quiet.
  void settle(worker& w) noexcept;

  const bool waits_when_ready_;

  // As any section; at its end the descriptor is closed if it is time, and the routines that were woken go to the end
  // of the worker's queue.
  class section : public section_of<descriptor_source> {
   public:
    explicit section(descriptor_core& of) noexcept : section(of, current_worker()) {}
    ~section() {
      if (worker_ != nullptr && of_.state_ == state::closing) [[unlikely]]
        of_.settle(*worker_);
      end_behind_queue();
    }
    // Null if the thread is no worker of the source's runtime: it can wake no routine, and ask the kernel for nothing.
    scheduler* on() const noexcept { return static_cast<scheduler*>(worker_); }

   private:
    section(descriptor_core& of, worker* w) noexcept
        : section_of(of, w != nullptr && w->runtime_id == of.owner.runtime_id() ? w : nullptr,
                     w == nullptr || w->shared),
          of_(of) {}

    descriptor_core& of_;
  };

  // An operation of this descriptor. If the kernel does not wait but answers EAGAIN (the file has O_NONBLOCK, perhaps
  // because another file was put in its place), the operation polls for `Events` before the core tries again: the core
  // sees EAGAIN, and EINTR when the events have come. If the answer is EAGAIN again, the operation pauses before it
  // polls, since a poll could end at once.
  template <class Core, void (Core::*Fill)(kernel_call&) noexcept,
            void (Core::*Complete)(const kernel_answer&) noexcept, short Events = 0>
  class operation_of final : public kernel_operation {
   public:
    explicit operation_of(Core& of) noexcept : of_(of) {}
    void fill(kernel_call& call) noexcept override {
      switch (turn_) {
        case turn::waits:
          return fill_poll(call, of_.descriptor(), Events);
        case turn::pauses:
          return fill_pause(call);
        default:
          (of_.*Fill)(call);
          if (call.is_of_socket()) call.owner = of_.identity_;
      }
    }
    void complete(const kernel_answer& answer) noexcept override {
      if constexpr (Events != 0) {
        if (turn_ != turn::asks || answer.result == -EAGAIN) [[unlikely]]
          return (of_.*Complete)({note_turn(answer.result), answer.more_is_there, answer.filled});
      }
      (of_.*Complete)(answer);
    }

   private:
    void keep() noexcept override { of_.use(); }
    void let_go(scheduler* ring) noexcept override {
      const section_of<descriptor_source> here(of_, current_worker(), true);  // only another worker could ask
      was_asked(ring);
      of_.disuse();
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
  static void fill_poll(kernel_call& call, int descriptor, short events) noexcept;
  void fill_close(kernel_call& call) noexcept;
  void has_closed(const kernel_answer& answer) noexcept;

  static std::uint32_t next_identity() noexcept;

  const std::uint32_t identity_;  // of this core, among all that the process ever makes: never 0
  bool says_farewell_ = false;    // close_ is in flight as a no-op, or farewell() runs
  operation_of<descriptor_core, &descriptor_core::fill_close, &descriptor_core::has_closed> close_{*this};
};

// Clears O_NONBLOCK, for the ring waits: an operation on a descriptor that does not would be answered at once, again
// and again. Returns the descriptor's flags; -1 if it has none, or that fails (errno).
int make_waiting(int descriptor) noexcept;

// Makes a core, with one handle. It takes the descriptor, even if this throws std::bad_alloc.
template <class Core, class... A>
Core* make_core(int number, A&&... args) {
  ringo::descriptor owned(number);
  auto* core = new Core(number, std::forward<A>(args)...);
  (void)owned.release();
  core->add_handle();
  return core;
}

}  // namespace ringo::detail
