// worker_pool: runs jobs, so many at a time, and pushes back when it has enough.
#pragma once
#include <ringo/detail/cpp20.hpp>

#include <chrono>
#include <cstddef>
#include <memory>
#include <source_location>
#include <type_traits>
#include <utility>

#include <ringo/clock.hpp>
#include <ringo/detail/mistakes.hpp>
#include <ringo/detail/overloads.hpp>
#include <ringo/detail/pool_job.hpp>

namespace ringo {

struct pool_options {
  std::size_t min = 1, max = 1;             // of the workers
  std::size_t queue = 0;                    // of the jobs that are accepted before a worker is free; 0: none
  duration idle = std::chrono::seconds(1);  // after which a worker beyond min ends
};
static_assert(std::is_trivially_destructible_v<pool_options>);

// A worker is a place for one running job. There are `min` of them from the start, more, up to `max`, while jobs find
// none free, and fewer again, down to `min`, when they have been idle for so long; which costs nothing in between, as
// each job runs in a routine of its own. They run under a child of the context that was current when the pool was made
// (outside of a routine: of the background): when that is cancelled, so is the pool.
//
// Thread: workers, or one thread while no runtime runs; to destroy it and to cancel() it, any, and from a thread that
// is no worker it has happened soon after.
class worker_pool : private detail::mistaken_starts {
 public:
  using mistaken_starts::submit;

  explicit worker_pool(pool_options = {});  // std::invalid_argument if max is 0, or less than min
  worker_pool(const worker_pool&) = delete;
  worker_pool& operator=(const worker_pool&) = delete;
  ~worker_pool() {  // waits for nobody: the jobs end by themselves
    cancel();
    core_.reset();
    detail::keep_mark(core_);
  }

  // Has f(args...) run as a job, and yields its handle: when a worker or a place in the queue is free. f and the
  // arguments are copied or moved into the job at once; f may return a task, an operation or a plain value. What it
  // throws reaches join(); of a dropped handle it is unhandled, as with go.
  // Throws: channel_closed after drain() or cancel(), also when they come while it waits; cancelled. Cancel safety: a
  // job whose submission loses or is cancelled never runs; an operation that you keep can be awaited again.
  // Fairness: first come, first served. Thread: workers.
  template <class T>
  detail::submit_operation<T> submit(task<T>&& t, std::source_location where = std::source_location::current()) {
    return submitted<detail::submit_operation<T>, T>(*detail::make_routine_of<detail::pool_record>(std::move(t)),
                                                     where);
  }
#define RINGO_OVERLOAD(N)                                                                           \
  template <RINGO_CLASSES_##N>                                                                      \
  requires detail::startable<RINGO_TYPES_##N>                                                       \
  auto submit(RINGO_PARAMETERS_##N, std::source_location where = std::source_location::current()) { \
    return submit_at(where, RINGO_FORWARDED_##N);                                                   \
  }
  RINGO_OVERLOADS(RINGO_OVERLOAD)
#undef RINGO_OVERLOAD
  template <RINGO_CLASSES_6, class A7, class... More>
  requires detail::startable<RINGO_TYPES_6, A7, More...>
  auto submit(RINGO_PARAMETERS_6, A7&& a7, More&&... more) {
    return submit_at({}, RINGO_FORWARDED_6, std::forward<A7>(a7), std::forward<More>(more)...);
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
    if (core_ == nullptr) [[unlikely]] {
      delete &job;
      detail::throw_used_after_end("worker_pool::submit");
    }
    job.pool = core_;
    return Operation(core_, job, where);
  }
  template <class F, class... A>
  auto submit_at(std::source_location where, F&& f, A&&... args) {
    using result = detail::started<F, A...>;
    return submitted<detail::submit_operation_for<result, F, A...>, result>(
        *detail::make_routine<detail::pool_record>(std::forward<F>(f), std::forward<A>(args)...), where);
  }

  detail::pool_core& core(const char* call) const {
    if (core_ == nullptr) [[unlikely]]
      detail::throw_used_after_end(call);
    return *core_;
  }

  std::shared_ptr<detail::pool_core> core_;
};

}  // namespace ringo
