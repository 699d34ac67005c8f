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

#include <ringo/detail/handled_case.hpp>
#include <ringo/detail/select_operation.hpp>
#include <ringo/go.hpp>

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
template <std::derived_from<deferred_base> D>  // made of a task: the caller need not know which of the two it is
struct awaited_alternative<D> {
  using type = or_monostate<typename D::result_type>;
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
task<typename awaited_alternatives<typename Select::result_type>::type> select_and_handle(Select operation,
                                                                                          std::source_location where) {
  typename Select::result_type chosen = co_await awaited_at<Select>{std::move(operation), where};
  co_return co_await finish_handler<typename awaited_alternatives<typename Select::result_type>::type>(
      std::move(chosen));
}
template <class Select>
class RINGO_AWAITABLE handled_select
    : public deferred<handled_select<Select>, typename awaited_alternatives<typename Select::result_type>::type> {
  using base = deferred<handled_select, typename awaited_alternatives<typename Select::result_type>::type>;

 public:
  explicit handled_select(Select&& operation) : operation_(std::move(operation)) {}

 private:
  friend base;
  RINGO_RETURNS_TASK task<typename base::result_type> make(std::source_location where) {
    return select_and_handle<Select>(std::move(operation_), where);
  }

  Select operation_;
};

// What runs in a routine of its own as a case: a task, or what makes one.
template <class C>
inline constexpr bool is_task_case = is_task<C> || std::derived_from<C, deferred_base>;
template <class Kept, class F>
inline constexpr bool is_task_case<handled_case<Kept, F>> = is_task_case<std::remove_reference_t<Kept>>;

// A case of a select that has tasks among its cases: a task runs in a routine of its own, and the case is that
// routine's join.
template <class Kept>
class held_case {
 public:
  static constexpr bool of_task = false;
  explicit held_case(Kept&& kept) : kept_(std::forward<Kept>(kept)) {}
  void make(std::source_location) noexcept {}
  void start(std::source_location) noexcept {}
  auto& operation() noexcept { return kept_; }
  routine* started() const noexcept { return nullptr; }

 private:
  Kept kept_;
};

template <class Kept>
requires is_task_case<std::remove_reference_t<Kept>>
class held_case<Kept> {
  using T = typename std::remove_reference_t<Kept>::result_type;

 public:
  static constexpr bool of_task = true;
  explicit held_case(Kept&& kept) : kept_(std::forward<Kept>(kept)) {}
  void make(std::source_location where) {
    if constexpr (is_task<Kept>) {
      made_ = owned<record<T>, release>(make_routine(std::move(kept_)));
    } else {
      made_ = owned<record<T>, release>(make_routine(kept_.begin(where)));
    }
    handle_ = handle_access::make(made_.get());
    join_ = handle_.join();
  }
  void start(std::source_location where) {
    worker& w = require_worker("select");
    routine_ = made_.release();
    detail::start(w, *routine_, where);
  }
  join_operation<T>& operation() noexcept { return join_; }
  routine* started() const noexcept { return routine_; }

 private:
  struct release {
    void operator()(routine* never_started) const noexcept { never_started->release(); }
  };

  Kept kept_;
  owned<record<T>, release> made_;  // until it is started
  routine* routine_ = nullptr;
  handle<T> handle_;
  join_operation<T> join_ = join_operation<T>(nullptr);
};

// A case with a handler, if the case is a task or has a handler itself.
template <class Kept, class F>
requires is_task_case<std::remove_reference_t<Kept>>
class held_case<handled_case<Kept, F>> : public held_case<Kept> {
  using inner_operation = std::remove_reference_t<decltype(std::declval<held_case<Kept>&>().operation())>;

 public:
  explicit held_case(handled_case<Kept, F>&& kept)
      : held_case<Kept>(std::forward<Kept>(kept.operation())), handler_(std::move(kept.handler())) {}
  auto& operation() {
    if (!handled_) handled_.emplace(std::in_place, held_case<Kept>::operation(), handler_);
    return *handled_;
  }

 private:
  std::decay_t<F> handler_;
  std::optional<handled_case<inner_operation&, std::decay_t<F>&>> handled_;
};

template <class Held>
using operation_in = std::remove_reference_t<decltype(std::declval<Held&>().operation())>;

// Starts the tasks if no other case is ready; with `otherwise`, never. The losing tasks are cancelled and joined before
// a handler that is a coroutine runs, and before this returns or throws. The handlers live here until the chosen one
// has run.
template <class Operation, class... Held>
task<typename awaited_alternatives<typename Operation::result_type>::type> select_held(std::source_location where,
                                                                                       Held... held) {
  using alternatives = awaited_alternatives<typename Operation::result_type>;
  std::optional<typename Operation::result_type> chosen;
  std::exception_ptr error;
  try {
    (held.make(where), ...);
    Operation operation(std::in_place, held.operation()...);
    if constexpr (!Operation::never_waits) {
      if constexpr (!(Held::of_task && ...)) {
        // It counts as every other await.
        if (worker& w = require_worker("select"); !w.spend() || w.current->is_cancelled()) co_await yield();
        worker& w = *current_worker();
        operation.enter(&w);
        if (operation.try_once(w, false)) chosen.emplace(operation.take());
      }
      if (!chosen) (held.start(where), ...);
    }
    if (!chosen) chosen.emplace(co_await awaited_at<Operation&>{operation, where});
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
      if (r == nullptr) continue;
      finished_operation ended(r);
      co_await awaited_at<finished_operation&>{ended, where};
    }
  }
  if (error) std::rethrow_exception(error);
  if constexpr (alternatives::some_task) {
    co_return co_await finish_handler<typename alternatives::type>(std::move(*chosen));
  } else {
    co_return std::move(*chosen);
  }
}

template <bool PreferFirst, bool Otherwise, class... Held>
class RINGO_AWAITABLE select_with_tasks
    : public deferred<select_with_tasks<PreferFirst, Otherwise, Held...>,
                      typename awaited_alternatives<typename select_operation<
                          PreferFirst, Otherwise, operation_in<Held>&...>::result_type>::type> {
  using operation_type = select_operation<PreferFirst, Otherwise, operation_in<Held>&...>;
  using base = deferred<select_with_tasks, typename awaited_alternatives<typename operation_type::result_type>::type>;

 public:
  template <class... Cases>
  explicit select_with_tasks(std::in_place_t, Cases&&... cases) : held_(keep(std::forward<Cases>(cases))...) {}

 private:
  friend base;
  RINGO_RETURNS_TASK task<typename base::result_type> make(std::source_location where) {
    return apply_to(
        [where](Held&... held)
            RINGO_LAMBDA_RETURNS_TASK { return select_held<operation_type, Held...>(where, std::move(held)...); },
        held_);
  }

  std::tuple<Held...> held_;
};

}  // namespace ringo::detail
