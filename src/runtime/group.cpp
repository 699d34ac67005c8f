#include <ringo/group.hpp>

#include <stdexcept>
#include <string>
#include <utility>

#include <ringo/errors.hpp>

#include "runtime/runtime_core.hpp"

namespace ringo::detail {
namespace {

// What ends a routine without a word where nobody joins it (options::on_unhandled) is no news here either.
bool is_quiet(const std::exception_ptr& error) noexcept {
  try {
    std::rethrow_exception(error);
  } catch (const cancelled&) {
    return true;
  } catch (const disconnected&) {
    return true;
  } catch (...) {
    return false;
  }
}

}  // namespace

group_core::group_core(const context& parent, on_error policy)
    : policy_(policy), parent_(parent), ctx_((worker_or_alone("group"), context::with_cancel(parent))) {}

void group_core::limit(std::size_t most) {
  worker* w = worker_or_alone("group::limit");
  owner_.enter(w, "group::limit");
  const optional_guard guard(lock_, w != nullptr && w->shared);
  if (!all_ended()) {
    throw std::logic_error("ringo: group::limit while " + std::to_string(running_ + queued_) +
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
  {
    const optional_guard guard(lock_, w->shared);
    if (running_ >= limit_) {
      ++queued_;
      queue_.push_back(r);
      return;
    }
    ++running_;
  }
  start(*w, r);
}

// Used again after a wait() that has thrown nothing: it starts anew.
void group_core::renew() {
  if (!finished_.load(std::memory_order_relaxed) || first_error_) return;
  ctx_ = context::with_cancel(parent_);
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

void group_core::give_back_reserved() noexcept { member_ended(*current_worker(), nullptr); }

void group_core::start(worker& w, routine& r) noexcept { start_in(w, r, context_access::core(ctx_), r.started); }

void group_core::member_ended(worker& w, std::exception_ptr error) noexcept {
  if (error && note_error(error)) cancel(std::move(error));
  routine* next = nullptr;
  routine_list woken;
  bool last;
  {
    const optional_guard guard(lock_, w.shared);
    --running_;
    if (running_ < limit_ && (next = queue_.pop_front()) != nullptr) {
      --queued_;
      ++running_;
    }
    wake_waiting(w.shared, woken);
    last = unused();
  }
  // From the unlock on, whom this has woken may have destroyed the group; not where it is the last, or starts one more.
  if (next != nullptr) start(w, *next);
  w.make_ready(woken);
  if (last) delete this;
}

void group_core::wake_waiting(bool shared, routine_list& woken) noexcept {
  if (all_ended()) joining_.claim_all(shared, woken);
  for (std::size_t taken = running_ + queued_; taken < limit_ && !slots_.empty(); ++taken) {
    if (waiter* one = slots_.claim_first(shared)) woken.push_back(*one->who);
  }
}

bool group_core::note_error(std::exception_ptr error) noexcept {
  const worker* w = current_worker();
  const optional_guard guard(lock_, w == nullptr || w->shared);
  if (first_error_) {
    if (!is_quiet(error)) ++further_errors_;
    return false;
  }
  first_error_ = std::move(error);
  return policy_ == on_error::cancel_rest;
}

void group_core::fail(std::exception_ptr error) noexcept {
  if (note_error(error)) cancel(std::move(error));
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
  if (w != nullptr && w->runtime_id == owner_.runtime_id()) {  // else their runtime has ended: nobody can go on
    const optional_guard guard(lock_, shared);
    end_waits(joining_, shared, woken);
    end_waits(slots_, shared, woken);
  }
  if (w != nullptr) w->make_ready(woken);
  cancel(nullptr);
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
  const std::size_t untold = further_errors_ + (first_error_ && !first_error_told_ && !is_quiet(first_error_) ? 1 : 0);
  if (untold != 0 && w != nullptr) {
    w->runtime.warn("of the members of a group that was destroyed without wait(), " + std::to_string(untold) +
                    " ended with an error");
  }
}

void group_core::finish() {
  worker& w = *current_worker();
  std::exception_ptr error;
  std::size_t further;
  {
    const optional_guard guard(lock_, w.shared);
    error = first_error_;
    first_error_told_ = true;
    further = std::exchange(further_errors_, 0);
  }
  ctx_.cancel();  // semantics 150
  finished_.store(true, std::memory_order_relaxed);
  if (further != 0) {
    w.runtime.warn("besides the error that group::wait() throws, " + std::to_string(further) +
                   " more of its members have ended with an error");
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
}

void group_slot_operation::tell(std::string& text) const {
  text += "a slot in a group with a limit of ";
  text += std::to_string(of_->limit_);
}

}  // namespace ringo::detail
