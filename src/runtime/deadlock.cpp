// Finds out whether any routine can still go on, and reports a deadlock if not.
#include <algorithm>
#include <new>
#include <vector>

#include "platform/thread_census.hpp"
#include "runtime/reaper.hpp"
#include "runtime/recorder.hpp"
#include "runtime/registry.hpp"
#include "runtime/report.hpp"
#include "runtime/runtime_core.hpp"

namespace ringo::detail {
namespace {

// How often the census of threads is repeated while only a foreign thread could still bring work.
constexpr duration first_quiet_check = std::chrono::milliseconds(10);
constexpr duration longest_quiet_check = std::chrono::seconds(1);

// As long as a std::string has room for without memory.
constexpr const char* no_memory_for_report = "ringo: deadlock";

}  // namespace

// A worker in the idle list may be in its driver, about to make a routine ready after a completion. So the runtime is
// quiet only if no worker has entered or left the list during the check: then a completion's routine is seen in a
// queue, or its operation is seen in flight.
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
  if (unwinding()) {  // the routines that are left are shielded, and wait for events that cannot come
    if (!finish_deadlock(w)) stop_workers();
    return time_point::min();
  }
  if (!settings.detect_deadlock) return time_point::max();
  std::optional<std::size_t> foreign;
  try {
    std::vector<pid_t> own;
    list_threads(own);
    list_reaper(own);
    list_end_watchers(own);
    runtime_registry::with_all([&own](const registry& all) {
      for (const runtime_core* helper : all.helpers) helper->list_threads(own);
    });
    foreign = foreign_threads(own);
  } catch (const std::bad_alloc&) {  // then the next check finds out
  }
  if (!foreign || *foreign != 0 || has_posts()) {
    quiet_check_ = std::clamp(quiet_check_ * 2, first_quiet_check, longest_quiet_check);
    return w.driver_->now() + quiet_check_;
  }
  declare_deadlock(w);
  return time_point::min();
}

void runtime_core::list_threads(std::vector<pid_t>& ids) const {
  for (const auto& each : workers) {
    ids.push_back(each->thread.load(std::memory_order_acquire));
    each->driver_->list_threads(ids);
  }
  pool->list_threads(ids);
  if (stalls_) stalls_->list_threads(ids);
}

void runtime_core::declare_deadlock(worker& w) {
  try {
    deadlock_report_ = "ringo: all routines are asleep: deadlock: " + to_text(snapshot());
  } catch (const std::bad_alloc&) {
    if (simulation != nullptr) throw;  // it makes allocations fail to see what comes of it
    deadlock_report_ = no_memory_for_report;
  }
  bool all_wait = true;
  each_routine([&](const routine& r) {
    // In a simulation, a routine that ignores its cancellation is ready, but can wake no other.
    all_wait = all_wait && (r.is_waiting() || r.ended_awaits() > 0);
  });
  // GCC bug 106188.
  if (!all_wait) {
    deadlock_report_ += "One that is ready here, and never runs, ";
    deadlock_report_ += forgotten_body;
  }
  deadlocked_ = true;
  if (recorder) recorder->write_file("", *this);
  begin_unwinding(w, main);
  if (only_main_is_left()) finish_deadlock(w);
}

bool runtime_core::finish_deadlock(worker& w) noexcept {
  if (!deadlocked_ || main_cancelled_.exchange(true)) return false;
  cancel_all(w, nullptr);
  return true;
}

bool runtime_core::only_main_is_left() noexcept {
  for (const auto& each : workers) {
    optional_guard guard(each->routines.lock, workers.size() > 1);
    const routine* r = each->routines.first();
    if (r != nullptr && (r != main || r->roster_next != nullptr)) return false;
  }
  return true;
}

}  // namespace ringo::detail
