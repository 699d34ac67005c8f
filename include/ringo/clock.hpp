// The runtime's clock, and the type of parameters that are lengths of time.
#pragma once
#include <ringo/detail/cpp20.hpp>

#include <concepts>
#include <limits>
#include <ratio>
#include <type_traits>

#include <ringo/detail/library.hpp>
#include <ringo/detail/time_types.hpp>

namespace ringo {

// time_point and duration are std::chrono::steady_clock's (detail/time_types.hpp).

/// A length of time, from any std::chrono::duration. It is rounded up to the clock's tick, and saturates, so a
/// conversion never makes a wait shorter and never overflows (semantics 82, 85).
class delay {
 public:
  template <class Rep, class Period>
  delay(std::chrono::duration<Rep, Period> length) : value_(saturated(length)) {}

  // The compiler's error shows this line.
  // clang-format off
  template <class N> requires std::is_arithmetic_v<N> delay(N) = delete;  // a number is no length of time: write 5s or 5ms
  // clang-format on

  duration value() const { return value_; }

 private:
  template <class Rep, class Period>
  static duration saturated(std::chrono::duration<Rep, Period> length) {
    using ticks = std::ratio_divide<Period, duration::period>;  // the clock's ticks in one unit of the argument
    constexpr auto most = std::numeric_limits<duration::rep>::max();
    if constexpr (std::integral<Rep> && ticks::den == 1) {
      duration::rep value;
      if (__builtin_mul_overflow(length.count(), ticks::num, &value)) {
        return length.count() < 0 ? duration::min() : duration::max();
      }
      return duration(value);
    } else {
      const long double exact = static_cast<long double>(length.count()) * ticks::num / ticks::den;
      if (!(exact < static_cast<long double>(most))) return duration::max();  // NaN, too
      if (exact <= -static_cast<long double>(most)) return duration::min();
      const auto whole = static_cast<duration::rep>(exact);
      return duration(static_cast<long double>(whole) < exact ? whole + 1 : whole);
    }
  }

  duration value_;
};

/// The time of the steady clock; virtual in a simulation. Thread: any.
time_point now();

}  // namespace ringo
