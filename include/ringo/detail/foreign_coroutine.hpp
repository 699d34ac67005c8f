// Foreign coroutines: coroutines of other libraries' types that await ringo's operations and tasks.
#pragma once
#include <coroutine>

#include <ringo/detail/routine.hpp>
#include <ringo/detail/worker.hpp>

namespace ringo::detail {

// The record of a foreign coroutine, or of a task that a foreign coroutine awaits. Each wait has its own record, so a
// frame that is destroyed and one that is resumed never share one. Each task that a foreign coroutine awaits has one
// more, its `station`, for the time between two waits when its turn is over.
struct foreign_record final : routine {
  explicit foreign_record(foreign_record* of) noexcept : station(of) { resumed_as = kind::foreign; }
  ~foreign_record() override;

  foreign_record* station;  // the station of the task that waits; null if the coroutine itself waits
  bool forgotten = false;   // its coroutine was destroyed while it was in a run queue
  bool dropped = false;     // its runtime ended while it was in a run queue
};

// A record for a foreign coroutine that is about to wait, or (in_task) for a task that it awaits.
routine& adopt(worker& w, bool in_task);

// Runs a task that a foreign coroutine awaits, until the task first waits. The awaiting expression makes the station
// before, and gives it back by leave_station() when it ends, in each way.
foreign_record* make_station();
void run_at_station(foreign_record& station, std::coroutine_handle<> coroutine);
void leave_station(foreign_record& station) noexcept;

// The current routine goes on with the coroutine when its turn comes again.
void go_on_later(worker& w, std::coroutine_handle<> coroutine) noexcept;

// Called when the coroutine's frame is destroyed while its wait is open (claimed: false) or won: ends the wait, or
// makes the run queue forget it.
void forget(routine& r, bool claimed) noexcept;

// Called when the routine's runtime has ended: it never runs again, and leaves its run queue.
void drop_from_queue(routine& r) noexcept;

// The caller has claimed the wait of r, and makes r ready here. w is null if no runtime runs; then r leaves its queue.
inline void make_ready_or_drop(worker* w, routine& r) noexcept { w != nullptr ? w->make_ready(r) : drop_from_queue(r); }

}  // namespace ringo::detail
