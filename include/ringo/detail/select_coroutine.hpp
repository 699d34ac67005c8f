// A select that takes more than one step: with handlers that are coroutines, or with plain tasks as cases.
#pragma once
#include <array>
#include <cstddef>
#include <exception>
#include <optional>
#include <source_location>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>

#include <ringo/detail/select_operation.hpp>
#include <ringo/go.hpp>
#include <ringo/task.hpp>

namespace ringo::detail {

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
  typename Select::result_type chosen = co_await std::move(operation);
  co_return co_await finish_handler<typename awaited_alternatives<typename Select::result_type>::type>(
      std::move(chosen));
}
template <class C>
inline constexpr bool is_task_case = false;
template <class T>
inline constexpr bool is_task_case<task<T>> = true;
template <class Inner, class F>
inline constexpr bool is_task_case<handled_case<Inner, F>> = is_task_case<Inner>;

// A case of a select that has tasks among its cases: a task runs in a routine of its own, and the case is that
// routine's join.
template <class Kept>
class held_case {
 public:
  explicit held_case(Kept&& kept) : kept_(std::forward<Kept>(kept)) {}
  void start() noexcept {}
  auto& operation() noexcept { return kept_; }
  routine* started() const noexcept { return nullptr; }

 private:
  Kept kept_;
};

template <class T>
class held_case<task<T>> {
 public:
  explicit held_case(task<T>&& kept) noexcept : task_(std::move(kept)) {}
  void start() {
    routine_ = make_routine_of(std::move(task_));
    handle_ = handle_access::make(routine_);
    detail::start(require_worker("select"), *routine_, std::source_location::current());
    join_ = handle_.join();
  }
  join_operation<T>& operation() noexcept { return join_; }
  routine* started() const noexcept { return routine_; }

 private:
  task<T> task_;
  record<T>* routine_ = nullptr;
  handle<T> handle_;
  join_operation<T> join_ = join_operation<T>(nullptr);
};

// A case with a handler, where the case is a task or has a handler itself.
template <class Inner, class F>
requires is_task_case<Inner>
class held_case<handled_case<Inner, F>> : public held_case<Inner> {
  using inner_operation = std::remove_reference_t<decltype(std::declval<held_case<Inner>&>().operation())>;

 public:
  explicit held_case(handled_case<Inner, F>&& kept)
      : held_case<Inner>(std::move(kept.operation())), handler_(std::move(kept.handler())) {}
  auto& operation() {
    if (!handled_) handled_.emplace(std::in_place, held_case<Inner>::operation(), handler_);
    return *handled_;
  }

 private:
  std::decay_t<F> handler_;
  std::optional<handled_case<inner_operation&, std::decay_t<F>&>> handled_;
};

template <class Held>
using operation_in = std::remove_reference_t<decltype(std::declval<Held&>().operation())>;

// The tasks that lose are cancelled and joined before a handler that is a coroutine runs, and before this returns,
// however it does. The handlers live here, and so until theirs has run.
template <bool PreferFirst, bool Otherwise, class... Held>
task<typename awaited_alternatives<
    typename select_operation<PreferFirst, Otherwise, operation_in<Held>&...>::result_type>::type>
select_held(Held... held) {
  using operation_type = select_operation<PreferFirst, Otherwise, operation_in<Held>&...>;
  using alternatives = awaited_alternatives<typename operation_type::result_type>;
  std::optional<typename operation_type::result_type> chosen;
  std::exception_ptr error;
  try {
    (held.start(), ...);
    operation_type operation(std::in_place, held.operation()...);
    chosen.emplace(co_await operation);
  } catch (...) {
    error = std::current_exception();
  }
  {
    const cancellation_held_back until_joined;
    const std::array<routine*, sizeof...(Held)> started{held.started()...};
    for (routine* r : started) {
      if (r != nullptr) cancel(*r);
    }
    for (routine* r : started) {
      if (r != nullptr) co_await finished_operation(r);
    }
  }
  if (error) std::rethrow_exception(error);
  if constexpr (alternatives::some_task) {
    co_return co_await finish_handler<typename alternatives::type>(std::move(*chosen));
  } else {
    co_return std::move(*chosen);
  }
}

}  // namespace ringo::detail
