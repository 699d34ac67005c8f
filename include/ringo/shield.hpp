// shield: an operation or a task that cancellation does not end, for clean-up that awaits.
//
// The caller's cancellation is held back until it is done, and seen by the next await. What is shielded runs under a
// context of its own, with the caller's values: so do the routines that it starts, and a with_timeout in there ends
// what it bounds. As a case of a select it is what it shields: a select ends as a whole, and its losers with it.
#pragma once
#include <ringo/detail/cpp20.hpp>

#include <source_location>
#include <utility>

#include <ringo/context.hpp>

namespace ringo {

namespace detail {

// With the current context's values, and nothing else of it.
inline context context_apart() {
  const context now = context::current();
  return now == context::background() ? now : context::without_cancel(now);
}

// While it lives, its routine runs under that context, and what else would cancel it is held back.
class shielded_under {
 public:
  explicit shielded_under(const context& apart) : in_(context_access::core(apart)), until_done_(routine::immune) {}

 private:
  entered_context in_;
  cancellation_held_back until_done_;
};

template <class A>
task<result_of<A>> await_shielded(stored<A> awaited, std::source_location where) {
  const context apart = context_apart();
  const shielded_under until_done(apart);
  co_return co_await awaited_at<stored<A>>{static_cast<stored<A>&&>(awaited), where};
}

template <class A>
class RINGO_AWAITABLE shielded : public deferred<shielded<A>, result_of<A>> {
 public:
  shielded(A&& awaited, std::source_location where) : awaited_(as_stored<A>(awaited)), where_(where) {}

  RINGO_RETURNS_TASK kept_case<stored<A>> as_case() && { return keep(static_cast<stored<A>&&>(awaited_)); }
  RINGO_RETURNS_TASK kept_case<stored_by_name<A>> as_case() & {
    return keep(static_cast<stored_by_name<A>&&>(awaited_));
  }

 private:
  friend class deferred<shielded, result_of<A>>;
  RINGO_RETURNS_TASK task<result_of<A>> make(std::source_location) {
    return await_shielded<A>(static_cast<stored<A>&&>(awaited_), where_);
  }

  stored<A> awaited_;
  std::source_location where_;
};

}  // namespace detail

template <class A>
auto shield(A&& awaited, std::source_location where = std::source_location::current()) {
  if constexpr (detail::awaited_later<A>) {
    return detail::shielded<A>(std::forward<A>(awaited), where);
  } else {
    constexpr detail::await_of<A> the;
    static_assert(the.task_is_moved, RINGO_SAY_MOVE_TASK);
    static_assert(the.length_is_of_a_sleep, RINGO_SAY_SLEEP);
    static_assert(the.can_be_awaited, RINGO_SAY_AWAIT);
    return handle<detail::anything>();
  }
}

}  // namespace ringo
