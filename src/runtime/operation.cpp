#include <ringo/detail/operation.hpp>

#include <new>
#include <utility>

#include "runtime/choices.hpp"
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
  if (wait.begin(wait.wait, r)) return std::noop_coroutine();
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

}  // namespace ringo::detail
