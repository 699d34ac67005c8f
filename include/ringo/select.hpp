// select: waits for the first of several operations (Go spec: Select statements).
//
// Exactly one case commits, and the others have had no effect. Among the cases that are ready at one instant the choice is uniformly random, or
// by priority with prefer_first. Nothing is allocated. A stored select owns the operations that were moved into it and refers to the others.
#pragma once
#include <concepts>
#include <cstdint>
#include <limits>
#include <optional>
#include <ranges>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>

#include <ringo/detail/wait_for_many.hpp>
#include <ringo/task.hpp>

namespace ringo {

struct otherwise_t {
  using result_type = void;
};
struct prefer_first_t {};
inline constexpr otherwise_t otherwise{};        // Go's default: taken if no other case is ready; the last case, if it is there
inline constexpr prefer_first_t prefer_first{};  // the first of the ready cases instead of a random one

namespace detail {

template <class R>
using or_monostate = std::conditional_t<std::is_void_v<R>, std::monostate, R>;

// What a case's argument is kept as: an operation that can be moved in is, others are referred to; a handle stands for its join.
template <class C>
decltype(auto) keep(C&& c) {
  if constexpr (requires { std::forward<C>(c).join(std::source_location()); }) {
    return std::forward<C>(c).join(std::source_location());
  } else {
    return std::forward<C>(c);
  }
}
template <class C>
struct kept {
  using type = std::conditional_t<std::is_lvalue_reference_v<C> || !std::move_constructible<std::remove_reference_t<C>>,
                                  std::remove_reference_t<C>&, std::remove_reference_t<C>>;
};
template <class C>
  requires requires(C&& c) { std::forward<C>(c).join(std::source_location()); }
struct kept<C> {
  using type = decltype(std::declval<C>().join(std::source_location()));
};
template <class C>
using kept_case = typename kept<C>::type;

template <class C>
concept case_like = requires { typename std::remove_cvref_t<kept_case<C>>::case_tag; };

template <class C>
using case_result = or_monostate<typename std::remove_cvref_t<kept_case<C>>::result_type>;

// Uniform among the set bits.
inline unsigned pick(worker* w, std::uint64_t ready) noexcept {
  const auto count = static_cast<unsigned>(__builtin_popcountll(ready));
  for (unsigned skip = count > 1 && w ? w->random_below(count) : 0; skip > 0; --skip) ready &= ready - 1;
  return static_cast<unsigned>(__builtin_ctzll(ready));
}

// Calls f with the N-th element.
template <std::size_t N = 0, class Tuple, class F>
decltype(auto) with_element(Tuple& cases, std::size_t n, F&& f) {
  if constexpr (N + 1 < std::tuple_size_v<Tuple>) {
    if (n != N) return with_element<N + 1>(cases, n, std::forward<F>(f));
  }
  return f(std::integral_constant<std::size_t, N>(), std::get<N>(cases));
}

// The awaitable of select(). Throws: what the chosen case throws; cancelled. Cancel safety: as of each of its cases.
template <bool PreferFirst, bool Otherwise, class... Kept>
class select_operation : public wait_for_many<select_operation<PreferFirst, Otherwise, Kept...>> {
  static constexpr std::size_t size = sizeof...(Kept);
  static_assert(size <= 64, "a select has at most 64 cases: use select_any for more");
  using base = wait_for_many<select_operation>;

 public:
  using result_type = typename std::conditional_t<
      Otherwise, std::type_identity<std::variant<or_monostate<typename std::remove_reference_t<Kept>::result_type>..., std::monostate>>,
      std::type_identity<std::variant<or_monostate<typename std::remove_reference_t<Kept>::result_type>...>>>::type;

  template <class... Cases>
  explicit select_operation(std::in_place_t, Cases&&... cases) : cases_(keep(std::forward<Cases>(cases))...) {}
  select_operation(select_operation&& from) : base(from), cases_(std::move(from.cases_)) {}
  ~select_operation() { this->abandon(); }

  result_type await_resume() {
    this->come_back();
    const std::size_t chosen = std::exchange(chosen_, none);
    if constexpr (Otherwise) {
      if (chosen == size) return result_type(std::in_place_index<size>);
    }
    return with_element(cases_, chosen, [](auto index, auto& c) -> result_type {
      if constexpr (std::is_void_v<decltype(c.take())>) {
        c.take();
        return result_type(std::in_place_index<index>);
      } else {
        return result_type(std::in_place_index<index>, c.take());
      }
    });
  }

  template <class F>
  void each(F&& f) {
    std::apply([&f](auto&... c) { (f(c), ...); }, cases_);
  }
  static constexpr std::size_t count() noexcept { return size; }

  // What is ready is ready at one instant, all locks being held (semantics 57). A choice fails only where a waiter that it met has been claimed by a
  // source outside this select; then it is made again.
  bool commit_one(worker* w, routine*& woken) {
    for (;;) {
      std::uint64_t ready = 0, bit = 1;
      each([&](auto& c) {
        if (c.ready(*w)) ready |= bit;
        bit <<= 1;
      });
      if (ready == 0) {
        if constexpr (Otherwise) chosen_ = size;
        return Otherwise;
      }
      const std::size_t choice = PreferFirst ? static_cast<unsigned>(__builtin_ctzll(ready)) : pick(w, ready);
      if (with_element(cases_, choice, [&](auto, auto& c) { return c.commit(*w, woken); })) {
        chosen_ = choice;
        return true;
      }
    }
  }
  // Cases of one channel stand in its queues in random order, so that being named first is no advantage (semantics 54).
  void link_all(worker& w, routine& r) noexcept {
    const std::size_t start = PreferFirst || size < 2 ? 0 : w.random_below(size);
    std::size_t i = 0;
    each([&](auto& c) {
      if (i++ >= start) c.link(w, r);
    });
    i = 0;
    each([&](auto& c) {
      if (i++ < start) c.link(w, r);
    });
  }
  bool has_chosen() const noexcept { return chosen_ != none; }
  void note_winner() noexcept {
    std::size_t i = 0;
    each([&](auto& c) {
      if (won(c.standing())) {
        chosen_ = i;
      } else {
        c.leave();
      }
      ++i;
    });
  }
  void tell(std::string& text) const {
    text += "select of ";
    const char* separator = "";
    std::apply([&](const auto&... c) { ((text += std::exchange(separator, ", "), c.tell(text)), ...); }, cases_);
    if (size == 0) text += "nothing";
  }

 private:
  static constexpr std::size_t none = std::numeric_limits<std::size_t>::max();

  std::tuple<Kept...> cases_;
  std::size_t chosen_ = none;
};

// An operation and what is to be done with its result.
template <class Operation, class F>
class handled_case {
  using operation_type = std::remove_reference_t<Operation>;
  using yielded = typename operation_type::result_type;
  template <class R>
  struct returned {
    using type = std::invoke_result_t<std::remove_reference_t<F>&, R>;
  };
  template <class R>
    requires std::is_void_v<R>
  struct returned<R> {
    using type = std::invoke_result_t<std::remove_reference_t<F>&>;
  };

 public:
  using result_type = typename returned<yielded>::type;
  using case_tag = void;

  template <class O, class G>
  handled_case(std::in_place_t, O&& o, G&& handler) : operation_(keep(std::forward<O>(o))), handler_(std::forward<G>(handler)) {}

  void enter(worker* w) { operation_.enter(w); }
  spin_lock* lock() noexcept { return operation_.lock(); }
  bool ready(worker& w) { return operation_.ready(w); }
  bool commit(worker& w, routine*& woken) { return operation_.commit(w, woken); }
  void link(worker& w, routine& r) { operation_.link(w, r); }
  bool unlink() noexcept { return operation_.unlink(); }
  void leave() noexcept { operation_.leave(); }
  void discard() noexcept { operation_.discard(); }
  progress standing() const noexcept { return operation_.standing(); }
  void tell(std::string& text) const { operation_.tell(text); }
  result_type take() {
    if constexpr (std::is_void_v<yielded>) {
      operation_.take();
      return handler_();
    } else {
      return handler_(operation_.take());
    }
  }

 private:
  Operation operation_;
  F handler_;
};

template <class V>
struct awaited_alternatives;
template <class R>
struct awaited_alternative {
  using type = R;
};
template <class T>
struct awaited_alternative<task<T>> {
  using type = or_monostate<T>;
};
template <class... R>
struct awaited_alternatives<std::variant<R...>> {
  static constexpr bool some_task = (!std::is_same_v<R, typename awaited_alternative<R>::type> || ...);
  using type = std::variant<typename awaited_alternative<R>::type...>;
};

template <class Result, std::size_t N = 0, class Chosen>
task<Result> finish_handler(Chosen chosen) {
  if constexpr (N + 1 < std::variant_size_v<Chosen>) {
    if (chosen.index() != N) co_return co_await finish_handler<Result, N + 1>(std::move(chosen));
  }
  using R = std::variant_alternative_t<N, Chosen>;
  if constexpr (std::is_same_v<R, typename awaited_alternative<R>::type>) {
    co_return Result(std::in_place_index<N>, std::get<N>(std::move(chosen)));
  } else if constexpr (std::is_void_v<typename R::result_type>) {
    co_await std::get<N>(std::move(chosen));
    co_return Result(std::in_place_index<N>);
  } else {
    co_return Result(std::in_place_index<N>, co_await std::get<N>(std::move(chosen)));
  }
}
// Handlers that are coroutines run after the select, in the caller's place.
template <class Select>
task<typename awaited_alternatives<typename Select::result_type>::type> select_and_handle(Select operation) {
  typename Select::result_type chosen = co_await operation;
  co_return co_await finish_handler<typename awaited_alternatives<typename Select::result_type>::type>(std::move(chosen));
}

template <class Select, class... Cases>
auto make_select(Cases&&... cases) {
  if constexpr (awaited_alternatives<typename Select::result_type>::some_task) {
    return select_and_handle(Select(std::in_place, std::forward<Cases>(cases)...));
  } else {
    return Select(std::in_place, std::forward<Cases>(cases)...);
  }
}
template <bool PreferFirst, class... Cases, std::size_t... I>
auto make_select_otherwise(std::tuple<Cases...> cases, std::index_sequence<I...>) {
  return make_select<select_operation<PreferFirst, true, kept_case<std::tuple_element_t<I, std::tuple<Cases...>>>...>>(
      std::get<I>(std::move(cases))...);
}
template <class... C>
struct ends_with_otherwise : std::false_type {};
template <class C>
struct ends_with_otherwise<C> : std::is_same<std::remove_cvref_t<C>, otherwise_t> {};
template <class C, class D, class... More>
struct ends_with_otherwise<C, D, More...> : ends_with_otherwise<D, More...> {};

template <bool PreferFirst, class... Cases>
auto select_of(Cases&&... cases) {
  if constexpr (ends_with_otherwise<Cases...>::value) {
    return make_select_otherwise<PreferFirst>(std::forward_as_tuple(std::forward<Cases>(cases)...),
                                              std::make_index_sequence<sizeof...(Cases) - 1>());
  } else {
    return make_select<select_operation<PreferFirst, false, kept_case<Cases>...>>(std::forward<Cases>(cases)...);
  }
}

template <class C>
concept case_or_otherwise = case_like<C> || std::is_same_v<std::remove_cvref_t<C>, otherwise_t>;

}  // namespace detail

// A case with a handler: the case's result is what handler(result of the operation) returns; a handler that returns a task is awaited.
template <class Operation, class F>
  requires detail::case_like<Operation>
auto on(Operation&& operation, F&& handler) {
  static_assert(!RINGO_DESTROYS_AGGREGATES_TWICE || !detail::risky_closure<F>,
                "g++ 12 destroys the captures of a lambda written inside a co_await expression twice: name the lambda first, and pass "
                "it by name, or capture by reference");
  return detail::handled_case<detail::kept_case<Operation>,
                              std::conditional_t<std::is_lvalue_reference_v<F>, F, std::remove_reference_t<F>>>(
      std::in_place, std::forward<Operation>(operation), std::forward<F>(handler));
}

// Yields a std::variant: the index says which case was chosen, the alternative is its result, std::monostate for void.
template <detail::case_or_otherwise... Cases>
auto select(Cases&&... cases) {
  return detail::select_of<false>(std::forward<Cases>(cases)...);
}
template <detail::case_or_otherwise... Cases>
auto select(prefer_first_t, Cases&&... cases) {
  return detail::select_of<true>(std::forward<Cases>(cases)...);
}

// What select_any yields: which case, and its result.
template <class R>
struct selected {
  std::size_t index;
  R result;
};

namespace detail {

// The awaitable of select_any(): the cases stay the caller's, and may be used again if they did not win.
template <class Cases>
class select_any_operation : public wait_for_many<select_any_operation<Cases>> {
  using base = wait_for_many<select_any_operation>;
  using operation_type = std::ranges::range_value_t<std::remove_reference_t<Cases>>;

 public:
  using result_type = selected<or_monostate<typename operation_type::result_type>>;

  explicit select_any_operation(Cases&& cases) : cases_(std::forward<Cases>(cases)) {}
  select_any_operation(select_any_operation&& from) : base(from), cases_(std::forward<Cases>(from.cases_)) {}
  ~select_any_operation() { this->abandon(); }

  result_type await_resume() {
    this->come_back();
    return take_chosen();
  }
  result_type take_chosen() {
    operation_type& c = *std::exchange(chosen_, nullptr);
    if constexpr (std::is_void_v<typename operation_type::result_type>) {
      c.take();
      return {index_, {}};
    } else {
      return {index_, c.take()};
    }
  }

  template <class F>
  void each(F&& f) {
    for (operation_type& c : cases_) f(c);
  }
  std::size_t count() { return static_cast<std::size_t>(std::ranges::distance(cases_)); }
  bool commit_one(worker* w, routine*& woken) {
    for (;;) {
      // Each ready case replaces the choice with the probability that makes all equally likely.
      std::uint32_t ready = 0;
      std::size_t i = 0;
      for (operation_type& c : cases_) {
        if (is_ready(c, w) && (++ready == 1 || (w && w->random_below(ready) == 0))) {
          chosen_ = &c;
          index_ = i;
        }
        ++i;
      }
      if (ready == 0) return false;
      if (chosen_->commit(*w, woken)) return true;
      chosen_ = nullptr;
    }
  }
  void link_all(worker& w, routine& r) {
    for (operation_type& c : cases_) c.link(w, r);
  }
  bool has_chosen() const noexcept { return chosen_ != nullptr; }
  void note_winner() noexcept {
    std::size_t i = 0;
    for (operation_type& c : cases_) {
      if (won(c.standing())) {
        chosen_ = &c;
        index_ = i;
      } else {
        c.leave();
      }
      ++i;
    }
  }
  void tell(std::string& text) const {
    text += "select_any";
    const char* separator = " of ";
    for (const operation_type& c : cases_) {
      text += std::exchange(separator, ", ");
      c.tell(text);
    }
  }

 private:
  static bool is_ready(operation_type& c, worker* w) { return c.ready(*w); }

  Cases cases_;  // a reference where the caller's range is an lvalue
  operation_type* chosen_ = nullptr;
  std::size_t index_ = 0;
};

}  // namespace detail

// The first of a range of alike operations, however many; of none: waits for ever. Uniform among the ready.
template <std::ranges::range Cases>
  requires detail::case_operation<std::ranges::range_value_t<std::remove_reference_t<Cases>>>
auto select_any(Cases&& cases) {
  return detail::select_any_operation<Cases>(std::forward<Cases>(cases));
}
// The same without waiting. Thread: workers.
template <std::ranges::range Cases>
  requires detail::case_operation<std::ranges::range_value_t<std::remove_reference_t<Cases>>>
auto try_select_any(Cases&& cases) {
  detail::select_any_operation<Cases&> operation(cases);
  using result = std::optional<typename detail::select_any_operation<Cases&>::result_type>;
  detail::worker& w = detail::require_worker("try_select_any");
  operation.each([&w](auto& c) { c.enter(&w); });
  if (!operation.try_once(&w)) return result();
  return result(operation.take_chosen());
}

// Waits until it is cancelled: the select without cases.
inline auto never() { return select(); }

}  // namespace ringo
