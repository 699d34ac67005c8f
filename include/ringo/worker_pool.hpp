// worker_pool: runs jobs, so many at a time, and pushes back when it has enough.
#pragma once
#include <ringo/detail/cpp20.hpp>

#include <cstddef>
#include <source_location>
#include <type_traits>
#include <utility>

#include <ringo/clock.hpp>
#include <ringo/detail/library.hpp>
#include <ringo/detail/mistakes.hpp>
#include <ringo/detail/object_name.hpp>
#include <ringo/detail/pool_job.hpp>
#include <ringo/detail/starting.hpp>
#include <ringo/task.hpp>

namespace ringo {

struct pool_options {
  std::size_t min = 1, max = 1;             ///< how many workers
  std::size_t queue_capacity = 0;           ///< how many jobs may wait for a worker
  duration idle = std::chrono::seconds(1);  ///< a worker beyond min ends when it has been idle for so long
};
static_assert(std::is_trivially_destructible_v<pool_options>);

/// Runs jobs, a limited number at a time, and makes their submitters wait when it has enough.
///
///   worker_pool pool({.max = 4, .queue_capacity = 16});
///   for (auto& file : files) co_await pool.submit(convert, file);
///   co_await pool.drain();
///
/// A worker is a place for one running job, not a thread or a routine: each job runs in a routine of its own. There are
/// `min` workers from the start, more, up to `max`, while jobs find none free, and fewer again when they have been
/// idle. Jobs run under a child of the context that was current when the pool was made (outside of a routine: of the
/// background); when that is cancelled, so is the pool.
///
/// Thread: workers, or one thread while no runtime runs. The destructor and cancel(): any; from a thread that is no
/// worker they take effect soon after.
class worker_pool : private detail::mistaken_starts {
 public:
  using mistaken_starts::submit;

  explicit worker_pool(pool_options = {});  ///< Throws: std::invalid_argument if max is 0, or less than min
  explicit worker_pool(const detail::object_name& name, pool_options = {});
  worker_pool(const worker_pool&) = delete;
  worker_pool& operator=(const worker_pool&) = delete;
  ~worker_pool() {  ///< cancel(); does not wait for the jobs
    cancel();
    core_ = {};
    detail::keep_mark(core_);
  }

  /// submit(f, args...), submit(task): waits for a worker or a place in the queue, and yields the handle of the job. f
  /// and the arguments are copied or moved into the job at once; f may return a task, an operation or a plain value.
  /// join() has the job's result or exception; the exception of a dropped handle is unhandled, as with go.
  /// Throws: channel_closed after drain() or cancel(), also when they come while it waits; cancelled.
  /// Cancel safety: a job whose submission loses or is cancelled never runs; an operation that you keep can be awaited
  /// again. Fairness: first come, first served. Thread: workers.
  RINGO_STARTS(detail::startable, submit, , submission_of)

  /// Ends submission, at the call; awaited, it waits for the jobs that were accepted. Throws: cancelled. Cancel safety:
  /// waiting changes nothing.
  detail::drain_operation drain();
  /// Ends submission and cancels the jobs that run. Queued jobs never run: their handles yield `cancelled`.
  void cancel();

  std::size_t workers() const;  ///< busy and idle ones; after drain() or cancel() only the busy ones
  std::size_t queued() const;   ///< jobs that wait for a worker

 private:
  template <class F, class... A>
  auto submission_of(std::source_location where, F&& f, A&&... args) {
    auto& job = *detail::make_routine<detail::pool_record>(std::forward<F>(f), std::forward<A>(args)...);
    if (!core_) [[unlikely]] {
      job.release();
      detail::throw_used_after_end("worker_pool::submit");
    }
    job.pool = core_;
    detail::note_starter(job);
    using operation = detail::submit_operation<detail::started<F, A...>>;
    return detail::closure_guarded<operation, F, A...>(core_, job, where);
  }

  detail::pool_core& core(const char* call) const;

  detail::shared<detail::pool_core> core_;
};

}  // namespace ringo
