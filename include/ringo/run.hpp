// run, runtime: run a program's main routine, with the workers for it.
#pragma once
#include <ringo/detail/cpp20.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <iosfwd>
#include <source_location>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <ringo/detail/library.hpp>
#include <ringo/detail/pointers.hpp>
#include <ringo/detail/starting.hpp>
#include <ringo/detail/time_types.hpp>
#include <ringo/go.hpp>

namespace ringo {

/// How a runtime asks the kernel. All mean the same for programs; io_uring costs less.
enum class driver : std::uint8_t {
  automatic,  ///< io_uring where the kernel has it and allows it, else epoll
  io_uring,
  epoll
};

class hooks;

struct runtime_options {
  /// 0: one for each CPU that this process may use; affinity and the cgroup's quota count.
  unsigned workers = 0;
  /// How long an idle worker looks for work before it sleeps. 0: not at all. While it looks it keeps its CPU busy, so
  /// give this only to workers that have CPUs of their own. It saves the wake-up, which dominates where one request is
  /// under way at a time: with 50 us a single connection was served 1.6 times as often (bench/floors.md).
  std::chrono::nanoseconds spin{0};
  /// How long the routines that main has left behind may take to end before their frames are destroyed.
  std::chrono::nanoseconds shutdown_grace = std::chrono::seconds(5);
  bool detect_deadlock = true;
  /// SIGQUIT prints dump() to stderr instead of ending the process.
  bool dump_on_sigquit = false;
  /// Called with an exception that nothing can receive any more, and with the place where its routine was started. By
  /// default cancelled and disconnected just end the routine, any other std::system_error is a line on stderr, and
  /// everything else ends the process: after a line on stderr, by the handler of std::set_terminate, if the program has
  /// set one, else by std::abort. It must not throw: that ends the process. Thread: any.
  std::function<void(std::exception_ptr, const std::source_location& started)> on_unhandled = {};
  /// Called with what a person should know and no caller can be told; by default it is a line on stderr. Warnings that
  /// may come in a loop come at once, and then ever less often, with the number of those left out. It must not throw:
  /// that ends the process (but for std::bad_alloc: then the warning is a line on stderr). Thread: any.
  std::function<void(std::string_view)> on_warning = {};
  /// Where automatic has to take epoll, on_warning is told why; without one, it is a line on stderr, once in a process.
  /// RINGO_DRIVER=automatic, io_uring or epoll in the environment overrides automatic, and nothing else.
  ringo::driver driver = ringo::driver::automatic;
  /// If a routine keeps its worker for longer, by computing or in a call that blocks, on_warning is told: the routine,
  /// where it was started and last waited, for how long, what its thread does, and its native stack; again when the
  /// time has doubled, and when the worker goes on. Time in which others have the CPU does not count. 0: no one looks.
  /// Below 0: RINGO_STALL in the environment (50ms, 500us, 1s); without it 100 ms if ringo was built without NDEBUG,
  /// else 0. Not in simulations. While a runtime with it runs, SIGURG has a handler of ringo's, unless the program
  /// handles it: then no stack is told of a routine that computes.
  std::chrono::nanoseconds stall{-1};
  /// How many bytes each worker has for its last events, 16 bytes each (recording.hpp). 0: it records none.
  std::size_t recorder = 0;
  /// With a recorder: the recording is written to this file when run() ends, at a deadlock, and when the process dies
  /// of SIGSEGV, SIGBUS, SIGILL, SIGFPE or SIGABRT (std::terminate, too), before the handler that the program has for
  /// it; and at a stall to this file's name with ".stall" behind it. RINGO_RECORD=FILE[,BYTES] in the environment sets
  /// both options where the program leaves them; %p in FILE is the process's number.
  std::string recorder_file = {};
  /// Is told what routines do, for tracing libraries (hooks.hpp); it must live until the runtime is destroyed.
  ringo::hooks* hooks = nullptr;
  /// metrics().times has histograms. Each resume and each wait then costs some readings of the clock.
  bool histograms = false;
  /// Of each worker's io_uring.
  unsigned ring_entries = 256;
  /// The most threads that calls of blocking() have.
  unsigned blocking_threads = 512;
  /// Such a thread ends when it has been idle for so long.
  std::chrono::nanoseconds blocking_idle = std::chrono::seconds(10);
};

/// What a worker has done since its runtime was made; timers, ready and in_flight are what there is now.
struct worker_metrics {
  std::uint64_t routines_started;
  std::uint64_t resumes;
  std::uint64_t steals;                      ///< routines that it took from another's queue
  std::uint64_t steals_failed;               ///< how often it found nothing in any other's queue
  std::uint64_t parks, wakes;                ///< how often it went to sleep, and woke
  std::uint64_t operations;                  ///< awaits that had to wait
  std::uint64_t timers;                      ///< armed
  std::uint64_t ready;                       ///< routines in its queue
  std::uint64_t in_flight;                   ///< calls that the kernel works on
  std::uint64_t calls;                       ///< that were given to its driver, as submissions to its ring are
  std::uint64_t bytes_received, bytes_sent;  ///< by streams and datagram sockets
};

/// How many times lasted how long, in steps of 1, 2, ... 9 times a power of ten, from 100 ns to 90 s.
struct histogram {
  static constexpr std::size_t buckets = 82;
  /// The longest time of bucket i; the last bucket has all longer ones.
  static constexpr duration bound(std::size_t i) noexcept {
    if (i + 1 >= buckets) return duration::max();
    duration unit(100);
    for (std::size_t decade = i / 9; decade != 0; --decade) unit *= 10;
    return unit * static_cast<duration::rep>(i % 9 + 1);
  }

  std::array<std::uint64_t, buckets> counts{};  ///< [i]: longer than bound(i - 1), and at most bound(i)
  std::uint64_t count = 0;                      ///< the sum of all counts
  duration sum{};
  duration quantile(double share) const noexcept;  ///< That share of all, or more, lasted no longer: quantile(0.99).
};

struct wait_times {
  std::string wait;  ///< "receive on a channel", "sleep", "select"
  histogram lasted;
};
/// With runtime_options::histograms, of one worker.
struct worker_times {
  histogram resume;               ///< from when a routine is resumed until it waits, yields or ends
  histogram ready;                ///< from when a routine was made ready until it ran
  histogram timer_late;           ///< from when a timer, or a context's deadline, was due until this worker ended it
  std::vector<wait_times> waits;  ///< that this worker has ended
};

/// The sums over all workers, and what only the whole runtime has.
struct metrics : worker_metrics {
  std::uint64_t routines_live;  ///< now
  std::uint64_t wakes_sent;     ///< how often a sleeping worker was woken to look for work
  std::uint64_t stalls;         ///< how often a routine has kept its worker for longer than runtime_options::stall
  std::vector<worker_metrics> workers;
  std::vector<worker_times> times;  ///< by worker; empty without runtime_options::histograms
};

/// The metrics in Prometheus's text format, version 0.0.4: a family for each member, with a label `worker` where
/// workers have it, counters whose names end in _total, and histograms in seconds. The program sends
/// it to Prometheus with the type "text/plain; version=0.0.4".
std::string to_prometheus(const metrics&);

struct recording;
struct leaks;
struct snapshot;

namespace detail {
// Thread: any. Throws std::logic_error if that runtime has ended; the routine is then destroyed.
void start_from_outside(std::uint64_t runtime_id, routine& r);
}  // namespace detail

/// Refers to a runtime, and may outlive it. Copyable. Thread: any.
class runtime_ref : private detail::mistaken_starts {
 public:
  using mistaken_starts::go;

  /// As runtime::go. Throws: std::logic_error if the runtime has ended.
  RINGO_STARTS(detail::startable, go, const, start)
  void stop() const;  ///< Cancels main. Nothing if the runtime has ended.
  bool is_done() const;
  ringo::snapshot snapshot() const;  ///< As runtime::snapshot(). Without routines if the runtime has ended.
  /// As runtime::recording(). Without events if the runtime has ended.
  ringo::recording recording(std::chrono::nanoseconds last = std::chrono::nanoseconds::max()) const;
  leaks find_leaks() const;  ///< As runtime::find_leaks().

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

  /// Throws: std::system_error that says why the kernel refuses the driver, and what to do, or that there is no memory
  /// for the recorder; std::invalid_argument.
  explicit runtime(runtime_options = {});
  runtime(const runtime&) = delete;
  runtime& operator=(const runtime&) = delete;
  ~runtime();

  /// Runs main, a task or a callable that returns one, on the calling thread and the workers' threads; once. Returns
  /// main's result, or throws its exception. The program ends with main: other routines are then cancelled, unwound and
  /// destroyed, before this returns. Throws: deadlock if no routine can ever run again.
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

  /// The runtime of the calling worker, or of the calling blocking() function. Pass it to a callback or a thread that
  /// starts routines. Throws: std::logic_error on other threads.
  static runtime_ref current();

  /// As ringo::go, from any thread. Before run() the routine is queued. Throws: std::logic_error after run().
  RINGO_STARTS(detail::startable, go, , ref().start)

  void stop();  ///< Cancels main. Thread: any.
  /// Each routine: its state, what it waits for and in which functions, where it was started; and which routines wait
  /// for each other. A worker takes it between two resumes: a thread that is no worker waits for that. Without routines
  /// while run() does not run. Thread: any. (snapshot.hpp)
  ringo::snapshot snapshot() const;
  /// The routines that nothing can wake any more, since nothing that can run has a pointer to what they wait for. It
  /// reads all memory of the process, at some GB a second, while the runtime's workers wait; so it is for tests, and
  /// for a look at a running program now and then. Thread: any, as snapshot(). (leaks.hpp)
  leaks find_leaks() const;
  void dump(std::ostream& to) const;  ///< Writes to_text(snapshot()). Thread: any.
  ringo::metrics metrics() const;     ///< Costs the workers nothing. Thread: any.
  /// What the workers did lately, and how they got there: their last events, or those of the time `last`. It reads
  /// while they go on, and does not wait for them, so it tells of a stall, too. Without events if there is no
  /// runtime_options::recorder. Thread: any. Throws: std::bad_alloc. (recording.hpp)
  ringo::recording recording(std::chrono::nanoseconds last = std::chrono::nanoseconds::max()) const;
  /// Writes all of it to a file, for ringo-trace and read_recording(). Thread: any. Throws: std::system_error;
  /// std::logic_error without a recorder.
  void write_recording(const std::string& path) const;
  unsigned workers() const noexcept;
  ringo::driver driver() const noexcept;  ///< The one in use: io_uring or epoll. Thread: any.

 private:
  void prepare_run();  // throws if run() may not be called here
  void run_main(detail::routine& r);
  runtime_ref ref() const noexcept;

  detail::owned<detail::runtime_core> core_;
};

template <class F>
requires detail::startable<F>
auto run(F&& main, runtime_options o = {}, std::source_location where = std::source_location::current())
    -> detail::started<F> {
  return runtime(std::move(o)).run(std::forward<F>(main), where);
}
template <class F>
requires detail::mistaken_start<F>
auto run(F&&, const runtime_options& = {}) {
  constexpr detail::start_of<F> the;
  static_assert(the.task_is_moved, RINGO_SAY_MOVE_TASK);
  static_assert(the.argument_is_copied_or_moved, RINGO_SAY_MOVE);
  static_assert(the.reference_is_wrapped && the.function_and_arguments_match, RINGO_SAY_RUN);
  return detail::anything();
}
template <class F, class... A>
requires(sizeof...(A) > 0 && !(std::convertible_to<A, runtime_options> && ...))
auto run(F&&, A&&...) {
  constexpr bool runs_without_arguments = sizeof...(A) == 0;
  static_assert(runs_without_arguments, RINGO_SAY_RUN);
  return detail::anything();
}

}  // namespace ringo
