// shield: an operation or a task that cancellation does not end, for clean-up that awaits.
#pragma once
#include <ringo/detail/cpp20.hpp>

#include <source_location>
#include <utility>

#include <ringo/context.hpp>

namespace ringo {

namespace detail {

// With the values of the current context, and nothing else of it.
inline context context_apart() {
  const context now = context::current();
  return now == context::background() ? now : context::without_cancel(now);
}

// While it lives, its routine runs under that context, and any other cancellation is held back.
class shielded_under {
 public:
  explicit shielded_under(const context& apart) : in_(context_access::core(apart)), until_done_(routine::immune) {}

 private:
  entered_context in_;
  cancellation_held_back until_done_;
};

struct shielded {
  template <class A>
  using result = result_of<A>;
  template <class A>
  static task<result_of<A>> run(shielded, stored<A> awaited, std::source_location where) {
    const context apart = context_apart();
    const shielded_under until_done(apart);
    co_return co_await awaited_at<stored<A>>{static_cast<stored<A>&&>(awaited), where};
  }
  template <class A>
  static bool ends_at_once(A& awaited, worker& w) {
    return ends_at_first_look(awaited, w);
  }
  template <class C>
  RINGO_RETURNS_TASK kept_case<C> as_case(C&& c) const {
    return keep(std::forward<C>(c));
  }
};

}  // namespace detail

/// Awaits an operation or a task that the caller's cancellation does not end. The cancellation is held back until the
/// awaited has ended, and the caller's next await sees it. The awaited runs under a context of its own, with the
/// caller's values; so do the routines that it starts, and a with_timeout inside of it works.
///
///   co_await shield(connection.close());
///
/// As a case of a select it is what it shields: a select ends as a whole, with its losers. Throws: what the awaited
/// throws.
template <class A>
auto shield(A&& awaited, std::source_location where = std::source_location::current()) {
  if constexpr (detail::awaited_later<A>) {
    return detail::combined<detail::shielded, A>({}, std::forward<A>(awaited), where);
  } else {
    constexpr detail::await_of<A> the;
    static_assert(the.task_is_moved, RINGO_SAY_MOVE_TASK);
    static_assert(the.length_is_of_a_sleep, RINGO_SAY_SLEEP);
    static_assert(the.can_be_awaited, RINGO_SAY_AWAIT);
    return handle<detail::anything>();
  }
}

}  // namespace ringo
