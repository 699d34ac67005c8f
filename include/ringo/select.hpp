// select: waits for the first of several operations (Go spec: Select statements).
#pragma once
#include <ringo/detail/cpp20.hpp>

#include <type_traits>
#include <utility>

#include <ringo/detail/compilers.hpp>
#include <ringo/detail/select_case.hpp>

namespace ringo {

/// Go's default: taken if no other case is ready. It is the last case of a select.
inline constexpr otherwise_t otherwise{};
/// The first argument of a select that takes the first of its ready cases, instead of a random one.
inline constexpr prefer_first_t prefer_first{};

/// Waits for the first of several operations, and yields a std::variant: its index says which case was chosen, its
/// alternative is the case's result (std::monostate for void).
///
///   auto r = co_await select(numbers.recv(), stop.recv(), sleep(5s));
///   if (r.index() == 2) co_return;  // nothing came for five seconds
///
/// Exactly one case commits, and the others have no effect. Of the cases that are ready at one instant a random one is
/// chosen, all with the same probability, or the first with prefer_first. A stored select owns the operations that were
/// moved into it and refers to the others. It allocates only if a case is a plain task or a handler is a coroutine.
///
/// A plain task as a case runs in a routine of its own, which is started only if no other case is ready at once, and
/// never where there is an `otherwise`. If it loses it is cancelled and joined before the select completes; what it has
/// done until then is done. If it throws then, other than `cancelled`, that is unhandled
/// (runtime_options::on_unhandled).
///
/// Throws: what the chosen case throws; cancelled. Cancel safety: as each of its cases.
template <class... Cases>
auto select(Cases&&... cases) {
  if constexpr (detail::selectable_together<Cases...>) {
    return detail::select_of<false>(std::forward<Cases>(cases)...);
  } else {
    constexpr bool otherwise_is_last = detail::only_the_last_is_otherwise<Cases...>;
    static_assert(otherwise_is_last, "`otherwise` is the last case of a select");
    constexpr detail::await_of<Cases...> the;
    static_assert(the.task_is_moved, RINGO_SAY_MOVE_TASK);
    static_assert(the.length_is_of_a_sleep, RINGO_SAY_SLEEP);
    static_assert(the.can_be_awaited || !otherwise_is_last, RINGO_SAY_AWAIT);
    return detail::mistaken_select<Cases...>();
  }
}
template <class... Cases>
auto select(prefer_first_t, Cases&&... cases) {
  if constexpr (detail::selectable_together<Cases...>) {
    return detail::select_of<true>(std::forward<Cases>(cases)...);
  } else {
    constexpr bool otherwise_is_last = detail::only_the_last_is_otherwise<Cases...>;
    static_assert(otherwise_is_last, "`otherwise` is the last case of a select");
    constexpr detail::await_of<Cases...> the;
    static_assert(the.task_is_moved, RINGO_SAY_MOVE_TASK);
    static_assert(the.length_is_of_a_sleep, RINGO_SAY_SLEEP);
    static_assert(the.can_be_awaited || !otherwise_is_last, RINGO_SAY_AWAIT);
    return detail::mistaken_select<Cases...>();
  }
}

/// A case with a handler: the case yields what handler(result of the operation) returns. A handler that returns a task
/// is awaited.
template <class Operation, class F>
RINGO_ALWAYS_INLINE inline auto on(Operation&& operation, F&& handler) {
  constexpr bool lambda_has_a_name = !RINGO_DESTROYS_AGGREGATES_TWICE || !detail::risky_closure<F>;
  static_assert(lambda_has_a_name, RINGO_SAY_NAME_LAMBDA);
  if constexpr (!detail::selectable<Operation>) {
    constexpr detail::await_of<Operation> the;
    static_assert(the.task_is_moved, RINGO_SAY_MOVE_TASK);
    static_assert(the.length_is_of_a_sleep, RINGO_SAY_SLEEP);
    static_assert(the.can_be_awaited, RINGO_SAY_AWAIT);
    return detail::never_operation();
  } else {
    constexpr bool handler_takes_the_result =
        detail::handles<F, typename std::remove_cvref_t<detail::kept_case<Operation>>::result_type>;
    static_assert(handler_takes_the_result,
                  "the handler of a case is called with what the operation yields, for example on(ch.recv(), "
                  "[](auto v) { ... }), and without arguments where it yields nothing");
    if constexpr (!handler_takes_the_result) {
      return detail::never_operation();
    } else {
      using kept = detail::kept_case<Operation>;
      using kept_handler = std::conditional_t<std::is_lvalue_reference_v<F>, F, std::remove_reference_t<F>>;
      if constexpr (detail::has_origin<kept> && std::is_same_v<kept, Operation>) {
        return detail::handled_origin<kept, kept_handler>(operation, std::forward<F>(handler));
      } else {
        return detail::handled_case<kept, kept_handler>(std::in_place, std::forward<Operation>(operation),
                                                        std::forward<F>(handler));
      }
    }
  }
}

/// Waits until its routine is cancelled: a select without cases.
inline detail::never_operation never() noexcept { return {}; }

}  // namespace ringo
