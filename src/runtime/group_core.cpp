#include <ringo/detail/group_core.hpp>

#include <new>
#include <stdexcept>
#include <string>
#include <utility>

#include <ringo/errors.hpp>
#include <ringo/group.hpp>

#include "runtime/report.hpp"
#include "runtime/runtime_core.hpp"

namespace ringo::detail {

group_core::group_core(const context& parent, on_error policy, std::source_location made)
    : policy_(policy), made_(made), parent_(parent), ctx_((worker_or_unused("group"), context::with_cancel(parent))) {}

void group_core::set_name(const object_name& name) {
  detail::set_name(this, name.text());
  is_named_ = true;
}

context group_core::ctx() const noexcept {
  const section_of here(*this);
  return ctx_;
}

// The new context is made, and the old ones are released, without the lock, since both take the lock of a tree. In the
// meantime another routine may begin the new use; then this context is not needed. Each routine whose wait() was over
// cancels the old context (semantics 150).
template <class F>
void group_core::in_current_use(F act) {
  context fresh, passed, passed_background;
  for (;;) {
    {
      const section_of here(*this);
      if (!begins_anew() || fresh != context::background()) {
        if (begins_anew()) {
          passed = std::exchange(ctx_, std::move(fresh));
          passed_background = std::exchange(background_ctx_, {});
          waited_for_ = stopped_ = finished_ = false;
        }
        return act();
      }
    }
    fresh = context::with_cancel(parent_);
  }
}

// Under the lock.
void group_core::check() const {
  std::size_t queued = 0;
  for (const routine* r = queue_.front(); r != nullptr && queued <= queued_; r = r->next) ++queued;
  invariant(queued == queued_, "a group's queue has as many routines as it counts");
  invariant(queued_ == 0 || running_ >= limit_, "a group queues members only at its limit");
  invariant(!wait_is_over() || !joining_.anyone_open(), "no routine waits for a group whose members have ended");
}

group_core::ending group_core::kind_of(const std::exception_ptr& error) noexcept {
  try {
    std::rethrow_exception(error);
  } catch (const cancelled&) {
    return ending::cancelled;
  } catch (const disconnected&) {
    return ending::disconnected;
  } catch (...) {
    return ending::error;
  }
}

void group_core::limit(std::size_t most) {
  worker* w = worker_or_unused("group::limit");
  owner_.enter(w, "group::limit");
  section_of here(*this, w);
  if (!all_ended()) {
    throw std::logic_error("ringo: group::limit while " + std::to_string(running_ + queued_ + background_) +
                           " of its members have yet to end: set it before the first go()");
  }
  limit_ = most;
  if (w != nullptr) wake_for_slot(here);
}

void group_core::add(routine& r) {
  note_starter(r);
  worker* w = current_worker();
  enum class fate { starts, never_starts, is_queued } comes = fate::starts;
  const auto enter = [&] {
    if (running_ < limit_) {
      ++running_;
    } else if (is_cancelled()) {
      comes = fate::never_starts;
    } else {
      comes = fate::is_queued;
      ++queued_;
      queue_.push_back(r);
    }
  };
  const auto enter_this_use = [&] {
    if (begins_anew()) return false;
    enter();
    return true;
  };
  if (w == nullptr || !owner_.is_of(*w) || !section_of<group_core>::change_alone(*this, w, w->shared, enter_this_use))
      [[unlikely]] {
    try {
      w = &require_worker("group::go");
      owner_.enter(w, "group::go");
      in_current_use(enter);
    } catch (...) {
      r.release();
      throw;
    }
  }
  if (comes == fate::never_starts) r.release();
  if (comes == fate::starts) start(*w, r);
}

void group_core::add_background(routine& r) {
  note_starter(r);
  worker* w = current_worker();
  bool counted = false;
  context made;  // the first one that is stored serves all background members
  try {
    w = &require_worker("group::background");
    owner_.enter(w, "group::background");
    in_current_use([&] {
      ++background_;
      counted = true;
    });
    made = context::with_cancel(ctx_);  // a member is counted, so ctx_ does not change
  } catch (...) {
    r.release();
    if (counted) member_ended(*w, nullptr, true);
    throw;
  }
  context under, ended;
  {
    const section_of here(*this, w);
    if (background_ctx_ == context::background()) background_ctx_ = made;
    under = background_ctx_;
    ended = background_to_end();  // the last ordinary member may have ended since this one was counted
  }
  start_in(*w, r, context_access::core(under), r.started);
  if (ended != context::background()) ended.cancel();
}

bool group_core::reserve() {
  worker& w = require_worker("group::try_go");
  owner_.enter(&w, "group::try_go");
  bool reserved = false;
  in_current_use([&] {
    reserved = running_ < limit_;
    if (reserved) ++running_;
  });
  return reserved;
}

void group_core::start_reserved(routine& r) noexcept {
  note_starter(r);
  start(*current_worker(), r);
}

void group_core::give_back_reserved() noexcept { member_ended(*current_worker(), nullptr, false); }

void group_core::start(worker& w, routine& r) noexcept { start_in(w, r, context_access::core(ctx_), r.started); }

void group_core::member_ended(worker& w, std::exception_ptr error, bool of_background) noexcept {
  routine* next = nullptr;
  const auto leaves_others = [&] {  // no waiting routine goes on because this member has ended
    if (of_background || !slots_.empty() || (queued_ == 0 ? running_ == 1 : is_cancelled())) return false;
    if (queued_ == 0) {
      --running_;
    } else {  // the next one takes its place
      next = queue_.pop_front();
      --queued_;
    }
    return true;
  };
  if (!error && section_of<group_core>::change_alone(*this, &w, w.shared, leaves_others)) [[likely]] {
    if (next != nullptr) start(w, *next);
    return;
  }
  if (error && note_error(error, false)) cancel(std::move(error));
  routine_list never_started;
  context ended;
  section_of here(*this, &w);
  --(of_background ? background_ : running_);
  if (queued_ != 0 && is_cancelled()) {  // through ctx()
    never_started = take_queue();
  } else if (running_ < limit_) {
    next = queue_.pop_front();
    if (next != nullptr) {
      --queued_;
      ++running_;
    }
  }
  ended = background_to_end();
  wake_waiting(here);
  const group_core* const unused = here.unlock();
  // From the unlock on, a woken routine may have destroyed the group, unless this was the last member or starts
  // another.
  if (next != nullptr) start(w, *next);
  if (ended != context::background()) ended.cancel();
  drop(never_started);
  here.end();
  delete unused;
}

// A member's `cancelled` is an error of the group only if the group's context was cancelled, other than by
// group::cancel(); or if the runtime has cancelled the member, so that a wait() after a deadlock does not succeed. A
// `cancelled` from elsewhere, such as from the join of a cancelled routine, ends this member only. From the body of a
// scope it is always an error: the scope's caller must not go on as if the body had ended.
bool group_core::note_error(std::exception_ptr error, bool of_the_body) noexcept {
  const ending how = kind_of(error);
  worker* w = current_worker();
  const bool by_runtime = w != nullptr && w->runtime.unwinding();
  const section_of here(*this);
  if (how == ending::cancelled && (stopped_ || !(of_the_body || by_runtime || is_cancelled()))) return false;
  if (first_error_ && (first_ending_ != ending::cancelled || how == ending::cancelled)) {
    if (how == ending::error) ++further_errors_;
    return false;
  }
  first_error_ = std::move(error);
  first_ending_ = how;
  first_error_told_ = false;
  return policy_ == on_error::cancel_rest;
}

void group_core::body_ended(std::exception_ptr error) noexcept {
  {
    const section_of here(*this);
    body_runs_ = false;
  }
  if (error && note_error(error, true)) cancel(std::move(error));
}

void group_core::stop() {
  worker* w = worker_or_unused("group::cancel");
  owner_.enter(w, "group::cancel");
  context use;
  in_current_use([&] {
    stopped_ = true;
    use = ctx_;
  });
  cancel(nullptr, &use);
}

routine_list group_core::take_queue() noexcept {
  queued_ = 0;
  return std::exchange(queue_, {});
}

void group_core::drop(routine_list queued) noexcept {
  while (routine* r = queued.pop_front()) r->release();
}

void group_core::cancel(std::exception_ptr cause, const context* use) noexcept {
  section_of here(*this);
  if (use != nullptr && *use != ctx_) return;
  const context current = ctx_;
  const routine_list never_started = take_queue();
  wake_waiting(here);
  here.unlock();
  current.cancel(std::move(cause));
  drop(never_started);
}

void group_core::leave() noexcept {
  worker* w = current_worker();
  std::size_t left = 0;
  bool is_over = false;
  if (w != nullptr && w->runtime_id == owner_.runtime_id()) {  // else their runtime has ended, and no waiter can go on
    section_of here(*this, w);
    left = running_ + queued_ + background_;
    end_waits(joining_, here);
    end_waits(slots_, here);
    is_over = left == 0 && context_access::core(ctx_)->is_marked();
  }
  if (!is_over) cancel(nullptr);
  // At the end of the runtime all routines are cancelled, and not all groups are joined.
  if (left != 0 && !w->runtime.unwinding()) {
    warn(*w, " was destroyed without wait() while ", left,
         " of its members still ran: they have been cancelled, and may still use destroyed objects; await wait() on "
         "every "
         "way out, or use scope()");
  }
  let_go();
}

// Under the lock. A waiter that another source has claimed takes itself out; it keeps this core alive.
void group_core::end_waits(wait_queue& queue, section& in) noexcept {
  waiter* next;
  for (waiter* each = queue.front(); each != nullptr; each = next) {
    next = each->next;
    if (!each->blocked->claim(in.shared())) continue;
    queue.remove(*each);
    in.wake(*each->blocked);
  }
}

void group_core::retain() noexcept {
  const section_of here(*this);
  ++holds_;
}

void group_core::let_go() noexcept {
  const section_of here(*this);
  --holds_;
}

// Warns of errors that came after the last wait(): no other call reports them.
group_core::~group_core() {
  if (is_named_) forget_name(this);
  worker* w = current_worker();
  const bool first_untold = first_error_ && !first_error_told_ && first_ending_ == ending::error;
  const std::size_t untold = further_errors_ + (first_untold ? 1 : 0);
  if (untold != 0 && w != nullptr) {
    warn(*w, " was destroyed, and ", untold, " of its members ended with an error that no wait() has thrown");
  }
}

void group_core::warn(worker& w, const char* how, std::size_t members, const char* what,
                      const std::source_location& call) const noexcept {
  try {
    const std::string text = "the group made at " + place_of(made_) + how + std::to_string(members) + what;
    w.runtime.warned.tell_rarely(text, made_, call);
  } catch (const std::bad_alloc&) {
    w.runtime.warned.tell_rarely(what, made_, call);
  }
}

}  // namespace ringo::detail
