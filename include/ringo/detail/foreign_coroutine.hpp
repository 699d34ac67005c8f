// Coroutines of types that are not ringo's, which await ringo's operations and tasks.
#pragma once
#include <coroutine>

#include <ringo/detail/routine.hpp>
#include <ringo/detail/worker.hpp>

namespace ringo::detail {

// The record that stands for a coroutine of another library's type, or for a task that such a coroutine awaits. Each
// wait has one of its own, so that a frame that is destroyed and one that is resumed never share a record. Each task
// that such a coroutine awaits has one more, its `station`, for the time between two waits when its turn is over.
struct foreign_record final : routine {
  explicit foreign_record(foreign_record* of) noexcept : station(of) { resumed_as = kind::foreign; }
  ~foreign_record() override;

  foreign_record* station;  // of the task in which it waits; null for what the coroutine itself awaits
  bool forgotten = false;   // its coroutine was destroyed while it was in a run queue
  bool dropped = false;     // its runtime ended while it was in a run queue
};

// A record for such a coroutine that is about to wait, or (in_task) for a task that it awaits.
routine& adopt(worker& w, bool in_task);

// Runs a task that such a coroutine awaits until the task first waits. The awaiting expression makes the station
// before, and gives it back by leave_station() when it ends, however it ends.
foreign_record* make_station();
void run_at_station(foreign_record& station, std::coroutine_handle<> coroutine);
void leave_station(foreign_record& station) noexcept;

// The current routine goes on with the coroutine when its turn comes again.
void go_on_later(worker& w, std::coroutine_handle<> coroutine) noexcept;

// The frame of the coroutine is destroyed while its wait is open (claimed: false) or won: ends the wait, or has the run
// queue forget it.
void forget(routine& r, bool claimed) noexcept;

// The routine's runtime has ended: it never runs again, and leaves the run queue that it is in or would go to.
void drop_from_queue(routine& r) noexcept;

// Makes a routine ready whose wait the caller has claimed. Without a worker no runtime runs.
inline void make_ready_or_drop(worker* w, routine& r) noexcept { w != nullptr ? w->make_ready(r) : drop_from_queue(r); }

}  // namespace ringo::detail
