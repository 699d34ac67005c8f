#include <ringo/group.hpp>

#include <new>
#include <stdexcept>
#include <string>
#include <utility>

#include <ringo/errors.hpp>

#include "runtime/report.hpp"
#include "runtime/runtime_core.hpp"

namespace ringo::detail {

group_core::group_core(const context& parent, on_error policy, std::source_location made)
    : policy_(policy), made_(made), parent_(parent), ctx_((worker_or_alone("group"), context::with_cancel(parent))) {}

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
  worker* w = worker_or_alone("group::limit");
  owner_.enter(w, "group::limit");
  const optional_guard guard(lock_, w != nullptr && w->shared);
  if (!all_ended()) {
    throw std::logic_error("ringo: group::limit while " + std::to_string(running_ + queued_ + background_) +
                           " of its members have yet to end: set it before the first go()");
  }
  limit_ = most;
}

void group_core::add(routine& r) {
  worker* w = current_worker();
  try {
    w = &require_worker("group::go");
    owner_.enter(w, "group::go");
    renew();
  } catch (...) {
    delete &r;
    throw;
  }
  bool never_starts = false;
  {
    const optional_guard guard(lock_, w->shared);
    if (running_ < limit_) {
      ++running_;
    } else if (is_cancelled()) {
      never_starts = true;
    } else {
      ++queued_;
      queue_.push_back(r);
      return;
    }
  }
  never_starts ? r.release() : start(*w, r);
}

void group_core::add_background(routine& r) {
  worker* w = current_worker();
  context made;  // of which the first is kept, for all of them
  try {
    w = &require_worker("group::background");
    owner_.enter(w, "group::background");
    renew();
    made = context::with_cancel(ctx_);
  } catch (...) {
    delete &r;
    throw;
  }
  context under;
  {
    const optional_guard guard(lock_, w->shared);
    if (background_ctx_ == context::background()) background_ctx_ = made;
    under = background_ctx_;
    ++background_;
  }
  start_in(*w, r, context_access::core(under), r.started);
}

// Used again after a wait() that has thrown nothing: it starts anew.
void group_core::renew() {
  if (!finished_.load(std::memory_order_relaxed) || first_error_) return;
  ctx_ = context::with_cancel(parent_);
  background_ctx_ = {};
  waited_for_ = false;
  stopped_ = false;
  finished_.store(false, std::memory_order_relaxed);
}

bool group_core::reserve() {
  worker& w = require_worker("group::try_go");
  owner_.enter(&w, "group::try_go");
  renew();
  const optional_guard guard(lock_, w.shared);
  if (running_ >= limit_) return false;
  ++running_;
  return true;
}

void group_core::start_reserved(routine& r) noexcept { start(*current_worker(), r); }

void group_core::give_back_reserved() noexcept { member_ended(*current_worker(), nullptr, member::ordinary); }

void group_core::start(worker& w, routine& r) noexcept { start_in(w, r, context_access::core(ctx_), r.started); }

void group_core::member_ended(worker& w, std::exception_ptr error, member kind) noexcept {
  if (error && note_error(error, false)) cancel(std::move(error));
  routine* next = nullptr;
  routine_list woken, never_started;
  context ended;
  bool last;
  {
    const optional_guard guard(lock_, w.shared);
    --(kind == member::background ? background_ : running_);
    if (queued_ != 0 && is_cancelled()) {  // by way of ctx()
      never_started = take_queue();
    } else if (running_ < limit_ && (next = queue_.pop_front()) != nullptr) {
      --queued_;
      ++running_;
    }
    ended = background_to_end();
    wake_waiting(w.shared, woken);
    last = unused();
  }
  // From the unlock on, whom this has woken may have destroyed the group; not where it is the last, or starts one more.
  if (next != nullptr) start(w, *next);
  if (ended != context::background()) ended.cancel();
  drop(std::move(never_started));
  w.make_ready(woken);
  if (last) delete this;
}

// Cancelling is for after the lock, for which the caller keeps the context.
context group_core::background_to_end() const noexcept {
  return waited_for_ && ordinary_ended() && background_ != 0 ? background_ctx_ : context::background();
}

void group_core::wait_begins(worker* w) {
  context ended;
  {
    const optional_guard guard(lock_, w != nullptr && w->shared);
    waited_for_ = !body_runs_;
    ended = background_to_end();
  }
  if (ended != context::background()) ended.cancel();
}

void group_core::wake_waiting(bool shared, routine_list& woken) noexcept {
  if (wait_is_over()) joining_.claim_all(shared, woken);
  for (std::size_t taken = running_ + queued_; taken < limit_ && !slots_.empty(); ++taken) {
    if (waiter* one = slots_.claim_first(shared)) woken.push_back(*one->who);
  }
}

// A member's `cancelled` is the group's only where it comes from the group's context, and not by way of
// group::cancel(); or where the runtime has cancelled the member, so that a wait() after a deadlock is no success. One
// that a member has met with elsewhere, such as in the join of a routine that was cancelled, ends this member alone.
// From the body of a scope it is always the scope's: its caller must not go on as if the body had come to its end.
bool group_core::note_error(std::exception_ptr error, bool of_the_body) noexcept {
  const ending how = kind_of(error);
  worker* w = current_worker();
  const bool by_runtime = w != nullptr && w->runtime.unwinding();
  const optional_guard guard(lock_, w == nullptr || w->shared);
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
    const worker* w = current_worker();
    const optional_guard guard(lock_, w == nullptr || w->shared);
    body_runs_ = false;
  }
  if (error && note_error(error, true)) cancel(std::move(error));
}

void group_core::stop() {
  worker* w = worker_or_alone("group::cancel");
  owner_.enter(w, "group::cancel");
  renew();
  {
    const optional_guard guard(lock_, w != nullptr && w->shared);
    stopped_ = true;
  }
  cancel(nullptr);
}

routine_list group_core::take_queue() noexcept {
  queued_ = 0;
  return std::exchange(queue_, {});
}

void group_core::drop(routine_list queued) noexcept {
  while (routine* r = queued.pop_front()) r->release();
}

void group_core::cancel(std::exception_ptr cause) noexcept {
  worker* w = current_worker();
  const bool shared = w == nullptr || w->shared;
  routine_list never_started;
  routine_list woken;
  {
    const optional_guard guard(lock_, shared);
    never_started = take_queue();
    wake_waiting(shared, woken);
  }
  ctx_.cancel(std::move(cause));
  drop(std::move(never_started));
  if (w != nullptr) w->make_ready(woken);
}

void group_core::leave() noexcept {
  worker* w = current_worker();
  const bool shared = w == nullptr || w->shared;
  routine_list woken;
  std::size_t left = 0;
  if (w != nullptr && w->runtime_id == owner_.runtime_id()) {  // else their runtime has ended: nobody can go on
    const optional_guard guard(lock_, shared);
    left = running_ + queued_ + background_;
    end_waits(joining_, shared, woken);
    end_waits(slots_, shared, woken);
  }
  if (w != nullptr) w->make_ready(woken);
  cancel(nullptr);
  // At the end of the runtime everything is cancelled, and not all are joined.
  if (left != 0 && !w->runtime.unwinding()) {
    warn(*w, " was destroyed without wait() while ", left,
         " of its members still ran: they have been cancelled, and may still use what is gone; await wait() on every "
         "way out, or use scope()");
  }
  let_go();
}

// Under the lock. Who has been claimed by others takes itself out: it keeps this.
void group_core::end_waits(wait_queue& queue, bool shared, routine_list& woken) noexcept {
  waiter* next;
  for (waiter* each = queue.front(); each != nullptr; each = next) {
    next = each->next;
    if (!each->who->claim(shared)) continue;
    queue.remove(*each);
    woken.push_back(*each->who);
  }
}

void group_core::retain() noexcept {
  const worker* w = current_worker();
  const optional_guard guard(lock_, w == nullptr || w->shared);
  ++holds_;
}

void group_core::let_go() noexcept {
  bool last;
  {
    const worker* w = current_worker();
    const optional_guard guard(lock_, w == nullptr || w->shared);
    --holds_;
    last = unused();
  }
  if (last) delete this;
}

// Of what its members came to after the last wait(), nobody else can tell.
group_core::~group_core() {
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

void group_core::finish() {
  worker& w = *current_worker();
  std::exception_ptr error;
  std::size_t further;
  bool body_runs;
  {
    const optional_guard guard(lock_, w.shared);
    body_runs = body_runs_;
    error = first_error_;
    first_error_told_ = true;
    further = std::exchange(further_errors_, 0);
  }
  if (!body_runs) {
    ctx_.cancel();  // semantics 150
    finished_.store(true, std::memory_order_relaxed);
  }
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
    of.cancel(nullptr);
    const cancellation_held_back until_joined;
    co_await awaited_at<group_ended_operation&>{ended, where};
    throw cancelled();
  }
  of.finish();
}

void group_ended_operation::tell(std::string& text) const {
  text += "the end of a group's members: ";
  text += std::to_string(of_->running_);
  text += " run and ";
  text += std::to_string(of_->queued_);
  text += " are queued";
  if (of_->background_ != 0) text += ", and " + std::to_string(of_->background_) + " in the background";
}

void group_slot_operation::tell(std::string& text) const {
  text += "a slot in a group with a limit of ";
  text += std::to_string(of_->limit_);
}

}  // namespace ringo::detail
