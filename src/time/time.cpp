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
  if (is_fed(*who) && may_have_arrived(*who, at)) [[unlikely]]
    return queue.add(*this, at + look_again);
  if (!who->claim(queue.shared())) return;
  stand(progress::done);
  woken.push_back(*who);
}

void sleep_operation::tell(std::string& text) const { text += call_name; }

alarm::alarm(duration first, duration period) noexcept : next_(after(now(), first)), period_(period) { count(); }

void alarm::count() noexcept {
  const bool counts = armed_ && !timer_queue::has_deadline(*this);
  if (counts == counted_) return;
  outside_counts().timers.fetch_add(counts ? 1 : -1, std::memory_order_relaxed);
  counted_ = counts;
}

alarm::~alarm() {
  if (timer_queue* q = queue_.load(std::memory_order_acquire)) {
    waiting_.end_waits(q->lock, owner_);
    const optional_guard guard(q->lock, q->shared());
    q->remove(*this);
  } else {  // its runtime has ended, or it never had one
    waiting_.end_waits(nullptr, nullptr);
  }
  armed_ = false;
  count();
  owner_.mark_destroyed();
}

void alarm::queue_gone() noexcept {
  queue_.store(nullptr, std::memory_order_release);
  count();
}

timer_queue* alarm::enter(worker& w, const char* call) {
  owner_.enter(&w, call);
  timer_queue* q = queue_.load(std::memory_order_acquire);
  if (q != nullptr) return q;
  timer_queue* mine = &timers_of(w);
  const optional_guard guard(mine->lock, mine->shared());
  if (!queue_.compare_exchange_strong(q, mine, std::memory_order_acq_rel)) return q;
  mine->rest(*this);
  return mine;
}

// Takes one tick. Missed ticks are dropped (semantics 96), and the next tick keeps the phase (97).
time_point alarm::take_value(time_point at) noexcept {
  const time_point due = next_;
  if (period_ <= duration::zero()) {
    armed_ = false;
  } else {
    const auto periods = (at - due) / period_ + 1;
    next_ = due + periods * period_;
  }
  return due;
}

// Puts the alarm into the timer queue, with its deadline, exactly while a routine waits and a value will come.
void alarm::watch() noexcept {
  if (timer_queue* q = queue_.load(std::memory_order_relaxed)) {
    q->remove(*this);
    const bool awaited = armed_ && !waiting_.empty();
    awaited ? q->add(*this, next_) : q->rest(*this);
    // The queue's worker may sleep without a deadline, or with a later one.
    worker* w = current_worker();
    if (awaited && w != nullptr && &timers_of(*w) != q) q->wake_owner();
  }
  count();
}

bool alarm::set(bool armed, duration first, duration period) {
  const char* const call = armed ? "reset of a timer" : "stop of a timer";
  worker* w = worker_or_alone(call);
  owner_.refuse_if_destroyed(call);
  timer_queue* q = w != nullptr ? enter(*w, call) : queue_.load(std::memory_order_acquire);
  const time_point start = now();
  const auto change = [&] {
    const bool was = armed_;
    armed_ = armed;
    if (armed) {
      next_ = after(start, first);
      period_ = period;
    }
    watch();
    return was;
  };
  if (q == nullptr) return change();
  const optional_guard guard(q->lock, q->shared());
  return change();
}

void alarm::expire(timer_queue& queue, time_point at, routine_list& woken) noexcept {
  const waiter* next = waiting_.front();
  if (next != nullptr && is_fed(*next->who) && may_have_arrived(*next->who, at))
    return queue.add(*this, at + look_again);
  if (waiter* first = due(at) ? waiting_.claim_first(queue.shared()) : nullptr) {
    static_cast<alarm_operation*>(first)->value_ = take_value(at);
    woken.push_back(*first->who);
  }
  watch();
}

bool alarm_operation::commit(worker&, bool, routine*&) noexcept {
  const time_point at = now();
  if (!of_->has_value(at)) return false;
  value_ = of_->take_value(at);
  of_->watch();
  stand(progress::done);
  return true;
}

void alarm_operation::link(worker& w, routine& r) noexcept {
  mortal_operation::link(w, r);
  of_->watch();
}

bool alarm_operation::unlink() noexcept {
  const bool was_queued = where_queued == place::queued;
  mortal_operation::unlink();
  if (was_queued) of_->watch();
  return false;
}

}  // namespace detail
}  // namespace ringo
