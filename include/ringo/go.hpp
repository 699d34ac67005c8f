// go: starts routines (Go spec: Go statements). handle: joins, cancels or detaches one.
#pragma once
#include <ringo/detail/cpp20.hpp>

#include <source_location>
#include <utility>

#include <ringo/detail/closure_guard.hpp>
#include <ringo/detail/foreign_threads.hpp>
#include <ringo/detail/handle_operation.hpp>
#include <ringo/detail/join.hpp>
#include <ringo/detail/mistakes.hpp>
#include <ringo/detail/started.hpp>
#include <ringo/detail/starting.hpp>
#include <ringo/task.hpp>

namespace ringo {

namespace detail {
struct handle_access;
}

/// Refers to a started routine; move-only. Dropping it detaches the routine: the routine goes on, and what it throws
/// then is unhandled (runtime_options::on_unhandled).
///
///   handle<int> h = go(count_words, path);
///   ...
///   int words = co_await h;
template <class T>
class handle {
 public:
  using result_type = T;
  handle() noexcept = default;
  handle(handle&& other) noexcept : of_(std::exchange(other.of_, nullptr)) {}
  handle& operator=(handle&& other) noexcept {
    handle(std::move(other)).swap(*this);
    return *this;
  }
  ~handle() {
    if (of_) of_->release();
  }
  void swap(handle& other) noexcept { std::swap(of_, other.of_); }
  explicit operator bool() const noexcept { return of_ != nullptr; }

  /// Waits for the routine's end, and yields its result or rethrows its exception; once. `co_await h` does the same.
  /// Throws: cancelled; std::logic_error when the result has been taken, for an empty handle, and in another runtime
  /// than the routine's while that one runs (there, call join_blocking() in blocking()).
  /// Cancel safety: a join that loses a select or is cancelled leaves the result to the handle. Thread: workers.
  detail::join_operation<T> join(std::source_location where = {}) const {
    return detail::join_operation<T>(of_, where);
  }
  auto operator co_await() const { return join(); }
  /// Waits for the routine's end, and leaves the result to join(). Throws: as join(), but nothing of the routine's.
  detail::finished_operation wait() const { return detail::finished_operation(of_); }
  /// join() for a thread that is no worker: blocks it. Throws the routine's exception, `cancelled` too.
  T join_blocking(std::source_location where = std::source_location::current()) {
    if (!of_) detail::throw_empty_handle("join_blocking");
    detail::block_until_ended(*of_, where);
    return detail::join_operation<T>(of_).take();
  }
  /// Ends the await in which the routine waits, and all its later awaits, with `cancelled`. Returns at once. What the
  /// routine has started is not cancelled. Thread: any; from a thread that is no worker of the routine's runtime it
  /// happens soon after.
  void cancel() const {
    if (of_) detail::cancel(*of_);
  }
  /// Whether the routine has ended. Thread: any.
  bool is_done() const noexcept { return of_ && of_->ended.load(std::memory_order_acquire); }

 private:
  explicit handle(detail::record<T>* r) noexcept : of_(r) {}
  friend struct detail::handle_access;

  detail::record<T>* of_ = nullptr;
};

namespace detail {

struct handle_access {
  template <class T>
  static handle<T> make(record<T>* r) noexcept {
    r->count.set(2);  // the handle's and the running routine's; no other thread knows it
    return handle<T>(r);
  }
};

template <class F, class... A>
using handle_for = closure_guarded<handle<started<F, A...>>, F, A...>;

template <class F, class... A>
handle_for<F, A...> start_here(std::source_location where, F&& f, A&&... args) {
  worker& w = require_worker("go");
  auto* r = make_routine(std::forward<F>(f), std::forward<A>(args)...);
  handle<started<F, A...>> h = handle_access::make(r);
  start(w, *r, where);
  return h;
}

}  // namespace detail

/// go(f, args...), go(task): starts a routine that runs f(args...) or the task. f and the arguments are copied or moved
/// into the routine, and live as long as it runs. f may return a task, an operation or a plain value; join() has its
/// result or its exception. The new routine runs when the caller next waits, or on another worker.
/// Throws: std::bad_alloc; what copying throws; std::logic_error on a thread that is no worker (there: runtime::go).
RINGO_STARTS(detail::startable, go, , detail::start_here)

/// Lets other routines run: the caller goes to the end of the run queue. Throws: cancelled.
inline detail::yield_operation yield() noexcept { return {}; }

}  // namespace ringo
