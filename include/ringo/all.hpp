// all: several operations or tasks at once, and the results of all.
#pragma once
#include <cstddef>
#include <exception>
#include <optional>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include <ringo/detail/select_operation.hpp>
#include <ringo/group.hpp>

namespace ringo {

namespace detail {

template <class A>
using case_result = or_monostate<result_of<A>>;

template <class A, class R>
task<> keep_result(stored<A>& awaited, std::optional<R>& into) {
  if constexpr (std::is_void_v<result_of<A>>) {
    co_await static_cast<stored<A>&&>(awaited);
    into.emplace();
  } else {
    into.emplace(co_await static_cast<stored<A>&&>(awaited));
  }
}

template <class... A, std::size_t... I>
task<std::tuple<case_result<A>...>> await_all(std::index_sequence<I...>, stored<A>... awaited) {
  std::tuple<std::optional<case_result<A>>...> results;
  auto start_each = [&](group& each) -> task<> {
    (each.go(keep_result<A, case_result<A>>(awaited, std::get<I>(results))), ...);
    co_return;
  };
  co_await scope(start_each);
  co_return std::tuple<case_result<A>...>(std::move(*std::get<I>(results))...);
}

template <class T>
task<std::vector<T>> await_each(std::vector<task<T>> tasks) {
  std::vector<std::optional<T>> results(tasks.size());
  auto start_each = [&](group& each) -> task<> {
    for (std::size_t i = 0; i < tasks.size(); ++i) each.go(keep_result<task<T>, T>(tasks[i], results[i]));
    co_return;
  };
  co_await scope(start_each);
  std::vector<T> values;
  values.reserve(results.size());
  for (auto& each : results) values.push_back(std::move(*each));
  co_return values;
}

}  // namespace detail

// Awaits all of them at once, each in a routine of its own; yields a tuple of their results, std::monostate for void.
// The first error cancels the rest, and is rethrown when all have ended. Throws: cancelled.
template <class... A>
requires(sizeof...(A) > 0 &&
         (detail::has_result<A> && ...)) task<std::tuple<detail::case_result<A>...>> all(A&&... awaited) {
  return detail::await_all<A...>(std::index_sequence_for<A...>(), detail::as_stored<A>(awaited)...);
}
// The same for alike tasks: their results in their order.
template <class T>
task<std::vector<T>> all(std::vector<task<T>> tasks) {
  return detail::await_each(std::move(tasks));
}
task<> all(std::vector<task<>> tasks);

}  // namespace ringo
