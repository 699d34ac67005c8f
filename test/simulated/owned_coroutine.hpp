// A coroutine type that is not ringo's: it starts at once, and its owner destroys it, wherever it is suspended.
#pragma once

#include <coroutine>
#include <exception>
#include <utility>

class owned_coroutine {
 public:
  struct promise_type {
    owned_coroutine get_return_object() {
      return owned_coroutine(std::coroutine_handle<promise_type>::from_promise(*this));
    }
    std::suspend_never initial_suspend() noexcept { return {}; }
    std::suspend_always final_suspend() noexcept { return {}; }
    void return_void() {}
    void unhandled_exception() { std::terminate(); }
  };

  owned_coroutine() = default;
  owned_coroutine(owned_coroutine&& other) noexcept : coroutine_(std::exchange(other.coroutine_, nullptr)) {}
  owned_coroutine& operator=(owned_coroutine&& other) noexcept {
    std::swap(coroutine_, other.coroutine_);
    return *this;
  }
  ~owned_coroutine() { destroy(); }

  void destroy() {
    if (coroutine_) std::exchange(coroutine_, nullptr).destroy();
  }
  bool done() const { return coroutine_ && coroutine_.done(); }

 private:
  explicit owned_coroutine(std::coroutine_handle<promise_type> coroutine) : coroutine_(coroutine) {}

  std::coroutine_handle<promise_type> coroutine_;
};
