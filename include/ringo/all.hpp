// all: awaits several operations or tasks at once, and yields all results.
#pragma once
#include <ringo/detail/cpp20.hpp>

#include <cstddef>
#include <exception>
#include <optional>
#include <source_location>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include <ringo/detail/awaited.hpp>
#include <ringo/errors.hpp>
#include <ringo/group.hpp>
#include <ringo/task.hpp>

namespace ringo {

namespace detail {

template <class A>
using case_result = or_monostate<result_of<A>>;

// If a part ends with `cancelled`, all() lacks its result, and so cancels the other parts. (A group would not.)
template <class A, class R>
task<> keep_result(group& parts, stored<A>& awaited, std::optional<R>& into, std::source_location where) {
  try {
    if constexpr (std::is_void_v<result_of<A>>) {
      co_await awaited_at<stored<A>>{static_cast<stored<A>&&>(awaited), where};
      into.emplace();
    } else {
      into.emplace(co_await awaited_at<stored<A>>{static_cast<stored<A>&&>(awaited), where});
    }
  } catch (const cancelled&) {
    parts.cancel();
    throw;
  }
}

// The routines of the parts, which are joined however their start ends: all that takes memory is made before them.
class started_parts {
 public:
  explicit started_parts(std::source_location where)
      : parts_(current_context(), on_error::cancel_rest, where), ended_(parts_.wait().begin(where)) {}

  template <class Start>
  void start(Start each) noexcept {
    try {
      each(parts_);
    } catch (...) {
      error_ = std::current_exception();
      parts_.cancel();
    }
  }
  RINGO_RETURNS_TASK task<>&& ended() noexcept { return std::move(ended_); }
  void throw_if_not_started() const {
    if (error_) [[unlikely]]
      std::rethrow_exception(error_);
  }

 private:
  group parts_;
  task<> ended_;
  std::exception_ptr error_;
};

template <class... A, std::size_t... I>
task<std::tuple<case_result<A>...>> await_all(std::index_sequence<I...>, std::source_location where,
                                              stored<A>... awaited) {
  std::tuple<std::optional<case_result<A>>...> results;
  started_parts all(where);
  all.start([&](group& parts) {
    (parts.go(keep_result<A, case_result<A>>(parts, awaited, std::get<I>(results), where), where), ...);
  });
  co_await in_name_of(where, all.ended());
  all.throw_if_not_started();
  if (!(std::get<I>(results) && ...)) throw_cancelled();
  co_return std::tuple<case_result<A>...>(std::move(*std::get<I>(results))...);
}

// The results of tasks of one type, std::monostate for void.
template <class T>
task<std::vector<or_monostate<T>>> await_each(std::vector<task<T>> tasks, std::source_location where) {
  std::vector<std::optional<or_monostate<T>>> results(tasks.size());
  started_parts all(where);
  all.start([&](group& parts) {
    for (std::size_t i = 0; i < tasks.size(); ++i) {
      parts.go(keep_result<task<T>, or_monostate<T>>(parts, tasks[i], results[i], where), where);
    }
  });
  co_await in_name_of(where, all.ended());
  all.throw_if_not_started();
  std::vector<or_monostate<T>> values;
  values.reserve(results.size());
  for (auto& each : results) {
    if (!each) throw_cancelled();
    values.push_back(std::move(*each));
  }
  co_return values;
}

template <class... A>
class RINGO_AWAITABLE all_of : public deferred<all_of<A...>, std::tuple<case_result<A>...>> {
 public:
  explicit all_of(std::in_place_t, A&&... awaited) : awaited_(as_stored<A>(awaited)...) {}

 private:
  friend class deferred<all_of, std::tuple<case_result<A>...>>;
  RINGO_RETURNS_TASK task<std::tuple<case_result<A>...>> make(std::source_location where) {
    return apply_to(
        [where](stored<A>&... each) RINGO_LAMBDA_RETURNS_TASK {
          return await_all<A...>(std::index_sequence_for<A...>(), where, static_cast<stored<A>&&>(each)...);
        },
        awaited_);
  }

  std::tuple<stored<A>...> awaited_;
};

}  // namespace detail

/// Awaits all parts at once, each in a routine of its own. Yields a tuple of their results, std::monostate for void.
///
///   auto [size, text] = co_await all(size_of(path), read_file(path));
///
/// The first error cancels the other parts, and is thrown when all have ended. A part's `cancelled` is an error here,
/// since its result is missing. Throws: cancelled. As a case of a select it is a plain task.
template <class... A>
requires(sizeof...(A) > 0)
auto all(A&&... awaited) {
  if constexpr ((detail::awaited_later<A> && ...)) {
    return detail::all_of<A...>(std::in_place, std::forward<A>(awaited)...);
  } else {
    constexpr detail::await_of<A...> the;
    static_assert(the.task_is_moved, RINGO_SAY_MOVE_TASK);
    static_assert(the.length_is_of_a_sleep, RINGO_SAY_SLEEP);
    static_assert(the.can_be_awaited, RINGO_SAY_AWAIT);
    return handle<detail::anything>();
  }
}
/// The same for tasks of one type: yields their results in the order of the tasks.
template <class T>
auto all(std::vector<task<T>>&& tasks, std::source_location where = std::source_location::current()) {
  return detail::deferred_task<std::vector<T>>(detail::await_each(std::move(tasks), where));
}
detail::deferred_task<void> all(std::vector<task<>>&& tasks,
                                std::source_location where = std::source_location::current());

}  // namespace ringo
