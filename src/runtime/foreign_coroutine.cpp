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
  // A task in the foreign coroutine runs under a context, and may shield itself, as in a routine.
  wait->state.store(station->state.load(std::memory_order_relaxed) & (routine::shielded | routine::immune),
                    std::memory_order_relaxed);
  if (station->context != nullptr) {
    wait->context = station->context;
    wait->context->retain();
    wait->context->add_member(*wait, &w);
  }
  return *wait;
}

foreign_record::~foreign_record() { context_core::leave(*this, current_worker()); }

foreign_record* make_station() {
  auto* station = new foreign_record(nullptr);
  station->station = station;
  return station;
}

void run_at_station(foreign_record& station, std::coroutine_handle<> coroutine) {
  worker& w = require_worker("awaiting a task");
  // Waits in there belong to the foreign coroutine, not to the routine that happens to have resumed it.
  station.count.add();
  // In the same turn: it goes on with the rest of the budget.
  routine* const before = std::exchange(w.current, &station);
  coroutine.resume();
  w.current = before;
  if (before != nullptr) w.look_for_cancellation(*before);
  station.release();
}

void leave_station(foreign_record& station) noexcept {
  station.resume_at = std::noop_coroutine();  // for a run queue that still has it
  station.release();
}

void go_on_later(worker& w, std::coroutine_handle<> coroutine) noexcept {
  routine* r = w.current;
  if (r->resumed_as == routine::kind::foreign) {
    r = static_cast<foreign_record*>(r)->station;
    r->count.add();  // for the run queue
  }
  r->resume_at = coroutine;
  if (r->resumed_as != routine::kind::foreign) w.current = nullptr;
  w.push(*r);
}

void forget(routine& r, bool claimed) noexcept {
  if (r.resumed_as != routine::kind::foreign) return;  // its runtime destroys it, and has emptied the queues
  auto& record = static_cast<foreign_record&>(r);
  if (claimed && !record.dropped) {
    record.forgotten = true;  // it is in a run queue; the worker frees it there
    r.resume_at = std::noop_coroutine();
  } else {
    r.release();
  }
}

void drop_from_queue(routine& r) noexcept {
  if (r.resumed_as != routine::kind::foreign) return;  // it is in a roster
  auto& record = static_cast<foreign_record&>(r);
  if (record.station == &record || record.forgotten) {
    r.release();
  } else {
    record.dropped = true;  // its coroutine lives on, and its operation's destructor frees it
  }
}

void scheduler::resume_foreign(foreign_record& wait) noexcept {
  // A task goes on. Its notes in its routine must survive this wait, so the station becomes the current routine.
  foreign_record* station = wait.forgotten ? nullptr : wait.station;
  if (station != nullptr) {
    station->count.add();  // the resume may end the station's task
    set_current(*station);
  }
  wait.resume_at.resume();
  wait.release();  // the run queue's count
  if (station != nullptr) station->release();
}

}  // namespace ringo::detail
