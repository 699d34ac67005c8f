// The operations of time: sleep, and the alarm of timers and tickers.
#pragma once
#include <atomic>
#include <string>

#include <ringo/detail/compilers.hpp>
#include <ringo/detail/operation.hpp>
#include <ringo/detail/source.hpp>
#include <ringo/detail/timer_queue.hpp>

namespace ringo {

time_point now();

namespace detail {

// The operation of sleep(). Throws: cancelled. Cancel safety: nothing can be lost.
class RINGO_AWAITABLE sleep_operation final : public operation<sleep_operation, void, wait_case>, private timer_entry {
 public:
  static constexpr const char* call_name = "sleep";
  explicit sleep_operation(duration length) noexcept : given_(length) {}
  explicit sleep_operation(time_point until) noexcept : absolute_(true), given_(until.time_since_epoch()) {}
  sleep_operation(sleep_operation&& from) noexcept
      : operation(from), timer_entry(), absolute_(from.absolute_), given_(from.given_) {}
  sleep_operation& operator=(sleep_operation&& from) noexcept {
    absolute_ = from.absolute_;
    given_ = from.given_;
    return *this;
  }
  RINGO_ALWAYS_INLINE ~sleep_operation() {
    if (current_state() != progress::idle) [[unlikely]]
      abandon(*blocked);
  }

  bool await_ready() {
    operation::await_ready();
    return false;  // sleep(0) yields
  }
  void enter(worker* w) noexcept { queue_ = &timers_of(*w); }
  spin_lock* lock() noexcept { return queue_ ? &queue_->lock : nullptr; }
  bool ready(worker&) noexcept { return absolute_ ? time_point(given_) <= now() : given_ <= duration::zero(); }
  bool looks_ready(worker& w) noexcept { return ready(w); }
  glance look_shared(worker& w) noexcept {
    enter(&w);
    return ready(w) ? glance::ready : glance::not_ready;
  }
  bool commit(worker& w, bool, routine*&) noexcept {
    if (!ready(w)) return false;
    set_state(progress::done);
    return true;
  }
  void link(worker&, routine& r) noexcept {
    blocked = &r;
    runs_next = &r;
    set_state(progress::waiting);
    absolute_ ? queue_->add(*this, time_point(given_)) : queue_->add(*this, given_);
  }
  bool unlink() noexcept {
    if (queue_) queue_->remove(*this);
    if (!won(current_state())) set_state(progress::idle);
    return false;
  }
  void dispose() noexcept {}
  void take() noexcept { set_state(progress::idle); }
  void append_to(wait_report& text) const;

 private:
  void expire(timer_queue& queue, time_point now, routine_list& woken) noexcept override;
  void queue_gone() noexcept override { queue_ = nullptr; }

  bool absolute_ = false;  // the first member: the base class leaves room for it
  duration given_;         // the length, or the deadline since the clock's epoch
  timer_queue* queue_ = nullptr;
};

// The common part of timers and tickers: at its deadline, the longest waiter gets a value. Its lock is that of the
// timer queue in which it is, and which calls expire() under it.
class alarm_core final : public object_source, private timer_entry {
 public:
  alarm_core() noexcept : period_(), armed_(false) {}  // takes a destroyed one's place (end_of)
  alarm_core(duration first, duration period) noexcept;

  timer_queue* enter(worker& w, const char* call);
  bool set(bool armed, duration first, duration period);
  spin_lock* section_lock() noexcept {  // null: it has been used by no runtime, or that has ended
    timer_queue* q = timers_.load(std::memory_order_acquire);
    return q ? &q->lock : nullptr;
  }
  // For a newcomer: waiters come first.
  bool has_value(time_point at) const noexcept { return is_due(at) && queue_.empty(); }
  time_point take_value(time_point at) noexcept;
  void link(waiter& w) noexcept override;
  bool unlink(waiter& w) noexcept override;
  void watch() noexcept;
  void check() const override;

 private:
  bool is_due(time_point at) const noexcept { return armed_ && next_ <= at; }
  void count() noexcept;
  void end_here(worker* w) noexcept override;
  void expire(timer_queue& queue, time_point now, routine_list& woken) noexcept override;
  void queue_gone() noexcept override;

  std::atomic<timer_queue*> timers_ = nullptr;  // one of the owner's, set by the first use
  time_point next_;
  duration period_;    // zero: once
  bool armed_ = true;  // a value will come, or has come and was not received (semantics 87)
  // It counts itself as a live timer: while it is armed and in no timer queue, which would count it.
  bool counted_ = false;
};

// The operation of timer::wait() and ticker::tick(). Yields the deadline. Throws: cancelled. Cancel safety: a value
// that is not received stays. Fairness: first come, first served.
class RINGO_AWAITABLE alarm_operation final : public source_operation<alarm_operation, time_point, alarm_core> {
 public:
  static constexpr const char* call_name = "wait for a timer";
  explicit alarm_operation(alarm_core& of) noexcept : source_operation(of) {}

  void enter(worker* w) { (void)of_->enter(*w, call_name); }
  spin_lock* lock() noexcept { return of_->section_lock(); }
  bool ready(worker&) noexcept { return of_->has_value(now()); }
  bool commit(worker&, bool, routine*&) noexcept;
  time_point take() noexcept {
    set_state(progress::idle);
    return value_;
  }
  void append_to(wait_report& text) const { text.add(of_, "timer"); }

 private:
  friend class alarm_core;
  time_point value_;
};

// The member of a timer and of a ticker that holds the core.
class alarm {
 public:
  alarm(duration first, duration period) : core_(new alarm_core(first, period)) {}
  alarm(const alarm&) = delete;
  alarm& operator=(const alarm&) = delete;
  ~alarm() { end_of(core_); }

  alarm_operation wait() noexcept { return alarm_operation(*core_); }
  bool stop() { return core_->set(false, duration::zero(), duration::zero()); }
  bool reset(duration first, duration period) { return core_->set(true, first, period); }

 private:
  alarm_core* core_;
};

}  // namespace detail

}  // namespace ringo
