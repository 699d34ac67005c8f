// What the compiler says of a call that cannot start its function: one more overload takes what the others refuse, and
// asserts what is wrong. Each overload repeats the assertions, since a function, class or macro in between would add
// lines to the message.
#pragma once
#include <concepts>
#include <type_traits>
#include <utility>

#include <ringo/detail/started.hpp>

#define RINGO_SAY_REF                                                                                         \
  "the function gets copies of the arguments: for an argument that it takes by reference write std::ref(x); " \
  "x must outlive the call"
#define RINGO_SAY_MOVE "the function and its arguments are copied, and one of them cannot be: write std::move(x)"
#define RINGO_SAY_CALL                                                                                             \
  "the first argument must be a task, or a function that can be called with copies of the others, at most eight: " \
  "look at the number of the arguments and at their types"
#define RINGO_SAY_RUN                                                                                              \
  "it runs a task, or a function that is called without arguments: for f(x) pass the task that the call returns, " \
  "run(f(x))"

namespace ringo {

class context;

namespace detail {

template <class R>
class blocking_operation;

template <class F, class... A>
struct start_of {
  static constexpr bool works = startable<F, A...>;
  static constexpr bool works_located = works && sizeof...(A) <= 8;
  static constexpr bool works_by_reference = std::invocable<std::decay_t<F>&, std::decay_t<A>&...>;
  static constexpr bool works_by_move = std::invocable<std::decay_t<F>, std::decay_t<A>...> &&
                                        std::move_constructible<std::decay_t<F>> &&
                                        (std::move_constructible<std::decay_t<A>> && ...);

  // What the call would yield, as far as that can be told.
  static auto result() {
    if constexpr (is_task<std::remove_cvref_t<F>>) {
      return std::type_identity<typename std::remove_cvref_t<F>::result_type>();
    } else if constexpr (works_by_reference) {
      return std::type_identity<
          typename awaited_result<std::invoke_result_t<std::decay_t<F>&, std::decay_t<A>&...>>::type>();
    } else if constexpr (requires { typename parameters_of<std::decay_t<F>>::result; }) {
      return std::type_identity<typename awaited_result<typename parameters_of<std::decay_t<F>>::result>::type>();
    } else {
      return std::type_identity<anything>();
    }
  }

  // The first of these that is false is the mistake.
  bool task_is_moved = works || !is_named_task<F>;
  bool argument_is_copied_or_moved = works || !task_is_moved || !works_by_move;
  bool reference_is_wrapped = works || !task_is_moved || !argument_is_copied_or_moved || !works_by_reference;
  bool function_and_arguments_match =
      works ? works_located : !task_is_moved || !argument_is_copied_or_moved || !reference_is_wrapped;
};
// A context may come first: it also carries the location.
template <class Context, class F, class... A>
requires std::is_convertible_v<std::remove_reference_t<Context>*, const context*>
struct start_of<Context, F, A...> : start_of<F, A...> {
  static constexpr bool works_located = start_of<F, A...>::works;
};

template <class... X>
concept mistaken_start = sizeof...(X) > 0 && !start_of<X...>::works;
// The same for a function that notes where it is called (starting.hpp).
template <class... X>
concept mistaken_located_start = sizeof...(X) > 0 && !start_of<X...>::works_located;
template <class... X>
using mistaken_result = typename decltype(start_of<X...>::result())::type;

// Of the classes that start routines.
struct mistaken_starts {
  template <class... X>
  requires mistaken_located_start<X...>
  static auto go(X&&...) {
    constexpr start_of<X...> the;
    static_assert(the.task_is_moved, RINGO_SAY_MOVE_TASK);
    static_assert(the.reference_is_wrapped, RINGO_SAY_REF);
    static_assert(the.argument_is_copied_or_moved, RINGO_SAY_MOVE);
    static_assert(the.function_and_arguments_match, RINGO_SAY_CALL);
    return handle<mistaken_result<X...>>();
  }
  template <class... X>
  requires mistaken_located_start<X...>
  static void background(X&&...) {
    constexpr start_of<X...> the;
    static_assert(the.task_is_moved, RINGO_SAY_MOVE_TASK);
    static_assert(the.reference_is_wrapped, RINGO_SAY_REF);
    static_assert(the.argument_is_copied_or_moved, RINGO_SAY_MOVE);
    static_assert(the.function_and_arguments_match, RINGO_SAY_CALL);
  }
  template <class... X>
  requires mistaken_located_start<X...>
  static bool try_go(X&&...) {
    constexpr start_of<X...> the;
    static_assert(the.task_is_moved, RINGO_SAY_MOVE_TASK);
    static_assert(the.reference_is_wrapped, RINGO_SAY_REF);
    static_assert(the.argument_is_copied_or_moved, RINGO_SAY_MOVE);
    static_assert(the.function_and_arguments_match, RINGO_SAY_CALL);
    return false;
  }
  template <class... X>
  requires mistaken_located_start<X...>
  static auto submit(X&&...) {
    constexpr start_of<X...> the;
    static_assert(the.task_is_moved, RINGO_SAY_MOVE_TASK);
    static_assert(the.reference_is_wrapped, RINGO_SAY_REF);
    static_assert(the.argument_is_copied_or_moved, RINGO_SAY_MOVE);
    static_assert(the.function_and_arguments_match, RINGO_SAY_CALL);
    return handle<handle<mistaken_result<X...>>>();
  }
};

}  // namespace detail

template <class... X>
requires detail::mistaken_located_start<X...>
auto go(X&&...) {
  constexpr detail::start_of<X...> the;
  static_assert(the.task_is_moved, RINGO_SAY_MOVE_TASK);
  static_assert(the.reference_is_wrapped, RINGO_SAY_REF);
  static_assert(the.argument_is_copied_or_moved, RINGO_SAY_MOVE);
  static_assert(the.function_and_arguments_match, RINGO_SAY_CALL);
  return handle<detail::mistaken_result<X...>>();
}
template <class... X>
requires detail::mistaken_start<X...>
auto blocking(X&&...) {
  constexpr detail::start_of<X...> the;
  static_assert(the.task_is_moved, RINGO_SAY_MOVE_TASK);
  static_assert(the.reference_is_wrapped, RINGO_SAY_REF);
  static_assert(the.argument_is_copied_or_moved, RINGO_SAY_MOVE);
  static_assert(the.function_and_arguments_match, RINGO_SAY_CALL);
  return detail::blocking_operation<detail::mistaken_result<X...>>(nullptr);
}

}  // namespace ringo
