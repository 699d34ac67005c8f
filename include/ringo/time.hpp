// sleep, timers and tickers (Go: package time). Never early (semantics 82). When the worker is not idle they are late
// by a turn of it: what is due then runs before the routines in the queue, sixteen in a row at the most.
//
// A limit is no alarm clock: what came before it wins. Before a sleep, a timer or a deadline of a context ends
// something, the worker looks at what the kernel and other threads have brought; so a select between bytes and a sleep
// has the bytes that came first, also where a routine computed for long or the process was stopped meanwhile.
#pragma once
#include <ringo/detail/cpp20.hpp>

#include <atomic>
#include <string>
#include <type_traits>

#include <ringo/clock.hpp>
#include <ringo/detail/compilers.hpp>
#include <ringo/detail/mortal_source.hpp>
#include <ringo/detail/operation.hpp>
#include <ringo/detail/timer_queue.hpp>

namespace ringo {

namespace detail {

// The awaitable of sleep. Throws: cancelled. Cancel safety: nothing can be lost, and a sleep that has lost costs
// nothing afterwards.
class RINGO_AWAITABLE sleep_operation final : public operation<sleep_operation, void, lone_case>, private timer_entry {
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
    if (standing() != progress::idle) [[unlikely]]
      abandon(*who);
  }

  bool await_ready() {
    operation::await_ready();
    return false;  // sleep(0) yields
  }
  void enter(worker* w) noexcept { queue_ = &timers_of(*w); }
  spin_lock* lock() noexcept { return queue_ ? &queue_->lock : nullptr; }
  bool ready(worker&) noexcept { return absolute_ ? time_point(given_) <= now() : given_ <= duration::zero(); }
  bool looks_ready(worker& w) noexcept { return ready(w); }
  bool commit(worker& w, bool, routine*&) noexcept {
    if (!ready(w)) return false;
    stand(progress::done);
    return true;
  }
  void link(worker&, routine& r) noexcept {
    who = &r;
    for_whom = &r;
    stand(progress::waiting);
    absolute_ ? queue_->add(*this, time_point(given_)) : queue_->add(*this, given_);
  }
  bool unlink() noexcept {
    if (queue_) queue_->remove(*this);
    if (!won(standing())) stand(progress::idle);
    return false;
  }
  void dispose() noexcept {}
  void take() noexcept { stand(progress::idle); }
  void tell(std::string& text) const;

 private:
  void expire(timer_queue& queue, time_point now, routine_list& woken) noexcept override;
  void queue_gone() noexcept override { queue_ = nullptr; }

  bool absolute_ = false;  // first, where the base class leaves room
  duration given_;         // the length, or the deadline since the clock's epoch
  timer_queue* queue_ = nullptr;
};

// What timers and tickers have in common: a time at which one waiter, the longest waiting, gets a value.
class alarm : private timer_entry {
 public:
  alarm(duration first, duration period) noexcept;
  alarm(const alarm&) = delete;
  alarm& operator=(const alarm&) = delete;
  ~alarm();

  bool stop() { return set(false, duration::zero(), duration::zero()); }
  bool reset(duration first, duration period) { return set(true, first, period); }

 private:
  friend class alarm_operation;
  timer_queue* enter(worker& w, const char* call);
  spin_lock* lock() noexcept {  // null when its runtime has ended
    timer_queue* q = queue_.load(std::memory_order_acquire);
    return q ? &q->lock : nullptr;
  }
  bool due(time_point at) const noexcept { return armed_ && next_ <= at; }
  bool has_value(time_point at) const noexcept {
    return due(at) && waiting_.empty();
  }  // for a newcomer: who waits comes first
  time_point take_value(time_point at) noexcept;
  void watch() noexcept;
  bool set(bool armed, duration first, duration period);
  void count() noexcept;
  void expire(timer_queue& queue, time_point now, routine_list& woken) noexcept override;
  void queue_gone() noexcept override;

  ownership owner_;
  std::atomic<timer_queue*> queue_ = nullptr;  // of the owner's; its lock guards the rest; fixed by the first use
  mortal_queue waiting_;
  time_point next_;
  duration period_;    // zero: once
  bool armed_ = true;  // a value is to come, or is there and has not been received (semantics 87)
  bool counted_ =
      false;  // among the live timers, by itself: while it is armed and in no queue, which counts it otherwise
};

// The awaitable of timer::wait and ticker::tick. Yields when the value was due. Throws: cancelled. Cancel safety: a
// value that is not received stays. Fairness: first come, first served.
class RINGO_AWAITABLE alarm_operation final : public mortal_operation<alarm_operation, time_point> {
 public:
  static constexpr const char* call_name = "wait for a timer";
  explicit alarm_operation(alarm& of) noexcept : of_(&of) {}

  void enter(worker* w) { (void)of_->enter(*w, call_name); }
  spin_lock* lock() noexcept { return of_->lock(); }
  mortal_queue& queue() noexcept { return of_->waiting_; }
  bool ready(worker&) noexcept { return of_->has_value(now()); }
  bool commit(worker&, bool, routine*&) noexcept;
  void link(worker& w, routine& r) noexcept;
  bool unlink() noexcept;
  time_point take() noexcept {
    stand(progress::idle);
    return value_;
  }
  void tell(std::string& text) const { text += call_name; }

 private:
  friend class alarm;
  alarm* of_;
  time_point value_;
};

}  // namespace detail

// Completes after the length of time. sleep(0) alone yields; as a case of a select it is ready at once. Throws
// cancelled.
inline detail::sleep_operation sleep(delay length) noexcept { return detail::sleep_operation(length.value()); }
template <class N>
requires std::is_arithmetic_v<N>
detail::sleep_operation sleep(N) {
  constexpr bool has_a_unit = !std::is_arithmetic_v<N>;
  static_assert(has_a_unit, "a number is no length of time: write sleep(1s) or sleep(5ms)");
  return detail::sleep_operation(duration());
}
void sleep(unsigned) = delete;  // ambiguous with POSIX sleep, which would block a worker
inline detail::sleep_operation sleep_until(time_point t) noexcept { return detail::sleep_operation(t); }

// One value, at a time. Starts to run when it is made. When it is destroyed, who waits ends with `cancelled`. Thread:
// workers of one runtime (another's call throws std::logic_error), or one thread while no runtime runs.
class timer {
 public:
  explicit timer(delay length) noexcept : alarm_(length.value(), duration::zero()) {}

  // When the timer was due, once it is. One waiter has it; after that, the next reset() makes another.
  detail::alarm_operation wait() noexcept { return detail::alarm_operation(alarm_); }
  // No value can be received after it. True if there would have been one: also when it was due already (Go 1.23,
  // semantics 86 and 87).
  bool stop() { return alarm_.stop(); }
  // The old setting is forgotten, the new one starts now. True as for stop().
  bool reset(delay length) { return alarm_.reset(length.value(), duration::zero()); }

 private:
  detail::alarm alarm_;
};

// A value at each multiple of the period. A slow reader misses ticks and has one waiting at the most (semantics 96,
// 97). When it is destroyed, who waits ends with `cancelled`. Thread: as of a timer.
class ticker {
 public:
  explicit ticker(delay period);  // throws std::invalid_argument unless > 0
  detail::alarm_operation tick() noexcept { return detail::alarm_operation(alarm_); }
  void stop() { alarm_.stop(); }
  void reset(delay period);  // the first tick is a period from now; throws as the constructor does

 private:
  detail::alarm alarm_;
};

}  // namespace ringo
