#include <ringo/detail/context_core.hpp>

#include <utility>

#include <ringo/context.hpp>
#include <ringo/detail/foreign_threads.hpp>
#include <ringo/errors.hpp>

#include "runtime/context_followers.hpp"

namespace ringo::detail {

context_core::context_core(context_core* parent, bool follows, time_point deadline, type_key value_type) noexcept
    : parent_(parent),
      root_(parent && follows ? parent->root_ : *this),
      value_type_(value_type),
      follows_(parent && follows),
      watched_(deadline != time_point::max() && !(follows_ && parent->deadline_ <= deadline)),
      deadline_(follows_ && parent->deadline_ < deadline ? parent->deadline_ : deadline),
      timed_by_(watched_   ? this
                : follows_ ? parent->timed_by_
                           : nullptr) {}

context_core::~context_core() {
  if (is_named_.load(std::memory_order_relaxed)) forget_name(this);
}

void context_core::set_name(const std::string& name) {
  detail::set_name(this, name);
  is_named_.store(true, std::memory_order_relaxed);
}

void context_core::join_tree(worker* w, const char* call) {
  if (parent_) {
    parent_->retain();
    parent_->enter(w, call);
  }
  root_.owner_.enter(w, call);
  if (follows_) {
    const auto here = locked(w);
    if (parent_->is_marked()) {
      cause_ = parent_->cause_;
      why_ = parent_->why_;
      cancelled_.store(true, std::memory_order_release);  // is_marked() acquires: cause_ and why_ are there
      return;
    }
    next_sibling_ = parent_->first_child_;
    if (next_sibling_) next_sibling_->previous_sibling_ = this;
    parent_->first_child_ = this;
    linked_ = true;
  }
  if (timed_by_ == nullptr) return;
  if (deadline_ <= now()) {
    timed_by_->expire_now(w);
  } else if (w != nullptr) {
    catch_up(*w);
  }
}

void context_core::release() noexcept {
  for (context_core* c = this; c != nullptr && c->drop_reference();) {
    if (!c->take_out()) return;
    c = c->dispose();
  }
}

// By a holder. True: only holders can find it. A parent, a timer queue and a stop callback retain it by try_retain(),
// which must fail once the last holder has let it go.
bool context_core::only_holders_know_it() const noexcept { return !follows_ && !watched_ && !followers_; }

bool context_core::drop_reference() noexcept { return (count_.is_one() && only_holders_know_it()) || count_.drop(); }

// No routine runs under it or waits for it: these would keep it. A walk over the tree may still pass it; that ends
// before this gets the lock.
bool context_core::take_out() noexcept {
  if (only_holders_know_it()) return true;
  const worker* w = current_worker();
  const auto leave = [this] {
    const section_of here(*this, current_worker(), true);  // also for a runtime with one worker, which may be ending
    leave_parent();
  };
  for (;;) {
    const std::uint64_t user = owner().runtime_id();
    if (w != nullptr && w->runtime_id == user) {
      leave();
      return true;
    }
    // Only the tree's runtime touches it.
    if (user != 0 && post(user, [this](worker*) {
          if (!take_out()) return;
          if (context_core* parent = dispose()) parent->release();
        })) {
      return false;
    }
    if (while_unused(owner(), leave)) return true;
  }
}

bool context_core::has_calls() const noexcept { return followers_ && !followers_->calls.empty(); }

context_core* context_core::dispose() noexcept {
  unwatch();
  if (followers_) followers_->followed.reset();
  context_core* parent = parent_;
  delete this;
  return parent;
}

void context_core::leave_parent() noexcept {
  if (!std::exchange(linked_, false)) return;
  (previous_sibling_ ? previous_sibling_->next_sibling_ : parent_->first_child_) = next_sibling_;
  if (next_sibling_) next_sibling_->previous_sibling_ = previous_sibling_;
  next_sibling_ = previous_sibling_ = nullptr;
}

const void* context_core::find(type_key type) const noexcept {
  for (const context_core* c = this; c != nullptr; c = c->parent_) {
    if (c->value_type_ == type) return c->own_value();
  }
  return nullptr;
}

// ---- cancelling

// Under the tree's lock.
void context_core::check() const {
  constexpr int most_looked_at = 64;  // a tree may be large, and each change of it is checked
  const bool cancelled = cancelled_.load(std::memory_order_relaxed);
  invariant(!linked_ || !cancelled, "a cancelled context has left its parent");
  invariant(
      !linked_ || (previous_sibling_ != nullptr ? previous_sibling_->next_sibling_ : parent_->first_child_) == this,
      "a context is linked into its parent's list");
  int left = most_looked_at;
  for (const context_core* c = first_child_; c != nullptr && left > 0; c = c->next_sibling_, --left) {
    invariant(c->linked_ && c->parent_ == this, "the children in a context's list are linked, and its own");
    invariant(c->next_sibling_ == nullptr || c->next_sibling_->previous_sibling_ == c,
              "the links of a context's children agree in both directions");
  }
  invariant(!cancelled || first_child_ == nullptr, "a cancelled context has no child in its list");
  left = most_looked_at;
  for (const routine* r = first_member_; r != nullptr && left > 0; r = r->member_next, --left) {
    invariant(r->context == this, "the routines in a context's list run under it");
    invariant(r->member_next == nullptr || r->member_next->member_previous == r,
              "the links of a context's routines agree in both directions");
  }
}

std::exception_ptr context_core::cause() const noexcept {
  if (!is_marked()) return nullptr;
  if (cause_) return cause_;
  return why_ == reason::timed_out ? std::make_exception_ptr(timed_out()) : std::make_exception_ptr(cancelled());
}

void context_core::cancel(worker* w, const std::exception_ptr& cause, reason why) noexcept {
  finish(w, mark(w, cause, why));
}

// Called by a thread that is not a worker of the tree's runtime.
void context_core::cancel_from_outside(const std::exception_ptr& cause, reason why) {
  retain();
  const context keeps = context_access::adopt(this);
  for (;;) {
    const std::uint64_t user = owner().runtime_id();
    if (user != 0 &&
        post(user, [keeps, cause, why](worker* there) { context_access::core(keeps)->cancel(there, cause, why); })) {
      return;
    }
    // Only marks under that lock: the user's functions run after it.
    context_core* marked = nullptr;
    if (while_unused(owner(), [&] { marked = mark(nullptr, cause, why); })) return finish(nullptr, marked);
  }
}

// Without a worker no runtime uses the tree: no routine runs under it, and its waiters have outlived their runtime.
context_core* context_core::mark(worker* w, const std::exception_ptr& cause, reason why) noexcept {
  context_core* to_finish = nullptr;
  auto here = locked(w);
  if (cancelled_.load(std::memory_order_relaxed)) return nullptr;
  leave_parent();
  expired_ = why == reason::timed_out;
  // Not by recursion: a tree may be deep. The nodes that are still to be visited are linked as siblings.
  for (context_core* c = this; c != nullptr;) {
    context_core* rest = std::exchange(c->next_sibling_, nullptr);
    while (context_core* child = c->first_child_) {
      child->leave_parent();
      child->next_sibling_ = rest;
      rest = child;
    }
    c->cause_ = cause;
    c->why_ = why;
    if (w == nullptr && c->has_calls()) c->calls_pending_.store(true, std::memory_order_relaxed);
    // seq_cst: watch() either sees it, or has set queue_ before after_cancellation() looks there.
    c->cancelled_.store(true, std::memory_order_seq_cst);
    if (w != nullptr) {
      for (routine* r = c->first_member_; r != nullptr; r = r->member_next) {
        if (r->cancel(here.shared(), routine::context_cancelled)) here.wake(*r);
      }
      c->waiting_.claim_all(here);
    }
    // Nothing refers to a context that is about to be freed, so it needs no more.
    if ((c->watched_ || c->followers_) && c->try_retain()) {
      c->next_to_finish_ = to_finish;
      to_finish = c;
    }
    c = rest;
  }
  here.end_behind_queue();
  return to_finish;
}

void context_core::finish(worker* w, context_core* marked) noexcept {
  while (context_core* c = marked) {
    marked = c->next_to_finish_;
    c->after_cancellation(w);
    c->release();
  }
}

void context_core::after_cancellation(worker* w) noexcept {
  unwatch();
  if (w != nullptr) start_calls(*w);
  std::optional<std::stop_source> stop;
  {
    const auto here = locked(w);
    if (followers_) stop = followers_->stop;
  }
  if (stop) stop->request_stop();
}

// Each start and each end of a routine in a group or a pool comes here.
template <class F>
RINGO_ALWAYS_INLINE inline void context_core::change_members(worker* w, F change) noexcept {
  section_of<context_core>::change_alone(*this, w, w == nullptr || w->shared, change);
}

void context_core::add_member(routine& r, worker* w) noexcept {
  change_members(w, [&] {
    r.member_previous = nullptr;
    r.member_next = first_member_;
    if (first_member_) first_member_->member_previous = &r;
    first_member_ = &r;
    if (is_marked()) r.state.fetch_or(routine::context_cancelled, std::memory_order_relaxed);
  });
}

void context_core::remove_member(routine& r, worker* w) noexcept {
  change_members(w, [&] {
    (r.member_previous ? r.member_previous->member_next : first_member_) = r.member_next;
    if (r.member_next) r.member_next->member_previous = r.member_previous;
    if (is_marked()) r.state.fetch_and(~routine::context_cancelled, std::memory_order_relaxed);
  });
}

entered_context::entered_context(context_core* c) {
  worker& w = require_worker("with_context");
  in_ = w.current;
  before_ = in_->context;
  if (c) c->enter(&w, "with_context");
  if (before_) before_->remove_member(*in_, &w);
  in_->context = c;
  if (c) {
    c->retain();
    c->add_member(*in_, &w);
    w.look_for_cancellation(*in_);
  }
}

entered_context::~entered_context() {
  // A coroutine stays in its routine, whichever worker that is on; its frame may be destroyed by its runtime's end.
  worker* w = current_worker();
  context_core* left = in_->context;
  if (left) left->remove_member(*in_, w);
  in_->context = before_;
  if (before_) before_->add_member(*in_, w);
  if (w != nullptr) w->look_for_cancellation(*in_);
  if (left) left->release();
}

void done_operation::link(worker& w, routine& r) noexcept {
  if (of_ == nullptr) {
    blocked = &r;
    return set_state(progress::waiting);
  }
  if (!std::exchange(keeps_, true)) of_->retain();
  queued_operation::link(w, r);
}

bool done_operation::unlink() noexcept {
  if (of_ != nullptr) {
    queued_operation::unlink();
  } else if (!won(current_state())) {
    set_state(progress::idle);
  }
  return keeps_;
}

void done_operation::dispose() noexcept {
  keeps_ = false;
  of_->release();
}

void done_operation::append_to(wait_report& text) const {
  text += "the end of ";
  if (of_ == nullptr) return text.add_never("the background context");
  text += reported_object{.at = of_, .kind = "context"};
}

}  // namespace ringo::detail
