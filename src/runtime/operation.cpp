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
