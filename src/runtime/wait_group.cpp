#include <ringo/wait_group.hpp>

#include <exception>
#include <stdexcept>
#include <string>
#include <thread>

#include <ringo/detail/bridge.hpp>

#include "runtime/report.hpp"

namespace ringo {

wait_group::~wait_group() { waiting_.end_waits(lock_, owner_); }

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
