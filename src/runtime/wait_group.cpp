#include <ringo/wait_group.hpp>

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <stdexcept>
#include <string>
#include <thread>

#include <ringo/detail/foreign_threads.hpp>
#include <ringo/detail/join.hpp>

#include "runtime/registry.hpp"
#include "runtime/report.hpp"
#include "runtime/runtime_core.hpp"

namespace ringo::detail {

void wait_group_core::drop() noexcept {
  const worker* w = current_worker();
  const bool shared = w == nullptr || w->shared;
  bool any_runs;
  {
    const optional_guard guard(lock_, shared);
    any_runs = members() != 0;
  }
  if (any_runs) refuse_running_members();
  waiting_.end_waits(lock_, owner_);
  bool last;
  {
    const optional_guard guard(lock_, shared);
    is_dropped_ = true;
    count_ = members();  // so that the last member's end takes the path of change(), not of change_alone()
    by_hand_ = 0;
    last = count_ == 0;
  }
  if (last) delete this;
}

// Running members probably use objects that are destroyed together with the wait_group. Cancelled members are about to
// end: usually those of a routine whose context was cancelled, and all of them when the program ends, or when main is
// cancelled, which ends it.
void wait_group_core::refuse_running_members() const noexcept {
  const worker* w = current_worker();
  const routine* destroyer = w != nullptr ? w->current : nullptr;
  const std::uint32_t state = destroyer != nullptr ? destroyer->state.load(std::memory_order_relaxed) : 0;
  if ((state & routine::context_cancelled) != 0) return;
  std::string places;
  std::size_t members = 0;
  runtime_registry::with(owner_.runtime_id(), [&](runtime_core& rt) {
    const bool is_main = destroyer != nullptr && destroyer == rt.main;
    if (rt.unwinding() || rt.done() || (is_main && (state & routine::cancelled) != 0)) return;
    for (const auto& each : rt.workers) {
      each->routines.each([&](routine& r) {
        constexpr std::uint32_t any_cancellation = routine::cancelled | routine::context_cancelled;
        if (r.counted_in() != this || (r.state.load(std::memory_order_relaxed) & any_cancellation) != 0) return;
        if (++members > 10) return;
        places += "\n  ";
        tell_start(places, r);
      });
    }
  });
  if (members == 0) return;
  std::fprintf(stderr,
               "ringo: a wait_group is destroyed, %s, while %zu of the routines that its go() has started still run: "
               "co_await its wait() first, or use scope().%s%s\n",
               the_caller().c_str(), members, places.c_str(), members > 10 ? "\n  ..." : "");
  std::abort();
}

void wait_group_core::add(std::ptrdiff_t n) { change(worker_or_alone("wait_group::add"), n, "add", false); }

void wait_group_core::start(routine& r, std::source_location where) {
  try {
    worker& w = require_worker("wait_group::go");
    if (!change_alone(w, 1)) [[unlikely]]
      change(&w, 1, "go", true);
    detail::start(w, r, where);
  } catch (...) {
    delete &r;
    throw;
  }
}

void wait_group_core::done() {
  worker* w = current_worker();
  if (w != nullptr) return change(w, -1, "done", false);
  do_where_used(owner_, [this, caller = std::this_thread::get_id()](worker* there) {
    try {
      change(there, -1, "done", false);
    } catch (...) {
      if (std::this_thread::get_id() == caller) throw;
      tell_unhandled(owner_.runtime_id(), std::current_exception(), {});
    }
  });
}

void wait_group_core::change(worker* w, std::ptrdiff_t n, const char* call, bool of_member) {
  owner_.enter(w, "wait_group");
  const bool shared = w != nullptr && w->shared;
  routine_list woken;
  bool last;
  {
    const optional_guard guard(lock_, shared);
    if (n < 0 && count_ + n < 0) {
      throw std::logic_error(std::string("ringo: wait_group::") + call + ": negative counter: it is " +
                             std::to_string(count_) + " and " + std::to_string(n) +
                             " was added: done() was called more often than add() counted");
    }
    count_ += n;
    if (!of_member) by_hand_ += n;
    if (count_ == 0) waiting_.claim_all(shared, woken);
    last = is_dropped_ && count_ == 0;
  }
  // From the unlock on, a waiter may have returned and destroyed the group.
  while (routine* r = woken.pop_front()) make_ready_or_drop(w, *r);
  if (last) delete this;
}

void wait_group_operation::enter(worker* w) { of_->owner_.enter(w, call_name); }
void wait_group_operation::tell(std::string& text) const {
  text += "a wait_group with a counter of ";
  text += std::to_string(of_->count_);
}

}  // namespace ringo::detail
