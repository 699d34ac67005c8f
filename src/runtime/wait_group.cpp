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

// Running members probably use objects that are destroyed together with the wait_group. Cancelled members are about to
// end: usually those of a routine whose context was cancelled, and all of them when the program ends, or when main is
// cancelled, which ends it.
void wait_group_core::refuse_running_members() noexcept {
  {
    const section_of here(*this);
    if (members() == 0) return;
  }
  const worker* w = current_worker();
  const routine* destroyer = w != nullptr ? w->current : nullptr;
  const std::uint32_t state = destroyer != nullptr ? destroyer->state.load(std::memory_order_relaxed) : 0;
  if ((state & routine::context_cancelled) != 0) return;
  std::string places;
  std::size_t members = 0;
  runtime_registry::with(owner.runtime_id(), [&](runtime_core& rt) {
    const bool is_main = destroyer != nullptr && destroyer == rt.main;
    if (rt.unwinding() || rt.done() || (is_main && (state & routine::cancelled) != 0)) return;
    rt.each_routine([&](const routine& r) {
      constexpr std::uint32_t any_cancellation = routine::cancelled | routine::context_cancelled;
      if (r.member_of() != this || (r.state.load(std::memory_order_relaxed) & any_cancellation) != 0) return;
      if (++members > 10) return;
      places += "\n  ";
      tell_start(places, r);
    });
  });
  if (members == 0) return;
  std::fprintf(stderr,
               "ringo: a wait_group is destroyed, %s, while %zu of the routines that its go() has started still run: "
               "co_await its wait() first, or use scope().%s%s\n",
               the_caller().c_str(), members, places.c_str(), members > 10 ? "\n  ..." : "");
  std::abort();
}

void wait_group_core::add_locked(std::ptrdiff_t n) { change(worker_or_unused("wait_group::add"), n, "add", false); }

void wait_group_core::start(routine& r, std::source_location where) {
  try {
    worker& w = require_worker("wait_group::go");
    if (!change_without_lock(w, 1)) [[unlikely]] {
      owner.refuse_if_destroyed("wait_group::go");
      change(&w, 1, "go", true);
    }
    detail::start(w, r, where);
  } catch (...) {
    r.release();
    throw;
  }
}

void wait_group_core::done_locked() {
  worker* w = current_worker();
  if (w != nullptr) return change(w, -1, "done", false);
  do_where_used(owner, [this, caller = std::this_thread::get_id()](worker* there) {
    try {
      change(there, -1, "done", false);
    } catch (...) {
      if (std::this_thread::get_id() == caller) throw;
      report_unhandled(owner.runtime_id(), std::current_exception(), {});
    }
  });
}

bool wait_group_core::change_beside_others(const worker& w, std::ptrdiff_t n) noexcept {
  if (!owner.is_of(w)) return false;
  std::ptrdiff_t now = count();
  while (now > 0 && now + n > 0) {
    if (count_.compare_exchange_weak(now, now + n, std::memory_order_release, std::memory_order_relaxed)) return true;
  }
  return false;
}

namespace {

[[noreturn, gnu::cold, gnu::noinline]] void refuse_negative(const char* call, std::ptrdiff_t now, std::ptrdiff_t n) {
  throw std::logic_error(std::string("ringo: wait_group::") + call + ": negative counter: it is " +
                         std::to_string(now) + " and " + std::to_string(n) +
                         " was added: done() was called more often than add() counted");
}

}  // namespace

void wait_group_core::change(worker* w, std::ptrdiff_t n, const char* call, bool of_member) {
  enter(w, "wait_group");
  section_of here(*this, w);
  if (w == nullptr || !w->shared) {
    if (n < 0 && count() + n < 0) refuse_negative(call, count(), n);
    add_as_only_writer(count_, n);
  } else {
    std::ptrdiff_t now = count();
    do {  // members may begin and end meanwhile
      if (now + n < 0) refuse_negative(call, now, n);
    } while (!count_.compare_exchange_weak(now, now + n, std::memory_order_acq_rel, std::memory_order_relaxed));
  }
  if (!of_member) by_hand_ += n;
  if (count() == 0) claim_all(here);
}

// From now on only members count, so that the last member's end comes to zero, and to change().
void wait_group_core::end_waits(section& in) noexcept {
  gate::end_waits(in);
  count_.fetch_sub(by_hand_, std::memory_order_acq_rel);
  by_hand_ = 0;
}

void wait_group_core::check() const {
  gate::check();
  invariant(count() >= 0, "the counter of a wait_group is not negative");
  invariant(members() >= 0, "a wait_group has no fewer than no members");
}

void wait_group_core::describe(wait_report& text) const {
  text += reported_object{.at = this, .kind = "wait_group", .state = "counter " + std::to_string(count())};
}

}  // namespace ringo::detail
