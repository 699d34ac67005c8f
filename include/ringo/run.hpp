// Running: a runtime with its workers, and the program's main routine.
#pragma once
#include <ringo/detail/cpp20.hpp>

#include <chrono>
#include <cstdint>
#include <exception>
#include <functional>
#include <iosfwd>
#include <memory>
#include <source_location>
#include <string_view>
#include <utility>

#include <ringo/detail/starting.hpp>
#include <ringo/go.hpp>

namespace ringo {

struct options {
  unsigned workers = 0;              // 0: one per CPU that this process may use (affinity and cgroup quota counted)
  std::chrono::nanoseconds spin{0};  // how long an idle worker looks for work before it sleeps
  std::chrono::nanoseconds shutdown_grace =
      std::chrono::seconds(5);  // for what still runs when main has ended, before its frames are destroyed
  bool detect_deadlock = true;
  bool dump_on_sigquit = false;  // SIGQUIT prints dump() to stderr instead of ending the process
  // An exception that nobody can receive, and where its routine was started. By default cancelled and disconnected just
  // end the routine, any other std::system_error is reported in a line on stderr, and everything else ends the process:
  // after a line on stderr, by the handler of std::set_terminate, if the program has set one, else by std::abort.
  // Any thread. It must not throw: that ends the process.
  std::function<void(std::exception_ptr, const std::source_location& started)> on_unhandled = {};
  // What a person should know and no caller can be told. By default a line on stderr. What may come in a loop is told
  // at once and then ever less often, with the number of those left out. Any thread. It must not throw: that ends the
  // process. (But for std::bad_alloc: then the warning is a line on stderr.)
  std::function<void(std::string_view)> on_warning = {};
  unsigned ring_entries = 256;                                        // of each worker's io_uring
  unsigned blocking_threads = 512;                                    // of blocking(), at most
  std::chrono::nanoseconds blocking_idle = std::chrono::seconds(10);  // after which such a thread ends
};

// Counted since the runtime was made, but routines_live. `steals_failed` counts how often a worker found nothing in any
// other's queue, `wakes_sent` how often one that slept was woken to look for work.
struct metrics {
  std::uint64_t routines_started, routines_live, resumes, steals, parks, wakes, operations, timers;
  std::uint64_t steals_failed, wakes_sent;
};

namespace detail {
// From any thread. Throws std::logic_error if that runtime has ended: then the routine is gone.
void start_from_outside(std::uint64_t runtime_id, routine& r);
}  // namespace detail

// Refers to a runtime, which it may outlive. Copyable. Thread: any.
class runtime_ref : private detail::mistaken_starts {
 public:
  using mistaken_starts::go;

  /// As runtime::go. Throws: std::logic_error if the runtime has ended.
  RINGO_STARTS(detail::startable, go, const, start)
  void stop() const;  // cancels main; nothing if the runtime has ended
  bool is_done() const;

 private:
  friend class runtime;
  explicit runtime_ref(std::uint64_t id) noexcept : id_(id) {}
  template <class F, class... A>
  handle<detail::started<F, A...>> start(std::source_location where, F&& f, A&&... args) const {
    auto* r = detail::make_routine(std::forward<F>(f), std::forward<A>(args)...);
    handle<detail::started<F, A...>> h = detail::handle_access::make(r);
    r->started = where;
    detail::start_from_outside(id_, *r);
    return h;
  }

  std::uint64_t id_;
};

class runtime : private detail::mistaken_starts {
 public:
  using mistaken_starts::go;

  // Throws std::system_error that says why, where the kernel refuses a ring; std::invalid_argument.
  explicit runtime(options = {});
  runtime(const runtime&) = delete;
  runtime& operator=(const runtime&) = delete;
  ~runtime();

  // Runs main, which is a task or a callable that returns one, on the calling thread and the workers' own; once.
  // Returns or rethrows what main does. The program ends with main: whatever still runs is cancelled, unwound and
  // destroyed before this returns. Throws deadlock if nothing can ever run again.
  template <class F>
  requires detail::startable<F>
  auto run(F&& main, std::source_location where = std::source_location::current()) -> detail::started<F> {
    prepare_run();
    auto* r = detail::make_routine(std::forward<F>(main));
    r->started = where;
    handle<detail::started<F>> h = detail::handle_access::make(r);
    run_main(*r);
    return h.join().take();
  }
  template <class F>
  requires detail::mistaken_start<F>
  auto run(F&&) {
    constexpr detail::start_of<F> the;
    static_assert(the.task_is_moved, RINGO_SAY_MOVE_TASK);
    static_assert(the.argument_is_copied_or_moved, RINGO_SAY_MOVE);
    static_assert(the.reference_is_wrapped && the.function_and_arguments_match, RINGO_SAY_RUN);
    return detail::anything();
  }

  // The runtime whose worker the calling thread is, or for whose blocking() it works: to be given to a callback or a
  // thread, which start routines by it. Throws std::logic_error on other threads.
  static runtime_ref current();

  /// As ringo::go, from any thread. Before run() the routine is queued. Throws: std::logic_error after run().
  RINGO_STARTS(detail::startable, go, , ref().start)

  void stop();  // cancels main; any thread
  void dump(std::ostream& to)
      const;  // every routine: its state, what it waits for, where, and where it was started; any thread
  ringo::metrics metrics() const;  // any thread
  unsigned workers() const noexcept;

 private:
  void prepare_run();  // throws where run() may not be called
  void run_main(detail::routine& r);
  runtime_ref ref() const noexcept;

  std::unique_ptr<detail::runtime_core> core_;
};

template <class F>
requires detail::startable<F>
auto run(F&& main, options o = {}, std::source_location where = std::source_location::current()) -> detail::started<F> {
  return runtime(std::move(o)).run(std::forward<F>(main), where);
}
template <class F>
requires detail::mistaken_start<F>
auto run(F&&, const options& = {}) {
  constexpr detail::start_of<F> the;
  static_assert(the.task_is_moved, RINGO_SAY_MOVE_TASK);
  static_assert(the.argument_is_copied_or_moved, RINGO_SAY_MOVE);
  static_assert(the.reference_is_wrapped && the.function_and_arguments_match, RINGO_SAY_RUN);
  return detail::anything();
}
template <class F, class... A>
requires(sizeof...(A) > 0 && !(std::convertible_to<A, options> && ...))
auto run(F&&, A&&...) {
  constexpr bool runs_without_arguments = sizeof...(A) == 0;
  static_assert(runs_without_arguments, RINGO_SAY_RUN);
  return detail::anything();
}

}  // namespace ringo
