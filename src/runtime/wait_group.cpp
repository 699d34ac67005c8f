#include <ringo/wait_group.hpp>

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <limits>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>

#include <ringo/detail/bridge.hpp>

#include "runtime/report.hpp"
#include "runtime/runtime_core.hpp"

namespace ringo {

wait_group::~wait_group() {
  if (count_ != 0) look_for_members();
  waiting_.end_waits(lock_, owner_);
  owner_.mark_destroyed();
}

// Those that still run would count in what is gone.
void wait_group::look_for_members() noexcept {
  std::string places;
  std::size_t members = 0;
  detail::runtime_registry::with(owner_.runtime_id(), [&](detail::runtime_core& rt) {
    for (const auto& w : rt.workers) {
      w->routines.each([&](detail::routine& r) {
        wait_group** const of = r.counted_in();
        if (of == nullptr || *of != this) return;
        if (rt.done()) {  // all are being destroyed, in no order
          if (rt.abandoned == nullptr) {
            rt.abandoned = std::make_unique<wait_group>();
            rt.abandoned->count_ = std::numeric_limits<std::ptrdiff_t>::max();
          }
          *of = rt.abandoned.get();
        } else if (++members <= 10) {
          places += "\n  ";
          detail::tell_start(places, r);
        }
      });
    }
  });
  if (members == 0) return;
  std::fprintf(stderr,
               "ringo: a wait_group is destroyed, %s, while %zu of the routines that its go() has started still run: "
               "co_await its wait() first, or use scope().%s%s\n",
               detail::the_caller().c_str(), members, places.c_str(), members > 10 ? "\n  ..." : "");
  std::abort();
}

void wait_group::add(std::ptrdiff_t n) { change(detail::worker_or_alone("wait_group::add"), n, "add"); }

void wait_group::count_and_start(std::source_location where, detail::routine& r) {
  try {
    detail::worker& w = detail::require_worker("wait_group::go");
    if (!change_alone(w, 1)) [[unlikely]]
      change(&w, 1, "go");
    detail::start(w, r, where);
  } catch (...) {
    delete &r;
    throw;
  }
}

void wait_group::done() {
  owner_.refuse_if_destroyed("wait_group::done");
  detail::worker* w = detail::current_worker();
  if (w != nullptr) return change(w, -1, "done");
  detail::do_where_used(owner_, [this, caller = std::this_thread::get_id()](detail::worker* there) {
    try {
      change(there, -1, "done");
    } catch (...) {
      if (std::this_thread::get_id() == caller) throw;
      detail::tell_unhandled(owner_.runtime_id(), std::current_exception(), {});
    }
  });
}

void wait_group::change(detail::worker* w, std::ptrdiff_t n, const char* call) {
  owner_.enter(w, "wait_group");
  const bool shared = w != nullptr && w->shared;
  detail::routine_list woken;
  {
    const detail::optional_guard guard(lock_, shared);
    if (n < 0 && count_ + n < 0) {
      throw std::logic_error(std::string("ringo: wait_group::") + call + ": negative counter: it is " +
                             std::to_string(count_) + " and " + std::to_string(n) +
                             " was added: done() was called more often than add() counted");
    }
    count_ += n;
    if (count_ == 0) waiting_.claim_all(shared, woken);
  }
  // From the unlock on, a waiter may have returned and destroyed the group.
  while (detail::routine* r = woken.pop_front()) detail::make_ready_or_drop(w, *r);
}

namespace detail {

void wait_group_operation::enter(worker* w) { of_->owner_.enter(w, call_name); }
spin_lock* wait_group_operation::lock() noexcept { return &of_->lock_; }
bool wait_group_operation::ready(worker&) noexcept { return of_->count_ == 0; }
mortal_queue& wait_group_operation::queue() noexcept { return of_->waiting_; }
void wait_group_operation::tell(std::string& text) const {
  text += "a wait_group with a counter of ";
  text += std::to_string(of_->count_);
}

}  // namespace detail
}  // namespace ringo
