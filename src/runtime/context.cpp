#include <ringo/context.hpp>

#include <stdexcept>
#include <utility>

#include <ringo/detail/bridge.hpp>
#include <ringo/errors.hpp>

#include "runtime/report.hpp"
#include "runtime/scheduler.hpp"

namespace ringo {

context context::current() noexcept {
  detail::context_core* c = detail::current_context_core();
  if (c) c->retain();
  return context(c);
}

context context::derive(const context& parent, bool follows, time_point deadline, const char* call) {
  detail::worker* w = detail::worker_or_alone(call);
  context child(new detail::context_core(parent.core_, follows, deadline));
  child.core_->join_tree(w, call);
  return child;
}

context context::with_cancel(const context& parent) {
  return derive(parent, true, time_point::max(), "context::with_cancel");
}

context context::with_timeout(const context& parent, delay length) {
  const time_point start = now();
  const bool endless = length.value() > time_point::max() - start;
  return derive(parent, true, endless ? time_point::max() : start + length.value(), "context::with_timeout");
}

context context::with_deadline(const context& parent, time_point deadline) {
  return derive(parent, true, deadline, "context::with_deadline");
}

context context::without_cancel(const context& parent) {
  return derive(parent, false, time_point::max(), "context::without_cancel");
}

context context::from(std::stop_token token, const context& parent) {
  context child = derive(parent, true, time_point::max(), "context::from");
  child.core_->follow(std::move(token));
  return child;
}

void context::cancel(std::exception_ptr cause) const {
  if (!core_) {
    throw std::logic_error(
        "ringo: context::cancel of the background context, which never ends: cancel one made by context::with_cancel");
  }
  detail::worker* w = detail::current_worker();
  if (w != nullptr) {
    core_->enter(w, "context::cancel");
    return core_->cancel(w, cause);
  }
  detail::refuse_in_forked_child("context::cancel");
  core_->cancel_from_outside(cause);
}

cancel_guard::cancel_guard(context c) : of_(std::move(c)) {
  if (of_ == context::background())
    throw std::logic_error("ringo: a cancel_guard of the background context, which never ends");
}

std::function<bool()> context::call_after(detail::worker* w, detail::routine& r) const {
  if (!core_) {
    const auto never = std::make_shared<detail::after_call>(r);
    return [never] { return never->stop(); };
  }
  auto call = core_->call_after(w, r);
  return [of = *this, call] { return of.core_->stop_call(*call); };
}

namespace detail {

after_call::~after_call() { stop(); }

bool after_call::stop() noexcept {
  routine* r = pending.exchange(nullptr, std::memory_order_acq_rel);
  if (r != nullptr) r->release();
  return r != nullptr;
}

context_core::context_core(context_core* parent, bool follows, time_point deadline) noexcept
    : parent_(parent),
      root_(parent && follows ? parent->root_ : *this),
      follows_(parent && follows),
      watched_(deadline != time_point::max() && !(follows_ && parent->deadline_ <= deadline)),
      deadline_(follows_ && parent->deadline_ < deadline ? parent->deadline_ : deadline),
      timed_by_(watched_   ? this
                : follows_ ? parent->timed_by_
                           : nullptr) {}

context_core::~context_core() = default;

void context_core::join_tree(worker* w, const char* call) {
  if (parent_) {
    parent_->retain();
    parent_->enter(w, call);
  }
  root_.owner_.enter(w, call);
  if (follows_) {
    const optional_guard guard(root_.lock_, is_shared(w));
    if (parent_->is_marked()) {
      cause_ = parent_->cause_;
      why_ = parent_->why_;
      cancelled_.store(true, std::memory_order_release);
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

bool context_core::try_retain() noexcept {
  std::size_t seen = count_.load(std::memory_order_relaxed);
  while (seen != 0) {
    if (count_.compare_exchange_weak(seen, seen + 1, std::memory_order_relaxed)) return true;
  }
  return false;
}

void context_core::release() noexcept {
  // acq_rel: whoever frees it sees what all others did with it.
  for (context_core* c = this; c != nullptr && c->count_.fetch_sub(1, std::memory_order_acq_rel) == 1;) {
    if (!c->take_out()) return;
    c = c->dispose();
  }
}

// Nothing runs under it and nobody waits for it: they would keep it. A walk over the tree may still pass by, and ends
// before the lock is had.
bool context_core::take_out() noexcept {
  const worker* w = current_worker();
  const auto leave = [this] {
    const optional_guard guard(root_.lock_, true);  // of a runtime with one worker that ends just now, too
    leave_parent();
  };
  for (;;) {
    const std::uint64_t user = owner().runtime_id();
    if (w != nullptr && w->runtime_id == user) {
      leave();
      return true;
    }
    // Its tree is its runtime's to touch.
    if (user != 0 && post(user, [this](worker*) {
          if (!take_out()) return;
          if (context_core* parent = dispose()) parent->release();
        })) {
      return false;
    }
    if (while_unused(owner(), leave)) return true;
  }
}

context_core* context_core::dispose() noexcept {
  unwatch();
  followed_.reset();
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

const void* context_core::find(const std::type_info& type) const noexcept {
  for (const context_core* c = this; c != nullptr; c = c->parent_) {
    if (const void* value = c->own_value(type)) return value;
  }
  return nullptr;
}

// ---- cancelling

std::exception_ptr context_core::cause() const noexcept {
  if (!is_marked()) return nullptr;
  if (cause_) return cause_;
  return why_ == reason::timed_out ? std::make_exception_ptr(timed_out()) : std::make_exception_ptr(cancelled());
}

void context_core::cancel(worker* w, const std::exception_ptr& cause, reason why) noexcept {
  finish(w, mark(w, cause, why));
}

// By a thread that is no worker, or one of another runtime.
void context_core::cancel_from_outside(const std::exception_ptr& cause, reason why) {
  retain();
  const context keeps = context_access::adopt(this);
  for (;;) {
    const std::uint64_t user = owner().runtime_id();
    if (user != 0 &&
        post(user, [keeps, cause, why](worker* there) { context_access::core(keeps)->cancel(there, cause, why); })) {
      return;
    }
    // Only that: what users have left with it runs without the bridge's lock.
    context_core* marked = nullptr;
    if (while_unused(owner(), [&] { marked = mark(nullptr, cause, why); })) return finish(nullptr, marked);
  }
}

// Without a worker no runtime uses the tree: nothing runs under it, and who waits for it has outlived its runtime.
context_core* context_core::mark(worker* w, const std::exception_ptr& cause, reason why) noexcept {
  const bool shared = is_shared(w);
  routine_list woken;
  context_core* to_finish = nullptr;
  {
    const optional_guard guard(root_.lock_, shared);
    if (cancelled_.load(std::memory_order_relaxed)) return nullptr;
    leave_parent();
    expired_ = why == reason::timed_out;
    // Not by recursion: a tree may be deep. What is still to be walked is linked as siblings.
    for (context_core* c = this; c != nullptr;) {
      context_core* rest = std::exchange(c->next_sibling_, nullptr);
      while (context_core* child = c->first_child_) {
        child->leave_parent();
        child->next_sibling_ = rest;
        rest = child;
      }
      c->cause_ = cause;
      c->why_ = why;
      if (w == nullptr && !c->calls_.empty()) c->calls_pending_.store(true, std::memory_order_relaxed);
      // seq_cst: watch() either sees it, or has set queue_ before after_cancellation() looks there.
      c->cancelled_.store(true, std::memory_order_seq_cst);
      if (w != nullptr) {
        for (routine* r = c->first_member_; r != nullptr; r = r->member_next) {
          if (cancel_under_lock(*r, shared, routine::context_cancelled)) woken.push_back(*r);
        }
        c->waiting_.claim_all(shared, woken);
      }
      // One that is about to be freed has nobody whom that would concern.
      if ((c->watched_ || !c->calls_.empty() || c->stop_) && c->try_retain()) {
        c->next_to_finish_ = to_finish;
        to_finish = c;
      }
      c = rest;
    }
  }
  while (routine* r = woken.pop_front()) w->push(*r);
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
    const optional_guard guard(root_.lock_, is_shared(w));
    stop = stop_;
  }
  if (stop) stop->request_stop();
}

bool context_core::is_cancelled() noexcept {
  if (is_marked()) return true;
  if (timed_by_ == nullptr) return false;
  // A routine that computes keeps its worker from its timers: it may ask all the same.
  worker* w = current_worker();
  const bool may_expire = w == nullptr ? !any_runtime_runs() : w->runtime_id == owner().runtime_id();
  if (!may_expire || now() < deadline_) return is_marked();
  w != nullptr ? timed_by_->expire_now(w) : timed_by_->cancel_from_outside(nullptr, reason::timed_out);
  return true;
}

// ---- its timer

void context_core::expire_now(worker* w) noexcept { cancel(w, nullptr, reason::timed_out); }

void context_core::catch_up(worker& w) {
  if (timed_by_ && !timed_by_->is_marked() && timed_by_->queue_.load(std::memory_order_relaxed) == nullptr) {
    timed_by_->watch(w);
  }
  if (is_marked() && calls_pending_.exchange(false, std::memory_order_relaxed)) start_calls(w);
}

void context_core::watch(worker& w) noexcept {
  timer_queue& mine = timers_of(w);
  timer_queue* none = nullptr;
  const optional_guard guard(mine.lock, mine.shared());
  if (!queue_.compare_exchange_strong(none, &mine, std::memory_order_seq_cst)) return;
  // If it is cancelled after this, who does so finds the queue, and has its lock when the timer is there.
  if (!cancelled_.load(std::memory_order_seq_cst)) return mine.add(*this, deadline_);
  queue_.store(nullptr, std::memory_order_release);
}

void context_core::unwatch() noexcept {
  timer_queue* q = queue_.load(std::memory_order_seq_cst);
  if (q == nullptr) return;
  const optional_guard guard(q->lock, q->shared());
  q->remove(*this);
  queue_.store(nullptr, std::memory_order_release);  // the context may outlive it
}

void context_core::expire(timer_queue& queue, time_point, routine_list&) noexcept {
  // The tree's lock cannot be taken under the queue's.
  if (try_retain()) return queue.put_off(*this);
  queue_.store(nullptr, std::memory_order_release);
}

void context_core::after_expiry(worker& w) noexcept {
  const time_point at = w.shared ? now() : time_point();
  if (w.shared && may_yet_be_served(at)) {
    if (timer_queue* q = queue_.load(std::memory_order_seq_cst)) {
      const optional_guard guard(q->lock, true);
      // As in watch(): who cancels it after this finds the timer there.
      if (!cancelled_.load(std::memory_order_seq_cst)) q->add(*this, at + look_again);
    }
  } else {
    expire_now(&w);
  }
  release();
}

// Whether one of the routines under it may have what it waits for already. Of many the first are asked, for the lock's
// sake.
bool context_core::may_yet_be_served(time_point at) noexcept {
  int left = 64;
  const optional_guard guard(root_.lock_, true);
  for (const context_core* c = this; c != nullptr && left > 0; --left) {
    for (const routine* r = c->first_member_; r != nullptr && left > 0; r = r->member_next, --left) {
      if (may_have_arrived(*r, at)) return true;
    }
    const context_core* next = c->first_child_;
    for (; next == nullptr && c != this; c = c->parent_) next = c->next_sibling_;
    c = next;
  }
  return false;
}

void context_core::queue_gone() noexcept { queue_.store(nullptr, std::memory_order_release); }

// ---- what users leave with it

std::shared_ptr<after_call> context_core::call_after(worker* w, routine& r) {
  std::list<std::shared_ptr<after_call>> one;
  try {
    one.push_back(std::make_shared<after_call>(r));
  } catch (...) {
    r.release();
    throw;
  }
  const auto call = one.front();
  enter(w, "context::after_func");
  {
    const optional_guard guard(root_.lock_, is_shared(w));
    call->place = one.begin();
    calls_.splice(calls_.end(), one);
  }
  if (is_cancelled()) {
    if (w != nullptr) {
      start_calls(*w);
    } else {
      calls_pending_.store(true, std::memory_order_relaxed);
    }
  }
  return call;
}

bool context_core::stop_call(after_call& c) {
  worker* w = worker_or_alone("the stop function of context::after_func");
  enter(w, "the stop function of context::after_func");
  std::list<std::shared_ptr<after_call>> stopped;
  {
    const optional_guard guard(root_.lock_, is_shared(w));
    if (c.place) stopped.splice(stopped.end(), calls_, *std::exchange(c.place, std::nullopt));
  }
  return c.stop();
}

void context_core::start_calls(worker& w) noexcept {
  for (;;) {
    std::list<std::shared_ptr<after_call>> next;
    routine* r;
    {
      const optional_guard guard(root_.lock_, w.shared);
      if (calls_.empty()) return;
      next.splice(next.end(), calls_, calls_.begin());
      next.front()->place.reset();
      r = next.front()->pending.exchange(nullptr, std::memory_order_acq_rel);
    }
    if (r != nullptr) start_in(w, *r, nullptr, r->started);
  }
}

std::stop_token context_core::stop_token() {
  worker* w = worker_or_alone("context::stop_token");
  enter(w, "context::stop_token");
  std::stop_source source;
  {
    const optional_guard guard(root_.lock_, is_shared(w));
    if (!stop_) stop_ = source;
    source = *stop_;
  }
  if (is_cancelled()) source.request_stop();  // who cancelled it before has seen none
  return source.get_token();
}

void context_core::follow(std::stop_token token) {
  followed_ = std::make_unique<std::stop_callback<on_stop>>(std::move(token), on_stop{this});
}

void context_core::stop_requested() noexcept {
  if (!try_retain()) return;
  const context self = context_access::adopt(this);
  worker* w = current_worker();
  w != nullptr && w->runtime_id == owner().runtime_id() ? cancel(w, nullptr) : cancel_from_outside(nullptr);
}

// ---- routines

void context_core::add_member(routine& r, bool shared) noexcept {
  const optional_guard guard(root_.lock_, shared);
  r.member_previous = nullptr;
  r.member_next = first_member_;
  if (first_member_) first_member_->member_previous = &r;
  first_member_ = &r;
  if (is_marked()) r.state.fetch_or(routine::context_cancelled, std::memory_order_relaxed);
}

void context_core::remove_member(routine& r, bool shared) noexcept {
  const optional_guard guard(root_.lock_, shared);
  (r.member_previous ? r.member_previous->member_next : first_member_) = r.member_next;
  if (r.member_next) r.member_next->member_previous = r.member_previous;
  if (is_marked()) r.state.fetch_and(~routine::context_cancelled, std::memory_order_relaxed);
}

entered_context::entered_context(context_core* c) {
  worker& w = require_worker("with_context");
  in_ = w.current;
  before_ = in_->context;
  if (c) c->enter(&w, "with_context");
  if (before_) before_->remove_member(*in_, w.shared);
  in_->context = c;
  if (c) {
    c->retain();
    c->add_member(*in_, w.shared);
    w.look_for_cancellation(*in_);
  }
}

entered_context::~entered_context() {
  // A coroutine stays in its routine, whichever worker that is on; its frame may be destroyed by its runtime's end.
  worker* w = current_worker();
  const bool shared = w == nullptr || w->shared;
  context_core* left = in_->context;
  if (left) left->remove_member(*in_, shared);
  in_->context = before_;
  if (before_) before_->add_member(*in_, shared);
  if (w != nullptr) w->look_for_cancellation(*in_);
  if (left) left->release();
}

// ---- done

void done_operation::link(worker& w, routine& r) noexcept {
  if (of_ == nullptr) {
    who = &r;
    return stand(progress::waiting);
  }
  if (!std::exchange(keeps_, true)) of_->retain();
  queued_operation::link(w, r);
}

bool done_operation::unlink() noexcept {
  if (of_ != nullptr) {
    queued_operation::unlink();
  } else if (!won(standing())) {
    stand(progress::idle);
  }
  return keeps_;
}

void done_operation::dispose() noexcept {
  keeps_ = false;
  of_->release();
}

void done_operation::tell(std::string& text) const { text += "the end of a context"; }

}  // namespace detail
}  // namespace ringo
