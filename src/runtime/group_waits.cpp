// The routines that wait for a group: for its members' end, and for a free place.
#include <string>
#include <utility>

#include <ringo/detail/group_core.hpp>
#include <ringo/errors.hpp>

#include "runtime/runtime_core.hpp"

namespace ringo::detail {

// The caller keeps the context, and cancels it after the unlock.
context group_core::background_to_end() const noexcept {
  return waited_for_ && ordinary_ended() && background_ != 0 ? background_ctx_ : context::background();
}

context group_core::wait_begins(worker* w) {
  context use, ended;
  {
    const section_of here(*this, w);
    waited_for_ = !body_runs_;
    use = ctx_;
    ended = background_to_end();
  }
  if (ended != context::background()) ended.cancel();
  return use;
}

bool group_core::wait_ends_at_once(worker& w) {
  if (!w.spend()) return false;
  owner_.enter(&w, group_ended_operation::call_name);
  if (parent_.is_cancelled()) return false;
  context use;
  {
    const section_of here(*this, &w);
    if (!all_ended() || body_runs_ || first_error_) return false;
    // A member may have ended early because the parent was cancelled after the look above.
    if (const context_core* p = context_access::core(parent_); p != nullptr && p->is_marked()) return false;
    waited_for_ = finished_ = true;
    use = ctx_;
  }
  use.cancel();  // semantics 150
  return true;
}

// Under the lock: members that start from now on belong to the next use. In the body of a scope a wait() ends no use.
void group_core::note_wait_is_over() noexcept {
  if (!body_runs_) finished_ = true;
}

void group_core::wake_waiting(section& in) noexcept {
  while (wait_is_over() && joining_.claim_first(in, progress::done) != nullptr) note_wait_is_over();
  wake_for_slot(in);
}

// If a place is free and routines wait for one, a woken routine is on its way. Under the lock it finds the place taken,
// and waits again; or it wakes the next waiter, in each case: when it goes on, when it is cancelled, and when its frame
// is destroyed. So it is enough to wake one.
void group_core::wake_for_slot(section& in) noexcept {
  if (!has_slot()) return;
  if (waiter* one = slots_.claim_first(in, progress::done)) static_cast<group_slot_operation&>(*one).look_again();
}

void group_core::pass_slot_on() noexcept {
  worker* w = current_worker();
  if (w == nullptr || w->runtime_id != owner_.runtime_id() || slots_.looks_empty()) return;
  section_of here(*this, w);
  wake_for_slot(here);
}

// The routine that was woken before may not have used the place yet. So this one looks again when it runs. A case of a
// select, and a foreign coroutine, go on without that.
void group_slot_operation::look_again() noexcept {
  routine& r = *blocked;
  if (r.parked != this || r.resumed_as != routine::kind::plain) return;
  set_state(progress::waiting);
  looks_again_ = true;
  try_again = [](parked_operation& p, worker& there) {
    return static_cast<group_slot_operation&>(p).go_on_or_wait(there);
  };
  r.resumed_as = routine::kind::tries_again;
}

// False if it waits again: then the frame may be gone.
bool group_slot_operation::go_on_or_wait(worker& w) noexcept {
  routine& r = *blocked;
  if (r.is_cancelled()) {  // await_resume throws
    note_cancelled(*this);
    set_state(progress::refused);
    looks_again_ = false;
    of_->pass_slot_on();
    return true;
  }
  return w.shared ? !park_locked(w, r) : commit_alone(w) || !park_alone(w, r);
}

void group_core::finish(const context& use) {
  worker& w = *current_worker();
  std::exception_ptr error;
  std::size_t further = 0;
  bool body_runs = false;
  {
    const section_of here(*this, &w);
    if (use == ctx_) {  // else that use has passed without an error, and this wait has no business with the next one
      body_runs = body_runs_;
      error = first_error_;
      first_error_told_ = true;
      further = std::exchange(further_errors_, 0);
    }
  }
  if (!body_runs) use.cancel();  // semantics 150
  if (further != 0) {
    warn(w, ": besides the error that wait() throws, ", further, " more of its members have ended with an error");
  }
  if (error) std::rethrow_exception(error);
  if (parent_.is_cancelled()) throw_cancelled();
}

task<> wait_for_group(group_core& of, std::source_location where) {
  const group_hold kept(of);
  bool interrupted = false;
  group_ended_operation ended(of);
  try {
    co_await awaited_at<group_ended_operation&>{ended, where};
  } catch (const cancelled&) {
    interrupted = true;
  }
  if (interrupted) {
    of.cancel(nullptr, &ended.use());
    group_ended_operation joined(of, ended.use());
    const cancellation_held_back until_joined;
    co_await awaited_at<group_ended_operation&>{joined, where};
    throw cancelled();
  }
  of.finish(ended.use());
}

void group_ended_operation::append_to(wait_report& text) const {
  std::string members = std::to_string(of_->running_) + " run and " + std::to_string(of_->queued_) + " are queued";
  if (of_->background_ != 0) members += ", and " + std::to_string(of_->background_) + " in the background";
  text += "the end of a group's members: ";
  text += reported_object{.at = of_.operator->(), .kind = "group", .state = std::move(members)};
}

void group_slot_operation::append_to(wait_report& text) const {
  text += "a slot in ";
  text += reported_object{.at = of_.operator->(), .kind = "group", .state = "limit " + std::to_string(of_->limit_)};
}

}  // namespace ringo::detail
