// Sources: what routines wait for. Their life may be longer than the life of the object that users see.
//
// Life: live -> ended -> unused. A source ends when its object is destroyed, or a channel's last handle: its waiters
// end with `cancelled`, or as by close. A source that has ended is deleted by the section that finds it unused: no
// guard or permit of it is held, and no routine that has lost here, or has been cancelled, has yet to take its case
// out. So a guard may outlive its mutex, on any thread, and a routine may take its lost case out of a source whose
// object another routine has destroyed.
#pragma once
#include <atomic>
#include <cstdint>
#include <string>
#include <utility>

#include <ringo/detail/object_name.hpp>
#include <ringo/detail/operation.hpp>
#include <ringo/detail/ownership.hpp>
#include <ringo/detail/section.hpp>

namespace ringo::detail {

class source : public in_block {
 public:
  source(const source&) = delete;
  source& operator=(const source&) = delete;
  virtual ~source();

  void set_name(const object_name& name) {  // by the constructor of the object
    detail::set_name(this, name.text());
    is_named_ = true;
  }
  bool ended() const noexcept { return ended_.load(std::memory_order_relaxed); }
  bool used_by(const worker* w) const noexcept { return w != nullptr && w->runtime_id == owner.runtime_id(); }

  mutable spin_lock lock;
  ownership owner;

 protected:
  struct detach_lost {
    void operator()(waiter& lost) const noexcept { of.detach(lost); }
    source& of;
  };

  source() noexcept = default;

  // All of it under the lock.
  void note_end() noexcept {
    if (!ended()) --uses_;
    ended_.store(true, std::memory_order_relaxed);
  }
  bool is_free() const noexcept { return uses_ == 0; }
  // A waiter that has lost elsewhere, and is out of its queue, uses the source until its routine takes it out.
  [[gnu::noinline]] void detach(waiter& w) noexcept {
    w.where_queued = waiter::place::detached;
    ++uses_;
  }
  // By the routine of a waiter that has not won.
  void take_out(wait_queue& in, waiter& w) noexcept {
    if (w.where_queued == waiter::place::queued) {
      in.remove(w);
    } else if (w.where_queued == waiter::place::detached) {
      w.where_queued = waiter::place::out;
      --uses_;
    }
    w.state = progress::idle;
  }

  std::uint32_t uses_ = 1;  // guards, permits, references, detached waiters; and 1 until it has ended

 private:
  std::atomic<bool> ended_ = false;
  bool is_named_ = false;
};

// A source with one queue, whose object ends it: of a lock, a semaphore, a condition, an event, a latch, a barrier, a
// wait_group, a timer.
class object_source : public source {
 public:
  void enter(const worker* w, const char* call) {
    w != nullptr ? owner.enter(w, call) : owner.refuse_if_destroyed(call);
  }

  // The object is destroyed. Any thread; from a thread that is no worker of its runtime it has happened soon after.
  void end() noexcept;

  // Counts a use: a reference that keeps the source. Worker.
  void retain() noexcept;
  void let_go() noexcept;  // any thread

  // Under the lock. unlink() takes out a waiter that has not won; true if the source is then unused.
  virtual void link(waiter& w) noexcept { queue_.push_back(w); }
  virtual bool unlink(waiter& w) noexcept {
    take_out(queue_, w);
    return unused();
  }
  virtual bool unused() const noexcept { return is_free() && queue_.empty(); }
  virtual void check() const { queue_.check(); }

 protected:
  virtual void end_here(worker* w) noexcept;
  // Ends all waits with `cancelled`.
  virtual void end_waits(section& in) noexcept { end_all(queue_, in); }
  void end_all(wait_queue& queue, section& in) noexcept {
    note_end();
    queue.claim_all(in, progress::ended, detach_lost{*this});
  }
  waiter* claim_first(section& in) noexcept { return queue_.take_open(in.shared(), detach_lost{*this}); }
  void claim_all(section& in) noexcept { queue_.claim_all(in, progress::done, detach_lost{*this}); }

  wait_queue queue_;

 private:
  void let_go_here(worker* w) noexcept;
};

// Keeps the source.
class source_reference {
 public:
  explicit source_reference(object_source& of) noexcept : of_(of) { of_.retain(); }
  source_reference(const source_reference&) = delete;
  source_reference& operator=(const source_reference&) = delete;
  ~source_reference() { of_.let_go(); }

 private:
  object_source& of_;
};

// In the destructor of the object that has the source: ends it, and puts one in its place that says to later users that
// the object has been destroyed. `arguments` construct such a source.
template <class Source, class... A>
void end_of(Source*& s, A... arguments) noexcept {
  static Source& destroyed = [&]() -> Source& {
    auto& one = *new Source(arguments...);
    one.owner.mark_destroyed();
    return one;
  }();
  std::exchange(s, &destroyed)->end();
  keep_mark(s);
}

// A case that waits on a source. A Derived provides the rest of what `operation` asks for. Source is a complete type.
template <class Derived, class Result, class Source = object_source>
class source_operation : public operation<Derived, Result> {
 public:
  static constexpr bool loses_as_cancelled = true;
  using operation<Derived, Result>::ends_at_once;
  void enter(const worker* w) { of_->enter(w, Derived::call_name); }
  spin_lock* lock() noexcept { return &of_->lock; }
  bool commit(worker& w, bool, routine*&) noexcept {
    if (!static_cast<Derived*>(this)->ready(w)) return false;
    this->set_state(progress::done);
    return true;
  }
  void link(worker&, routine& r) noexcept {
    this->blocked = &r;
    this->set_state(progress::waiting);
    of_->link(*this);
  }
  bool unlink() noexcept { return !won(this->current_state()) && of_->unlink(*this); }
  void dispose() noexcept { delete of_; }
  void check_source() const { of_->check(); }
  void take() noexcept { this->set_state(progress::idle); }

 protected:
  explicit source_operation(Source& of) noexcept : of_(&of) {}
  source_operation(const source_operation&) = default;
  source_operation& operator=(const source_operation&) = default;
  RINGO_ALWAYS_INLINE ~source_operation() {
    if (this->current_state() != progress::idle) [[unlikely]]
      this->abandon(*this->blocked);
  }

  Source* of_;
};

// A source on which all wait for the same: an event, a latch, a wait_group.
class gate : public object_source {
 public:
  virtual bool is_open() const noexcept = 0;
  virtual void describe(wait_report& text) const = 0;
  void check() const override {
    object_source::check();
    invariant(!is_open() || !queue_.anyone_open(), "no routine waits at an open gate");
  }
};

// Waiting changes nothing. Throws: cancelled.
class RINGO_AWAITABLE gate_operation final : public source_operation<gate_operation, void, gate> {
 public:
  static constexpr const char* call_name = "wait";
  explicit gate_operation(gate& of) noexcept : source_operation(of) {}

  bool ready(worker&) const noexcept { return of_->is_open(); }
  void append_to(wait_report& text) const { of_->describe(text); }
};

}  // namespace ringo::detail
