// with_timeout, with_deadline: limit how long an operation or a task may take.
#pragma once
#include <ringo/detail/cpp20.hpp>

#include <source_location>
#include <utility>

#include <ringo/context.hpp>
#include <ringo/detail/ended_case.hpp>
#include <ringo/errors.hpp>
#include <ringo/time.hpp>

namespace ringo {

namespace detail {

inline context context_within(delay length) { return context::with_timeout(length); }
inline context context_within(time_point deadline) { return context::with_deadline(deadline); }

class end_by_time {
 public:
  explicit end_by_time(delay length) noexcept : until_(length.value()) {}
  explicit end_by_time(time_point deadline) noexcept : until_(deadline) {}
  sleep_operation& operation() noexcept { return until_; }
  const sleep_operation& operation() const noexcept { return until_; }
  [[noreturn]] static void raise() { throw timed_out(); }

 private:
  sleep_operation until_;
};

template <class Limit>
class within {
 public:
  template <class A>
  using result = result_of<A>;

  explicit within(Limit limit) noexcept : limit_(limit) {}
  // The context is made when this is awaited, so that the time does not run before.
  template <class A>
  static task<result_of<A>> run(within how, stored<A> awaited, std::source_location where) {
    const context bounded = context_within(how.limit_);
    try {
      const entered_context in(context_access::core(bounded));
      co_return co_await awaited_at<stored<A>>{static_cast<stored<A>&&>(awaited), where};
    } catch (const cancelled&) {
      if (!context_access::core(bounded)->has_expired()) throw;
    }
    throw timed_out();
  }
  // At a limit that has passed nothing is tried.
  template <class A>
  bool ends_at_once(A& awaited, worker& w) const {
    if constexpr (std::is_same_v<Limit, delay>) {
      return limit_.value() > duration::zero() && ends_at_first_look(awaited, w);
    } else {
      return limit_ > now() && ends_at_first_look(awaited, w);
    }
  }
  template <case_like C>
  auto as_case(C&& c) const {
    return ended_case<kept_case<C>, end_by_time>(keep(std::forward<C>(c)), end_by_time(limit_));
  }
  template <loses_as_cancelled C>
  auto in_place(C&& c) const {
    return ended_operation<kept_case<C>, end_by_time>(std::forward<C>(c), end_by_time(limit_));
  }

 private:
  Limit limit_;
};

}  // namespace detail

/// Awaits an operation or a task in the caller's place, under a context with that deadline: at the deadline, its awaits
/// and those of the routines that it has started end with `cancelled`. The time runs from when it is awaited. A value
/// that it yields all the same is yielded.
///
///   std::string line = co_await with_timeout(5s, read_line(client));
///
/// As a case of a select an operation stays one, and the case has also won, and throws, when the deadline comes; a task
/// is a plain task there. Throws: timed_out if the deadline has ended it; cancelled; what the awaited throws. Cancel
/// safety: as of the awaited.
template <class A>
auto with_timeout(delay length, A&& awaited, std::source_location where = std::source_location::current()) {
  if constexpr (detail::awaited_later<A>) {
    using how = detail::within<delay>;
    return detail::combined<how, A>(how(length), std::forward<A>(awaited), where);
  } else {
    constexpr detail::await_of<A> the;
    static_assert(the.task_is_moved, RINGO_SAY_MOVE_TASK);
    static_assert(the.length_is_of_a_sleep, RINGO_SAY_SLEEP);
    static_assert(the.can_be_awaited, RINGO_SAY_AWAIT);
    return handle<detail::anything>();
  }
}

/// The same until a point in time.
template <class A>
auto with_deadline(time_point deadline, A&& awaited, std::source_location where = std::source_location::current()) {
  if constexpr (detail::awaited_later<A>) {
    using how = detail::within<time_point>;
    return detail::combined<how, A>(how(deadline), std::forward<A>(awaited), where);
  } else {
    constexpr detail::await_of<A> the;
    static_assert(the.task_is_moved, RINGO_SAY_MOVE_TASK);
    static_assert(the.length_is_of_a_sleep, RINGO_SAY_SLEEP);
    static_assert(the.can_be_awaited, RINGO_SAY_AWAIT);
    return handle<detail::anything>();
  }
}

}  // namespace ringo
