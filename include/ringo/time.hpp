// sleep, timers and tickers (Go: package time). They never fire early (semantics 82). If the worker is busy, they are
// late by one turn of the worker; the routines that they wake then run before the run queue, at most sixteen in a row.
//
// An event that came before a time limit wins over it. Before a sleep, a timer or a deadline ends a wait, the worker
// looks at what the kernel and other threads have delivered. So a select between bytes and a sleep has the bytes that
// came first, even if a routine computed for long, or the process was stopped in the meantime.
#pragma once
#include <ringo/detail/cpp20.hpp>

#include <type_traits>

#include <ringo/clock.hpp>
#include <ringo/detail/time_operations.hpp>

namespace ringo {

/// Waits for a length of time, such as 5ms. `co_await sleep(0s)` yields; as a case of a select it is ready at once.
/// Throws: cancelled. Cancel safety: nothing can be lost.
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

/// Yields one value when its time has come. It starts when it is made.
///
///   timer limit(5s);
///   auto first = co_await select(ch.recv(), limit.wait());
///
/// If it is destroyed, its waiters end with `cancelled`. Thread: workers of one runtime (calls in another one throw
/// std::logic_error), or one thread while no runtime runs.
class timer {
 public:
  explicit timer(delay length) : alarm_(length.value(), duration::zero()) {}

  /// Waits for the timer's value, and yields the deadline. One waiter gets it; there is no further value until reset().
  /// Throws: cancelled. Cancel safety: a losing wait leaves the value. Fairness: first come, first served.
  detail::alarm_operation wait() noexcept { return alarm_.wait(); }
  /// After it no value can be received. True if one was to come, or had come and was not received (Go 1.23, semantics
  /// 86 and 87).
  bool stop() { return alarm_.stop(); }
  /// Starts the timer again from now, without the old deadline. Returns what stop() would.
  bool reset(delay length) { return alarm_.reset(length.value(), duration::zero()); }

 private:
  detail::alarm alarm_;
};

/// Yields a value at each multiple of its period. A slow receiver misses ticks: at most one is kept (semantics 96, 97).
///
///   for (ticker every(1s);;) co_await every.tick();
///
/// If it is destroyed, its waiters end with `cancelled`. Thread: as for timer.
class ticker {
 public:
  explicit ticker(delay period);  ///< Throws: std::invalid_argument unless period > 0.
  detail::alarm_operation tick() noexcept { return alarm_.wait(); }
  void stop() { alarm_.stop(); }
  void reset(delay period);  ///< The next tick comes a period from now. Throws as the constructor does.

 private:
  detail::alarm alarm_;
};

}  // namespace ringo
