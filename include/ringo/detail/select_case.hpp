// What select() makes of its arguments.
#pragma once
#include <concepts>
#include <cstddef>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>

#include <ringo/detail/compilers.hpp>
#include <ringo/detail/select_attempt.hpp>
#include <ringo/detail/select_coroutine.hpp>
#include <ringo/detail/sourceless_operation.hpp>

namespace ringo {

struct otherwise_t {
  using result_type = void;
};
struct prefer_first_t {};

namespace detail {

// Never ready: a select without cases.
class RINGO_AWAITABLE never_operation final : public sourceless_operation<never_operation, void> {
 public:
  static constexpr const char* call_name = "never";
  never_operation() noexcept {}
  bool ready(worker&) noexcept { return false; }
  bool commit(worker&, bool, routine*&) noexcept { return false; }
  void link(worker&, routine& r) noexcept {
    blocked = &r;
    set_state(progress::waiting);
  }
  bool unlink() noexcept {
    set_state(progress::idle);
    return false;
  }
  void append_to(wait_report& text) const { text += "never (a select of no cases)"; }
};

// A select with nothing but `otherwise`: ready at once.
class RINGO_AWAITABLE only_otherwise_operation final
    : public sourceless_operation<only_otherwise_operation, std::variant<std::monostate>> {
 public:
  static constexpr const char* call_name = "select";
  only_otherwise_operation() noexcept {}
  void append_to(wait_report& text) const { text += "nothing"; }
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

// What a mistaken select would have yielded, as far as that is known.
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
}  // namespace ringo
