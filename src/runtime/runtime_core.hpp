// What the workers of a runtime share.
//
// Why no wake-up is lost. A worker that goes to sleep lists itself as idle, then a full fence, then looks once more at
// every place where work can be (posts, the global queue, every worker's queue); only if all are empty does it sleep,
// in its driver, which remembers a wake() that comes before the sleep. Who adds work does so first, then a full fence
// (or it adds it by a seq_cst exchange), then looks for an idle worker to wake. Of the two fences one is first, so
// either the sleeper sees the work or the adder sees the sleeper. While a worker that was woken searches, others are
// not woken for the same work: it clears `searching` before it lists itself as idle, so that an adder who saw it
// searching is seen in its last look. Two kinds of work make no one wake: what is in run_next, which its own worker
// runs as soon as the present routine waits, and timers, for which its own worker sleeps no longer than the next
// deadline (who adds one to another worker's wakes that worker: alarm::watch).
//
// Why shutdown ends. When main has ended, `unwinding` is set before the rosters are walked, and a routine is born
// cancelled if it is set when it enters its roster; so under each roster's lock every routine has been cancelled or
// will be born so. A cancelled routine that waits is claimed or wins; every later await of it throws. So each one ends,
// or holds its worker's thread without awaiting, or shields its clean-up, or catches `cancelled` and goes on: then its
// turn ends as any other's (throw_or_note). The last routine to end finds all rosters empty, the removals being ordered
// by their locks, and stops the workers; else the grace period does, after which the frames are destroyed.
#pragma once
#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <ringo/detail/posted.hpp>
#include <ringo/run.hpp>
#include <ringo/semaphore.hpp>

#include "runtime/blocking_pool.hpp"
#include "runtime/choices.hpp"
#include "runtime/global_queue.hpp"
#include "runtime/scheduler.hpp"
#include "runtime/warnings.hpp"

namespace ringo::detail {

class runtime_core {
 public:
  using post_item = std::function<void(worker*)>;  // with null where the runtime has ended without doing it

  // The drivers' number is the workers'. `simulation` is null for a real one.
  runtime_core(options o, std::vector<std::unique_ptr<driver>> drivers, choices* simulation);
  runtime_core(const runtime_core&) = delete;
  runtime_core& operator=(const runtime_core&) = delete;
  ~runtime_core();

  void claim_run();         // throws std::logic_error the second time
  void run(routine& main);  // rethrows what the runtime itself came to: deadlock, a lost ring

  // Any thread. False when it has ended.
  bool post(post_item item);
  bool post(posted& item) noexcept;
  void cancel_main();
  bool running() const noexcept {
    return running_.load(std::memory_order_acquire);
  }  // run() has begun; it may have ended
  void dump(std::string& text);  // on a worker
  ringo::metrics metrics() const;

  // Any thread that the runtime outlives: something is posted, or the pool has completed something.
  void ring() noexcept;
  // On a worker: the pool is served at the end of its turn.
  void serve_pool_soon() noexcept { posted_.store(true, std::memory_order_release); }

  // What a worker finds here.
  void add_global(std::span<routine* const> routines) noexcept;
  std::size_t take_global(scheduler& into) noexcept;
  bool has_global() const noexcept { return !global_.empty(); }
  bool has_posts() const noexcept { return posted_.load(std::memory_order_acquire); }
  void run_posts(worker& w);

  void wake_one() noexcept;
  bool someone_idle() const noexcept {  // seq_cst, which costs a load nothing: it may follow an exchange, not a fence
    return idle_count_.load(std::memory_order_seq_cst) != 0 && !searching_.load(std::memory_order_seq_cst);
  }
  void list_idle(scheduler& w) noexcept;
  bool unlist_idle(scheduler& w) noexcept;  // false: it was woken to search
  void stop_searching() noexcept { searching_.store(false, std::memory_order_seq_cst); }
  // One of the workers that sleep watches the timers of those that are busy, where there are any: it looks for late
  // ones every scheduler::watch_period. A worker begins when it goes to sleep. A busy worker asks for it where all that
  // sleep may have begun before it was busy or had timers: it sees its own timers, or has a full fence after it has
  // added one, before it asks; and a worker that goes to sleep lists itself as idle, then has a full fence, before it
  // looks at the others. So one of the two sees the other. Who has been asked, or has watched, and then finds work
  // asks the next.
  bool begin_watching(const scheduler& by) noexcept;
  void stop_watching() noexcept { watching_.store(false, std::memory_order_relaxed); }
  void ask_to_watch() noexcept {
    if (idle_count_.load(std::memory_order_seq_cst) != 0 && !watching_.load(std::memory_order_relaxed)) {
      wake_to_watch();
    }
  }
  void pass_watch_on(bool has_watched) noexcept {
    if (has_watched || watch_is_wanted_.load(std::memory_order_relaxed)) {
      watch_is_wanted_.store(false, std::memory_order_relaxed);
      ask_to_watch();
    }
  }
  bool work_anywhere(const scheduler& for_whom) noexcept;
  time_point check_quiet(scheduler& w);  // when everybody is idle; until when to sleep at the most

  void main_has_ended(worker& w) noexcept;
  void routine_has_ended() noexcept;
  void check_grace(time_point now) noexcept;
  void note_grace_over() noexcept { grace_over_.store(true, std::memory_order_relaxed); }
  void fail(std::exception_ptr why) noexcept;  // the runtime cannot go on
  void declare_deadlock(worker& w);
  bool finish_deadlock(
      worker& w) noexcept;  // everybody else has ended: main, too; false if nobody can be ended any more

  bool done() const noexcept { return done_.load(std::memory_order_acquire); }
  bool unwinding() const noexcept { return unwinding_.load(std::memory_order_acquire); }
  time_point grace_end() const noexcept { return time_point(duration(grace_end_.load(std::memory_order_relaxed))); }
  void request_dump() noexcept;  // async-signal-safe
  void serve_dump_request(worker& w);

  void warn(std::string_view text) noexcept { warned.tell(text); }

  const std::uint64_t id;
  const options settings;
  warnings warned;
  choices* const simulation;
  std::vector<std::unique_ptr<scheduler>> workers;
  std::atomic<routine*> main = nullptr;        // null again when it has ended
  std::atomic<std::int64_t> outside_work = 0;  // blocking calls and the like, which will end by a post
  const std::shared_ptr<blocking_pool> pool;   // of blocking calls
  // Of those calls, how many may be resolving names: where no name server answers they take long, and files are to go
  // on. On a worker of this runtime.
  semaphore& names() {
    std::call_once(names_made_, [this] { names_.emplace(64u); });
    return *names_;
  }

 private:
  std::once_flag names_made_;
  std::optional<semaphore> names_;  // made on a worker: so it is this runtime's

  void wake_to_watch() noexcept;
  static void deliver(posted* first, worker* w) noexcept;
  void cancel_all(worker& w, const routine* except) noexcept;
  void begin_unwinding(worker& w, const routine* except) noexcept;
  void stop_workers() noexcept;
  void destroy_what_is_left() noexcept;
  void begin_grace(time_point now) noexcept;
  void warn_of_unended() noexcept;
  void end() noexcept;
  bool only_main_is_left() noexcept;

  global_queue global_;

  ranked<std::mutex, lock_rank::posts> posts_mutex_;
  std::vector<post_item> posts_;
  posted* first_posted_ = nullptr;  // what links itself, in its order
  posted* last_posted_ = nullptr;
  bool ended_ = false;  // under posts_mutex_
  std::atomic<bool> posted_ = false;

  ranked<std::mutex, lock_rank::leaf> idle_mutex_;
  scheduler* idle_ = nullptr;
  std::atomic<unsigned> idle_count_ = 0;
  std::atomic<std::uint64_t> idle_changes_ = 0;  // of the list
  counter wakes_sent_;                           // added to under idle_mutex_
  std::atomic<bool> searching_ = false;
  std::atomic<bool> watching_ = false;
  std::atomic<bool> watch_is_wanted_ = false;  // by a busy worker, and none has begun since

  std::atomic<bool> done_ = false;
  std::atomic<bool> unwinding_ = false;
  std::atomic<std::int64_t> grace_end_;
  std::atomic<bool> grace_over_ = false;  // before all had ended
  std::atomic<bool> dump_requested_ = false;
  ranked<std::mutex, lock_rank::leaf> outcome_mutex_;
  std::exception_ptr failure_;
  std::string deadlock_report_;
  ranked<std::mutex, lock_rank::quiet> quiet_mutex_;  // one worker at a time judges whether all is quiet
  std::atomic<bool> deadlocked_ = false;
  std::atomic<bool> main_cancelled_ = false;  // by a deadlock, after the others
  std::atomic<bool> started_ = false;
  std::atomic<bool> running_ = false;
  duration quiet_check_{};
};

// Counts the runtimes that run, for any_runtime_runs() and refuse_in_forked_child().
void count_running_runtime(int change) noexcept;

// Appends the dump; from a thread that is no worker it waits for one to make it.
void report_from_any_thread(runtime_core& rt, std::string& text);

}  // namespace ringo::detail
