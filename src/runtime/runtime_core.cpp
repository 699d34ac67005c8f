#include "runtime/runtime_core.hpp"

#include <pthread.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <iterator>
#include <new>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <utility>

#include "runtime/live_counts.hpp"
#include "runtime/reaper.hpp"
#include "runtime/report.hpp"
#include "runtime/thread_census.hpp"
#include "testing/simulation.hpp"

namespace ringo::detail {
namespace {

constexpr std::int64_t no_grace_end = time_point::max().time_since_epoch().count();

// How often the census of threads is repeated while only a foreign thread could still bring work.
constexpr duration first_quiet_check = std::chrono::milliseconds(10);
constexpr duration longest_quiet_check = std::chrono::seconds(1);

}  // namespace

runtime_core::runtime_core(options o, std::vector<std::unique_ptr<driver>> drivers, simulation* s)
    : id(runtime_registry::next_id()),
      settings(std::move(o)),
      warned(settings),
      sim(s),
      pool(std::make_shared<blocking_pool>(*this, settings.blocking_threads, delay(settings.blocking_idle).value(),
                                           sim != nullptr)),
      grace_end_(no_grace_end) {
  for (auto& d : drivers) {
    const auto index = static_cast<unsigned>(workers.size());
    const std::uint64_t seed = (id * 64 + index + 1) * 0x9e3779b97f4a7c15;
    workers.push_back(
        std::make_unique<scheduler>(*this, id, index, drivers.size(), sim != nullptr, seed, std::move(d)));
  }
  runtime_registry::add(*this);
}

runtime_core::~runtime_core() {
  end();
  pool->shut_down(time_point::min());
}

void runtime_core::claim_run() {
  if (started_.exchange(true))
    throw std::logic_error("ringo: a second run() of a runtime: a runtime runs once, make another one");
}

void runtime_core::run(routine& r) {
  main = &r;
  workers.front()->announce(r);
  runtime_registry::runs(true);
  running_.store(true, std::memory_order_release);
  const struct not_running {
    ~not_running() { runtime_registry::runs(false); }
  } at_the_end;

  scheduler& first = *workers.front();
  first.become_current();
  start(first, r, r.started);
  if (sim != nullptr) {
    sim->run(*this);
  } else {
    set_current_worker(nullptr);
    std::vector<std::thread> threads;
    try {
      for (std::size_t i = 1; i < workers.size(); ++i) {
        threads.emplace_back([w = workers[i].get()] { w->run(); });
        ::pthread_setname_np(threads.back().native_handle(), "ringo worker");
      }
      first.run();
    } catch (const std::system_error& e) {  // no thread could be started
      fail(std::make_exception_ptr(std::system_error(
          e.code(), "ringo: no thread could be started for worker " + std::to_string(threads.size() + 2) + " of " +
                        std::to_string(workers.size()) +
                        " (the limits are RLIMIT_NPROC, the cgroup's pids.max and memory; options::workers may be "
                        "fewer)")));
      first.run();
    } catch (...) {
      fail(std::current_exception());
      first.run();
    }
    for (std::thread& t : threads) t.join();
  }
  first.become_current();
  for (const auto& w : workers) w->end_those_asked_for(false);
  destroy_what_is_left();
  // Before any thread can see that the runtime has ended: then a context's timer is no worker's to touch.
  for (const auto& w : workers) w->timers.let_go();
  end();  // first, so that the calls which wait for routines of this runtime are answered
  begin_grace(first.driver_->now());
  pool->shut_down(grace_end());
  first.finish_operations();  // what all these ends have begun, such as the closing of a stream
  set_current_worker(nullptr);
  warned.tell_left_out();
  if (failure_) std::rethrow_exception(failure_);
  if (deadlocked_) throw deadlock(deadlock_report_);
}

// ---- posts

bool runtime_core::post(post_item item) {
  {
    const std::lock_guard guard(posts_mutex_);
    if (ended_) return false;
    posts_.push_back(std::move(item));
  }
  ring();
  return true;
}

bool runtime_core::post(posted& item) noexcept {
  {
    const std::lock_guard guard(posts_mutex_);
    if (ended_) return false;
    item.next_posted = nullptr;
    (first_posted_ != nullptr ? last_posted_->next_posted : first_posted_) = &item;
    last_posted_ = &item;
  }
  ring();
  return true;
}

void runtime_core::deliver(posted* first, worker* w) noexcept {
  while (first != nullptr) std::exchange(first, first->next_posted)->deliver(w);
}

void runtime_core::ring() noexcept {
  posted_.store(true, std::memory_order_release);
  std::atomic_thread_fence(std::memory_order_seq_cst);  // the adder's fence
  // With one worker its driver remembers the wake; with more, one that is idle is enough, and if none is they will see
  // the post.
  if (workers.size() == 1) {
    workers.front()->wake();
  } else if (idle_count_.load(std::memory_order_relaxed) != 0) {
    wake_one();
  }
}

void runtime_core::run_posts(worker& w) {
  std::vector<post_item> taken;
  posted* linked;
  {
    const std::lock_guard guard(posts_mutex_);
    taken.swap(posts_);
    linked = std::exchange(first_posted_, nullptr);
    // Before the pool's mutex is taken: a call that is added or completed after that sets it anew.
    posted_.store(false, std::memory_order_relaxed);
  }
  deliver(linked, &w);
  pool->serve(w);
  for (auto item = taken.begin(); item != taken.end(); ++item) {
    try {
      (*item)(&w);
    } catch (...) {  // the runtime ends by it, and answers the rest then
      const std::lock_guard guard(posts_mutex_);
      posts_.insert(posts_.begin(), std::make_move_iterator(item + 1), std::make_move_iterator(taken.end()));
      throw;
    }
  }
}

void runtime_core::end() noexcept {
  std::vector<post_item> left;
  posted* linked;
  {
    const std::lock_guard guard(posts_mutex_);
    if (std::exchange(ended_, true)) return;
    left.swap(posts_);
    linked = std::exchange(first_posted_, nullptr);
  }
  runtime_registry::remove(*this);
  deliver(linked, nullptr);
  for (post_item& item : left) item(nullptr);
  wake_bridge();  // calls of blocking() that wait there for another runtime end with this one
}

// ---- the global queue

void runtime_core::add_global(std::span<routine* const> routines) noexcept {
  const optional_guard guard(global_lock_, workers.size() > 1);
  for (routine* r : routines) {
    try {
      global_.push_back(r);
    } catch (const std::bad_alloc&) {
      global_without_memory_.push_back(*r);
    }
  }
  global_count_.store(global_count_.load(std::memory_order_relaxed) + routines.size(), std::memory_order_release);
}

routine* runtime_core::pop_global() noexcept {
  if (global_.empty()) return global_without_memory_.pop_front();
  routine* r = global_.front();
  global_.pop_front();
  return r;
}

std::size_t runtime_core::take_global(scheduler& into) noexcept {
  std::array<routine*, worker::queue_size / 2> taken;
  std::size_t count = 0;
  {
    const optional_guard guard(global_lock_, workers.size() > 1);
    const std::size_t there = global_count_.load(std::memory_order_relaxed);
    // No more than fills half of the queue, so that it does not overflow back; one at least, so that nobody here waits
    // for ever.
    const std::size_t room = taken.size() - std::min<std::size_t>(into.queued(), taken.size());
    const std::size_t share = std::min(there, std::max<std::size_t>(std::min(there / workers.size() + 1, room), 1));
    while (count < share) taken[count++] = pop_global();
    global_count_.store(there - count, std::memory_order_release);
  }
  for (std::size_t i = 0; i < count; ++i) into.push(*taken[i]);
  return count;
}

// ---- idle workers

void runtime_core::list_idle(scheduler& w) noexcept {
  {
    const std::lock_guard guard(idle_mutex_);
    w.idle_next = std::exchange(idle_, &w);
    w.idle_listed.store(true, std::memory_order_relaxed);
    idle_count_.fetch_add(1, std::memory_order_seq_cst);
    idle_changes_.fetch_add(1, std::memory_order_seq_cst);
  }
  std::atomic_thread_fence(std::memory_order_seq_cst);  // the sleeper's fence
}

bool runtime_core::unlist_idle(scheduler& w) noexcept {
  const std::lock_guard guard(idle_mutex_);
  if (!w.idle_listed.load(std::memory_order_relaxed)) return false;
  scheduler** link = &idle_;
  while (*link != &w) link = &(*link)->idle_next;
  *link = w.idle_next;
  w.idle_listed.store(false, std::memory_order_relaxed);
  idle_count_.fetch_sub(1, std::memory_order_seq_cst);
  idle_changes_.fetch_add(1, std::memory_order_seq_cst);
  return true;
}

void runtime_core::wake_one() noexcept {
  scheduler* w;
  {
    const std::lock_guard guard(idle_mutex_);
    w = idle_;
    if (w == nullptr || searching_.exchange(true, std::memory_order_seq_cst)) return;
    idle_ = w->idle_next;
    w->idle_listed.store(false, std::memory_order_relaxed);
    idle_count_.fetch_sub(1, std::memory_order_seq_cst);
    idle_changes_.fetch_add(1, std::memory_order_seq_cst);
    wakes_sent_.add();
  }
  w->wake();
}

bool runtime_core::begin_watching(const scheduler& by) noexcept {
  const bool needed = std::any_of(workers.begin(), workers.end(), [&by](const auto& w) {
    return w.get() != &by && !w->idle_listed.load(std::memory_order_relaxed) && !w->timers.empty();
  });
  return needed && !watching_.exchange(true, std::memory_order_relaxed);
}

bool runtime_core::work_anywhere(const scheduler& for_whom) noexcept {
  if (has_posts() || has_global() || for_whom.has_work()) return true;
  return std::any_of(workers.begin(), workers.end(), [](const auto& w) { return w->has_loot(); });
}

// A worker that is listed as idle may be in its driver, about to make routines ready by what has completed. So quiet is
// what has been so while nobody has left or entered the list: the completion's routine is seen in a queue, if its
// operation is not seen in flight, or the list has changed.
time_point runtime_core::check_quiet(scheduler& w) {
  const std::uint64_t changes = idle_changes_.load(std::memory_order_seq_cst);
  if (idle_count_.load(std::memory_order_seq_cst) != workers.size()) return time_point::max();
  if (outside_work.load(std::memory_order_acquire) != 0) return time_point::max();
  for (const auto& each : workers) {
    if (!each->timers.empty() || each->driver_->in_flight() != 0) return time_point::max();
  }
  const std::lock_guard guard(quiet_mutex_);
  if (done() || work_anywhere(w) || idle_count_.load(std::memory_order_seq_cst) != workers.size() ||
      idle_changes_.load(std::memory_order_seq_cst) != changes) {
    return time_point::min();
  }
  if (unwinding()) {  // those left shield themselves from the end and wait for what cannot come
    if (!finish_deadlock(w)) stop_workers();
    return time_point::min();
  }
  if (!settings.detect_deadlock) return time_point::max();
  std::vector<pid_t> own;
  for (const auto& each : workers) own.push_back(each->thread);
  pool->list_threads(own);
  list_reaper(own);
  const std::optional<std::size_t> foreign = foreign_threads(own);
  if (!foreign || *foreign != 0 || has_posts()) {
    quiet_check_ = std::clamp(quiet_check_ * 2, first_quiet_check, longest_quiet_check);
    return w.driver_->now() + quiet_check_;
  }
  declare_deadlock(w);
  return time_point::min();
}

// ---- the end

void runtime_core::declare_deadlock(worker& w) {
  deadlock_report_ = "ringo: all routines are asleep: deadlock: ";
  dump(deadlock_report_);
  bool all_wait = true;
  for (const auto& each : workers) {
    each->routines.each([&](const routine& r) {
      // In a simulation, one that does not heed its cancellation is ready and yet of no help to the others.
      all_wait =
          all_wait && ((r.state.load(std::memory_order_relaxed) & routine::waiting) != 0 || r.ended_awaits() > 0);
    });
  }
  // GCC bug 106188.
  if (!all_wait) {
    deadlock_report_ += "One that is ready here, and never runs, ";
    deadlock_report_ += forgotten_body;
  }
  deadlocked_ = true;
  begin_unwinding(w, main);
  if (only_main_is_left()) finish_deadlock(w);
}

bool runtime_core::finish_deadlock(worker& w) noexcept {
  if (!deadlocked_ || main_cancelled_.exchange(true)) return false;
  cancel_all(w, nullptr);
  return true;
}

void runtime_core::main_has_ended(worker& w) noexcept {
  main = nullptr;
  begin_unwinding(w, nullptr);
}

void runtime_core::begin_unwinding(worker& w, const routine* except) noexcept {
  if (!unwinding_.exchange(true, std::memory_order_seq_cst)) begin_grace(scheduler_of(w).driver_->now());
  cancel_all(w, except);
}

void runtime_core::begin_grace(time_point now) noexcept {
  if (grace_end() != time_point::max()) return;
  const duration grace = delay(settings.shutdown_grace).value();
  const time_point end = grace > time_point::max() - now ? time_point::max() : now + grace;
  grace_end_.store(end.time_since_epoch().count(), std::memory_order_relaxed);
}

void runtime_core::cancel_all(worker& w, const routine* except) noexcept {
  routine_list woken;
  for (const auto& each : workers) {
    each->routines.each([&](routine& r) {
      if (&r != except && cancel_under_lock(r, w.shared)) woken.push_back(r);
    });
  }
  while (routine* r = woken.pop_front()) w.push(*r);
}

bool runtime_core::only_main_is_left() noexcept {
  for (const auto& each : workers) {
    optional_guard guard(each->routines.lock, workers.size() > 1);
    const routine* r = each->routines.first();
    if (r != nullptr && (r != main || r->roster_next != nullptr)) return false;
  }
  return true;
}

void runtime_core::routine_has_ended() noexcept {
  if (main == nullptr) {
    if (std::all_of(workers.begin(), workers.end(), [](const auto& w) { return w->routines.empty(); })) stop_workers();
  } else if (deadlocked_ && only_main_is_left()) {
    finish_deadlock(*current_worker());
  }
}

void runtime_core::check_grace(time_point now) noexcept {
  if (now < grace_end()) return;
  note_grace_over();
  stop_workers();
}

void runtime_core::stop_workers() noexcept {
  done_.store(true, std::memory_order_seq_cst);
  for (const auto& w : workers) w->wake();
}

void runtime_core::fail(std::exception_ptr why) noexcept {
  {
    const std::lock_guard guard(outcome_mutex_);
    if (!failure_) failure_ = std::move(why);
  }
  stop_workers();
}

// By name only a few: there may be a million.
void runtime_core::warn_of_unended() noexcept {
  constexpr std::size_t most_named = 10;
  std::vector<std::string> named;
  std::size_t count = 0;
  // Where some catch `cancelled` and go on, they are what holds up the end, and not those that wait for them.
  std::uint32_t most_ended = 0;
  for (const auto& w : workers) {
    w->routines.each([&](const routine& r) { most_ended = std::max(most_ended, r.ended_awaits()); });
  }
  for (const auto& w : workers) {
    w->routines.each([&](routine& r) {
      if (r.ended_awaits() < most_ended / 16 || (most_ended > 0 && r.ended_awaits() == 0)) return;
      if (count++ >= most_named) return;
      std::string text = "shutdown_grace is over, and a routine that would not end is destroyed:";
      describe_routine(text, r, &r == main);
      text.pop_back();
      named.push_back(std::move(text));
    });
  }
  for (const std::string& text : named) warn(text);
  if (count > most_named) warn("... and " + std::to_string(count - most_named) + " more that would not end");
}

void runtime_core::destroy_what_is_left() noexcept {
  if (grace_over_.load(std::memory_order_relaxed)) warn_of_unended();
  for (const auto& w : workers) w->discard_queue();
  while (routine* r = pop_global()) drop_from_queue(*r);
  global_count_.store(0, std::memory_order_relaxed);
  const std::exception_ptr why = failure_ ? failure_ : std::make_exception_ptr(cancelled());
  worker& here = *current_worker();
  for (const auto& w : workers) {
    while (routine* r = w->routines.first()) {
      r->close();
      leave_context(*r, here.shared);
      w->routines.remove(*r);
      here.counts.routines.add(-1);
      r->fail(why);
      r->ended.store(true, std::memory_order_release);
      r->at_end(here);
      // Whom the frame's end has woken is destroyed in its turn.
      for (const auto& each : workers) each->discard_queue();
      r->release();
    }
  }
}

void runtime_core::cancel_main() {
  (void)post([this](worker* w) {
    routine* r = main.load();
    // On one worker main cannot end meanwhile; on many its roster's lock keeps it.
    if (w == nullptr || r == nullptr) return;
    for (const auto& each : workers) {
      each->routines.each([&](routine& listed) {
        if (&listed == r && cancel_under_lock(listed, w->shared)) w->push(listed);
      });
    }
  });
}

// ---- reports

void report_from_any_thread(runtime_core& rt, std::string& text) {
  worker* w = current_worker();
  if (w != nullptr && w->runtime_id == rt.id) return rt.dump(text);
  if (!rt.running()) return;
  std::mutex mutex;
  std::condition_variable changed;
  bool made = false;
  std::exception_ptr error;  // there was no memory for it: that is the caller's, and not the runtime's
  const bool accepted = rt.post([&](worker* there) {
    const std::lock_guard guard(mutex);
    try {
      if (there != nullptr) rt.dump(text);
    } catch (...) {
      error = std::current_exception();
    }
    made = true;
    changed.notify_one();
  });
  if (!accepted) return;
  std::unique_lock guard(mutex);
  changed.wait(guard, [&made] { return made; });
  if (error) std::rethrow_exception(error);
}

void runtime_core::dump(std::string& text) {
  std::string routines;
  std::size_t count = 0;
  for (const auto& w : workers) {
    w->routines.each([&](routine& r) {
      describe_routine(routines, r, &r == main);
      ++count;
    });
  }
  text += std::to_string(count) + (count == 1 ? " routine" : " routines") + " on " + std::to_string(workers.size()) +
          (workers.size() == 1 ? " worker\n" : " workers\n") + routines;
}

void runtime_core::request_dump() noexcept {
  dump_requested_.store(true, std::memory_order_seq_cst);
  for (const auto& w : workers) w->wake();
}

void runtime_core::serve_dump_request(worker&) {
  if (!dump_requested_.load(std::memory_order_relaxed) || !dump_requested_.exchange(false)) return;
  std::string text = "ringo: ";
  dump(text);
  std::fputs(text.c_str(), stderr);
}

ringo::metrics runtime_core::metrics() const {
  ringo::metrics sum{};
  std::int64_t live = 0;
  const auto as_count = [](const counter& c) { return static_cast<std::uint64_t>(c.value()); };
  for (const auto& w : workers) {
    live += w->counts.routines.value();
    sum.routines_started += as_count(w->counts.started);
    sum.resumes += as_count(w->counts.resumes);
    sum.steals += as_count(w->counts.steals);
    sum.parks += as_count(w->counts.parks);
    sum.wakes += as_count(w->counts.wakes);
    sum.operations += as_count(w->counts.waits);
    sum.timers += static_cast<std::uint64_t>(w->timers.armed());
    sum.steals_failed += as_count(w->counts.steals_failed);
  }
  sum.wakes_sent = as_count(wakes_sent_);
  sum.routines_live = static_cast<std::uint64_t>(std::max<std::int64_t>(live, 0));
  return sum;
}

}  // namespace ringo::detail
