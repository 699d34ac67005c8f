// How a task awaits an awaiter that is not ringo's, such as another library's coroutine.
//
// The awaiter does not get the task's handle, but that of a small coroutine, the relay. Its resumption, by any thread
// or coroutine, completes a wait of the task's routine. So a task always runs in its own routine and on a worker.
//
// The routine waits once the awaiter's await_suspend has returned and the coroutine that this starts has suspended
// itself; until then it is the current routine, which no other worker resumes. A cancellation does not end the wait,
// since the awaiter may refer to the task's frame.
//
// An awaiter may also pass the handle on to an operation or a task of ringo's. Then the routine itself waits there, can
// be cancelled there, and comes back to the relay, which goes on with the task.
#pragma once
#include <atomic>
#include <coroutine>
#include <optional>
#include <source_location>
#include <type_traits>
#include <utility>

#include <ringo/detail/completion_core.hpp>
#include <ringo/detail/operation.hpp>
#include <ringo/detail/task_promise.hpp>

namespace ringo::detail {

class foreign_wait;

struct relay {
  struct promise_type : task_promise_base {
    static constexpr bool notes_where = false;
    relay get_return_object() noexcept { return {std::coroutine_handle<promise_type>::from_promise(*this)}; }
    template <class A>
    static A await_transform(A awaiter) noexcept {
      return awaiter;
    }
    void return_void() noexcept {}
    void unhandled_exception() noexcept {}
  };
  std::coroutine_handle<promise_type> coroutine;
};

// What all awaits of foreign awaiters have in common. It stays in the task's frame as long as the relay.
class foreign_wait {
 public:
  foreign_wait(const foreign_wait&) = delete;
  foreign_wait& operator=(const foreign_wait&) = delete;

  // In the relay, which is suspended: goes on with the task if its routine is the current one and comes back from a
  // wait of its own, else completes the wait. From then on the task may run, and this may be gone. Thread: any.
  std::coroutine_handle<> resumed() noexcept;

 protected:
  explicit foreign_wait(std::source_location where) noexcept : link_{nullptr, nullptr, where}, wait_(nullptr, where) {}
  ~foreign_wait() {
    if (link_.task) link_.task.destroy();
  }

  std::coroutine_handle<relay::promise_type> make_relay(std::coroutine_handle<> of, routine& in);  // throws bad_alloc

  template <class P>
  std::coroutine_handle<> wait(std::coroutine_handle<P> of) {
    shielded_.emplace();
    return wait_.await_ready() ? of : wait_.await_suspend(of);
  }
  void come_back() {
    if (!shielded_) return;
    wait_.await_resume();
    shielded_.reset();
  }

 private:
  awaited_task link_;  // its task is the relay
  routine* in_ = nullptr;
  std::atomic<bool> is_resumed_ = false;
  completion_operation<void> wait_;
  std::optional<cancellation_held_back> shielded_;  // while the routine waits for the relay
};

// Awaiter: a reference, or what an operator co_await returns.
template <class Awaiter>
class foreign_await : public foreign_wait {
 public:
  template <class Get>
  foreign_await(Get get, std::source_location where) : foreign_wait(where), awaiter_(get()) {}

  bool await_ready() { return static_cast<bool>(awaiter_.await_ready()); }
  template <class P>
  RINGO_AWAIT_SUSPEND std::coroutine_handle<> await_suspend(std::coroutine_handle<P> task) {
    worker& w = *current_worker();
    routine* const in = w.current;
    const auto handle = make_relay(task, *in);
    std::coroutine_handle<> next = std::noop_coroutine();
    using returned = decltype(awaiter_.await_suspend(handle));
    if constexpr (std::is_void_v<returned>) {
      awaiter_.await_suspend(handle);
    } else if constexpr (std::is_convertible_v<returned, std::coroutine_handle<>>) {
      next = awaiter_.await_suspend(handle);
    } else {
      if (!awaiter_.await_suspend(handle)) return transfer(task);
    }
    if (w.current != in) return next;  // it waits in an operation of ringo's; the frame may be gone
    if (next == handle) return transfer(task);
    next.resume();
    // The same, in a task of ringo's; or it has gone on since, and has ended.
    if (w.current != in || w.finished != nullptr) return std::noop_coroutine();
    return this->wait(task);
  }
  decltype(auto) await_resume() {
    this->come_back();
    return awaiter_.await_resume();
  }

 private:
  Awaiter awaiter_;  // destroyed before the relay, to which it may refer
};

// The awaiter of a type that has an operator co_await.
template <class A>
decltype(auto) awaiter_of(A&& awaited) {
  if constexpr (requires { std::forward<A>(awaited).operator co_await(); }) {
    return std::forward<A>(awaited).operator co_await();
  } else {
    return operator co_await(std::forward<A>(awaited));
  }
}

template <class A>
concept leads_to_own_awaiter = requires(A&& a) {
  { std::forward<A>(a).operator co_await() } -> own_awaiter;
} || requires(A&& a) {
  { operator co_await(std::forward<A>(a)) } -> own_awaiter;
};

template <class A>
decltype(auto) await_other(A&& awaited, std::source_location where) {
  if constexpr (leads_to_own_awaiter<A>) {
    return std::forward<A>(awaited);
  } else if constexpr (requires { awaited.await_ready(); }) {
    using reference = std::remove_reference_t<A>&;
    return foreign_await<reference>([&]() -> reference { return awaited; }, where);
  } else {
    using awaiter = decltype(awaiter_of(std::forward<A>(awaited)));
    return foreign_await<awaiter>([&]() -> awaiter { return awaiter_of(std::forward<A>(awaited)); }, where);
  }
}

}  // namespace ringo::detail
