// What a worker does between two turns: it looks at its completions, posts and timers.
#include <algorithm>
#include <utility>

#include "runtime/observer.hpp"
#include "runtime/runtime_core.hpp"
#include "runtime/scheduler.hpp"

namespace ringo::detail {

timer_queue& timers_of(worker& w) noexcept { return scheduler_of(w).timers; }

// While it lives, routines that become ready run before the queue. If all routines in the queue came from outside, too,
// they go behind these.
class scheduler::goes_before_queue {
 public:
  goes_before_queue(scheduler& w, bool has_to) noexcept : of_(w) {
    const bool all_from_outside = w.queue_empty() || w.tail_.load(std::memory_order_relaxed) == w.outside_until_;
    if (w.simulated || (!has_to && all_from_outside && !w.has_early())) return;
    next_ = std::exchange(w.run_next, nullptr);
    w.room_ = 0;
  }
  goes_before_queue(const goes_before_queue&) = delete;
  goes_before_queue& operator=(const goes_before_queue&) = delete;
  ~goes_before_queue() {
    if (of_.room_ != 0) {
      of_.outside_until_ = of_.tail_.load(std::memory_order_relaxed);
      return;
    }
    if (routine* last = std::exchange(of_.run_next, next_)) of_.add_early(*last);
    of_.room_ = queue_size;
  }

 private:
  scheduler& of_;
  routine* next_ = nullptr;
};

// `now` is min() if there are no timers.
void scheduler::look(time_point now, bool late) {
  const bool puts_off = driver_->puts_off_looks;  // it must not while a timer is due
  const bool is_due = puts_off && now != time_point::min() && has_due_timers(now);
  {
    const goes_before_queue what_comes(*this, late);
    // More completions may follow at once, such as the rest of a message.
    const time_point how = is_due ? time_point() : time_point::min();
    {
      const woken_by_event cause(observed, recording::cause::answer);
      const batch what_becomes_ready(*this);
      for (int looks = late ? looks_when_late : 1; driver_->poll(how) && looks > 1;) --looks;
    }
    if (runtime.has_posts()) runtime.run_posts(*this);
  }
  // release: a thread that sees this value sees the claimed waits.
  if (shared && is_due == puts_off) looked_at_.store(now.time_since_epoch().count(), std::memory_order_release);
  if (now == time_point::min()) return put_off_at_.reset();
  const goes_before_queue what_expires(*this, false);
  if (put_off_at_ && (before_expiry_ == 0 || !has_early())) {
    expire_timers(now, *std::exchange(put_off_at_, std::nullopt));
  }
  if (put_off_at_ || (late && has_early())) {
    if (!put_off_at_) {
      put_off_at_ = now;
      before_expiry_ = early_count_.load(std::memory_order_relaxed);
    }
    expire_timers(now, time_point::min());
  } else {
    expire_timers(now, now);
  }
}

void scheduler::expire_timers(time_point now, time_point due) {
  expired_timers expired;
  {
    optional_guard guard(timers.lock, shared);
    expired = take_expired(timers, now, due, now >= next_expiry_ ? timers_a_turn : 0);
  }
  if (expired.all && !expired.woken.empty()) next_expiry_ = now + slack();
  go_on_with(expired);
}

// A wake-up costs more than the rest of a timer. So with many timers, those that are due at nearly the same time share
// a wake-up.
duration scheduler::slack() const noexcept {
  const std::int64_t armed = timers.armed();
  return armed <= few_timers || simulated ? duration::zero() : armed <= many_timers ? timer_slack : long_timer_slack;
}

void scheduler::expire_timers_of_others() {
  if (runtime.has_posts()) runtime.run_posts(*this);
  for (const auto& other : runtime.workers) {
    if (other.get() == this || other->idle_listed.load(std::memory_order_relaxed) || other->timers.empty()) continue;
    expired_timers expired;
    {
      const std::lock_guard guard(other->timers.lock);
      // Read under the lock: a new timer's length counts from this reading, which must not be older than the timer.
      const time_point now = driver_->now();
      if (!other->timers.is_late(now - watch_period)) continue;
      expired = take_expired(other->timers, now, now, timers_a_turn);
    }
    go_on_with(expired);
  }
}

scheduler::expired_timers scheduler::take_expired(timer_queue& of, time_point now, time_point due, int at_most) {
  expired_timers expired;
  expired.all = !of.advance(now, due, at_most, expired.woken);
  expired.put_off = of.take_put_off();
  return expired;
}

bool may_have_arrived(const routine& r, time_point now) noexcept {
  const std::uint32_t ring = r.state.load(std::memory_order_relaxed) >> routine::ring_shift;
  if (ring == 0) [[likely]]
    return false;
  const auto& workers = current_worker()->runtime.workers;
  if (ring != routine::all_rings) return workers[ring - 1]->has_unseen(now);
  return std::any_of(workers.begin(), workers.end(), [now](const auto& w) { return w->has_unseen(now); });
}

void scheduler::go_on_with(expired_timers& expired) {
  const woken_by_event cause(observed, recording::cause::timer);
  const batch what_becomes_ready(*this);
  for (std::size_t i = 0; routine* r = expired.woken.pop_front(); ++i) {
    if (observed != nullptr) [[unlikely]]
      observed->ends_noted_timer(i);
    push_woken(*r);
  }
  if (observed != nullptr) [[unlikely]]
    observed->forget_timers();
  while (expired.put_off != nullptr) {
    timer_entry& e = *expired.put_off;
    expired.put_off = timer_queue::next_put_off(e);
    if (observed != nullptr) [[unlikely]]
      observed->ends_timer(timer_queue::due_time_of(e));
    e.after_expiry(*this);
  }
}

bool scheduler::has_due_timers(time_point now) noexcept {
  optional_guard guard(timers.lock, shared);
  return timers.is_late(now);
}

time_point scheduler::next_timer() noexcept {
  optional_guard guard(timers.lock, shared);
  return timers.next();
}

}  // namespace ringo::detail
