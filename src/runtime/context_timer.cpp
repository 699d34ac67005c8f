// A context's deadline.
#include <ringo/detail/context_core.hpp>

#include "runtime/scheduler.hpp"

namespace ringo::detail {

bool context_core::is_cancelled() noexcept {
  if (is_marked()) return true;
  if (timed_by_ == nullptr) return false;
  // A routine that computes delays its worker's timers. This finds the passed deadline all the same.
  worker* w = current_worker();
  const bool may_expire = w == nullptr ? !any_runtime_runs() : w->runtime_id == owner().runtime_id();
  if (!may_expire || now() < deadline_) return is_marked();
  w != nullptr ? timed_by_->expire_now(w) : timed_by_->cancel_from_outside(nullptr, reason::timed_out);
  return true;
}

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
  // A canceller that comes after this finds the queue, and gets its lock when the timer is in it.
  if (!cancelled_.load(std::memory_order_seq_cst)) return mine.add(*this, deadline_);
  queue_.store(nullptr, std::memory_order_release);  // still under the queue's lock; the next watch() may come
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
      // As in watch(): a canceller that comes after this finds the timer there.
      if (!cancelled_.load(std::memory_order_seq_cst)) q->add(*this, at + look_again);
    }
  } else {
    expire_now(&w);
  }
  release();
}

// Whether a routine under the context may have its result already. Asks the first ones only, since it holds the lock.
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

}  // namespace ringo::detail
