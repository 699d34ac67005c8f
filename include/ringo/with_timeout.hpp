// with_timeout, with_deadline: an operation or a task, for so long at the most.
//
// It is awaited in the caller's place, under a context with that deadline: at the deadline its awaits, and those of the
// routines that it has started, end with `cancelled`. Throws timed_out if the deadline has ended it; if it returns a
// value all the same, the value wins; whatever else it throws passes. As a case of a select an operation stays one, and
// the case has also won when the deadline comes; a task is a plain task there.
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

// The context is made when this is awaited, so that the time does not run before.
template <class A, class Limit>
task<result_of<A>> await_within(Limit limit, stored<A> awaited, std::source_location where) {
  const context bounded = context_within(limit);
  try {
    const entered_context in(context_access::core(bounded));
    co_return co_await awaited_at<stored<A>>{static_cast<stored<A>&&>(awaited), where};
  } catch (const cancelled&) {
    if (!context_access::core(bounded)->has_expired()) throw;
  }
  throw timed_out();
}

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

template <class A, class Limit>
class RINGO_AWAITABLE within : public deferred<within<A, Limit>, result_of<A>> {
 public:
  within(Limit limit, A&& awaited, std::source_location where)
      : limit_(limit), awaited_(as_stored<A>(awaited)), where_(where) {}

  auto as_case() && requires case_like<stored<A>>
  {
    return ended_case<kept_case<stored<A>>, end_by_time>(keep(static_cast<stored<A>&&>(awaited_)), end_by_time(limit_));
  }
  auto as_case() & requires case_like<stored<A>&>
  {
    return ended_case<kept_case<stored<A>&>, end_by_time>(keep(awaited_), end_by_time(limit_));
  }

 private:
  friend class deferred<within, result_of<A>>;
  RINGO_RETURNS_TASK task<result_of<A>> make(std::source_location) {
    return await_within<A>(limit_, static_cast<stored<A>&&>(awaited_), where_);
  }

  Limit limit_;
  stored<A> awaited_;
  std::source_location where_;
};

}  // namespace detail

template <class A>
auto with_timeout(delay length, A&& awaited, std::source_location where = std::source_location::current()) {
  if constexpr (detail::awaited_later<A>) {
    return detail::within<A, delay>(length, std::forward<A>(awaited), where);
  } else {
    constexpr detail::await_of<A> the;
    static_assert(the.task_is_moved, RINGO_SAY_MOVE_TASK);
    static_assert(the.length_is_of_a_sleep, RINGO_SAY_SLEEP);
    static_assert(the.can_be_awaited, RINGO_SAY_AWAIT);
    return handle<detail::anything>();
  }
}

template <class A>
auto with_deadline(time_point deadline, A&& awaited, std::source_location where = std::source_location::current()) {
  if constexpr (detail::awaited_later<A>) {
    return detail::within<A, time_point>(deadline, std::forward<A>(awaited), where);
  } else {
    constexpr detail::await_of<A> the;
    static_assert(the.task_is_moved, RINGO_SAY_MOVE_TASK);
    static_assert(the.length_is_of_a_sleep, RINGO_SAY_SLEEP);
    static_assert(the.can_be_awaited, RINGO_SAY_AWAIT);
    return handle<detail::anything>();
  }
}

}  // namespace ringo
