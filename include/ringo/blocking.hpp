// blocking: calls a function that blocks, on a thread of a pool.
#pragma once
#include <ringo/detail/cpp20.hpp>

#include <exception>
#include <optional>
#include <source_location>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>

#include <ringo/detail/blocking_call.hpp>
#include <ringo/detail/closure_guard.hpp>
#include <ringo/detail/compilers.hpp>
#include <ringo/detail/library.hpp>
#include <ringo/detail/mistakes.hpp>
#include <ringo/detail/operation.hpp>
#include <ringo/detail/started.hpp>
#include <ringo/task.hpp>

namespace ringo {

namespace detail {

// The operation of blocking(); move-only. An operation that has lost a select may be awaited again: it then waits for
// the same call.
template <class R>
class RINGO_AWAITABLE blocking_operation : public operation<blocking_operation<R>, R> {
  using base = operation<blocking_operation, R>;

 public:
  static constexpr const char* call_name = "blocking";
  explicit blocking_operation(blocking_call_of<R>* call, std::source_location at = {}) noexcept : call_(call) {
    this->where = at;
  }
  blocking_operation(blocking_operation&& from) noexcept : base(from), call_(std::exchange(from.call_, nullptr)) {}
  blocking_operation& operator=(blocking_operation&& from) noexcept {
    std::swap(call_, from.call_);
    return *this;
  }
  ~blocking_operation() {
    if (this->current_state() != progress::idle) [[unlikely]]
      this->abandon(*this->blocked);
    if (call_ != nullptr) call_->release();
  }

  // Outside of a select, wakes a thread for the call as soon as the wait is open. In a select that must wait until the
  // locks are released.
  template <class P>
  RINGO_AWAIT_SUSPEND std::coroutine_handle<> await_suspend(std::coroutine_handle<P> coroutine) {
    worker& w = *current_worker();
    is_only_case_ = this->current_state() == progress::idle;  // else it does not wait
    const std::coroutine_handle<> goes_on = base::await_suspend(coroutine);
    staff_pool(w);  // the operation may be gone by now
    return goes_on;
  }

  void enter(worker* w) {
    if (call_ == nullptr || call_->taken) throw_empty_blocking_call();
    call_->enter(*w);
  }
  spin_lock* lock() noexcept { return &call_->lock; }
  bool ready(worker&) noexcept { return call_->delivered; }
  bool commit(worker&, bool, routine*&) noexcept {
    if (!call_->delivered) return false;
    this->set_state(progress::done);
    return true;
  }
  void link(worker& w, routine& r) noexcept {
    this->blocked = &r;
    this->set_state(progress::waiting);
    call_->add_waiter(*this, w, !std::exchange(is_only_case_, false));
  }
  bool unlink() noexcept {
    call_->remove_waiter(*this);
    if (!won(this->current_state())) this->set_state(progress::idle);
    return false;
  }
  void dispose() noexcept {}
  R take() {
    this->set_state(progress::idle);
    if (std::exchange(call_->taken, true)) throw_empty_blocking_call();
    result<R>& outcome = call_->outcome;
    if (outcome.has_error()) {
      // Moved out first: another thread may release the record while the handler reads the error.
      std::exception_ptr error = outcome.error();
      outcome.set_error(nullptr);
      std::rethrow_exception(std::move(error));
    }
    return outcome.take();
  }
  void append_to(wait_report& text) const { call_->append_to(text); }

 private:
  blocking_call_of<R>* call_;
  bool is_only_case_ = false;
};

template <class R, class F, class... A>
class blocking_call_with final : public blocking_call_of<R> {
  struct call {
    template <class G, class... B>
    explicit call(std::in_place_t, G&& g, B&&... b) : f(std::forward<G>(g)), args(std::forward<B>(b)...) {}
    F f;
    std::tuple<A...> args;
  };

 public:
  template <class G, class... B>
  explicit blocking_call_with(std::in_place_t, G&& f, B&&... args)
      : call_(std::in_place, std::in_place, std::forward<G>(f), std::forward<B>(args)...) {}

  void run() noexcept override {
    try {
      const auto invoke = [this](A&... args) -> decltype(auto) {
        return detail::invoke(std::move(call_->f), std::move(args)...);
      };
      if constexpr (std::is_void_v<R>) {
        std::apply(invoke, call_->args);
        this->outcome.set_value();
      } else {
        this->outcome.set_value(std::apply(invoke, call_->args));
      }
    } catch (...) {
      this->outcome.set_error(std::current_exception());
    }
    call_.reset();
  }

 private:
  std::optional<call> call_;
};

}  // namespace detail

/// Calls f(args...) on a thread of the runtime's pool, while the worker runs other routines, and yields a copy of its
/// result or rethrows its exception (semantics 164).
///
///   std::string page = co_await blocking(render, document);
///
/// f and the arguments are copied or moved at once; the call begins when it is awaited. The pool has at most
/// runtime_options::blocking_threads threads, which block all signals; a thread ends after
/// runtime_options::blocking_idle without a call. Without a free thread the call waits in a queue.
///
/// Throws, when awaited: cancelled; std::system_error if the pool has no thread and cannot start one; std::logic_error
/// on a thread that is not a worker, and if the result has been taken.
/// Cancel safety: a call that has not begun when it loses a select, or when its routine is cancelled, never runs. A
/// call that has begun cannot be stopped: it goes on without its caller, with the function and the arguments, and its
/// result is destroyed. So pass values, and no references to the caller's variables. An operation that has lost may be
/// awaited again. The runtime's end waits for the running calls, at most for runtime_options::shutdown_grace. Fairness:
/// first come, first served. Thread: workers. Simulations: the call is one step on the simulation's thread, at a time
/// that the seed chooses; it takes no virtual time.
template <class F, class... A>
requires detail::callable_later<F, A...>
auto blocking(F&& f, A&&... args) {
  using returned = std::invoke_result_t<std::decay_t<F>, std::decay_t<A>...>;
  using result = std::decay_t<returned>;
  constexpr bool is_plain_function = !detail::awaited_result<result>::awaited;
  static_assert(is_plain_function,
                "blocking() calls a plain function: what returns a task or an operation is awaited, or given to go()");
  if constexpr (is_plain_function) {
    return detail::closure_guarded<detail::blocking_operation<result>, F, A...>(
        new detail::blocking_call_with<result, std::decay_t<F>, std::decay_t<A>...>(std::in_place, std::forward<F>(f),
                                                                                    std::forward<A>(args)...));
  } else {
    return detail::blocking_operation<detail::anything>(nullptr);
  }
}

}  // namespace ringo
