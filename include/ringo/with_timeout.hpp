// with_timeout, with_deadline: an operation or a task, for so long at the most.
//
// It is awaited in the caller's place, under a context with that deadline: at the deadline its awaits, and those of the
// routines that it has started, end with `cancelled`. Throws timed_out if the deadline has ended it; if it returns a
// value all the same, the value wins; whatever else it throws passes. As a case of a select it is a plain task.
#pragma once
#include <source_location>
#include <utility>

#include <ringo/context.hpp>
#include <ringo/errors.hpp>

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

}  // namespace detail

template <class A>
task<detail::result_of<A>> with_timeout(delay length, A&& awaited,
                                        std::source_location where = std::source_location::current()) {
  return detail::await_within<A>(length, detail::as_stored<A>(awaited), where);
}

template <class A>
task<detail::result_of<A>> with_deadline(time_point deadline, A&& awaited,
                                         std::source_location where = std::source_location::current()) {
  return detail::await_within<A>(deadline, detail::as_stored<A>(awaited), where);
}

}  // namespace ringo
