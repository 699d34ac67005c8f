// What a channel is made of, and its algorithm.
//
// Invariants, whenever the lock is free (semantics 9; "open" means that the waiter's wait is unclaimed):
//   - an open receiver waits => the buffer is empty and no open sender waits, other than one of the same select;
//   - an open sender waits => the buffer is full;
//   - closed => nobody waits, and closed is for ever.
// A value goes from hand to hand: a sender that finds a receiver writes into the receiver's operation, a receiver that
// finds a sender takes the head of the buffer and moves that sender's value to its tail in the same critical section
// (semantics 6, 7). Nobody barges.
//
// Life: handles are counted. When the last goes while cases are linked, they are woken as by close; the core is freed
// by whoever takes the last case out: a routine that lost on this channel and has yet to run. A channel with a feeder
// outlives its handles until the feeder has ended: of the last handle's end and the feeder's, which may come at one
// instant, the first to take the feeder's address out is known to the other.
#pragma once
#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <new>
#include <source_location>
#include <stdexcept>
#include <string>
#include <utility>

#include <ringo/detail/compilers.hpp>
#include <ringo/detail/foreign_threads.hpp>
#include <ringo/detail/source.hpp>
#include <ringo/errors.hpp>

namespace ringo::detail {

class channel_core;

// Sends to a channel without a handle of it, and hears when the last handle has gone, so that nobody can receive any
// more.
class channel_feeder {
 public:
  // Once at the most, on the thread that let go of the last handle. The feeder has a handle from then on.
  virtual void nobody_receives(channel_core& from) noexcept = 0;

 protected:
  ~channel_feeder() = default;
};

// What every channel has, whatever its values are.
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

  // Without the lock, what can be done at this instant, but for waiters whose wait has been claimed. Closed comes last:
  // it is for ever, so who sees an empty channel that was always ready sees it closed.
  bool looks_receivable() const noexcept {
    return count.value(std::memory_order_acquire) > 0 || !senders.looks_empty() || closed();
  }
  bool looks_sendable() const noexcept {
    return static_cast<std::size_t>(count.value(std::memory_order_acquire)) < capacity_ || !receivers.looks_empty() ||
           closed();
  }

  void retain() noexcept { handles_.fetch_add(1, std::memory_order_relaxed); }
  void release() noexcept {
    // acq_rel: whoever frees has seen all that the other handles' owners did.
    if (handles_.fetch_sub(1, std::memory_order_acq_rel) == 1) last_handle_gone();
  }

  // By who has a handle, before anybody else has one.
  void feed_by(channel_feeder& f) noexcept { feeder_.store(&f, std::memory_order_relaxed); }
  channel_feeder* feeder() const noexcept {
    return feeder_.load(std::memory_order_acquire);
  }  // the caller has a handle
  // The caller has a handle, and so have others. Returns the channel's feeder: f, or the one that was set first.
  channel_feeder* feed_by_first(channel_feeder& f) noexcept {
    channel_feeder* before = nullptr;
    return feeder_.compare_exchange_strong(before, &f, std::memory_order_acq_rel) ? &f : before;
  }
  // By the feeder, which does not touch the channel any more; instead of that it releases its handle, if it has one.
  // False if it has: then nobody_receives() has been called, or is about to be.
  bool stop_feeding() noexcept {
    if (feeder_.exchange(nullptr, std::memory_order_acq_rel) != nullptr) return true;
    release();
    return false;
  }

  std::string name() const;

  // Under the lock: a waiter is out of the queue without having won. True if the core is then without handles or cases.
  bool unlink(wait_queue& queue, waiter& w) noexcept {
    take_out(queue, w);
    return unused();
  }
  bool unused() const noexcept { return is_free() && receivers.empty() && senders.empty(); }
  void check() const;

  counter count;      // of values in the buffer: changed under the lock, and read without it by size(), which a value's
                      // move may call
  std::size_t limit;  // of `count`, for a send: the capacity, and 0 once it is closed; under the lock
  std::size_t first = 0;  // where the oldest is
  wait_queue receivers;
  wait_queue senders;
  std::exception_ptr error;  // of close(error): what a receiver of the drained channel throws

 protected:
  // Takes all waiters out as closed.
  virtual void wake_all(section& in) noexcept = 0;

 private:
  void end(section& in) noexcept;
  void close_from_outside(const std::exception_ptr& with);
  void close_here(worker* w, std::exception_ptr with) noexcept;
  void last_handle_gone() noexcept;
  void end_here(worker* w) noexcept;

  std::atomic<bool> closed_ = false;
  std::atomic<bool> closing_ = false;  // somebody's close has been accepted
  std::atomic<std::size_t> handles_ = 1;
  const std::size_t capacity_;
  std::atomic<channel_feeder*> feeder_ = nullptr;
};

// A value's place inside an operation, or that of one of several: raw, and outside the operation where the type is
// over-aligned, since frames need not honour that.
template <class T, class... More>
class slot {
  static constexpr bool inside = alignof(T) <= alignof(std::max_align_t);
  struct place {
    alignas(T) alignas(More...) std::byte bytes[std::max({sizeof(T), sizeof(More)...})];
  };

 public:
  slot() {
    if constexpr (!inside) outside_.reset(new place);
  }
  slot(const slot&) = delete;
  slot& operator=(const slot&) = delete;
  template <class U = T, class... A>
  void put(A&&... args) {
    ::new (address()) U(std::forward<A>(args)...);
  }
  template <class U = T>
  U& value() noexcept {
    return *std::launder(static_cast<U*>(address()));
  }
  template <class U = T>
  void clear() noexcept {
    value<U>().~U();
  }

 private:
  void* address() noexcept {
    if constexpr (inside) {
      return inside_.bytes;
    } else {
      return outside_->bytes;
    }
  }
  struct nothing {};
  [[no_unique_address]] std::conditional_t<inside, place, nothing> inside_;
  [[no_unique_address]] std::conditional_t<inside, nothing, std::unique_ptr<place>> outside_;
};

template <class T>
class receive_operation;
template <class T>
class send_operation;

// For receive() and send(): notes who is to be made ready, for after the lock.
inline auto named_in(routine*& woken) noexcept {
  return [&woken](routine& r) { woken = &r; };
}

// The channel of T: the buffer, and the hand-overs. Everything here runs under the lock, where there is one.
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

  RINGO_ALWAYS_INLINE bool can_receive() noexcept { return count.value() > 0 || anyone_open(senders) || closed(); }
  RINGO_ALWAYS_INLINE bool can_send() noexcept { return size() < capacity() || anyone_open(receivers) || closed(); }

  // Takes the next value, if there is one, by put(T&&). idle: there is none yet. Calls wake(routine&) for who is to be
  // made ready.
  template <class Put, class Wake>
  RINGO_ALWAYS_INLINE progress receive(bool shared, Put&& put, Wake&& wake) {
    if (count.value() > 0) {
      T& oldest = buffer_[first];
      put(std::move(oldest));
      oldest.~T();
      const std::size_t place = first;
      first = after(first);
      if (auto* sender = take_open<send_operation<T>>(senders, shared)) {
        ::new (static_cast<void*>(buffer_ + place)) T(std::move(sender->value()));
        sender->stand(progress::done);
        wake(*sender->who);
      } else {
        count.add(-1);
      }
      return progress::done;
    }
    if (auto* sender = take_open<send_operation<T>>(senders, shared)) {
      put(std::move(sender->value()));
      sender->stand(progress::done);
      wake(*sender->who);
      return progress::done;
    }
    return !closed() ? progress::idle : error ? progress::failed : progress::closed;
  }

  // Moves from the value only if it returns done. idle: there is no room yet. A closed channel has no receivers.
  template <class Wake>
  RINGO_ALWAYS_INLINE progress send(bool shared, T& value, Wake&& wake) noexcept {
    if (auto* receiver = take_open<receive_operation<T>>(receivers, shared)) {
      receiver->accept(std::move(value));
      wake(*receiver->who);
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
  void wake_all(section& in) noexcept override {
    while (auto* receiver = take_open<receive_operation<T>>(receivers, in.shared())) {
      error ? receiver->fail(error) : receiver->stand(progress::closed);
      in.wake(*receiver->who);
    }
    while (auto* sender = take_open<send_operation<T>>(senders, in.shared())) in.wake(*sender, progress::closed);
  }

  // The first waiter whose wait is still open. Those claimed by another source are its past: they are taken out.
  RINGO_ALWAYS_INLINE bool anyone_open(wait_queue& queue) noexcept { return !queue.empty() && first_open(queue); }
  [[gnu::noinline]] bool first_open(wait_queue& queue) noexcept {
    while (waiter* w = queue.front()) {
      if (w->who->state.load(std::memory_order_relaxed) & routine::waiting) return true;
      queue.pop_front(*w);
      detach(*w);
    }
    return false;
  }
  // The same, claimed and out of the queue; null if there is none.
  template <class Operation>
  RINGO_ALWAYS_INLINE Operation* take_open(wait_queue& queue, bool shared) noexcept {
    return static_cast<Operation*>(queue.take_open(shared, detach_lost{*this}));
  }
  std::size_t after(std::size_t place) const noexcept { return place + 1 == capacity() ? 0 : place + 1; }

  T* const buffer_;
};

// What both directions' operations have in common. A Derived provides
//   attempt(core, bool shared, wake)   under the lock: what it comes to now, with its result; idle: it has to wait
//   result_of_done()                   the result of what has come to `done`
template <class Derived, class T, class Result>
class channel_operation : public operation<Derived, Result> {
 public:
  // Most often there is one worker, and it need not wait: then it never stands as anything but idle.
  RINGO_ALWAYS_INLINE bool await_ready() {
    worker& w = require_worker(Derived::call_name);
    channel_state<T>* const core = core_;  // read once: g++ stores it by a vector instruction, and waits for that
    if (!w.spend() || core == nullptr || !core->owner.is_of_lone(w)) [[unlikely]]
      return await_ready_otherwise(w, core);
    const progress p = this->derived().attempt(*core, false, [&w](routine& r) { w.make_next(r); });
    check_in_place(*core);
    if (p == progress::idle) return false;
    if (p != progress::done) [[unlikely]]
      this->stand(p);
    return true;
  }
  RINGO_ALWAYS_INLINE Result await_resume() {
    const progress p = this->standing();
    if (p == progress::idle) [[likely]]
      return this->derived().result_of_done();
    if (p != progress::done) [[unlikely]] {
      if (!won(p)) this->come_back_cancelled();
      return this->derived().take();
    }
    this->stand(progress::idle);
    return this->derived().result_of_done();
  }
  // What it comes to at this instant, where it does not wait; idle: nothing. Then its result is result_as(that).
  RINGO_ALWAYS_INLINE progress try_now(worker& w) {
    channel_state<T>* const core = core_;
    if (core == nullptr || !core->owner.is_of_lone(w)) [[unlikely]]
      return try_now_otherwise(w, core);
    const progress p = this->derived().attempt(*core, false, [&w](routine& r) { w.make_next(r); });
    check_in_place(*core);
    return p;
  }
  template <class Variant, std::size_t N>
  RINGO_ALWAYS_INLINE Variant result_as(progress p) {
    if constexpr (requires { this->derived().template take_as<Variant, N>(p); }) {
      return this->derived().template take_as<Variant, N>(p);
    } else {
      this->stand(p);
      if constexpr (std::is_void_v<Result>) {
        this->derived().take();
        return Variant(std::in_place_index<N>);
      } else {
        return Variant(std::in_place_index<N>, this->derived().take());
      }
    }
  }
  RINGO_ALWAYS_INLINE bool commit(worker&, bool shared, routine*& woken) {
    if (!core_) return false;
    const progress p = this->derived().attempt(*core_, shared, named_in(woken));
    if (p == progress::idle) return false;
    this->stand(p);
    return true;
  }

  RINGO_ALWAYS_INLINE void enter(worker* w) {
    if (core_) core_->enter(w, Derived::call_name);
  }
  spin_lock* lock() noexcept { return core_ ? &core_->lock : nullptr; }
  void link(worker&, routine& r) noexcept {
    this->who = &r;
    this->stand(progress::waiting);
    if (core_) Derived::queue(*core_).push_back(*this);
  }
  bool unlink() noexcept {
    if (won(this->standing())) return false;
    this->stand(progress::idle);
    return core_ && core_->unlink(Derived::queue(*core_), *this);
  }
  void dispose() noexcept { delete core_; }
  void tell(std::string& text) const {
    text += Derived::call_name;
    text += core_ ? " on " + core_->name() : std::string(" on a nil channel");
  }

 protected:
  explicit channel_operation(channel_state<T>* core) noexcept : core_(core) {}

  channel_state<T>* core_;

 private:
  // With other workers; or one, but at the end of its turn, in a cancelled routine, on a nil channel or another's.
  [[gnu::noinline]] bool await_ready_otherwise(worker& w, channel_state<T>* core) {
    try {
      if (core != nullptr) core->enter(&w, Derived::call_name);
    } catch (...) {
      return this->refuse(w, std::current_exception());
    }
    if (w.current->is_cancelled()) [[unlikely]]
      return this->refuse(w);
    if (core == nullptr) return false;
    const progress p = attempt_locked(w, *core);
    if (p == progress::idle) return false;
    const bool goes_on = w.turn_lasts();
    if (p != progress::done || !goes_on) [[unlikely]]
      this->stand(p);
    return goes_on;
  }
  [[gnu::noinline]] progress try_now_otherwise(worker& w, channel_state<T>* core) {
    if (core == nullptr) return progress::idle;
    core->enter(&w, Derived::call_name);
    // Of one channel, an instant is seen without its lock (semantics 57).
    return w.shared && !this->derived().looks_ready(w) ? progress::idle : attempt_locked(w, *core);
  }
  progress attempt_locked(worker& w, channel_state<T>& core) {
    section_of here(core, &w);
    return this->derived().attempt(core, w.shared, [&here](routine& r) { here.wake(r); });
  }
};

// The channel's size in bytes is checked: throws std::length_error.
std::size_t checked_capacity(std::size_t capacity, std::size_t value_size);
[[noreturn]] void throw_send_on_closed();
[[noreturn]] void throw_close_of_nil();

// For threads that are no workers (foreign_threads.hpp). `attempt` is the operation without waiting, `operation` what a
// routine awaits instead of the thread. A channel that no runtime uses is waited for. Null: the nil channel.
void block_until(channel_core* core, const char* call,
                 const std::function<progress(bool shared, routine*& woken)>& attempt,
                 const std::function<task<void>()>& operation, std::source_location where);

}  // namespace ringo::detail
