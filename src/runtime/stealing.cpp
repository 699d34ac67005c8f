// A worker without ready routines: it steals, backs off, or sleeps.
#include <algorithm>
#include <atomic>

#include "runtime/observer.hpp"
#include "runtime/runtime_core.hpp"
#include "runtime/scheduler.hpp"

namespace ringo::detail {

bool scheduler::find_work() {
  if (runtime.has_global() && runtime.take_global(*this) > 0) return true;
  if (!shared) return false;
  judge_stolen();
  const bool backs_off =
      backoff_ > duration::zero() && runtime.settings.spin <= duration::zero() && runtime.work_anywhere(*this);
  if (backs_off) {
    back_off();
    turn_end_ = driver_->now();  // no part of the next turn
    if (has_work() || runtime.done()) return true;
    if (runtime.has_global() && runtime.take_global(*this) > 0) return true;
  }
  if (!steal()) return backs_off;  // a wake() may have come in the meantime: end_turn() finds its work
  turn_end_ = driver_->now();
  stolen_ = stolen_work{turn_end_, counts.resumes.value()};
  return true;
}

// Called when all stolen routines have run: decides whether the theft was worth its cost.
void scheduler::judge_stolen() noexcept {
  if (!stolen_) return;
  const duration busy = driver_->now() - stolen_->since;
  const std::int64_t resumes = counts.resumes.value() - stolen_->resumes;
  stolen_.reset();
  backoff_ = busy >= std::min(worthwhile, resumes * long_resume)
                 ? duration::zero()
                 : std::clamp(backoff_ * 2, shortest_backoff, longest_backoff);
}

// Backs off: until its backoff is over, or it has work, or a worker with a queue has been in one resume for long.
void scheduler::back_off() {
  const auto none_is_stuck = [this] {
    return std::none_of(runtime.workers.begin(), runtime.workers.end(), [this](const auto& other) {
      return other->may_be_stolen_from() && other->counts.resumes.value() == resumes_of_others_[other->index];
    });
  };
  const time_point until = std::min(driver_->now() + backoff_, next_timer());
  do {
    for (const auto& other : runtime.workers) {
      resumes_of_others_[other->index] = other->counts.resumes.value();
    }
    const woken_by_event cause(observed, recording::cause::answer);
    driver_->poll(std::min(driver_->now() + stuck_after, until));
  } while (!has_work() && !runtime.done() && !runtime.has_global() && !runtime.has_posts() && driver_->now() < until &&
           none_is_stuck());
}

bool scheduler::steal() noexcept {
  const auto peers = static_cast<std::uint32_t>(runtime.workers.size());
  const std::uint32_t first = random_below(peers);
  for (std::uint32_t i = 0; i < peers; ++i) {
    scheduler& victim = *runtime.workers[(first + i) % peers];
    if (&victim == this) continue;
    if (const std::uint32_t stolen = victim.steal_into(*this)) {
      counts.steals.add(stolen);
      if (observed != nullptr) observed->stole(victim.index, stolen);
      return true;
    }
  }
  counts.steals_failed.add();
  return false;
}

std::uint32_t scheduler::give_early(scheduler& thief) noexcept {
  if (!has_early()) return 0;
  const std::lock_guard guard(early_lock_);
  const std::uint32_t there = early_count_.load(std::memory_order_relaxed);
  // The thief's queue is empty, as below.
  const std::uint32_t count = std::min(there - there / 2, queue_size / 2);
  for (std::uint32_t i = 0; i < count; ++i) {
    thief.append(*early_.pop_front(), thief.tail_.load(std::memory_order_relaxed));
  }
  early_count_.store(there - count, std::memory_order_release);
  return count;
}

std::uint32_t scheduler::steal_into(scheduler& thief) noexcept {
  if (const std::uint32_t early = give_early(thief)) return early;
  std::uint32_t head = head_.load(std::memory_order_acquire);
  for (;;) {
    // acquire: the slots below this tail are written, and so is what their routines' claimers did.
    const std::uint32_t tail = tail_.load(std::memory_order_acquire);
    const std::uint32_t queued = tail - head;
    if (queued == 0) {
      routine* const newest = take_newest();
      if (newest == nullptr) return 0;
      thief.append(*newest, thief.tail_.load(std::memory_order_relaxed));
      return 1;
    }
    if (queued > queue_size) {  // head was read before the owner took more
      head = head_.load(std::memory_order_acquire);
      continue;
    }
    const std::uint32_t count = queued - queued / 2;
    // The thief's queue is empty, and only the thief adds to it: there is room.
    const std::uint32_t to = thief.tail_.load(std::memory_order_relaxed);
    for (std::uint32_t i = 0; i < count; ++i) {
      thief.queue_[(to + i) % queue_size].store(queue_[(head + i) % queue_size].load(std::memory_order_relaxed),
                                                std::memory_order_relaxed);
    }
    // If it succeeds, no worker has taken from the head since, so no copied slot had been reused.
    // Release, so that the slots were read before the owner sees them as free.
    if (head_.compare_exchange_weak(head, head + count, std::memory_order_acq_rel, std::memory_order_acquire)) {
      thief.tail_.store(to + count, std::memory_order_release);
      return count;
    }
  }
}

void scheduler::idle() {
  if (runtime.settings.spin > std::chrono::nanoseconds(0)) {
    time_point now = driver_->now();
    time_point next_watch = now + watch_period;
    const time_point until = now + runtime.settings.spin;
    do {
      end_turn();
      if (driver_->puts_off_looks && !has_work()) {  // it must not now
        const woken_by_event cause(observed, recording::cause::answer);
        driver_->poll(time_point());
      }
      if (has_work() || find_work() || runtime.done()) return have_timers_watched();
      now = driver_->now();
      if (shared && now >= next_watch) {
        expire_timers_of_others();
        next_watch = now + watch_period;
      }
    } while (now < until);
  }
  runtime.list_idle(*this);
  bool woken_to_search = false;
  if (runtime.work_anywhere(*this) || runtime.done()) {
    woken_to_search = !runtime.unlist_idle(*this);
  } else {
    time_point until = std::min(runtime.check_quiet(*this), std::max(next_timer(), next_expiry_));
    if (runtime.unwinding() && runtime.grace_end() < until) until = runtime.grace_end();
    counts.parks.add();
    if (observed != nullptr) observed->sleeps();
    const bool is_long = until > turn_end_ + frames_kept;
    const time_point trim_at =
        is_long && (frames.has_plenty() || driver_->has_plenty() || (!simulated && !buffer_pool::heap_is_trimmed()))
            ? coarse_clock() + frames_kept
            : time_point::max();
    owes_watch_ = runtime.begin_watching(*this);
    until = std::min({until, trim_at, owes_watch_ ? driver_->now() + watch_period : time_point::max()});
    if (!runtime.done()) {
      const woken_by_event cause(observed, recording::cause::answer);
      const batch what_becomes_ready(*this);
      driver_->poll(until);
    }
    if (observed != nullptr) observed->woke_up();
    note_time(driver_->now());
    turn_end_ = shared ? time_point(duration(coarse_now)) : time_point();
    unjudged_time_ = std::max(unjudged_time_ - cold_start, -cold_start);
    woken_to_search = !runtime.unlist_idle(*this);
    if (owes_watch_) {
      runtime.stop_watching();
      // A post may take long (a snapshot, a search for leaks). Until this worker has searched, no other is woken: so
      // another one searches, and may be woken from now on.
      if (woken_to_search && runtime.has_posts()) {
        woken_to_search = false;
        runtime.stop_searching();
        tell_others();
      }
      expire_timers_of_others();
    }
    if (trim_at != time_point::max()) {
      const time_point now{duration(coarse_now)};
      if (now >= trim_at) frames.trim();
      if (now >= next_giving_back_) give_back_memory(now);
    }
    counts.wakes.add();
  }
  owes_watch_ |= runtime.watch_is_wanted();
  if (woken_to_search) {
    // Looks at the other queues before it goes on. But if completions or timers have filled its own queue, stolen
    // routines would have no room there (steal_into). Then it wakes a sleeping worker to look instead.
    if (!has_work()) find_work();
    runtime.stop_searching();
    if (has_work()) tell_others();  // there may be more work than one worker can do
  }
  have_timers_watched();
}

}  // namespace ringo::detail
