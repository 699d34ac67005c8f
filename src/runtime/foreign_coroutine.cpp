#include <ringo/detail/foreign_coroutine.hpp>

#include <utility>

#include <ringo/detail/context_core.hpp>
#include <ringo/detail/current_worker.hpp>

#include "runtime/scheduler.hpp"

namespace ringo::detail {

routine& adopt(worker& w, bool in_task) {
  routine* now = w.current;
  const bool foreign = now->resumed_as == routine::kind::foreign;
  foreign_record* station = in_task && foreign ? static_cast<foreign_record*>(now)->station : nullptr;
  auto* wait = new foreign_record(station);
  if (station == nullptr) return *wait;
  // The task in there runs under a context, and may shield itself, as in a routine.
  wait->state.store(station->state.load(std::memory_order_relaxed) & (routine::shielded | routine::immune),
                    std::memory_order_relaxed);
  if (station->context != nullptr) {
    wait->context = station->context;
    wait->context->retain();
    wait->context->add_member(*wait, w.shared);
  }
  return *wait;
}

foreign_record::~foreign_record() {
  const worker* w = current_worker();
  context_core::leave(*this, w == nullptr || w->shared);
}

foreign_record* make_station() {
  auto* station = new foreign_record(nullptr);
  station->station = station;
  return station;
}

void run_at_station(foreign_record& station, std::coroutine_handle<> coroutine) {
  worker& w = require_worker("awaiting a task");
  // Whatever waits in there waits for the foreign coroutine, not for the routine that happens to have resumed that.
  station.count.fetch_add(1, std::memory_order_relaxed);
  // Within the same turn: the budget is what is left of it.
  routine* const before = std::exchange(w.current, &station);
  coroutine.resume();
  w.current = before;
  if (before != nullptr) w.look_for_cancellation(*before);
  station.release();
}

void leave_station(foreign_record& station) noexcept {
  station.resume_at = std::noop_coroutine();  // where a run queue has it
  station.release();
}

void go_on_later(worker& w, std::coroutine_handle<> coroutine) noexcept {
  routine* r = w.current;
  if (r->resumed_as == routine::kind::foreign) {
    r = static_cast<foreign_record*>(r)->station;
    r->count.fetch_add(1, std::memory_order_relaxed);  // the run queue's
  }
  r->resume_at = coroutine;
  if (r->resumed_as != routine::kind::foreign) w.current = nullptr;
  w.push(*r);
}

void forget(routine& r, bool claimed) noexcept {
  if (r.resumed_as != routine::kind::foreign) return;  // its runtime is destroying it, and has emptied the queues
  auto& record = static_cast<foreign_record&>(r);
  if (claimed && !record.dropped) {
    record.forgotten = true;  // a run queue has it, and its worker frees it there
    r.resume_at = std::noop_coroutine();
  } else {
    r.release();
  }
}

void drop_from_queue(routine& r) noexcept {
  if (r.resumed_as != routine::kind::foreign) return;  // a routine's roster has it
  auto& record = static_cast<foreign_record&>(r);
  if (record.station == &record || record.forgotten) {
    r.release();
  } else {
    record.dropped = true;  // its coroutine lives on, and its operation's destructor frees it
  }
}

void scheduler::resume_foreign(foreign_record& wait) noexcept {
  // What goes on is a task: what it notes in its routine is to stay when this wait is over.
  foreign_record* station = wait.forgotten ? nullptr : wait.station;
  if (station != nullptr) {
    station->count.fetch_add(1, std::memory_order_relaxed);  // it may end the task that it stands for
    set_current(*station);
  }
  wait.resume_at.resume();
  wait.release();  // the run queue's
  if (station != nullptr) station->release();
}

}  // namespace ringo::detail
