// The shared part of a runtime's workers.
//
// Why no wake-up is lost. A worker that goes to sleep enters the idle list, then makes a full fence, and then looks
// once more at each place where work can be (posts, the global queue, each worker's queue). It sleeps, in its driver,
// only if all are empty; the driver remembers a wake() that comes before the sleep. A thread that adds work makes a
// full fence after that (or adds it by a seq_cst exchange), and then looks for an idle worker to wake. One of the two
// fences is first. So either the sleeper sees the work, or the adder sees the sleeper. While a woken worker searches,
// no other worker is woken for the same work. It clears `searching` before it enters the idle list; so if an adder saw
// it searching, its last look sees the adder's work. Two kinds of work wake no other worker: run_next, which its own
// worker runs as soon as the current routine waits; and timers, for which the queue's own worker sleeps no longer than
// the next deadline (a thread that adds one to another worker's queue wakes that worker: alarm::watch).
//
// Why shutdown ends. When main has ended, `unwinding` is set, and then the rosters are walked. A routine that enters
// its roster after that is cancelled at once. So, by each roster's lock, each routine is cancelled in one of the two
// ways. If it waits, its wait is claimed, or it wins; each later await throws. So it ends, or holds its worker's thread
// without an await, or shields its clean-up, or catches `cancelled` and goes on; then its turn ends as any other's
// (throw_or_note). The last routine that ends finds all rosters empty, since their locks order the removals, and stops
// the workers. If none does, the end of the grace period stops them, and the frames are destroyed.
#pragma once
#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include <ringo/detail/posted.hpp>
#include <ringo/leaks.hpp>
#include <ringo/run.hpp>
#include <ringo/snapshot.hpp>

#include "runtime/blocking_pool.hpp"
#include "runtime/choices.hpp"
#include "runtime/global_queue.hpp"
#include "runtime/scheduler.hpp"
#include "runtime/stall_watch.hpp"
#include "runtime/warnings.hpp"

namespace ringo::detail {

class recorder;

class runtime_core {
 public:
  using post_item = std::function<void(worker*)>;  // called with null if the runtime has ended before

  // One worker for each driver. `simulation` is null for a real runtime. A helper is ringo's own, as an inspector's: no
  // report counts or shows it, and its threads hide no deadlock.
  runtime_core(runtime_options o, std::vector<std::unique_ptr<driver>> drivers, choices* simulation,
               bool is_helper = false);
  runtime_core(const runtime_core&) = delete;
  runtime_core& operator=(const runtime_core&) = delete;
  ~runtime_core();

  void claim_run();         // throws std::logic_error the second time
  void run(routine& main);  // throws errors of the runtime itself: deadlock, a lost ring

  // Any thread. False if it has ended.
  bool post(post_item item);
  bool post(posted& item) noexcept;
  void cancel_main();
  // Whether run() has begun; it may have ended.
  bool running() const noexcept { return running_.load(std::memory_order_acquire); }
  ringo::snapshot snapshot();  // on a worker
  // On a worker, in a routine or between two. The caller's stack below the address belongs to ringo (leak_search.cpp).
  leaks find_leaks(std::uintptr_t stack);
  ringo::metrics metrics() const;

  // Tells a worker of a new post, or of a completed blocking call. Any thread that the runtime outlives.
  void ring() noexcept;
  // On a worker, which then serves the pool at the end of its turn.
  void serve_pool_soon() noexcept { posted_.store(true, std::memory_order_release); }

  // For workers.
  void add_global(std::span<routine* const> routines) noexcept;
  std::size_t take_global(scheduler& into) noexcept;
  bool has_global() const noexcept { return !global_.empty(); }
  bool has_posts() const noexcept { return posted_.load(std::memory_order_acquire); }
  void run_posts(worker& w);

  void wake_one() noexcept;
  bool someone_idle()
      const noexcept {  // seq_cst, which is free for a load: an exchange may come before it, not a fence
    return idle_count_.load(std::memory_order_seq_cst) != 0 && !searching_.load(std::memory_order_seq_cst);
  }
  void list_idle(scheduler& w) noexcept;
  bool unlist_idle(scheduler& w) noexcept;  // false: it was woken to search
  void stop_searching() noexcept { searching_.store(false, std::memory_order_seq_cst); }
  // One sleeping worker watches the timers of the busy workers: it looks for late ones every scheduler::watch_period. A
  // worker may begin this when it goes to sleep. A busy worker asks for it, since all sleepers may have gone to sleep
  // before it was busy or had timers. It asks after it has seen its own timers, or after a full fence that follows a
  // new timer. A worker that goes to sleep enters the idle list, and makes a full fence, before it looks at the others.
  // So one of the two sees the other. A watcher that finds work, in idle() or in a later turn, asks the next one; so
  // does a worker that was awake, or woke for something else, when it was asked (scheduler::owes_watch_).
  bool begin_watching(const scheduler& by) noexcept;
  void stop_watching() noexcept { watching_.store(false, std::memory_order_relaxed); }
  void ask_to_watch() noexcept {
    if (idle_count_.load(std::memory_order_seq_cst) != 0 && !watching_.load(std::memory_order_relaxed)) {
      wake_to_watch();
    }
  }
  // By a worker that has just left the idle list: a request made of it is seen, by that list's mutex.
  bool watch_is_wanted() const noexcept { return watch_is_wanted_.load(std::memory_order_relaxed); }
  bool work_anywhere(const scheduler& besides) noexcept;
  time_point check_quiet(scheduler& w);  // when all workers are idle; returns how long to sleep at most

  void main_has_ended(worker& w) noexcept;
  void routine_has_ended() noexcept;
  void check_grace(time_point now) noexcept;
  void note_grace_over() noexcept { grace_over_.store(true, std::memory_order_relaxed); }
  void fail(std::exception_ptr why) noexcept;  // the runtime cannot go on
  void declare_deadlock(worker& w);
  // When all other routines have ended: cancels main, too. False: that has been done before.
  bool finish_deadlock(worker& w) noexcept;

  // Each routine that has not ended, under its roster's lock.
  template <class F>
  void each_routine(F f) const {
    for (const auto& w : workers) w->routines.each(f);
  }

  bool done() const noexcept { return done_.load(std::memory_order_acquire); }
  bool unwinding() const noexcept { return unwinding_.load(std::memory_order_acquire); }
  time_point grace_end() const noexcept { return time_point(duration(grace_end_.load(std::memory_order_relaxed))); }
  void request_dump() noexcept;  // async-signal-safe
  void serve_dump_request(worker& w);

  void warn(std::string_view text) noexcept { warned.tell(text); }

  // Adds its threads that only do what routines have asked for. Thread: any.
  void list_threads(std::vector<pid_t>& ids) const;

  const std::uint64_t id;
  const bool is_helper;
  static duration usual_stall;  // of runtime_options::stall below 0; tests change it
  const runtime_options settings;
  // The runtime's on_unhandled: a call keeps it without memory of its own, since it may outlast the runtime.
  const std::shared_ptr<const decltype(runtime_options::on_unhandled)> unhandled;
  warnings warned;
  choices* const simulation;
  std::vector<std::unique_ptr<scheduler>> workers;
  std::atomic<routine*> main = nullptr;              // null again after its end
  std::atomic<std::int64_t> outside_work = 0;        // blocking calls and other work that will end with a post
  counter stalls;                                    // that were noticed; only the thread that looks for them writes it
  stall_log noticed_stalls;                          // the last ones of them
  const shared<blocking_pool> pool;                  // of blocking calls
  std::unique_ptr<detail::recorder> recorder;        // null: none is wanted
  std::unique_ptr<routine_times> times;              // null without runtime_options::histograms
  std::vector<std::unique_ptr<observer>> observers;  // of each worker, for the recorder and the hooks; or empty
  bool records() const noexcept { return settings.recorder != 0; }
  // What resolve.cpp keeps for each runtime.
  std::once_flag resolver_made;
  std::shared_ptr<void> resolver;

 private:
  void wake_to_watch() noexcept;
  void watch_for_stalls();
  static void deliver(posted* first, worker* w) noexcept;
  void cancel_all(worker& w, const routine* except) noexcept;
  void begin_unwinding(worker& w, const routine* except) noexcept;
  void stop_workers() noexcept;
  void destroy_what_is_left() noexcept;
  void begin_grace(time_point now) noexcept;
  void warn_of_unended() noexcept;
  void name_unended();
  void end() noexcept;
  bool only_main_is_left() noexcept;

  global_queue global_;

  ranked<std::mutex, lock_rank::posts> posts_mutex_;
  std::vector<post_item> posts_;
  posted* first_posted_ = nullptr;  // a list, in the order of the posts
  posted* last_posted_ = nullptr;
  bool ended_ = false;  // under posts_mutex_
  std::atomic<bool> posted_ = false;

  ranked<std::mutex, lock_rank::leaf> idle_mutex_;
  scheduler* idle_ = nullptr;
  std::atomic<unsigned> idle_count_ = 0;
  std::atomic<std::uint64_t> idle_changes_ = 0;  // counts the changes of the list
  counter wakes_sent_;                           // written under idle_mutex_
  std::atomic<bool> searching_ = false;
  std::atomic<bool> watching_ = false;
  std::atomic<bool> watch_is_wanted_ = false;  // a busy worker has asked, and no worker has begun since

  std::atomic<bool> done_ = false;
  std::atomic<bool> unwinding_ = false;
  std::atomic<std::int64_t> grace_end_;
  std::atomic<bool> grace_over_ = false;  // the grace period ended before all routines
  std::atomic<bool> dump_requested_ = false;
  ranked<std::mutex, lock_rank::leaf> outcome_mutex_;
  std::exception_ptr failure_;
  std::string deadlock_report_;
  ranked<std::mutex, lock_rank::quiet> quiet_mutex_;  // one worker at a time checks whether all workers are quiet
  std::atomic<bool> deadlocked_ = false;
  std::atomic<bool> main_cancelled_ = false;  // after a deadlock, when the others have ended
  std::atomic<bool> started_ = false;
  std::atomic<bool> running_ = false;
  duration quiet_check_{};
  std::unique_ptr<stall_watch> stalls_;  // set before the workers' threads are started; null: none is wanted
};

// Counts the runtimes that run, for any_runtime_runs() and refuse_in_forked_child().
void count_running_runtime(int change) noexcept;

}  // namespace ringo::detail
