// worker_pool: runs jobs, so many at a time, and pushes back when it has enough.
#pragma once
#include <chrono>
#include <concepts>
#include <cstddef>
#include <memory>
#include <source_location>
#include <string>
#include <type_traits>
#include <utility>

#include <ringo/clock.hpp>
#include <ringo/detail/operation.hpp>
#include <ringo/go.hpp>

namespace ringo {

struct pool_options {
  std::size_t min = 1, max = 1;             // of the workers
  std::size_t queue = 0;                    // of the jobs that are accepted before a worker is free; 0: none
  duration idle = std::chrono::seconds(1);  // after which a worker beyond min ends
};
static_assert(std::is_trivially_destructible_v<pool_options>);

namespace detail {

class pool_core;

// A job's routine, which ends in its pool.
template <class T>
struct pool_record : record<T> {
  void at_end(worker& w) noexcept override;

  std::shared_ptr<pool_core> pool;
};
void job_has_ended(pool_core& pool, worker& w) noexcept;

template <class T>
void pool_record<T>::at_end(worker& w) noexcept {
  job_has_ended(*pool, w);
}

// What submit waits for, whatever the job yields.
class submission : public queued_operation<submission, void> {
 public:
  static constexpr const char* call_name = "submit";
  submission(std::shared_ptr<pool_core> pool, routine& job, std::source_location from) noexcept;
  submission(submission&& from) noexcept;
  submission& operator=(submission&& from) noexcept;
  ~submission();

  void enter(worker* w);
  spin_lock* lock() noexcept;
  wait_queue& queue() noexcept;
  bool ready(worker&) noexcept;
  bool commit(worker& w, bool, routine*&);
  void take();
  void discard() noexcept;
  void tell(std::string& text) const;

 private:
  friend class pool_core;
  void begin() noexcept;

  std::shared_ptr<pool_core> pool_;
  routine* job_;         // until it is the pool's
  bool begins_ = false;  // there was a worker for it at once
};

// The awaitable of submit; move-only.
template <class R>
class RINGO_AWAITABLE submit_operation : public submission {
 public:
  using result_type = handle<R>;
  submit_operation(std::shared_ptr<pool_core> pool, pool_record<R>& job, std::source_location from) noexcept
      : submission(std::move(pool), job, from), handle_(handle_access::make(&job)) {}
  submit_operation(submit_operation&&) noexcept = default;
  submit_operation& operator=(submit_operation&&) noexcept = default;

  handle<R> await_resume() {
    submission::await_resume();
    return std::move(handle_);
  }
  handle<R> take() {
    submission::take();
    return std::move(handle_);
  }

 private:
  handle<R> handle_;
};

// g++ 12 would destroy the closure in co_await pool.submit([s] { … }) twice; an operation that was made from one may
// not be awaited in the same expression.
template <class R>
class RINGO_AWAITABLE submit_operation_of_closure : public submit_operation<R> {
 public:
  using submit_operation<R>::submit_operation;
  by_reference<submit_operation<R>> join(std::source_location at = {}) & {
    this->where = at;
    return by_reference<submit_operation<R>>(*this);
  }
  submit_operation<R>& as_case() & { return *this; }
  template <class U = R>
  by_reference<submit_operation<R>> join(std::source_location = {}) && {
    return by_reference<submit_operation<R>>(refuse<U>());
  }
  template <class U = R>
  submit_operation<R>& as_case() && {
    return refuse<U>();
  }

 private:
  template <class U>
  submit_operation<R>& refuse() {
    static_assert(!std::is_same_v<U, R>,
                  "g++ 12 destroys the captures of a lambda written inside a co_await expression twice: name the "
                  "lambda, or the submission, first: auto job = pool.submit(...); auto h = co_await job;");
    return *this;
  }
};

template <class R, class... F>
using submit_operation_for = std::conditional_t<RINGO_DESTROYS_AGGREGATES_TWICE && (risky_closure<F> || ...),
                                                submit_operation_of_closure<R>, submit_operation<R>>;

// The awaitable of drain. Throws: cancelled. Cancel safety: waiting changes nothing.
class RINGO_AWAITABLE drain_operation final : public queued_operation<drain_operation, void> {
 public:
  static constexpr const char* call_name = "drain";
  explicit drain_operation(std::shared_ptr<pool_core> pool) noexcept : pool_(std::move(pool)) {}
  drain_operation(drain_operation&&) noexcept = default;
  drain_operation& operator=(drain_operation&&) noexcept = default;
  ~drain_operation();

  void enter(worker* w);
  spin_lock* lock() noexcept;
  wait_queue& queue() noexcept;
  bool ready(worker&) noexcept;
  bool commit(worker& w, bool, routine*&) noexcept;
  void take() noexcept { stand(progress::idle); }
  void tell(std::string& text) const;

 private:
  std::shared_ptr<pool_core> pool_;
};

}  // namespace detail

// A worker is a place for one running job. There are `min` of them from the start, more, up to `max`, while jobs find
// none free, and fewer again, down to `min`, when they have been idle for so long; which costs nothing in between, as
// each job runs in a routine of its own. They run under a child of the context that was current when the pool was made
// (outside of a routine: of the background): when that is cancelled, so is the pool.
//
// Thread: workers, or one thread while no runtime runs; to destroy it and to cancel() it, any, and from a thread that
// is no worker it has happened soon after.
class worker_pool {
 public:
  explicit worker_pool(pool_options = {});  // std::invalid_argument if max is 0, or less than min
  worker_pool(const worker_pool&) = delete;
  worker_pool& operator=(const worker_pool&) = delete;
  ~worker_pool() { cancel(); }  // waits for nobody: the jobs end by themselves

  // Has f(args...) run as a job, and yields its handle: when a worker or a place in the queue is free. f and the
  // arguments are copied or moved into the job at once; f may return a task, an operation or a plain value. What it
  // throws reaches join(); of a dropped handle it is unhandled, as with go.
  // Throws: channel_closed after drain() or cancel(), also when they come while it waits; cancelled. Cancel safety: a
  // job whose submission loses or is cancelled never runs; an operation that you keep can be awaited again.
  // Fairness: first come, first served. Thread: workers.
  template <class T>
  detail::submit_operation<T> submit(task<T> t, std::source_location where = std::source_location::current()) {
    return submitted<detail::submit_operation<T>, T>(*detail::make_routine_of<detail::pool_record>(std::move(t)),
                                                     where);
  }
  template <class F>
  requires detail::startable<F>
  auto submit(F&& f, std::source_location where = std::source_location::current()) {
    return submit_at(where, std::forward<F>(f));
  }
  template <class F, class A>
  requires detail::startable<F, A>
  auto submit(F&& f, A&& a, std::source_location where = std::source_location::current()) {
    return submit_at(where, std::forward<F>(f), std::forward<A>(a));
  }
  template <class F, class A, class B>
  requires detail::startable<F, A, B>
  auto submit(F&& f, A&& a, B&& b, std::source_location where = std::source_location::current()) {
    return submit_at(where, std::forward<F>(f), std::forward<A>(a), std::forward<B>(b));
  }
  template <class F, class A, class B, class C, class... More>
  requires detail::startable<F, A, B, C, More...>
  auto submit(F&& f, A&& a, B&& b, C&& c, More&&... more) {
    return submit_at({}, std::forward<F>(f), std::forward<A>(a), std::forward<B>(b), std::forward<C>(c),
                     std::forward<More>(more)...);
  }

  // From the call on there are no more jobs; what it yields waits for those that were accepted.
  detail::drain_operation drain();
  // There are no more jobs, those that run are cancelled, and those in the queue never run: their handles end with
  // `cancelled`.
  void cancel();

  std::size_t workers() const;  // busy and idle; only the busy ones after drain() or cancel()
  std::size_t queued() const;   // jobs that are accepted and wait for a worker

 private:
  template <class Operation, class R>
  Operation submitted(detail::pool_record<R>& job, std::source_location where) {
    job.pool = core_;
    return Operation(core_, job, where);
  }
  template <class F, class... A>
  auto submit_at(std::source_location where, F&& f, A&&... args) {
    using result = detail::started<F, A...>;
    return submitted<detail::submit_operation_for<result, F, A...>, result>(
        *detail::make_routine<detail::pool_record>(std::forward<F>(f), std::forward<A>(args)...), where);
  }

  std::shared_ptr<detail::pool_core> core_;
};

}  // namespace ringo
