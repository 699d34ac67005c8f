#include <ringo/detail/join.hpp>

#include <stdexcept>

#include <ringo/detail/current_worker.hpp>
#include <ringo/detail/foreign_threads.hpp>
#include <ringo/detail/object_name.hpp>

#include "runtime/registry.hpp"
#include "runtime/report.hpp"
#include "runtime/runtime_core.hpp"

namespace ringo::detail {

void cancel(routine& r) {
  if (r.ended.load(std::memory_order_acquire)) return;
  worker* w = current_worker();
  if (w != nullptr && w->runtime_id == r.runtime_id) {
    if (r.cancel(w->shared)) w->push_woken(r);
    return;
  }
  r.count.add();
  const bool accepted = post(r.runtime_id, [&r](worker* there) {
    if (there != nullptr && r.cancel(there->shared)) there->push_woken(r);
    r.release();
  });
  if (!accepted) r.release();
}

// A routine makes its joiners ready in its own worker's run queue, so a joiner must belong to the same runtime. If that
// runtime has ended, all its routines have ended, too, and the join does not wait. A routine without a runtime is a
// task that is a case of a select; this worker will start it.
void enter_from_elsewhere(const routine& of, const worker& w, const char* call) {
  if (of.runtime_id == 0) return;
  if (!runtime_registry::has(of.runtime_id) && of.ended.load(std::memory_order_acquire)) return;
  std::string text = std::string("ringo: ") + call + ", in runtime " + std::to_string(w.runtime_id) +
                     " of this process, of a routine that belongs to runtime " + std::to_string(of.runtime_id);
  if (of.started.line() != 0) tell_start(text += ", ", of);
  throw std::logic_error(
      text +
      ": a routine is awaited in its own runtime. Elsewhere call handle::join_blocking in blocking(), or "
      "have the routine set a completion, or post to a channel, that is awaited there");
}

void tell_start(std::string& text, const routine& of) { text += "started at " + place_of(of.started); }

void append_join(wait_report& report, const routine& of) {
  const std::uint32_t number = of.number.load(std::memory_order_relaxed);
  const std::string name = name_of(&of);
  report += "the end of ";
  report += reported_object{.at = &of,
                            .kind = "routine",
                            .state = "started at " + place_of(of.started),
                            .as = (number != 0 ? "routine " + std::to_string(number) : "a routine") +
                                  (name.empty() ? name : " \"" + name + '"'),
                            .owner = number};
}

void throw_empty_handle(const char* call) {
  throw std::logic_error(std::string("ringo: ") + call +
                         " on an empty handle: it was moved from, or no routine was started for it");
}
void throw_joined_twice() {
  throw std::logic_error("ringo: a second join of a routine: its result has been taken by the first");
}

}  // namespace ringo::detail
