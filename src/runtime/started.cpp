#include <ringo/detail/started.hpp>

#include <ringo/detail/context_core.hpp>
#include <ringo/detail/object_name.hpp>

#include "runtime/runtime_core.hpp"

namespace ringo::detail {

void start(worker& w, routine& r, std::source_location started) {
  const routine* const by = w.current;
  if (by == nullptr) return start_in(w, r, nullptr, started);
  r.started_by = by->number.load(std::memory_order_relaxed);
  start_in(w, r, by->context, started);
}

void name_routine(routine& r, const std::string& name) {
  try {
    set_name(&r, name);
  } catch (...) {
    r.release();
    throw;
  }
  r.has_name = true;
}

void note_starter(routine& r) noexcept {
  const worker* const w = current_worker();
  if (w != nullptr && w->current != nullptr) r.started_by = w->current->number.load(std::memory_order_relaxed);
}

void start_in(worker& w, routine& r, context_core* context, std::source_location started) {
  auto& self = scheduler_of(w);
  r.number.store(self.give_number(), std::memory_order_relaxed);
  if (r.listed_in == nullptr) {  // else another thread announced it, and others may know it already
    r.started = started;
    self.announce(r);
  }
  r.listed_in->add(r);
  if (context != nullptr) {
    context->retain();
    r.context = context;
    context->add_member(r, &w);
  }
  // After the entry into the roster: either this sees `unwinding`, or the thread that set it finds the routine there
  // (runtime_core.hpp).
  if (w.runtime.unwinding()) r.state.fetch_or(routine::cancelled, std::memory_order_relaxed);
  // With several workers, others may take the new routine: its starter may run for long without a wait, and no other
  // worker takes from run_next.
  if (w.observed != nullptr) [[unlikely]]
    w.note_ready(r);
  if (self.looks_outside()) [[unlikely]] {
    self.add_early(r);
  } else {
    w.shared ? self.add_new(r) : w.set_next(r);
  }
}

}  // namespace ringo::detail
