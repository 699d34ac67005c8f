#include <ringo/errors.hpp>

#include <new>
#include <stdexcept>
#include <string>
#include <utility>

#include <ringo/detail/bridge.hpp>
#include <ringo/detail/operation.hpp>
#include <ringo/task.hpp>

#include "runtime/runtime_core.hpp"
#include "testing/simulation.hpp"

#include "runtime/outside_error.hpp"

namespace ringo {

const char* cancelled::what() const noexcept { return "ringo: cancelled"; }
std::error_code cancelled::code() const noexcept { return std::make_error_code(std::errc::operation_canceled); }

timed_out::timed_out() : std::system_error(detail::code_of(detail::time_limit), "ringo") {}

namespace detail {

void throw_cancelled() {
  // A routine may await something once or twice, to clean up.
  constexpr std::uint32_t usual = 64;
  if (worker* w = current_worker(); w != nullptr && w->current != nullptr) {
    w->current->count_ended_await();
    // acquire: what was done before the cancellation has happened, for who catches this.
    (void)w->current->state.load(std::memory_order_acquire);
    w->spend_a_throw();
    if (w->simulated && w->current->ended_awaits() > usual) w->runtime.sim->note_stubborn_await();
  }
  throw cancelled();
}

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

void throw_or_note(parked_operation& by, worker& w, std::exception_ptr error) {
  if (!w.turn_lasts()) return note(by, std::move(error));
  if (!error) throw_cancelled();
  w.spend_a_throw();
  if (w.simulated) w.runtime.sim->note_stubborn_await();
  std::rethrow_exception(std::move(error));
}
void throw_noted(parked_operation& by) {
  std::exception_ptr error = take_noted(by);
  if (!error) throw_cancelled();
  std::rethrow_exception(std::move(error));
}
void drop_noted(parked_operation& by) noexcept { (void)take_noted(by); }
void note_cancelled(parked_operation& by) noexcept { note(by, nullptr); }

void destroy_frames(std::coroutine_handle<> task, std::coroutine_handle<> innermost) noexcept {
  while (innermost && innermost != task) {
    // All promises of tasks begin with their base at the same place, since none has a larger alignment (result).
    const auto& promise = std::coroutine_handle<task_promise_base>::from_address(innermost.address()).promise();
    awaited_task* const by = promise.awaited_by;
    if (by == nullptr) break;
    const std::coroutine_handle<> next = by->awaiting;
    by->task = nullptr;
    innermost.destroy();
    innermost = next;
  }
  if (task) task.destroy();
}

void throw_empty_task() {
  throw std::logic_error("ringo: awaiting an empty task: it was moved from, or has been awaited before");
}
void throw_empty_handle(const char* call) {
  throw std::logic_error(std::string("ringo: ") + call +
                         " on an empty handle: it was moved from, or no routine was started for it");
}
void throw_joined_twice() {
  throw std::logic_error("ringo: a second join of a routine: its result has been taken by the first");
}

}  // namespace detail
}  // namespace ringo
