// The promise of tasks, what a task comes to, and how one coroutine goes on with another.
#pragma once
#include <concepts>
#include <coroutine>
#include <cstddef>
#include <exception>
#include <new>
#include <source_location>
#include <type_traits>
#include <utility>

#include <ringo/detail/frame.hpp>
#include <ringo/detail/operation.hpp>
#include <ringo/detail/pointers.hpp>

namespace ringo {

template <class T = void>
class task;
template <class T = void>
class handle;

namespace detail {

template <class A>
inline constexpr bool is_handle = false;
template <class T>
inline constexpr bool is_handle<handle<T>> = true;

// The error of a coroutine that ended without co_return: std::logic_error, which names its routine.
std::exception_ptr no_value(const std::source_location& started) noexcept;
[[noreturn]] void throw_no_value();  // in the current routine
[[noreturn]] void throw_empty_task();

// A value with storage outside of the frame.
template <class T>
class apart {
 public:
  template <class U>
  requires(!std::is_same_v<std::remove_cvref_t<U>, apart>)
  explicit apart(U&& value) : value_(new T(std::forward<U>(value))) {}
  T& operator*() noexcept { return *value_; }

 private:
  owned<T> value_;
};

// The result of a coroutine: none yet, a value or an exception.
template <class T>
class result {
 public:
  result() noexcept {}
  result(const result&) = delete;
  result& operator=(const result&) = delete;
  ~result() { clear(); }

  template <class U>
  void set_value(U&& value) {
    ::new (static_cast<void*>(&value_)) stored(static_cast<stored>(as_stored(std::forward<U>(value))));
    kind_ = kind::value;
  }
  void set_error(std::exception_ptr error) noexcept {
    clear();
    ::new (static_cast<void*>(&error_)) std::exception_ptr(std::move(error));
    kind_ = kind::error;
  }
  bool has_error() const noexcept { return kind_ == kind::error; }
  std::exception_ptr error() const noexcept { return has_error() ? error_ : nullptr; }

  // Takes the result of a coroutine that has ended, in a routine that was started at `started`.
  void take_over(result& from, const std::source_location& started) noexcept {
    if (from.kind_ == kind::error) return set_error(std::move(from.error_));
    if (from.kind_ == kind::nothing) return set_error(no_value(started));
    try {
      set_value(std::move(from.value_));
    } catch (...) {
      set_error(std::current_exception());
    }
  }

  T take() {
    if (kind_ != kind::value) [[unlikely]]
      throw_otherwise();
    if constexpr (std::is_reference_v<T> || is_apart) {
      return static_cast<T&&>(*value_);
    } else {
      return std::move(value_);
    }
  }

 private:
  // Frames do not guarantee a larger alignment, and it would move the promise within the frame (innermost_of).
  static constexpr bool is_apart = !std::is_reference_v<T> && alignof(T) > alignof(std::max_align_t);
  using stored = std::conditional_t<std::is_reference_v<T>, std::remove_reference_t<T>*,
                                    std::conditional_t<is_apart, apart<T>, std::remove_const_t<T>>>;
  enum class kind : unsigned char { nothing, value, error };

  template <class U>
  static decltype(auto) as_stored(U&& value) {
    if constexpr (std::is_reference_v<T> && !std::is_same_v<std::remove_cvref_t<U>, stored>) {
      return std::addressof(value);
    } else {
      return std::forward<U>(value);
    }
  }
  [[noreturn, gnu::cold, gnu::noinline]] void throw_otherwise() {
    if (kind_ == kind::error) std::rethrow_exception(error_);
    throw_no_value();
  }
  void clear() noexcept {
    if (kind_ == kind::value) value_.~stored();
    if (kind_ == kind::error) error_.~exception_ptr();
    kind_ = kind::nothing;
  }

  union {
    stored value_;
    std::exception_ptr error_;
  };
  kind kind_ = kind::nothing;
};

template <>
class result<void> {
 public:
  void set_value() noexcept {}
  void set_error(std::exception_ptr error) noexcept { error_ = std::move(error); }
  bool has_error() const noexcept { return error_ != nullptr; }
  std::exception_ptr error() const noexcept { return error_; }
  void take_over(result& from, const std::source_location&) noexcept { error_ = std::move(from.error_); }
  void take() {
    if (error_) [[unlikely]]
      std::rethrow_exception(error_);
  }

 private:
  std::exception_ptr error_;
};

// Goes on with `next` in the current routine: at once while the routine's budget lasts, else from the end of the run
// queue. The budget also bounds the depth of the stack, if the compiler does not turn a transfer into a jump (g++
// without optimisation, sanitizers).
inline std::coroutine_handle<> transfer(std::coroutine_handle<> next) noexcept {
  worker* w = current_worker();
  if (w == nullptr || w->spend() || w->turn_lasts()) [[likely]]
    return next;
  go_on_later(*w, next);
  return std::noop_coroutine();
}

// An awaited task, in the frame of the coroutine that awaits it.
struct awaited_task {
  std::coroutine_handle<> task;      // null: its frame is gone
  std::coroutine_handle<> awaiting;  // resumes when the task has ended
  std::source_location where;        // of the await, for reports; no line in a foreign coroutine
};

class task_promise_base : public routine_promise {
 public:
  static void* operator new(std::size_t size) { return allocate_frame(size); }
  static void operator delete(void* frame, std::size_t size) noexcept { free_frame(frame, size); }

  std::suspend_always initial_suspend() noexcept { return {}; }
  auto final_suspend() noexcept { return at_end(); }

  awaited_task* awaited_by = nullptr;  // null: it is the routine's first task

 private:
  struct at_end {  // empty, since a member would be in the frame
    bool await_ready() noexcept { return false; }
    template <class P>
    std::coroutine_handle<> await_suspend(std::coroutine_handle<P> ended) noexcept {
      if (const awaited_task* by = ended.promise().awaited_by) return transfer(by->awaiting);
      // The routine's first task: its worker destroys the frame later, in its loop, when no function of the frame is on
      // the stack.
      worker* w = current_worker();
      w->finished = w->current;
      return std::noop_coroutine();
    }
    void await_resume() noexcept {}
  };
};

// The base is at the same place in all promises of tasks, since none has a larger alignment (see `result`).
inline task_promise_base& promise_of(std::coroutine_handle<> task) noexcept {
  return std::coroutine_handle<task_promise_base>::from_address(task.address()).promise();
}

// Destroys a suspended task's frame, and the frames of the tasks that it awaits, from the innermost outwards: each
// frame owns the next, and there may be so many that recursion would overflow the stack. innermost: the coroutine that
// is suspended at an await of ringo's; null if that is not known.
void destroy_frames(std::coroutine_handle<> task, std::coroutine_handle<> innermost) noexcept;

template <class T>
class task_promise : public task_promise_base {
 public:
  task<T> get_return_object() noexcept;
  template <class U = T>
  void return_value(U&& value) {
    constexpr bool is_converted = std::convertible_to<U&&, T>;
    static_assert(
        is_converted,
        "what co_return has is not converted to the task's result; what cannot be copied is given away: write "
        "co_return std::move(x)");
    if constexpr (is_converted) outcome.set_value(std::forward<U>(value));
  }
  void unhandled_exception() noexcept { outcome.set_error(std::current_exception()); }

  result<T> outcome;
};

template <>
class task_promise<void> : public task_promise_base {
 public:
  task<void> get_return_object() noexcept;
  void return_void() noexcept {}
  void unhandled_exception() noexcept { outcome.set_error(std::current_exception()); }

  result<void> outcome;
};

struct task_access {
  template <class T>
  static auto coroutine(const task<T>& t) noexcept {
    return t.coroutine_;
  }
  template <class T>
  static auto release(task<T>& t) noexcept {
    return std::exchange(t.coroutine_, nullptr);
  }
  template <class T>
  RINGO_RETURNS_TASK static task<T> none() noexcept {
    return task<T>(nullptr);
  }
};

}  // namespace detail
}  // namespace ringo
