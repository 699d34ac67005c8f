// task<T>: a coroutine that runs in the caller's place.
#pragma once
#include <ringo/detail/cpp20.hpp>

#include <concepts>
#include <coroutine>
#include <source_location>
#include <utility>

#include <ringo/detail/foreign_await.hpp>
#include <ringo/detail/task_promise.hpp>

namespace ringo {

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
    using case_tag = task;  // no case, but ringo's own (own_awaiter)
    explicit awaiter(task& t, std::source_location where = {})
        : link_{std::exchange(t.coroutine_, nullptr), nullptr, where} {
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
  friend awaiter await_in_place(task&& t, std::source_location where) { return awaiter(t, where); }

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
