#include "runtime/runtime_core.hpp"

#include <pthread.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <iterator>
#include <latch>
#include <new>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <utility>

#include <ringo/detail/context_core.hpp>
#include <ringo/detail/foreign_threads.hpp>
#include <ringo/errors.hpp>

#include "runtime/observer.hpp"
#include "runtime/recorder.hpp"
#include "runtime/registry.hpp"

namespace ringo::detail {
namespace {

constexpr std::int64_t no_grace_end = time_point::max().time_since_epoch().count();

std::exception_ptr no_thread_for(std::size_t number, std::size_t workers, const std::system_error& why) noexcept {
  try {
    throw std::system_error(
        why.code(), "ringo: no thread could be started for worker " + std::to_string(number) + " of " +
                        std::to_string(workers) +
                        " (the limits are RLIMIT_NPROC, the cgroup's pids.max and memory; runtime_options::workers may "
                        "be fewer)");
  } catch (...) {  // or there is no memory to say so
    return std::current_exception();
  }
}

}  // namespace

runtime_core::runtime_core(runtime_options o, std::vector<std::unique_ptr<driver>> drivers, choices* s, bool helper)
    : id(runtime_registry::next_id()),
      is_helper(helper),
      settings(std::move(o)),
      unhandled(std::make_shared<const decltype(runtime_options::on_unhandled)>(settings.on_unhandled)),
      warned(settings),
      simulation(s),
      pool(new blocking_pool(*this, settings.blocking_threads, delay(settings.blocking_idle).value(),
                             simulation != nullptr)),
      grace_end_(no_grace_end) {
  for (auto& d : drivers) {
    const auto index = static_cast<unsigned>(workers.size());
    const std::uint64_t seed = (id * 64 + index + 1) * 0x9e3779b97f4a7c15;
    workers.push_back(
        std::make_unique<scheduler>(*this, id, index, drivers.size(), simulation != nullptr, seed, std::move(d)));
  }
  if (settings.recorder != 0 || settings.histograms) {  // without a recorder, the rings have the smallest size
    try {
      recorder = std::make_unique<detail::recorder>(workers.size(), settings.recorder,
                                                    settings.recorder != 0 ? settings.recorder_file : std::string(),
                                                    simulation != nullptr ? &simulation->clock() : nullptr);
    } catch (const std::bad_alloc&) {
      if (settings.recorder == 0) throw;
      throw std::system_error(
          ENOMEM, std::generic_category(),
          "ringo: runtime_options::recorder: there is no memory for the recordings, " +
              std::to_string(settings.recorder) +
              " bytes for each worker: set fewer, or raise the limit of the address space (ulimit -v)");
    }
  }
  if (settings.histograms) {
    times = std::make_unique<routine_times>();
    for (const auto& w : workers) w->times = std::make_unique<times_of_worker>(*times, detail::recorder::wait_kinds);
  }
  if (recorder || settings.hooks != nullptr) {
    for (const auto& w : workers) {
      w->observe_by(*observers.emplace_back(
          std::make_unique<observer>(*w, w->index, recorder.get(), settings.hooks, w->times.get())));
    }
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
  if (!is_helper) count_running_runtime(+1);
  running_.store(true, std::memory_order_release);
  const struct not_running {
    const bool counts;
    ~not_running() {
      if (counts) count_running_runtime(-1);
    }
  } at_the_end{!is_helper};

  scheduler& first = *workers.front();
  first.become_current();
  start(first, r, r.started);
  if (simulation != nullptr) {
    simulation->run(*this);
  } else {
    set_current_worker(nullptr);
    watch_for_stalls();
    std::vector<std::thread> threads;
    // The threads begin together: else main might run on one of them while another cannot be started, for which there
    // may be no memory, since main may use all of it.
    std::latch all_are_there(1);
    try {
      threads.reserve(workers.size() - 1);
      for (std::size_t i = 1; i < workers.size(); ++i) {
        threads.emplace_back([&all_are_there, w = workers[i].get()] {
          all_are_there.wait();
          w->run();
        });
        ::pthread_setname_np(threads.back().native_handle(), "ringo worker");
      }
    } catch (const std::system_error& e) {
      fail(no_thread_for(threads.size() + 2, workers.size(), e));
    } catch (...) {
      fail(std::current_exception());
    }
    all_are_there.count_down();
    first.run();
    for (std::thread& t : threads) t.join();
    if (stalls_) stalls_->stop();
  }
  first.become_current();
  for (const auto& w : workers) w->to_end.carry_out(nullptr);
  destroy_what_is_left();
  // Before any thread can see that the runtime has ended: after that no worker touches a context's timer.
  for (const auto& w : workers) w->timers.let_go();
  end();            // first, which answers the calls that wait for routines of this runtime
  stalls_.reset();  // its on_warning may make such a call
  begin_grace(first.driver_->now());
  pool->shut_down(grace_end());
  if (recorder && !deadlocked_) recorder->write_file("", *this);
  first.finish_operations();  // operations that these ends have begun, such as the close of a stream
  set_current_worker(nullptr);
  warned.tell_left_out();
  if (failure_) std::rethrow_exception(failure_);
  if (deadlocked_) throw deadlock(deadlock_report_);
}

#if defined(NDEBUG)
duration runtime_core::usual_stall = duration::zero();
#else
duration runtime_core::usual_stall = std::chrono::milliseconds(100);
#endif

void runtime_core::watch_for_stalls() {
  const duration limit = settings.stall < duration::zero() ? usual_stall : duration(settings.stall);
  if (limit == duration::zero()) return;
  try {
    stalls_ = std::make_unique<stall_watch>(*this, limit);
  } catch (const std::exception&) {
    warn("there is no memory or no thread to look for stalls (runtime_options::stall), so none will be told of");
  }
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
  // With one worker its driver remembers the wake. With several, one idle worker is enough; if none is idle, they will
  // see the post.
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
    // Before the pool's mutex is taken: a call that is added or completed after that sets it again.
    posted_.store(false, std::memory_order_relaxed);
  }
  {
    const scheduler::batch what_becomes_ready(scheduler_of(w));
    deliver(linked, &w);
    pool->serve(w);
  }
  for (auto item = taken.begin(); item != taken.end(); ++item) {
    try {
      (*item)(&w);
    } catch (...) {  // ends the runtime, which then answers the rest
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
  wake_foreign_threads();  // calls of blocking() that wait there for another runtime end with this one
}

void runtime_core::add_global(std::span<routine* const> routines) noexcept {
  global_.add(routines, workers.size() > 1);
}

std::size_t runtime_core::take_global(scheduler& into) noexcept {
  // At most half of the worker's queue, so that it does not overflow back.
  std::array<routine*, worker::queue_size / 2> taken;
  const std::size_t room = taken.size() - std::min<std::size_t>(into.queued(), taken.size());
  const std::size_t count = global_.take_share(taken, room, workers.size());
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
  // A request is served at least once. Else a worker that is just between two routines would ask for each of them.
  const bool wanted = watch_is_wanted_.exchange(false, std::memory_order_relaxed);
  return (needed || wanted) && !watching_.exchange(true, std::memory_order_relaxed);
}

void runtime_core::wake_to_watch() noexcept {
  const std::lock_guard guard(idle_mutex_);
  if (idle_ == nullptr) return;
  watch_is_wanted_.store(true, std::memory_order_relaxed);
  idle_->wake();
}

bool runtime_core::work_anywhere(const scheduler& besides) noexcept {
  if (has_posts() || has_global() || besides.has_work()) return true;
  return std::any_of(workers.begin(), workers.end(), [](const auto& w) { return w->may_be_stolen_from(); });
}

// ---- the end

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
  each_routine([&](routine& r) {
    if (&r != except && r.cancel(w.shared)) woken.push_back(r);
  });
  while (routine* r = woken.pop_front()) w.push_woken(*r);
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

void runtime_core::destroy_what_is_left() noexcept {
  if (grace_over_.load(std::memory_order_relaxed)) warn_of_unended();
  for (const auto& w : workers) w->discard_queue();
  while (routine* r = global_.pop()) drop_from_queue(*r);
  const std::exception_ptr why = failure_ ? failure_ : std::make_exception_ptr(cancelled());
  worker& here = *current_worker();
  for (const auto& w : workers) {
    while (routine* r = w->routines.first()) {
      r->close();
      context_core::leave(*r, &here);
      w->routines.remove(*r);
      here.counts.ended.add();
      r->fail(why);
      if (failure_) r->failed = false;  // run() throws it: it is not unhandled, too
      r->ended.store(true, std::memory_order_release);
      r->at_end(here);
      // Routines that the frame's end has woken are destroyed later in this loop.
      for (const auto& each : workers) each->discard_queue();
      r->release();
    }
  }
}

void runtime_core::cancel_main() {
  (void)post([this](worker* w) {
    routine* r = main.load();
    // With one worker main cannot end in the meantime; with several its roster's lock keeps it.
    if (w == nullptr || r == nullptr) return;
    each_routine([&](routine& listed) {
      if (&listed == r && listed.cancel(w->shared)) w->push_woken(listed);
    });
  });
}

}  // namespace ringo::detail
