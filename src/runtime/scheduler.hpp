// A worker's own part of the scheduler: its loop, queue, timers and driver.
#pragma once
#include <sys/types.h>

#include <memory>
#include <optional>
#include <vector>

#include <ringo/detail/current_worker.hpp>
#include <ringo/detail/foreign_coroutine.hpp>
#include <ringo/detail/timer_queue.hpp>

#include "driver/driver.hpp"
#include "runtime/ring_operation.hpp"
#include "runtime/roster.hpp"

namespace ringo::detail {

// What a worker does, in rounds: a turn of at most `turn_length` resumes from the queue, fewer when they take long
// while timers run, then timers, driver, posts and the global queue once; and when there is nothing to run, stealing,
// then sleep (runtime_core.hpp tells why no wake-up is lost).
//
// Order: run_next first, so that a routine and the one it wakes stay on a warm cache; but only `most_handovers` times
// in a row, so that a pair handing to each other does not starve the queue. Then the newest routine, counted with
// these, and the queue, first in first out. Woken routines go into run_next, and new ones where there is one worker;
// expired timers, routines whose budget is spent, and new ones after the newest go to the end of the queue.
//
// What comes from outside, by time, the kernel, other threads and blocking calls, is looked at between turns. What that
// makes ready goes before the queue, as `early`: at most `most_early` of them, with the hand-overs among them, run
// before the queue's next comes, and the others in their order after it. Where the queue is empty they are its first.
//
// Memory: what routines that have ended and blocks of bytes have left behind goes back to the system, all of it when
// there has been nothing to do for `frames_kept`, else of what was not needed for `need_measured` the half, each time.
//
// Limits: before a timer expires, it is looked at what has come. The clock is read first: so what came before the
// deadline wins, however late the look is (the routines of one worker computed, or the process was stopped). After a
// look that is late by more than `late_look`, what it has woken runs first, too, for it may be what serves the limit's
// wait: a posted operation, or one step of many. A limit that another worker expires, or whose wait another worker's
// ring feeds, is put off as long as that ring may hold something that has not been seen for so long
// (may_have_arrived); a limit of nothing that a ring feeds is not.
//
// Stealing: half of a queue, or of the early ones. To move routines that run for a moment, and then wait for those they
// were taken from, costs more than they do: so a thief whose last loot ran for less than `long_resume` each time, and
// did not keep it busy for `worthwhile`, lets the others go on for a while before it takes again, each time longer, up
// to `most_patience`; but not one that has been in one resume for `stuck_after`.
//
// Computing: where the resumes of late took `long_resume` each, woken routines go to the end of the queue, too, where
// others take them at once: the stages of a pipeline that compute run at the same time.
//
// Timers: each worker has its own. Where a routine computes for long, one of those that have nothing to do looks every
// `watch_period`, and expires what should have been.
class scheduler final : public worker {
 public:
  static constexpr int turn_length = 64;
  static constexpr duration long_turn = std::chrono::microseconds(200);
  static constexpr int most_early = 16;
  static constexpr duration late_look = std::chrono::milliseconds(1);
  static constexpr int looks_when_late = 64;
  static constexpr int timers_a_turn = 1024;
  static constexpr std::int64_t few_timers = 64;
  static constexpr duration timer_slack = std::chrono::microseconds(100);  // with more than a few timers
  static constexpr std::int64_t many_timers = 10'000;
  static constexpr duration long_timer_slack = std::chrono::microseconds(500);  // with that many
  static constexpr duration long_resume = std::chrono::microseconds(10);
  static constexpr duration worthwhile = std::chrono::microseconds(500);  // of stolen work
  static constexpr duration least_patience = std::chrono::microseconds(25);
  static constexpr duration most_patience = std::chrono::milliseconds(1);
  static constexpr duration stuck_after = std::chrono::microseconds(200);
  static constexpr duration watch_period = std::chrono::milliseconds(1);
  static constexpr duration frames_kept = std::chrono::milliseconds(100);    // while there is nothing to do
  static constexpr duration need_measured = std::chrono::milliseconds(500);  // else: what was not needed so long

  scheduler(runtime_core& rt, std::uint64_t runtime_id, unsigned index, std::size_t workers, bool simulated,
            std::uint64_t seed, std::unique_ptr<driver> d);

  void run() noexcept;  // in the worker's thread, until the runtime is done
  void resume(routine& r) noexcept;
  routine* take() noexcept;         // the next to run, or null
  routine* take_random() noexcept;  // in a simulation
  void end_turn();
  // From the global queue or another worker. False: there is nothing to do, and it has not slept since end_turn().
  bool find_work();

  std::uint32_t queued() const noexcept {  // in the owner's thread
    return tail_.load(std::memory_order_relaxed) - head_.load(std::memory_order_relaxed);
  }
  bool has_work() const noexcept { return run_next != nullptr || has_loot(); }
  // What others may take; any thread.
  bool has_loot() const noexcept {
    return newest_.load(std::memory_order_acquire) != nullptr || !queue_empty() || has_early();
  }
  bool has_early() const noexcept { return early_count_.load(std::memory_order_acquire) != 0; }
  bool queue_empty() const noexcept {
    return head_.load(std::memory_order_acquire) == tail_.load(std::memory_order_acquire);
  }
  // Says of a routine that is about to be started where it will be listed, before anybody else knows it.
  void announce(routine& r) noexcept {
    r.listed_in = &routines;
    r.runtime_id = static_cast<std::uint32_t>(runtime_id);
  }
  void add_new(routine& r) noexcept;
  void add_early(routine& r) noexcept;
  bool looks_outside() const noexcept { return room_ == 0; }  // and what is made ready goes before the queue
  // Any thread: its ring may hold something, and it has not looked there for a while.
  bool has_unseen(time_point now) const noexcept {
    return now.time_since_epoch().count() - looked_at_.load(std::memory_order_acquire) > late_look.count() &&
           driver_->may_have_answers();
  }
  std::uint32_t steal_into(scheduler& thief) noexcept;  // half of the queue, or the newest; how many
  void discard_queue() noexcept;
  void wake() noexcept { driver_->wake(); }
  void expire_timers(time_point now) { expire_timers(now, now); }
  void become_current() noexcept;
  // Where it has something to run, which may compute: asks a worker that sleeps to watch its timers.
  void have_timers_watched() noexcept;
  void finish_operations() noexcept;  // when the loop has ended, in the worker's thread

  const unsigned index;
  timer_queue timers;
  roster routines;
  early_ends to_end;
  std::unique_ptr<driver> driver_;
  pid_t thread = 0;
  scheduler* idle_next = nullptr;         // in the runtime's list of idle workers
  std::atomic<bool> idle_listed = false;  // changed under that list's mutex

 private:
  friend class worker;
  class goes_before_queue;
  routine* pop() noexcept;
  void check() const;  // in the owner's thread, between two resumes
  void resume_here(routine& r) noexcept;
  [[gnu::noinline]] routine* take_before_queue() noexcept;
  bool may_pass_over(bool somebody) noexcept;
  // Any thread; null if there is none.
  routine* take_newest() noexcept {
    if (newest_.load(std::memory_order_relaxed) == nullptr) return nullptr;
    return newest_.exchange(nullptr, std::memory_order_acq_rel);
  }
  routine* take_early() noexcept;  // null: others have taken them
  void run_early() noexcept;
  std::uint32_t give_early(scheduler& thief) noexcept;
  void look(time_point now, bool late);
  void give_back_memory(time_point now) noexcept;
  void expire_timers(time_point now, time_point due);
  bool steal() noexcept;
  void go_on_after_turn(routine& r, bool was_given_work) noexcept;
  void judge_turn(time_point now) noexcept;
  void judge_resumes(duration took) noexcept;
  void judge_loot() noexcept;
  void let_others_go_on();
  time_point next_timer() noexcept;
  struct expired_timers {
    routine_list woken;
    timer_entry* put_off = nullptr;
    bool all = true;  // none is left that is due
  };
  static expired_timers take_expired(timer_queue& of, time_point now, time_point due, int at_most);  // under its lock
  duration slack() const noexcept;
  void go_on_with(expired_timers& expired);
  void expire_timers_of_others();
  void idle();
  void resume_foreign(foreign_record& wait) noexcept;
  void finish(routine& r) noexcept;
  [[gnu::cold, gnu::noinline]] void finish_main(routine& r) noexcept;
  void end_and_tell(routine& r) noexcept;
  void find_forgotten() noexcept;
  [[gnu::noinline]] void end_joined(routine& r) noexcept;

  int turn_length_ = turn_length;
  time_point turn_end_{};     // of the last turn, or of what came between, where it was looked at
  time_point next_expiry_{};  // not before
  time_point next_giving_back_{};
  time_point computing_until_{};     // as is expected
  duration unjudged_time_{};         // since `computes` was judged
  std::int64_t judged_resumes_ = 0;  // until then
  struct loot {
    time_point since;
    std::int64_t resumes;  // before
  };
  std::optional<loot> loot_;  // what it works on, since it had nothing
  duration patience_{};
  std::vector<std::int64_t> resumes_of_others_;  // for let_others_go_on()
  std::atomic<routine*> newest_ = nullptr;       // with other workers: started last; anybody may take it
  // With other workers: the clock's reading before the last look, which is over.
  std::atomic<std::int64_t> looked_at_ = 0;

  // Made ready from outside, and to run before the queue. Linked, as there are few, and they may be many.
  leaf_spin_lock early_lock_;
  routine_list early_;
  std::atomic<std::uint32_t> early_count_ = 0;  // written under the lock
  std::uint32_t outside_until_ = 0;             // while the queue's tail is there, all in it have come from outside
  // What was due then has been put off, until so many of the early ones have run.
  std::optional<time_point> put_off_at_;
  std::uint32_t before_expiry_ = 0;
};

// A routine that others may know already, and that will never begin, ends with `cancelled`. w is a worker of its
// runtime; null: that has ended.
void end_unbegun(worker* w, routine& r) noexcept;

RINGO_ALWAYS_INLINE inline routine* scheduler::pop() noexcept {
  std::uint32_t head = head_.load(std::memory_order_acquire);
  for (;;) {
    if (head == tail_.load(std::memory_order_relaxed)) return nullptr;
    routine* r = queue_[head % queue_size].load(std::memory_order_relaxed);
    // Of many routines the records are not in the cache: one that is to come is fetched meanwhile. A stale slot does no
    // harm.
    __builtin_prefetch(queue_[(head + 2) % queue_size].load(std::memory_order_relaxed));
    if (!shared) {
      head_.store(head + 1, std::memory_order_relaxed);
      return r;
    }
    // acq_rel: release, so that the slot was read before it is seen as free; acquire, to see what who queued it wrote.
    if (head_.compare_exchange_weak(head, head + 1, std::memory_order_acq_rel, std::memory_order_acquire)) return r;
  }
}

inline void scheduler::add_early(routine& r) noexcept {
  {
    const optional_guard guard(early_lock_, shared);
    early_.push_back(r);
    early_count_.store(early_count_.load(std::memory_order_relaxed) + 1, std::memory_order_release);
  }
  if (shared) tell_others();
}

inline routine* scheduler::take_early() noexcept {
  const optional_guard guard(early_lock_, shared);
  routine* const r = early_.pop_front();
  if (r != nullptr) early_count_.store(early_count_.load(std::memory_order_relaxed) - 1, std::memory_order_release);
  return r;
}

inline scheduler& scheduler_of(worker& w) noexcept { return static_cast<scheduler&>(w); }

}  // namespace ringo::detail
