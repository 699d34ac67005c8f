// task<T>: a coroutine that runs in the caller's place.
#pragma once
#include <ringo/detail/cpp20.hpp>

#include <concepts>
#include <coroutine>
#include <cstddef>
#include <exception>
#include <memory>
#include <new>
#include <source_location>
#include <stdexcept>
#include <type_traits>
#include <utility>

#include <ringo/detail/frame.hpp>
#include <ringo/detail/operation.hpp>

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

struct task_access;

// The error of a coroutine that ended without co_return: std::logic_error, which names its routine.
std::exception_ptr no_value(const std::source_location& started) noexcept;
[[noreturn]] void throw_no_value();  // in the current routine
[[noreturn]] void throw_empty_task();

// A value with storage outside of the frame.
template <class T>
class apart {
 public:
  template <class U>
  explicit apart(U&& value) : value_(new T(std::forward<U>(value))) {}
  T& operator*() noexcept { return *value_; }

 private:
  std::unique_ptr<T> value_;
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
    if constexpr (std::is_same_v<std::remove_cvref_t<U>, stored>) {
      return std::forward<U>(value);
    } else if constexpr (std::is_reference_v<T>) {
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

}  // namespace detail

/// A coroutine that has not started. It starts when it is awaited, in the caller's place, or when go() makes a routine
/// of it.
///
///   task<int> twice(int n) { co_return 2 * n; }
///   int four = co_await twice(2);
///
/// Any number of nested or successive awaits take a bounded amount of stack. Move-only. Thread: workers.
template <class T>
class [[nodiscard("a task does nothing until it is awaited or given to go()")]] RINGO_COROUTINE task {
 public:
  struct promise_type : detail::task_promise<T> {};
  using result_type = T;

  task(task&& other) noexcept : coroutine_(std::exchange(other.coroutine_, nullptr)) {}
  task& operator=(task&& other) noexcept {
    task(std::move(other)).swap(*this);
    return *this;
  }
  ~task() {
    if (coroutine_) coroutine_.destroy();
  }
  void swap(task& other) noexcept { std::swap(coroutine_, other.coroutine_); }

  /// Runs the task in the caller's place: yields its result, or throws its exception. Its frame is gone at the end of
  /// the expression. Throws: std::logic_error if the task is empty: moved from, or awaited before.
  auto operator co_await() && { return foreign_awaiter(*this); }
  auto operator co_await() & = delete;  // an await consumes the task: write co_await std::move(t)

 private:
  // The awaiter in a task.
  class awaiter {
   public:
    explicit awaiter(task& t) : link_{std::exchange(t.coroutine_, nullptr), nullptr} {
      if (!link_.task) [[unlikely]] {
        task refused = refusal();
        link_.task = std::exchange(refused.coroutine_, nullptr);
      }
    }
    awaiter(const awaiter&) = delete;
    awaiter& operator=(const awaiter&) = delete;
    ~awaiter() {
      if (link_.task) link_.task.destroy();
    }

    bool await_ready() noexcept { return false; }
    std::coroutine_handle<> await_suspend(std::coroutine_handle<> awaiting) {
      awaited_from(awaiting);
      return detail::transfer(link_.task);
    }
    T await_resume() { return promise().outcome.take(); }

   protected:
    promise_type& promise() noexcept {
      return std::coroutine_handle<promise_type>::from_address(link_.task.address()).promise();
    }
    void awaited_from(std::coroutine_handle<> awaiting) noexcept {
      link_.awaiting = awaiting;
      promise().awaited_by = &link_;
    }
    detail::awaited_task link_;
  };
  // The awaiter in a foreign coroutine.
  class foreign_awaiter : public awaiter {
   public:
    using awaiter::awaiter;
    ~foreign_awaiter() {
      if (station_ == nullptr) return;
      const auto of = std::exchange(this->link_.task, nullptr);
      detail::destroy_frames(of, of.done() ? nullptr : station_->resume_at);
      detail::leave_station(*station_);
    }
    template <class P>
    std::coroutine_handle<> await_suspend(std::coroutine_handle<P> awaiting) {
      if constexpr (!std::derived_from<P, detail::routine_promise>) {
        this->awaited_from(awaiting);
        station_ = detail::make_station();
        detail::run_at_station(*station_, this->link_.task);
        return std::noop_coroutine();
      } else {
        return awaiter::await_suspend(awaiting);
      }
    }

   private:
    detail::foreign_record* station_ = nullptr;  // the task's station
  };
  friend awaiter await_in_place(task&& t) { return awaiter(t); }

  // Awaited in place of an empty task, so that this counts as an await.
  [[gnu::cold, gnu::noinline]] static task refusal() {
    detail::throw_empty_task();
    co_await std::suspend_never();
  }
  explicit task(std::coroutine_handle<promise_type> coroutine) noexcept : coroutine_(coroutine) {}
  friend class detail::task_promise<T>;
  friend struct detail::task_access;

  std::coroutine_handle<promise_type> coroutine_;
};

namespace detail {

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

template <class T>
task<T> task_promise<T>::get_return_object() noexcept {
  using promise = typename task<T>::promise_type;
  return task<T>(std::coroutine_handle<promise>::from_promise(static_cast<promise&>(*this)));
}
inline task<void> task_promise<void>::get_return_object() noexcept {
  using promise = task<void>::promise_type;
  return task<void>(std::coroutine_handle<promise>::from_promise(static_cast<promise&>(*this)));
}

}  // namespace detail
}  // namespace ringo
