// A channel's state, and its algorithm.
//
// Invariants, whenever the lock is free (semantics 9; "open" means that the waiter's wait is unclaimed; check()
// verifies them):
//   - an open receiver waits => the buffer is empty and no open sender waits, other than one of the same select;
//   - an open sender waits => the buffer is full;
//   - closed => no waiter is open; a closed channel stays closed.
// A value goes from hand to hand: a sender that finds a receiver writes into the receiver's operation; a receiver that
// finds a sender takes the head of the buffer and moves that sender's value to its tail in the same critical section
// (semantics 6, 7). A newcomer never overtakes a waiter.
//
// Life: handles are counted. When the last one is dropped, the waiters are woken as by close, and the source has ended
// (source.hpp). A channel with a feeder lives on until the feeder has ended, too: whichever of the two comes second,
// the last handle's drop or the feeder's end, finds that out by the exchange of feeder_.
#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <new>
#include <source_location>
#include <string>
#include <utility>

#include <ringo/detail/compilers.hpp>
#include <ringo/detail/foreign_threads.hpp>
#include <ringo/detail/library.hpp>
#include <ringo/detail/reference_count.hpp>
#include <ringo/detail/source.hpp>
#include <ringo/errors.hpp>

namespace ringo::detail {

class channel_core;
void delete_channel(channel_core* core) noexcept;

// Sends to a channel without a handle of it, and is told when the last handle has been dropped, after which no value
// can be received.
class channel_feeder {
 public:
  // At most once, on the thread that dropped the last handle. The feeder has a handle from then on.
  virtual void nobody_receives(channel_core& from) noexcept = 0;

 protected:
  ~channel_feeder() = default;
};

// The part of a channel that does not depend on the type of its values.
class channel_core : public source {
 public:
  explicit channel_core(std::size_t capacity_of) noexcept;

  RINGO_ALWAYS_INLINE void enter(worker* w, const char* call) { owner.enter(w, call); }

  void close(std::exception_ptr with);  // throws channel_closed
  bool try_close(std::exception_ptr with);
  bool closed() const noexcept { return closed_.load(std::memory_order_acquire); }
  bool drained() const noexcept { return closed() && size() == 0; }
  std::size_t size() const noexcept { return static_cast<std::size_t>(count.value()); }
  std::size_t capacity() const noexcept { return capacity_; }

  // Without the lock: whether a receive, or a send, would be ready at this instant; waiters count even if their wait
  // has been claimed. closed() is read last: since it stays true, a channel that was ready throughout is seen as ready.
  // Always inlined: g++ takes a select's look with several workers for rarely run code, and would call them there for
  // each case.
  RINGO_ALWAYS_INLINE bool looks_receivable() const noexcept {
    return count.value(std::memory_order_acquire) > 0 || !senders.looks_empty() || closed();
  }
  RINGO_ALWAYS_INLINE bool looks_sendable() const noexcept {
    return static_cast<std::size_t>(count.value(std::memory_order_acquire)) < capacity_ || !receivers.looks_empty() ||
           closed();
  }

  void retain() noexcept { handles_.add(); }
  void release() noexcept {
    if (handles_.drop()) last_handle_gone();
  }

  // The caller has the only handle.
  void feed_by(channel_feeder& f) noexcept { feeder_.store(&f, std::memory_order_relaxed); }
  channel_feeder* feeder() const noexcept {
    return feeder_.load(std::memory_order_acquire);
  }  // the caller has a handle
  // The caller has a handle, and so have others. Returns the channel's feeder: f, or the one that was set first.
  channel_feeder* feed_by_first(channel_feeder& f) noexcept {
    channel_feeder* before = nullptr;
    return feeder_.compare_exchange_strong(before, &f, std::memory_order_acq_rel) ? &f : before;
  }
  // By the feeder, which does not touch the channel afterwards. False if the last handle has been dropped before: then
  // nobody_receives() has been called, or is about to be, and the feeder's handle is released here.
  bool stop_feeding() noexcept {
    if (feeder_.exchange(nullptr, std::memory_order_acq_rel) != nullptr) return true;
    release();
    return false;
  }

  std::string name() const;
  void append_to(wait_report& report) const;  // any thread that keeps the channel

  // Under the lock: a waiter leaves without having won. True if the channel is then unused.
  bool unlink(wait_queue& queue, waiter& w) noexcept {
    take_out(queue, w);
    return unused();
  }
  bool unused() const noexcept { return is_free() && receivers.empty() && senders.empty(); }
  void check() const;

  counter count;          // of values in the buffer; size() reads it without the lock, and a value's move may call that
  std::size_t limit;      // of `count`, for a send: the capacity, and 0 once it is closed
  std::size_t first = 0;  // the place of the oldest value
  wait_queue receivers;
  wait_queue senders;
  std::exception_ptr error;  // of close(error): a receive from the drained channel throws it

 protected:
  // Gives a receiver the error of close(error).
  virtual void fail_receiver(waiter& receiver) noexcept = 0;

 private:
  void end(section& in) noexcept;
  void wake_all(section& in) noexcept;
  void close_from_outside(const std::exception_ptr& with);
  void close_here(worker* w, std::exception_ptr with) noexcept;
  void last_handle_gone() noexcept;
  void end_here(worker* w) noexcept;

  std::atomic<bool> closed_ = false;
  std::atomic<bool> closing_ = false;  // a close has been accepted
  reference_count handles_{1};
  const std::size_t capacity_;
  std::atomic<channel_feeder*> feeder_ = nullptr;
};

template <class T>
class receive_operation;
template <class T>
class send_operation;

// For receive() and send(): notes the routine to be made ready after the unlock.
inline auto named_in(routine*& woken) noexcept {
  return [&woken](routine& r) { woken = &r; };
}

// A channel of T: the buffer, and the hand-overs. Everything here runs under the lock.
template <class T>
class channel_state final : public channel_core {
 public:
  explicit channel_state(std::size_t capacity_of)
      : channel_core(capacity_of), buffer_(capacity_of ? std::allocator<T>().allocate(capacity_of) : nullptr) {}
  ~channel_state() override {
    for (; count.value() > 0; count.add(-1)) {
      buffer_[first].~T();
      first = after(first);
    }
    if (buffer_) std::allocator<T>().deallocate(buffer_, capacity());
  }

  RINGO_ALWAYS_INLINE bool can_receive() noexcept {
    return count.value() > 0 || (ended_or_waited_for(senders) && (closed() || first_open(senders)));
  }
  RINGO_ALWAYS_INLINE bool can_send() noexcept {
    return size() < limit || (ended_or_waited_for(receivers) && (closed() || first_open(receivers)));
  }

  // Takes the next value, if there is one, by put(T&&). idle: there is none yet. Calls wake(routine&) with the routine
  // that must be made ready.
  template <class Put, class Wake>
  RINGO_ALWAYS_INLINE progress receive(bool shared, Put&& put, Wake&& wake) {
    if (count.value() > 0) {
      take_oldest(shared, put, wake);
      return progress::done;
    }
    return receive_unbuffered(shared, put, wake);
  }
  // The same if the buffer is empty.
  template <class Put, class Wake>
  RINGO_ALWAYS_INLINE progress receive_unbuffered(bool shared, Put&& put, Wake&& wake) {
    if (auto* sender = take_open<send_operation<T>>(senders, shared)) {
      put(std::move(sender->value()));
      sender->set_state(progress::done);
      wake(*sender->blocked);
      return progress::done;
    }
    return !closed() ? progress::idle : error ? progress::failed : progress::closed;
  }
  // Moves the oldest value, which is there. A waiting sender's value then goes to the end of the buffer. Returns what
  // build(T&&) returns, in place: a destructor does what comes after the move.
  template <class Build, class Wake>
  RINGO_ALWAYS_INLINE auto take_oldest(bool shared, Build&& build, Wake&& wake) {
    struct afterwards {
      RINGO_ALWAYS_INLINE ~afterwards() {
        T* const freed = of.buffer_ + of.first;
        freed->~T();
        of.first = of.after(of.first);
        if (auto* sender = of.template take_open<send_operation<T>>(of.senders, shared)) {
          ::new (static_cast<void*>(freed)) T(std::move(sender->value()));
          sender->set_state(progress::done);
          wake(*sender->blocked);
        } else {
          of.count.add(-1);
        }
      }
      channel_state& of;
      const bool shared;
      Wake& wake;
    } const at_the_end{*this, shared, wake};
    return build(std::move(buffer_[first]));
  }
  // Moves from the value only if it returns done. idle: there is no room yet. A closed channel has no receivers.
  template <class Wake>
  RINGO_ALWAYS_INLINE progress send(bool shared, T& value, Wake&& wake) noexcept {
    if (auto* receiver = take_open<receive_operation<T>>(receivers, shared)) {
      receiver->accept(std::move(value));
      wake(*receiver->blocked);
      return progress::done;
    }
    const std::size_t queued = size();
    if (queued >= limit) return closed() ? progress::closed : progress::idle;
    std::size_t place = first + queued;
    if (place >= limit) place -= limit;
    ::new (static_cast<void*>(buffer_ + place)) T(std::move(value));
    count.add();
    return progress::done;
  }

 private:
  void fail_receiver(waiter& receiver) noexcept override {
    static_cast<receive_operation<T>&>(receiver).fail(this->error);
  }

  // Whether it is closed or a routine waits, in one branch: most often neither is so in any case of a select but one.
  RINGO_ALWAYS_INLINE bool ended_or_waited_for(const wait_queue& queue) const noexcept {
    return (reinterpret_cast<std::intptr_t>(queue.front()) | std::intptr_t{closed()}) != 0;
  }
  // Whether a waiter's wait is open. Waiters before it that another source has claimed are taken out.
  [[gnu::noinline]] bool first_open(wait_queue& queue) noexcept {
    while (waiter* w = queue.front()) {
      if (w->blocked->is_waiting()) return true;
      queue.pop_front(*w);
      detach(*w);
    }
    return false;
  }
  // The first open waiter, claimed and out of the queue; null if there is none.
  template <class Operation>
  RINGO_ALWAYS_INLINE Operation* take_open(wait_queue& queue, bool shared) noexcept {
    return static_cast<Operation*>(queue.take_open(shared, detach_lost{*this}));
  }
  std::size_t after(std::size_t place) const noexcept { return place + 1 == capacity() ? 0 : place + 1; }

  T* const buffer_;
};

// Checks the buffer's size in bytes. Throws: std::length_error.
std::size_t checked_capacity(std::size_t capacity, std::size_t value_size);
[[noreturn]] void throw_send_on_closed();
[[noreturn]] void throw_close_of_nil();
// A coroutine of another library has called await_ready(), then let other code use the channel, and then called
// await_resume().
[[noreturn]] void throw_not_resumed_at_once();

// For foreign threads (foreign_threads.hpp). `attempt` tries the operation without waiting; `operation` is what a
// routine awaits for the thread. If no runtime uses the channel, waits until one does. Null: the nil channel.
void block_until(channel_core* core, const char* call,
                 const std::function<progress(bool shared, routine*& woken)>& attempt,
                 const std::function<task<void>()>& operation, std::source_location where);

}  // namespace ringo::detail
