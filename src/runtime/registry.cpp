// The runtimes of this process, and which thread is whose worker.
#include <pthread.h>

#include <algorithm>
#include <mutex>
#include <stdexcept>
#include <string>
#include <vector>

#include <ringo/testing.hpp>

#include "runtime/live_counts.hpp"
#include "runtime/runtime_core.hpp"

namespace ringo::detail {

#if defined(__x86_64__) && defined(__ELF__)
__thread worker* current_worker_slot = nullptr;
void set_current_worker(worker* w) noexcept { current_worker_slot = w; }
#else
namespace {
thread_local worker* current = nullptr;
}
[[gnu::noinline]] worker* current_worker() noexcept { return current; }
[[gnu::noinline]] void set_current_worker(worker* w) noexcept { current = w; }
#endif

namespace {

// A child forked while a runtime runs has its memory but none of its threads and none of its rings.
std::atomic<bool> forked_from_running = false;
std::atomic<int> running = 0;

struct registry {
  registry() {
    ::pthread_atfork(nullptr, nullptr, [] {
      if (running.load(std::memory_order_relaxed) == 0) return;
      forked_from_running.store(true, std::memory_order_relaxed);
      set_current_worker(nullptr);
    });
  }
  std::recursive_mutex mutex;  // a post that is run under it may look up another runtime
  std::vector<runtime_core*> all;
  std::uint64_t last_id = 0;
};

// Never destroyed: a static channel's destructor may come after it.
registry& runtimes() {
  static auto* one = new registry;
  return *one;
}

}  // namespace

void refuse_in_forked_child(const char* call) {
  if (!forked_from_running.load(std::memory_order_relaxed)) return;
  throw std::logic_error(
      std::string("ringo: ") + call +
      " was called in a child process that was forked while a runtime ran: such a child may only exec or exit; "
      "fork before the runtime runs, or start a process");
}

std::uint64_t runtime_registry::next_id() {
  refuse_in_forked_child("runtime");
  registry& r = runtimes();
  const std::lock_guard guard(r.mutex);
  return r.last_id += 1;
}

void runtime_registry::add(runtime_core& rt) {
  registry& r = runtimes();
  const std::lock_guard guard(r.mutex);
  r.all.push_back(&rt);
}

void runtime_registry::remove(runtime_core& rt) noexcept {
  registry& r = runtimes();
  const std::lock_guard guard(r.mutex);
  std::erase(r.all, &rt);
  // Its workers' counts stay part of the process's.
  for (const auto& w : rt.workers) {
    outside_counts().frames.fetch_add(w->counts.frames.value(), std::memory_order_relaxed);
    outside_counts().routines.fetch_add(w->counts.routines.value(), std::memory_order_relaxed);
    outside_counts().operations.fetch_add(w->counts.operations.value(), std::memory_order_relaxed);
  }
}

void runtime_registry::runs(bool now) noexcept { running.fetch_add(now ? 1 : -1, std::memory_order_seq_cst); }

bool runtime_registry::with(std::uint64_t id, const std::function<void(runtime_core&)>& f) {
  registry& r = runtimes();
  const std::lock_guard guard(r.mutex);
  const auto found =
      std::find_if(r.all.begin(), r.all.end(), [id](const runtime_core* each) { return each->id == id; });
  if (found == r.all.end()) return false;
  f(**found);
  return true;
}

bool runtime_registry::has(std::uint64_t id) {
  return with(id, [](runtime_core&) {});
}

bool any_runtime_runs() noexcept { return running.load(std::memory_order_seq_cst) != 0; }

void refuse_foreign_thread(const char* call) {
  refuse_in_forked_child(call);
  if (!any_runtime_runs()) {
    throw std::logic_error(
        std::string("ringo: ") + call +
        " was called while no runtime runs, before run() or after it: call ringo::run(main), and this in main or in a "
        "routine that it starts; or queue a routine with runtime::go before runtime::run");
  }
  throw std::logic_error(
      std::string("ringo: ") + call +
      " was called on a thread that is no worker: from other threads use send_blocking, recv_blocking, close, "
      "handle::wait, or runtime::go to start a routine that does it");
}

worker* worker_or_alone_slow(const char* call) {
  if (any_runtime_runs()) refuse_foreign_thread(call);
  return nullptr;
}

namespace {

// The first runtime hears of it, too: what waits there for the call may wait for ever.
[[noreturn]] void refuse_second_runtime(std::uint64_t first, const worker& second, const char* call) {
  const std::string made =
      std::string(call) + ", in runtime " + std::to_string(second.runtime_id) + " of this process,";
  const std::string owner = "runtime " + std::to_string(first);
  (void)post(first, [text = made + " on an object that belongs to this runtime, " + owner +
                            ", was refused: a routine that waits for it here may wait for ever"](worker* w) {
    if (w != nullptr) w->runtime.warned.tell_rarely(text, {});
  });
  throw std::logic_error("ringo: " + made + " on an object that another runtime uses, " + owner +
                         ": an object belongs to the first runtime that uses it until that one ends; start a routine "
                         "there that does it (runtime::go)");
}

}  // namespace

void ownership::change(const worker& w, const char* call) {
  std::uint64_t seen = owner_.load(std::memory_order_relaxed);
  while (seen != w.runtime_id) {
    if (seen == destroyed) throw_used_after_end(call);
    if (seen != 0 && runtime_registry::has(seen)) refuse_second_runtime(seen, w, call);
    // acq_rel: what its earlier users did is seen by this runtime's.
    if (owner_.compare_exchange_strong(seen, w.runtime_id, std::memory_order_acq_rel)) {
      wake_bridge();
      return move_what_was_posted(*current_worker());
    }
  }
}

bool post(std::uint64_t runtime_id, std::function<void(worker*)> what) {
  bool accepted = false;
  runtime_registry::with(runtime_id, [&](runtime_core& rt) { accepted = rt.post(std::move(what)); });
  return accepted;
}

bool post(std::uint64_t runtime_id, posted& what) noexcept {
  bool accepted = false;
  runtime_registry::with(runtime_id, [&](runtime_core& rt) { accepted = rt.post(what); });
  return accepted;
}

worker_free_counts& outside_counts() noexcept {
  static worker_free_counts counts;
  return counts;
}

}  // namespace ringo::detail

namespace ringo::testing {

counts live() {
  using namespace detail;
  registry& r = runtimes();
  const std::lock_guard guard(r.mutex);
  worker_free_counts& outside = outside_counts();
  std::int64_t frames = outside.frames, routines = outside.routines, timers = outside.timers,
               operations = outside.operations;
  for (const runtime_core* rt : r.all) {
    for (const auto& w : rt->workers) {
      frames += w->counts.frames.value();
      routines += w->counts.routines.value();
      timers += w->timers.armed();
      operations += w->counts.operations.value() + static_cast<std::int64_t>(w->driver_->in_flight());
    }
    operations += rt->outside_work.load();
  }
  const auto as_size = [](std::int64_t n) { return n < 0 ? std::size_t{0} : static_cast<std::size_t>(n); };
  return {as_size(frames), as_size(routines), as_size(timers), as_size(operations)};
}

}  // namespace ringo::testing
