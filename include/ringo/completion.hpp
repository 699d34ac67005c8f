// completion: one result that a callback or a thread of another library sets, and that a routine awaits.
#pragma once
#include <ringo/detail/cpp20.hpp>

#include <exception>
#include <source_location>
#include <type_traits>
#include <utility>

#include <ringo/detail/completion_core.hpp>
#include <ringo/detail/destroyed.hpp>
#include <ringo/task.hpp>

namespace ringo {

template <class T = void>
class completion;
template <class T = void>
class completion_setter;

/// Sets the result of a completion, once. It can be copied, so it fits into a std::function; release() and adopt() pass
/// it through the void* of a C callback. If the last copy is destroyed before a result is set, the waiter gets a
/// std::future_error (std::future_errc::broken_promise).
/// No call waits or throws, and all work after the completion, its waiter or the runtime has gone.
/// Thread: any; but not a signal handler.
template <class T>
class completion_setter {
 public:
  completion_setter() noexcept = default;  ///< Empty.
  completion_setter(const completion_setter& other) noexcept : of_(other.of_) {
    if (of_ != nullptr) of_->add_setter();
  }
  completion_setter(completion_setter&& other) noexcept : of_(std::exchange(other.of_, nullptr)) {}
  completion_setter& operator=(completion_setter other) noexcept {
    std::swap(of_, other.of_);
    return *this;
  }
  ~completion_setter() {
    if (of_ != nullptr) of_->drop_setter();
  }

  explicit operator bool() const noexcept { return of_ != nullptr; }

  /// Both return false, and have no effect, if a result was set before, or if the setter is empty.
  template <class U = T>
  requires(!std::is_void_v<U>)
  bool set_value(std::type_identity_t<U> value) const noexcept {
    if (of_ == nullptr || !of_->begin_to_set()) return false;
    of_->outcome.set_value(std::move(value));
    of_->end_setting();
    return true;
  }
  bool set_value() const noexcept requires std::is_void_v<T>
  {
    if (of_ == nullptr || !of_->begin_to_set()) return false;
    of_->end_setting();
    return true;
  }
  bool set_error(std::exception_ptr error) const noexcept {  ///< The waiter rethrows it.
    if (of_ == nullptr || !of_->begin_to_set()) return false;
    of_->set_error(error ? std::move(error) : detail::no_error_given());
    of_->end_setting();
    return true;
  }

  /// Turns the setter into a pointer. Pass it to adopt() exactly once; until then it keeps the setter alive.
  void* release() && noexcept { return std::exchange(of_, nullptr); }
  static completion_setter adopt(void* released) noexcept {
    return completion_setter(static_cast<detail::completion_state<T>*>(released));
  }

 private:
  explicit completion_setter(detail::completion_state<T>* of) noexcept : of_(of) {}
  template <class>
  friend class completion;

  detail::completion_state<T>* of_ = nullptr;
};

/// One result, to be awaited once: co_await c, or as a case of a select, in with_timeout and so on. Yields the value
/// that was set, or rethrows the error. Move-only.
///
///   completion<int> c;
///   library_begin([](int result, void* data) { completion_setter<int>::adopt(data).set_value(result); },
///                 c.setter().release());
///   int result = co_await c;
///
/// A wait never counts as deadlocked, since a setter may be anywhere; only in a simulation it does.
/// Throws: cancelled; std::future_error as above; std::logic_error if the result has been taken, or after a move.
/// Cancel safety: a wait that loses or is cancelled has taken nothing, and the completion can be awaited again. Thread:
/// workers; setter() and is_set() any.
template <class T>
class completion {
  static_assert(std::is_void_v<T> || (std::is_object_v<T> && std::is_nothrow_move_constructible_v<T>),
                "a completion's value is an object, and must not throw when it is moved: box it, for example in a "
                "std::unique_ptr<T>");

 public:
  using result_type = T;
  completion() : of_(new detail::completion_state<T>) {}
  completion(completion&& other) noexcept : of_(std::exchange(other.of_, nullptr)) {}
  completion& operator=(completion other) noexcept {
    std::swap(of_, other.of_);
    return *this;
  }
  ~completion() {
    if (of_ != nullptr) std::exchange(of_, nullptr)->release();
    detail::keep_mark(of_);
  }

  completion_setter<T> setter() const {
    if (of_ == nullptr) detail::throw_empty_or_ended("completion::setter", "completion");
    of_->add_setter();
    return completion_setter<T>(of_);
  }
  bool is_set() const noexcept { return of_ != nullptr && of_->is_set(); }

  detail::completion_operation<T> join(std::source_location where = {}) const {
    return detail::completion_operation<T>(of_, where);
  }
  auto operator co_await() const { return join(); }

 private:
  detail::completion_state<T>* of_;
};

}  // namespace ringo
