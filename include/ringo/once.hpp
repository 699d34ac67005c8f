// once: runs a function once (Go: sync.Once).
#pragma once
#include <ringo/detail/cpp20.hpp>

#include <atomic>
#include <source_location>
#include <type_traits>
#include <utility>

#include <ringo/detail/awaited.hpp>
#include <ringo/detail/compilers.hpp>
#include <ringo/detail/library.hpp>
#include <ringo/detail/mistakes.hpp>
#include <ringo/detail/started.hpp>
#include <ringo/errors.hpp>
#include <ringo/mutex.hpp>
#include <ringo/task.hpp>

namespace ringo {

namespace detail {

// The operation of once::call().
class RINGO_AWAITABLE once_call final : public deferred<once_call, void> {
 public:
  once_call() noexcept = default;  // it is done
  explicit once_call(task<>&& runs_or_waits) noexcept : is_done_(false), task_(std::move(runs_or_waits)) {}

  bool ends_at_once(worker& w) const noexcept { return is_done_ && w.spend(); }
  void take() const noexcept {}
  // So that go() and the like start it.
  RINGO_RETURNS_TASK task<> operator()() { return make({}); }

 private:
  friend class deferred<once_call, void>;
  RINGO_RETURNS_TASK task<> make(std::source_location) { return is_done_ ? return_at_once() : std::move(task_); }
  static task<> return_at_once() {
    throw_if_cancelled("once::call");
    co_return;
  }

  bool is_done_ = true;
  task<> task_ = task_access::none<void>();
};

}  // namespace detail

/// The first caller runs its function; the others wait until it has ended.
///
///   once opened;
///   co_await opened.call([&]() -> task<> { co_await open_log(); });
///
/// If it is destroyed, the callers that wait end with `cancelled`, and the call that runs goes on. Thread: workers, or
/// one thread while no runtime runs; is_done() any.
class once {
 public:
  once() = default;
  once(const once&) = delete;
  once& operator=(const once&) = delete;
  ~once() {  // a later caller comes to the mutex, which says that it has been destroyed
    done_.store(false, std::memory_order_relaxed);
    detail::keep_mark(done_);
  }

  /// Runs f(), or the task f, and awaits the task or operation that f() returns. Callers that come meanwhile wait until
  /// it has ended, and later calls do not suspend (semantics 118). A function that throws has run, and only its caller
  /// gets the exception (119). One that ends with `cancelled`, or whose caller is destroyed, has not run, and the next
  /// caller runs its own. Throws: what the function throws; cancelled. Fairness: as mutex.
  template <class F>
  detail::once_call call(F&& f, std::source_location where = std::source_location::current()) {
    static_assert(!RINGO_DESTROYS_AGGREGATES_TWICE || !detail::risky_closure<F>, RINGO_SAY_NAME_LAMBDA);
    constexpr detail::start_of<F> the;
    static_assert(the.task_is_moved, RINGO_SAY_MOVE_TASK);
    static_assert(the.argument_is_copied_or_moved, RINGO_SAY_MOVE);
    static_assert(the.reference_is_wrapped && the.function_and_arguments_match,
                  "once calls a function without arguments, or awaits a task");
    if (is_done()) return {};  // without a copy of f
    if constexpr (the.works) return detail::once_call(run<std::decay_t<F>>(std::forward<F>(f), where));
    __builtin_unreachable();
  }
  bool is_done() const noexcept { return done_.load(std::memory_order_acquire); }

 private:
  template <class F>
  task<> run(F f, std::source_location where) {
    detail::throw_if_cancelled("once::call");
    if (is_done()) co_return;
    const mutex::guard turn = co_await detail::in_name_of(where, running_.lock());
    if (is_done()) co_return;
    try {
      if constexpr (detail::is_task<F>) {
        co_await std::move(f);
      } else if constexpr (detail::awaited_result<std::invoke_result_t<F>>::awaited) {
        co_await detail::in_name_of(where, std::move(f)());
      } else {
        (void)detail::invoke(std::move(f));
      }
    } catch (const cancelled&) {
      throw;
    } catch (...) {
      if (turn) note_done();
      throw;
    }
    if (turn) note_done();
  }
  // The caller's guard holds the lock, unless the object has been destroyed in the meantime.
  void note_done() noexcept { done_.store(true, std::memory_order_release); }  // is_done() sees what the function did

  mutex running_;
  std::atomic<bool> done_ = false;
};

}  // namespace ringo
