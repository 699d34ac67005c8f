// select: waits for the first of several operations (Go spec: Select statements).
//
// Exactly one case commits, and the others have had no effect. Among the cases that are ready at one instant the choice
// is uniformly random, or by priority with prefer_first. Nothing is allocated, unless a case is a plain task or has a
// handler that is a coroutine. A stored select owns the operations that were moved into it and refers to the others.
#pragma once
#include <ringo/detail/cpp20.hpp>

#include <concepts>
#include <cstddef>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>

#include <ringo/detail/compilers.hpp>
#include <ringo/detail/select_coroutine.hpp>
#include <ringo/detail/select_operation.hpp>

namespace ringo {

struct otherwise_t {
  using result_type = void;
};
struct prefer_first_t {};
inline constexpr otherwise_t
    otherwise{};  // Go's default: taken if no other case is ready; the last case, if it is there
inline constexpr prefer_first_t prefer_first{};  // the first of the ready cases instead of a random one

namespace detail {

// Never ready.
class RINGO_AWAITABLE never_operation final : public operation<never_operation, void, lone_case> {
 public:
  static constexpr const char* call_name = "never";
  never_operation() noexcept {}
  RINGO_ALWAYS_INLINE ~never_operation() {
    if (standing() != progress::idle) [[unlikely]]
      abandon(*who);
  }
  void enter(worker*) noexcept {}
  spin_lock* lock() noexcept { return nullptr; }
  bool ready(worker&) noexcept { return false; }
  bool commit(worker&, bool, routine*&) noexcept { return false; }
  void link(worker&, routine& r) noexcept {
    who = &r;
    stand(progress::waiting);
  }
  bool unlink() noexcept {
    stand(progress::idle);
    return false;
  }
  void dispose() noexcept {}
  void take() noexcept {}
  void tell(std::string& text) const { text += "never (a select of no cases)"; }
};

// Nothing but otherwise: ready at once.
class RINGO_AWAITABLE only_otherwise_operation final
    : public operation<only_otherwise_operation, std::variant<std::monostate>, lone_case> {
 public:
  static constexpr const char* call_name = "select";
  only_otherwise_operation() noexcept {}
  only_otherwise_operation(const only_otherwise_operation&) = default;
  only_otherwise_operation& operator=(const only_otherwise_operation&) = default;
  ~only_otherwise_operation() {
    if (standing() != progress::idle) [[unlikely]]
      abandon(*who);
  }
  void enter(worker*) noexcept {}
  spin_lock* lock() noexcept { return nullptr; }
  bool ready(worker&) noexcept { return true; }
  bool commit(worker&, bool, routine*&) noexcept {
    stand(progress::done);
    return true;
  }
  void link(worker&, routine&) noexcept {}
  bool unlink() noexcept { return false; }
  void dispose() noexcept {}
  std::variant<std::monostate> take() noexcept {
    stand(progress::idle);
    return {};
  }
  void tell(std::string& text) const { text += "nothing"; }
};

template <class C>
concept selectable = !is_named_task<C> && (case_like<C> || is_task_case<std::remove_reference_t<kept_case<C>>>);

template <class... C>
inline constexpr bool ends_with_otherwise = false;
template <class C>
inline constexpr bool ends_with_otherwise<C> = std::is_same_v<std::remove_cvref_t<C>, otherwise_t>;
template <class C, class D, class... More>
inline constexpr bool ends_with_otherwise<C, D, More...> = ends_with_otherwise<D, More...>;

template <bool PreferFirst, bool Otherwise, selectable... Cases>
auto make_select([[maybe_unused]] Cases&&... cases) {
  if constexpr (sizeof...(Cases) == 0) {
    return std::conditional_t<Otherwise, only_otherwise_operation, never_operation>();
  } else if constexpr ((is_task_case<std::remove_reference_t<kept_case<Cases>>> || ...)) {
    return select_with_tasks<PreferFirst, Otherwise, held_case<kept_case<Cases>>...>(std::in_place,
                                                                                     std::forward<Cases>(cases)...);
  } else {
    using operation_type = select_operation<PreferFirst, Otherwise, kept_case<Cases>...>;
    if constexpr (awaited_alternatives<typename operation_type::result_type>::some_task) {
      return handled_select<operation_type>(operation_type(std::in_place, std::forward<Cases>(cases)...));
    } else {
      return operation_type(std::in_place, std::forward<Cases>(cases)...);
    }
  }
}
template <bool PreferFirst, class... Cases, std::size_t... I>
auto make_select_otherwise([[maybe_unused]] std::tuple<Cases...> cases, std::index_sequence<I...>) {
  return make_select<PreferFirst, true>(std::get<I>(std::move(cases))...);
}
template <bool PreferFirst, class... Cases>
auto select_of(Cases&&... cases) {
  if constexpr (ends_with_otherwise<Cases...>) {
    return make_select_otherwise<PreferFirst>(std::forward_as_tuple(std::forward<Cases>(cases)...),
                                              std::make_index_sequence<sizeof...(Cases) - 1>());
  } else {
    return make_select<PreferFirst, false>(std::forward<Cases>(cases)...);
  }
}

template <class... C>
inline constexpr bool only_the_last_is_otherwise = true;
template <class C, class D, class... More>
inline constexpr bool only_the_last_is_otherwise<C, D, More...> =
    !ends_with_otherwise<C> && only_the_last_is_otherwise<D, More...>;

template <class C>
concept selectable_or_otherwise = selectable<C> || ends_with_otherwise<C>;
template <class... C>
concept selectable_together = (selectable_or_otherwise<C> && ...) && only_the_last_is_otherwise<C...>;

// What a mistaken select would have yielded, as far as that can be told.
template <class C>
struct mistaken_alternative : std::type_identity<anything> {};
template <has_result C>
struct mistaken_alternative<C> : std::type_identity<or_monostate<result_of<C>>> {};
template <class... C>
using mistaken_select = handle<std::variant<typename mistaken_alternative<C>::type...>>;

template <class F, class R>
inline constexpr bool handles = std::invocable<std::remove_reference_t<F>&, R>;
template <class F>
inline constexpr bool handles<F, void> = std::invocable<std::remove_reference_t<F>&>;

}  // namespace detail

// A case with a handler: the case's result is what handler(result of the operation) returns; a handler that returns a
// task is awaited.
template <class Operation, class F>
auto on(Operation&& operation, F&& handler) {
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
      return detail::handled_case<detail::kept_case<Operation>,
                                  std::conditional_t<std::is_lvalue_reference_v<F>, F, std::remove_reference_t<F>>>(
          std::in_place, std::forward<Operation>(operation), std::forward<F>(handler));
    }
  }
}

// Yields a std::variant: the index says which case was chosen, the alternative is its result, std::monostate for void.
// A plain task as a case runs in a routine of its own, which is started only if no other case is ready at once, and not
// where there is an otherwise. If it loses it is cancelled and joined before the select completes, and what it has done
// until then is done. What it throws then, other than `cancelled`, is unhandled
// (runtime_options::on_unhandled): by default it ends the process, unless it is a std::system_error.
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

// Waits until it is cancelled: the select without cases.
inline detail::never_operation never() noexcept { return {}; }

}  // namespace ringo
