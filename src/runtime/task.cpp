#include <ringo/task.hpp>

#include <stdexcept>

#include "runtime/report.hpp"

namespace ringo::detail {

std::exception_ptr no_value(const std::source_location& started) noexcept {
  try {
    return std::make_exception_ptr(std::logic_error(
        "ringo: a task that has a result has ended without co_return, in the routine started at " + place_of(started)));
  } catch (...) {
    return std::current_exception();
  }
}
void throw_no_value() {
  const worker* w = current_worker();
  std::rethrow_exception(
      no_value(w != nullptr && w->current != nullptr ? w->current->started : std::source_location()));
}

void destroy_frames(std::coroutine_handle<> task, std::coroutine_handle<> innermost) noexcept {
  while (innermost && innermost != task) {
    awaited_task* const by = promise_of(innermost).awaited_by;
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

}  // namespace ringo::detail
