// A task of another library: it starts when it is awaited, and its end resumes the coroutine that awaits it.
#pragma once

#include <coroutine>
#include <exception>
#include <utility>

class foreign_task {
 public:
  struct promise_type {
    std::coroutine_handle<> awaiting = std::noop_coroutine();
    std::exception_ptr error;
    foreign_task get_return_object() { return foreign_task(std::coroutine_handle<promise_type>::from_promise(*this)); }
    std::suspend_always initial_suspend() noexcept { return {}; }
    auto final_suspend() noexcept {
      struct back {
        bool await_ready() noexcept { return false; }
        std::coroutine_handle<> await_suspend(std::coroutine_handle<promise_type> of) noexcept {
          return of.promise().awaiting;
        }
        void await_resume() noexcept {}
      };
      return back{};
    }
    void return_void() {}
    void unhandled_exception() { error = std::current_exception(); }
  };
  explicit foreign_task(std::coroutine_handle<promise_type> of) : of_(of) {}
  foreign_task(foreign_task&& from) noexcept : of_(std::exchange(from.of_, nullptr)) {}
  ~foreign_task() {
    if (of_) of_.destroy();
  }
  bool await_ready() { return false; }
  std::coroutine_handle<> await_suspend(std::coroutine_handle<> awaiting) {
    of_.promise().awaiting = awaiting;
    return of_;
  }
  void await_resume() {
    if (of_.promise().error) std::rethrow_exception(of_.promise().error);
  }

 private:
  std::coroutine_handle<promise_type> of_;
};
