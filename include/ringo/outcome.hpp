// outcome: the value or the exception of an operation or a task, as an object. finally: clean-up that may await, which
// C++ does not allow in a catch block or a destructor.
#pragma once
#include <ringo/detail/cpp20.hpp>

#include <exception>
#include <optional>
#include <source_location>
#include <type_traits>
#include <utility>

#include <ringo/context.hpp>
#include <ringo/detail/handled_case.hpp>
#include <ringo/shield.hpp>

namespace ringo {

/// A value or an exception: the result of outcome().
template <class T>
class outcome_of {
 public:
  template <class U>
  outcome_of(std::in_place_t, U&& value) : value_(std::forward<U>(value)) {}
  explicit outcome_of(std::exception_ptr error) noexcept : error_(std::move(error)) {}

  bool has_value() const noexcept { return value_.has_value(); }
  explicit operator bool() const noexcept { return has_value(); }
  T value() && {  ///< Rethrows the exception.
    if (error_) std::rethrow_exception(error_);
    return std::move(*value_);
  }
  std::exception_ptr error() const noexcept { return error_; }  ///< null where there is a value

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

// Of something that has ended: its result or its exception.
template <class R, class Ended>
outcome_of<R> take_outcome(Ended& ended) {
  try {
    if constexpr (std::is_void_v<R>) {
      ended.take();
      return outcome_of<R>();
    } else {
      return outcome_of<R>(std::in_place, ended.take());
    }
  } catch (...) {
    return outcome_of<R>(std::current_exception());
  }
}

template <class Kept>
class outcome_case : public forwarding_case<Kept> {
  using yielded = result_of<std::remove_reference_t<Kept>>;

 public:
  using forwarding_case<Kept>::forwarding_case;
  using result_type = outcome_of<yielded>;

  result_type take() { return take_outcome<yielded>(this->operation_); }
};

class outcome_taken {
 public:
  template <class A>
  using result = outcome_of<result_of<A>>;
  template <class A>
  static task<result<A>> run(outcome_taken, stored<A> awaited, std::source_location where) {
    std::exception_ptr error;
    try {
      if constexpr (std::is_void_v<result_of<A>>) {
        co_await awaited_at<stored<A>>{static_cast<stored<A>&&>(awaited), where};
        co_return result<A>();
      } else {
        co_return result<A>(std::in_place, co_await awaited_at<stored<A>>{static_cast<stored<A>&&>(awaited), where});
      }
    } catch (...) {
      error = std::current_exception();
    }
    co_return result<A>(error);
  }
  template <class A>
  bool ends_at_once(A& awaited, worker& w) noexcept {
    try {
      return ends_at_first_look(awaited, w);
    } catch (...) {
      error_ = std::current_exception();
      return true;
    }
  }
  template <class A>
  result<A> taken(A& awaited) const {
    if (error_) return result<A>(error_);
    return take_outcome<result_of<A>>(awaited);
  }
  template <case_like C>
  auto as_case(C&& c) const {
    return outcome_case<kept_case<C>>(std::in_place, std::forward<C>(c));
  }

 private:
  std::exception_ptr error_;  // of the first look
};

template <class B>
class cleaned_up {
 public:
  template <class A>
  using result = result_of<A>;

  explicit cleaned_up(B&& cleanup) : cleanup_(as_stored<B>(cleanup)) {}
  template <class A>
  static task<result_of<A>> run(cleaned_up how, stored<A> awaited, std::source_location where) {
    const context apart = context_apart();  // made now, so that no lack of memory keeps the clean-up from being awaited
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
      (void)co_await awaited_at<stored<B>>{static_cast<stored<B>&&>(how.cleanup_), where};
    } catch (...) {
      if (succeeded) throw;  // else the first error is the one to report
    }
    co_return std::move(*result).value();
  }

 private:
  stored<B> cleanup_;
};

}  // namespace detail

/// Awaits an operation or a task, and yields its value or its exception, `cancelled` too, as an object.
///
///   auto reply = co_await outcome(ask(server));
///   if (!reply) co_await give_back(server);  // there is no co_await in a catch block
///
/// As a case of a select an operation stays one; a task is a plain task there. Throws: std::bad_alloc.
template <class A>
auto outcome(A&& awaited, std::source_location where = std::source_location::current()) {
  if constexpr (detail::awaited_later<A>) {
    return detail::combined<detail::outcome_taken, A>({}, std::forward<A>(awaited), where);
  } else {
    constexpr detail::await_of<A> the;
    static_assert(the.task_is_moved, RINGO_SAY_MOVE_TASK);
    static_assert(the.length_is_of_a_sleep, RINGO_SAY_SLEEP);
    static_assert(the.can_be_awaited, RINGO_SAY_AWAIT);
    return handle<detail::anything>();
  }
}

/// Awaits the first, and then, however the first ended, the clean-up, which cancellation does not end. Yields the
/// result of the first, or rethrows its exception; an exception of the clean-up is thrown where the first has
/// succeeded.
///
///   co_await finally(use(connection), connection.close());
///
/// As a case of a select it is a plain task.
template <class A, class B>
auto finally(A&& awaited, B&& cleanup, std::source_location where = std::source_location::current()) {
  if constexpr (detail::awaited_later<A> && detail::awaited_later<B>) {
    using how = detail::cleaned_up<B>;
    return detail::combined<how, A>(how(std::forward<B>(cleanup)), std::forward<A>(awaited), where);
  } else {
    constexpr detail::await_of<A, B> the;
    static_assert(the.task_is_moved, RINGO_SAY_MOVE_TASK);
    static_assert(the.length_is_of_a_sleep, RINGO_SAY_SLEEP);
    static_assert(the.can_be_awaited, RINGO_SAY_AWAIT);
    return handle<detail::anything>();
  }
}

}  // namespace ringo
