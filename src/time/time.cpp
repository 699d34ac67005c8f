#include <ringo/time.hpp>

#include <stdexcept>
#include <string>

#include "runtime/live_counts.hpp"
#include "runtime/scheduler.hpp"

namespace ringo {
namespace {

time_point after(time_point from, duration length) noexcept {
  if (length <= duration::zero()) return from;
  return length > time_point::max() - from ? time_point::max() : from + length;
}

duration checked_period(delay period) {
  if (period.value() > duration::zero()) return period.value();
  throw std::invalid_argument("ringo: the period of a ticker is " + std::to_string(period.value().count()) +
                              " ns: it must be positive");
}

}  // namespace

time_point now() {
  const detail::worker* w = detail::current_worker();
  return w != nullptr && w->simulated ? static_cast<const detail::scheduler*>(w)->driver_->now()
                                      : std::chrono::steady_clock::now();
}

ticker::ticker(delay period) : alarm_(checked_period(period), checked_period(period)) {}
void ticker::reset(delay period) { alarm_.reset(checked_period(period), checked_period(period)); }

namespace detail {

void sleep_operation::expire(timer_queue& queue, time_point at, routine_list& woken) noexcept {
  if (is_fed(*blocked) && may_have_arrived(*blocked, at)) [[unlikely]]
    return queue.add(*this, at + look_again);
  if (!blocked->claim(queue.shared())) return;
  set_state(progress::done);
  woken.push_back(*blocked);
}

void sleep_operation::append_to(wait_report& text) const { text += call_name; }

alarm_core::alarm_core(duration first, duration period) noexcept : next_(after(now(), first)), period_(period) {
  count();
}

void alarm_core::count() noexcept {
  const bool counts = armed_ && !timer_queue::has_deadline(*this);
  if (counts == counted_) return;
  outside_counts().timers.fetch_add(counts ? 1 : -1, std::memory_order_relaxed);
  counted_ = counts;
}

void alarm_core::end_here(worker* w) noexcept {
  section_of here(*this, w);
  end_waits(here);
  armed_ = false;
  watch();
}

void alarm_core::queue_gone() noexcept {
  timers_.store(nullptr, std::memory_order_release);
  count();
}

timer_queue* alarm_core::enter(worker& w, const char* call) {
  object_source::enter(&w, call);
  timer_queue* q = timers_.load(std::memory_order_acquire);
  if (q != nullptr) return q;
  timer_queue* mine = &timers_of(w);
  const optional_guard guard(mine->lock, mine->shared());
  // Release for the readers of timers_; acquire, if another worker was first, for what it has released.
  if (!timers_.compare_exchange_strong(q, mine, std::memory_order_acq_rel)) return q;
  mine->rest(*this);
  return mine;
}

// Takes one tick. Missed ticks are dropped (semantics 96), and the next tick keeps the phase (97).
time_point alarm_core::take_value(time_point at) noexcept {
  const time_point due = next_;
  if (period_ <= duration::zero()) {
    armed_ = false;
  } else {
    const auto periods = (at - due) / period_ + 1;
    next_ = due + periods * period_;
  }
  return due;
}

// Puts the alarm into the timer queue, with its deadline, exactly while a routine waits and a value will come. One that
// is about to be deleted leaves it.
void alarm_core::watch() noexcept {
  if (timer_queue* q = timers_.load(std::memory_order_relaxed)) {
    if (armed_ && !queue_.empty()) {
      // The queue's worker may sleep without a deadline, or with a later one.
      worker* const w = current_worker();
      if (q->set(*this, next_) && w != nullptr && &timers_of(*w) != q) q->wake_owner();
    } else if (!unused()) {
      q->rest(*this);
    } else {
      q->remove(*this);
    }
  }
  count();
}

bool alarm_core::set(bool armed, duration first, duration period) {
  const char* const call = armed ? "reset of a timer" : "stop of a timer";
  worker* w = worker_or_unused(call);
  w != nullptr ? (void)enter(*w, call) : object_source::enter(nullptr, call);
  const time_point start = now();
  const section_of here(*this, w);
  const bool was = armed_;
  armed_ = armed;
  if (armed) {
    next_ = after(start, first);
    period_ = period;
  }
  watch();
  return was;
}

void alarm_core::expire(timer_queue& queue, time_point at, routine_list& woken) noexcept {
  const waiter* next = queue_.front();
  if (next != nullptr && is_fed(*next->blocked) && may_have_arrived(*next->blocked, at))
    return queue.add(*this, at + look_again);
  if (waiter* first = is_due(at) ? queue_.take_open(queue.shared(), detach_lost{*this}) : nullptr) {
    static_cast<alarm_operation*>(first)->value_ = take_value(at);
    first->state = progress::done;
    woken.push_back(*first->blocked);
  }
  watch();
  check_in_place(*this);
}

void alarm_core::link(waiter& w) noexcept {
  object_source::link(w);
  watch();
}

bool alarm_core::unlink(waiter& w) noexcept {
  (void)object_source::unlink(w);
  watch();
  return unused();
}

void alarm_core::check() const {
  object_source::check();
  invariant(!ended() || !armed_, "a timer that has ended is not armed");
  invariant(timer_queue::has_deadline(*this) ==
                (armed_ && !queue_.empty() && timers_.load(std::memory_order_relaxed) != nullptr),
            "a timer has a deadline in the timer queue while a routine waits and a value will come");
}

bool alarm_operation::commit(worker&, bool, routine*&) noexcept {
  const time_point at = now();
  if (!of_->has_value(at)) return false;
  value_ = of_->take_value(at);
  of_->watch();
  set_state(progress::done);
  return true;
}

}  // namespace detail
}  // namespace ringo
