// outcome, finally: what came of an operation or a task, and clean-up after it that may await, whichever way it ended.
// (C++ has no co_await in a catch block or a destructor.)
#pragma once
#include <ringo/detail/cpp20.hpp>

#include <exception>
#include <optional>
#include <source_location>
#include <type_traits>
#include <utility>

#include <ringo/context.hpp>
#include <ringo/detail/select_operation.hpp>
#include <ringo/shield.hpp>

namespace ringo {

// A value or an error.
template <class T>
class outcome_of {
 public:
  template <class U>
  outcome_of(std::in_place_t, U&& value) : value_(std::forward<U>(value)) {}
  explicit outcome_of(std::exception_ptr error) noexcept : error_(std::move(error)) {}

  bool has_value() const noexcept { return value_.has_value(); }
  explicit operator bool() const noexcept { return has_value(); }
  T value() && {  // rethrows the error
    if (error_) std::rethrow_exception(error_);
    return std::move(*value_);
  }
  std::exception_ptr error() const noexcept { return error_; }  // null where there is a value

 private:
  std::optional<T> value_;
  std::exception_ptr error_;
};

template <>
class outcome_of<void> {
 public:
  outcome_of() noexcept = default;
  explicit outcome_of(std::exception_ptr error) noexcept : error_(std::move(error)) {}

  bool has_value() const noexcept { return error_ == nullptr; }
  explicit operator bool() const noexcept { return has_value(); }
  void value() && {
    if (error_) std::rethrow_exception(error_);
  }
  std::exception_ptr error() const noexcept { return error_; }

 private:
  std::exception_ptr error_;
};

namespace detail {

template <class A>
task<outcome_of<result_of<A>>> await_outcome(stored<A> awaited, std::source_location where) {
  using result = outcome_of<result_of<A>>;
  std::exception_ptr error;
  try {
    if constexpr (std::is_void_v<result_of<A>>) {
      co_await awaited_at<stored<A>>{static_cast<stored<A>&&>(awaited), where};
      co_return result();
    } else {
      co_return result(std::in_place, co_await awaited_at<stored<A>>{static_cast<stored<A>&&>(awaited), where});
    }
  } catch (...) {
    error = std::current_exception();
  }
  co_return result(error);
}

template <class A, class B>
task<result_of<A>> await_finally(stored<A> awaited, stored<B> cleanup, std::source_location where) {
  const context apart = context_apart();  // now, so that later nothing keeps the clean-up from being awaited
  std::optional<outcome_of<result_of<A>>> result;
  try {
    if constexpr (std::is_void_v<result_of<A>>) {
      co_await awaited_at<stored<A>>{static_cast<stored<A>&&>(awaited), where};
      result.emplace();
    } else {
      result.emplace(std::in_place, co_await awaited_at<stored<A>>{static_cast<stored<A>&&>(awaited), where});
    }
  } catch (...) {
    result.emplace(std::current_exception());
  }
  const bool succeeded = result->has_value();
  const shielded_under until_done(apart);
  try {
    (void)co_await awaited_at<stored<B>>{static_cast<stored<B>&&>(cleanup), where};
  } catch (...) {
    if (succeeded) throw;  // else the first error is the one that is told
  }
  co_return std::move(*result).value();
}

template <class Kept>
class outcome_case : public forwarding_case<Kept> {
  using yielded = result_of<std::remove_reference_t<Kept>>;

 public:
  using forwarding_case<Kept>::forwarding_case;
  using result_type = outcome_of<yielded>;

  result_type take() {
    try {
      if constexpr (std::is_void_v<yielded>) {
        this->operation_.take();
        return result_type();
      } else {
        return result_type(std::in_place, this->operation_.take());
      }
    } catch (...) {
      return result_type(std::current_exception());
    }
  }
};

template <class A>
class RINGO_AWAITABLE outcome_wait : public deferred<outcome_wait<A>, outcome_of<result_of<A>>> {
 public:
  outcome_wait(A&& awaited, std::source_location where) : awaited_(as_stored<A>(awaited)), where_(where) {}

  auto as_case() && requires case_like<stored<A>>
  {
    return outcome_case<kept_case<stored<A>>>(std::in_place, static_cast<stored<A>&&>(awaited_));
  }
  auto as_case() & requires case_like<stored<A>&>
  {
    return outcome_case<kept_case<stored<A>&>>(std::in_place, awaited_);
  }

 private:
  friend class deferred<outcome_wait, outcome_of<result_of<A>>>;
  RINGO_RETURNS_TASK task<outcome_of<result_of<A>>> make(std::source_location) {
    return await_outcome<A>(static_cast<stored<A>&&>(awaited_), where_);
  }

  stored<A> awaited_;
  std::source_location where_;
};

template <class A, class B>
class RINGO_AWAITABLE finally_wait : public deferred<finally_wait<A, B>, result_of<A>> {
 public:
  finally_wait(A&& awaited, B&& cleanup, std::source_location where)
      : awaited_(as_stored<A>(awaited)), cleanup_(as_stored<B>(cleanup)), where_(where) {}

 private:
  friend class deferred<finally_wait, result_of<A>>;
  RINGO_RETURNS_TASK task<result_of<A>> make(std::source_location) {
    return await_finally<A, B>(static_cast<stored<A>&&>(awaited_), static_cast<stored<B>&&>(cleanup_), where_);
  }

  stored<A> awaited_;
  stored<B> cleanup_;
  std::source_location where_;
};

}  // namespace detail

// Does not throw, but for want of memory: what the awaited throws is in the outcome, `cancelled` too. As a case of a
// select an operation stays one, and a task is a plain task there.
template <class A>
auto outcome(A&& awaited, std::source_location where = std::source_location::current()) {
  if constexpr (detail::awaited_later<A>) {
    return detail::outcome_wait<A>(std::forward<A>(awaited), where);
  } else {
    constexpr detail::await_of<A> the;
    static_assert(the.task_is_moved, RINGO_SAY_MOVE_TASK);
    static_assert(the.length_is_of_a_sleep, RINGO_SAY_SLEEP);
    static_assert(the.can_be_awaited, RINGO_SAY_AWAIT);
    return handle<detail::anything>();
  }
}

// Awaits the first, and then, however that ended, the clean-up, which cancellation does not end. Yields what the first
// came to; where that is a value, an error of the clean-up is thrown instead. As a case of a select it is a plain task.
template <class A, class B>
auto finally(A&& awaited, B&& cleanup, std::source_location where = std::source_location::current()) {
  if constexpr (detail::awaited_later<A> && detail::awaited_later<B>) {
    return detail::finally_wait<A, B>(std::forward<A>(awaited), std::forward<B>(cleanup), where);
  } else {
    constexpr detail::await_of<A, B> the;
    static_assert(the.task_is_moved, RINGO_SAY_MOVE_TASK);
    static_assert(the.length_is_of_a_sleep, RINGO_SAY_SLEEP);
    static_assert(the.can_be_awaited, RINGO_SAY_AWAIT);
    return handle<detail::anything>();
  }
}

}  // namespace ringo
