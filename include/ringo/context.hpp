// context: cancellation, deadlines and values for a tree of routines (Go: package context).
// A routine runs under a context: the one that it was started with, or else its starter's. If that is cancelled, the
// routine's awaits throw `cancelled`: the one that it waits in, and each later one, before it tries anything.
#pragma once
#include <ringo/detail/cpp20.hpp>

#include <cstddef>
#include <exception>
#include <optional>
#include <source_location>
#include <utility>

#include <ringo/clock.hpp>
#include <ringo/detail/awaited.hpp>
#include <ringo/detail/context_core.hpp>
#include <ringo/detail/ended_case.hpp>
#include <ringo/detail/library.hpp>
#include <ringo/detail/mistakes.hpp>
#include <ringo/go.hpp>
#include <ringo/task.hpp>

namespace ringo {

namespace detail {
struct context_access;

template <class T>
class context_with_value final : public context_core {
 public:
  context_with_value(context_core* parent, T&& value)
      : context_core(parent, true, time_point::max(), key_of<T>()), value_(std::move(value)) {}

 private:
  const void* own_value() const noexcept override { return &value_; }
  T value_;
};
}  // namespace detail

/// A handle to a context; copies are the same context. When the last one is destroyed, the context and its timer are
/// freed, without a cancellation.
///
///   context request = context::with_timeout(5s);
///   go(request, serve, client);   // serve, and the routines that it starts, have five seconds
///
/// Thread: workers, or one thread while no runtime runs, to make a context and to wait for it; any to copy, destroy,
/// compare and ask, and to cancel it, which on a thread that is not a worker happens soon after the call.
class context {
 public:
  context() noexcept = default;  // the background
  context(const context& other) noexcept : core_(other.core_) {
    if (core_) core_->retain();
  }
  context(context&& other) noexcept : core_(std::exchange(other.core_, nullptr)) {}
  context& operator=(context other) noexcept {
    std::swap(core_, other.core_);
    return *this;
  }
  ~context() {
    if (core_) core_->release();
  }

  /// The background: never cancelled, without deadline and values (semantics 144).
  static context background() noexcept { return {}; }
  /// The running routine's context; outside of routines the background.
  static context current() noexcept;

  /// Children of a context. A child of a cancelled parent is cancelled, with the parent's cause (134). A later deadline
  /// than the parent's does not extend the parent's (135). A passed deadline cancels the child at once (136).
  static context with_cancel(const context& parent = current());
  static context with_timeout(const context& parent, delay length);
  static context with_timeout(delay length) { return with_timeout(current(), length); }
  static context with_deadline(const context& parent, time_point deadline);
  static context with_deadline(time_point deadline) { return with_deadline(current(), deadline); }
  /// A context that has only the parent's values (143).
  static context without_cancel(const context& parent);
  /// A child that is also cancelled when stop is requested. (Include <stop_token> to use this.)
  static context from(std::stop_token token, const context& parent = current());
  /// A child with a value, which value<T>() finds by its type; the nearest one counts (145).
  template <class T>
  context with_value(T value) const {
    detail::worker* w = detail::worker_or_unused("context::with_value");
    context child(new detail::context_with_value<T>(core_, std::move(value)));
    child.core_->join_tree(w, "context::with_value");
    return child;
  }
  template <class T>
  const T* value() const noexcept {
    return core_ ? static_cast<const T*>(core_->find(detail::key_of<std::remove_cv_t<T>>())) : nullptr;
  }

  /// Cancels the context and all its descendants, before it returns (131); the first cause stays (133). Does not wait
  /// for the routines under it. Throws: std::logic_error for the background.
  void cancel(std::exception_ptr cause = nullptr) const;
  bool is_cancelled() const noexcept { return core_ && core_->is_cancelled(); }
  /// Null while it is not cancelled. Without an explicit cause it is `cancelled`, or after a deadline `timed_out`.
  std::exception_ptr cause() const noexcept { return core_ ? core_->cause() : nullptr; }
  std::optional<time_point> deadline() const noexcept {
    if (!core_ || core_->deadline() == time_point::max()) return std::nullopt;
    return core_->deadline();
  }
  /// Waits until it is cancelled; for ever for the background. Throws: cancelled. Cancel safety: waiting changes
  /// nothing.
  detail::done_operation wait() const noexcept RINGO_LIFETIMEBOUND { return detail::done_operation(core_); }
  /// Runs f when the context is cancelled, or at once if it is, in a routine of its own under the background. f may
  /// return a task. Call the returned function to stop that: true if f will not run (142).
  template <class F>
  requires detail::callable_later<F>
  std::function<bool()> after_func(F&& f, std::source_location where = std::source_location::current()) const {
    detail::worker* w = detail::worker_or_unused("context::after_func");
    detail::routine& r = *detail::make_routine(std::forward<F>(f));
    r.started = where;
    return call_after(w, r);
  }
  template <class F>
  requires detail::mistaken_start<F> || detail::is_task<F>
  std::function<bool()> after_func(F&&) const {
    constexpr detail::start_of<F> the;
    static_assert(the.argument_is_copied_or_moved, RINGO_SAY_MOVE);
    constexpr bool is_called_without_arguments = !the.argument_is_copied_or_moved;
    static_assert(is_called_without_arguments, "after_func takes a function that is called without arguments");
    return {};
  }
  /// A token on which the cancelling thread requests stop, after the rest of the cancellation.
  std::stop_token stop_token() const;

  friend bool operator==(const context& a, const context& b) noexcept { return a.core_ == b.core_; }

 private:
  friend struct detail::context_access;
  friend context named(const std::string& name, context of);
  explicit context(detail::context_core* c) noexcept : core_(c) {}
  static context derive(const context& parent, bool follows, time_point deadline, const char* call);
  std::function<bool()> call_after(detail::worker* w, detail::routine& r) const;

  detail::context_core* core_ = nullptr;
};

/// Names a context, also by its other handles: snapshots, reports and debuggers show the name.
///
///   go(named("request 7", context::with_timeout(5s)), serve, client);
///
/// Throws: std::logic_error for the background; std::bad_alloc. Thread: any.
context named(const std::string& name, context of);

/// The running routine's context; outside of routines the background.
inline context current_context() noexcept { return context::current(); }

/// Its destructor cancels a context (Go: defer cancel()). Throws: std::logic_error for the background.
class cancel_guard {
 public:
  explicit cancel_guard(context c);
  cancel_guard(const cancel_guard&) = delete;
  cancel_guard& operator=(const cancel_guard&) = delete;
  ~cancel_guard() { of_.cancel(); }

 private:
  context of_;
};

namespace detail {

struct context_access {
  static context_core* core(const context& c) noexcept { return c.core_; }
  static context adopt(context_core* c) noexcept { return context(c); }
};

// A context, and the location of the call that names it.
struct under {
  under(const context& c, std::source_location at = std::source_location::current()) noexcept
      : core(context_access::core(c)), where(at) {}
  context_core* core;
  std::source_location where;
};

template <class F, class... A>
handle_for<F, A...> start_under(const under& u, F&& f, A&&... args) {
  auto* r = make_routine(std::forward<F>(f), std::forward<A>(args)...);
  handle<started<F, A...>> h = handle_access::make(r);
  try {
    worker& w = require_worker("go");
    if (u.core) u.core->enter(&w, "go");
    note_starter(*r);
    start_in(w, *r, u.core, u.where);
  } catch (...) {
    r->release();
    throw;
  }
  return h;
}

class end_by_context {
 public:
  explicit end_by_context(const context& c) noexcept : of_(c), done_(of_.wait()) {}
  done_operation& operation() noexcept { return done_; }
  const done_operation& operation() const noexcept { return done_; }
  [[noreturn]] static void raise() { throw_cancelled(); }

 private:
  context of_;
  done_operation done_;
};

class in_context {
 public:
  template <class A>
  using result = result_of<A>;

  explicit in_context(const context& c) noexcept : context_(c) {}
  template <class A>
  static task<result_of<A>> run(in_context how, stored<A> awaited, std::source_location where) {
    const entered_context in(context_access::core(how.context_));
    co_return co_await awaited_at<stored<A>>{static_cast<stored<A>&&>(awaited), where};
  }
  template <class A>
  bool ends_at_once(A& awaited, worker& w) const {
    return !context_.is_cancelled() && ends_at_first_look(awaited, w);
  }
  template <case_like C>
  auto as_case(C&& c) const {
    return ended_case<kept_case<C>, end_by_context>(keep(std::forward<C>(c)), end_by_context(context_));
  }

 private:
  context context_;
};

}  // namespace detail

/// go(context, f, args...), go(context, task): as go, under that context instead of the caller's.
template <class F, class... A>
requires detail::startable<F, A...>
auto go(const std::type_identity_t<detail::under>& c, F&& f, A&&... args) {
  return detail::start_under(c, std::forward<F>(f), std::forward<A>(args)...);
}

/// Awaits an operation or a task in the caller's place, under a context. Throws: cancelled; what the awaited throws. As
/// a case of a select, an operation stays a case, which also wins, and throws, when the context is cancelled; a task is
/// a plain task there.
template <class A>
auto with_context(const context& c, A&& awaited, std::source_location where = std::source_location::current()) {
  if constexpr (detail::awaited_later<A>) {
    using how = detail::in_context;
    return detail::combined<how, A>(how(c), std::forward<A>(awaited), where);
  } else {
    constexpr detail::await_of<A> the;
    static_assert(the.task_is_moved, RINGO_SAY_MOVE_TASK);
    static_assert(the.length_is_of_a_sleep, RINGO_SAY_SLEEP);
    static_assert(the.can_be_awaited, RINGO_SAY_AWAIT);
    return handle<detail::anything>();
  }
}

}  // namespace ringo

// Equal contexts have equal hashes.
template <>
struct std::hash<ringo::context> {
  std::size_t operator()(const ringo::context& c) const noexcept {
    return std::hash<ringo::detail::context_core*>()(ringo::detail::context_access::core(c));
  }
};
