#include <ringo/detail/operation.hpp>

#include <new>
#include <utility>

#include "runtime/choices.hpp"
#include "runtime/parking.hpp"
#include "runtime/runtime_core.hpp"

namespace ringo::detail {
namespace {

std::exception_ptr take_noted(parked_operation& by) noexcept {
  auto* noted = std::launder(reinterpret_cast<std::exception_ptr*>(by.refusal));
  std::exception_ptr error = std::move(*noted);
  noted->~exception_ptr();
  return error;
}

void note(parked_operation& by, std::exception_ptr error) noexcept {
  ::new (static_cast<void*>(by.refusal)) std::exception_ptr(std::move(error));
}

}  // namespace

std::coroutine_handle<> suspend_in_record(worker& w, std::coroutine_handle<> coroutine, bool in_task,
                                          untyped_wait wait) {
  routine& r = adopt(w, in_task);
  r.resume_at = coroutine;
  // In the station, so that its frames can be destroyed from the innermost outwards.
  if (in_task && w.current->resumed_as == routine::kind::foreign) w.current->resume_at = coroutine;
  try {
    if (wait.begin(wait.wait, r)) return std::noop_coroutine();
  } catch (...) {  // a user's move or copy, for example, in a commit
    r.release();
    throw;
  }
  r.release();  // no other thread knows it
  return coroutine;
}

std::coroutine_handle<> end_turn(worker& w, std::coroutine_handle<> coroutine, bool in_task, routine*& noted) {
  if (in_task && w.current->resumed_as != routine::kind::foreign) {
    routine& r = *w.current;
    r.resume_at = coroutine;
    noted = &r;
    return w.push_and_switch_away(r);
  }
  return suspend_in_record(w, coroutine, in_task, {static_cast<void*>(&noted), [](void* note, routine& r) {
                                                     *static_cast<routine**>(note) = &r;
                                                     current_worker()->push(r);
                                                     return true;
                                                   }});
}

void throw_or_note(parked_operation& by, worker& w, std::exception_ptr error) {
  if (!w.turn_lasts()) return note(by, std::move(error));
  if (!error) throw_cancelled();
  w.spend_a_throw();
  if (w.simulated) w.runtime.simulation->note_stubborn_await();
  std::rethrow_exception(std::move(error));
}
void throw_noted(parked_operation& by) {
  std::exception_ptr error = take_noted(by);
  if (!error) throw_cancelled();
  std::rethrow_exception(std::move(error));
}
void drop_noted(parked_operation& by) noexcept { (void)take_noted(by); }
void note_cancelled(parked_operation& by) noexcept { note(by, nullptr); }

bool refuse(untyped_operation o, worker& w, std::exception_ptr error) {
  throw_or_note(*o.of, w, std::move(error));
  o.state() = progress::refused;
  return false;
}
bool refuse_cancelled(untyped_operation o, worker& w) { return refuse(o, w, nullptr); }
bool refuse_to_enter(untyped_operation o, worker& w) {
  (void)w.spend();
  return refuse(o, w, std::current_exception());
}

// As a section does (section.hpp), it checks the source in simulations, too.
bool commit(untyped_operation o, worker& w) {
  const auto commit_here = [&](routine*& woken) {
    const bool committed = o.its->commit(o.of, w, w.shared, woken);
    if (checked_build || w.simulated) o.its->check(o.of);
    return committed;
  };
  if (w.shared) return commit_under(o.its->lock(o.of), w, commit_here);
  routine* woken = nullptr;
  const bool committed = commit_here(woken);
  if (woken != nullptr) w.make_next(*woken);
  return committed;
}

bool commit_otherwise(untyped_operation o, worker& w) {
  if (w.current->is_cancelled()) [[unlikely]]
    return refuse_cancelled(o, w);
  return commit(o, w) && w.turn_lasts();
}

void leave_source(untyped_operation o) noexcept {
  if (o.state() == progress::idle) return;
  if (o.state() == progress::ended) {
    o.state() = progress::idle;
    return;
  }
  worker* const w = current_worker();
  const bool locked = w == nullptr || w->shared;
  bool last;
  {
    const optional_guard guard(locked ? o.its->lock(o.of) : nullptr);
    last = o.its->unlink(o.of);
  }
  if (last) [[unlikely]]
    o.its->dispose(o.of);
  if (locked && w != nullptr) w->wake(nullptr);
}

void abandon(untyped_operation o, routine& r) noexcept {
  const worker* const w = current_worker();
  const bool claimed_here = r.claim(w == nullptr || w->shared);
  if (o.state() == progress::refused) {
    drop_noted(*o.of);
    o.state() = progress::idle;
  } else if (won(o.state())) {
    o.its->discard(o.of);
  } else {
    leave_source(o);
  }
  forget(r, !claimed_here);
}

bool park_locked(untyped_operation o, worker& w, routine& r) {
  return park_under(
      o, w, r, o.its->lock(o.of), [&](routine*& woken) { return o.its->commit(o.of, w, true, woken); },
      [&] {
        o.its->link(o.of, w, r);
        if constexpr (checked_build) o.its->check(o.of);
      });
}
std::coroutine_handle<> park_locked(untyped_operation o, worker& w, std::coroutine_handle<> coroutine) {
  routine& r = *w.current;
  r.resume_at = coroutine;
  return park_locked(o, w, r) ? w.switch_away() : coroutine;
}

void refuse_to_park(untyped_operation o) noexcept {
  o.its->unlink(o.of);
  note_cancelled(*o.of);
  o.state() = progress::refused;
}

void come_back_cancelled(untyped_operation o) {
  if (o.state() == progress::refused) {
    o.state() = progress::idle;
    throw_noted(*o.of);
  }
  leave_source(o);
  throw_cancelled();
}

}  // namespace ringo::detail
