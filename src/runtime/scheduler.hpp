// A worker's own part of the scheduler: its loop, queue, timers and driver.
#pragma once
#include <sys/types.h>

#include <algorithm>
#include <ctime>
#include <memory>
#include <optional>
#include <vector>

#include <ringo/detail/current_worker.hpp>
#include <ringo/detail/foreign_coroutine.hpp>
#include <ringo/detail/timer_queue.hpp>

#include "driver/driver.hpp"
#include "runtime/kernel_operation.hpp"
#include "runtime/roster.hpp"
#include "runtime/worker_times.hpp"

namespace ringo::detail {

// The steady clock's time, up to 10 ms late: it moves with the kernel's ticks. A reading costs a quarter of a precise
// one.
time_point coarse_clock() noexcept;

// A worker's loop goes in rounds. A turn runs at most `turn_length` routines of the queue, and fewer if they take long
// while timers run. Between two turns the worker looks once at its timers, its driver, the posts and the global queue.
// If there is nothing to run, it steals, and then sleeps (runtime_core.hpp says why no wake-up is lost).
//
// Order. First comes run_next, so that a routine and the one that it wakes share a warm cache; but only
// `most_handovers` times in a row, so that a pair that hands to each other does not starve the queue. Then comes the
// newest routine, which counts as such a hand-over, and then the queue, first in first out. Woken routines go to
// run_next; new ones go there, too, if there is one worker. Expired timers, routines whose budget is spent, and a
// new routine that a newer one follows go to the end of the queue.
//
// From outside. What the clock, the kernel, other threads and blocking calls make ready between two turns is `early`:
// it runs before the queue. At most `most_early` early routines, with the hand-overs among them, run before the next
// one of the queue, and the others follow in their order. If the queue is empty they are its first.
//
// Memory. What ended routines and received bytes have left goes back to the system: all of it when the worker has had
// nothing to do for `frames_kept`, else every `need_measured` half of what was not needed since the last time.
//
// Limits. A timer expires only after the worker has looked at what has come. The worker reads the clock first, so what
// came before the deadline wins, however late the look is (because routines computed, or the process was stopped).
// After a look that is late by more than `late_look`, the routines that it has woken run before timers expire, for one
// of them may serve the wait that the timer limits: a posted operation, or one step of several. If another worker
// expires the timer, or if another worker's ring feeds the wait, the timer is put off while that ring may hold an
// answer that its worker has not seen for that long (may_have_arrived).
//
// Stealing. A thief takes half of a queue, or of the early routines. To move routines that run for a moment, and then
// to wait for the ones that they were taken from, costs more than it gains. So if what a thief has stolen ran for less
// than `long_resume` each and for less than `worthwhile` in all, the thief backs off before it steals again, each time
// for longer, up to `longest_backoff`; but it does not leave a victim alone that has been in one resume for
// `stuck_after`.
//
// Computing. If the last resumes took `long_resume` each, woken routines go to the end of the queue, where others take
// them at once. So the stages of a pipeline that compute run at the same time.
//
// Timers. Each worker has its own. While its routine computes, one worker that has nothing to do looks at them every
// `watch_period`, and expires the late ones (runtime_core::begin_watching).
//
// Each number below has its reason. Where no measurement is named, the order of magnitude was chosen by that reason,
// and nothing was found to depend on the rest.
class scheduler final : public worker {
 public:
  // The looks between two turns cost about as much as two resumes: so they are some hundredths of the turn.
  static constexpr int turn_length = 64;
  // A turn that takes longer is followed by one that is as much shorter: beside it a timer would be late by that much.
  static constexpr duration long_turn = std::chrono::microseconds(200);
  // A few at least: what seems to be a long turn may be a long look before it.
  static constexpr std::int64_t most_resumes = turn_length * most_handovers, fewest_resumes = 4;
  // A turn ends early that has taken longer, for the first that computes: two ticks of a slow kernel. It is looked for
  // after so many full rows of hand-overs, some 70 resumes; the coarse clock costs half of one hand-over.
  static constexpr duration very_long_turn = std::chrono::milliseconds(20);
  static constexpr int hand_overs_a_look = 4;
  // A hundred early ones would starve the queue; fewer than some make servers wait for it (test/fairness.cpp).
  static constexpr int most_early = 16;
  // Much more than the turns of a worker that does not compute, and no more than timers are late anyway.
  static constexpr duration late_look = std::chrono::milliseconds(1);
  // How often a late look asks the kernel again while answers come: what was asked for may come in many pieces
  // (test/stall.cpp).
  static constexpr int looks_when_late = 64;
  // A bound for how long one look expires timers, some 100 us; the other late ones wait for the next.
  static constexpr int timers_a_turn = 1024;
  // To sleep for each timer costs more than the timer. With more than a few armed, those that are due within the slack
  // share one sleep. bench/lateness.cpp shows how late that makes them.
  static constexpr std::int64_t few_timers = 64;
  static constexpr duration timer_slack = std::chrono::microseconds(100);
  static constexpr std::int64_t many_timers = 10'000;
  static constexpr duration long_timer_slack = std::chrono::microseconds(500);
  // Some ten times what it costs to hand a routine to another worker. Measured: a pipeline of stages of 500 us on two
  // workers took 600 us an item with this, and 724 us without.
  static constexpr duration long_resume = std::chrono::microseconds(10);
  // What a turn after a sleep may take longer, since nothing is in the CPU's cache: it is no sign that routines
  // compute.
  static constexpr duration cold_start = std::chrono::microseconds(20);
  // A thief that is busy for so long has gained many times what the steal and the wake-ups cost.
  static constexpr duration worthwhile = std::chrono::microseconds(500);
  // From about what a steal costs to what a routine that becomes ready may wait for an idle worker.
  static constexpr duration shortest_backoff = std::chrono::microseconds(25);
  static constexpr duration longest_backoff = std::chrono::milliseconds(1);
  // A victim that has not ended a resume for so long computes: its queue is taken from at once.
  static constexpr duration stuck_after = std::chrono::microseconds(200);
  // How late timers of a worker that computes may be, against 1000 wake-ups a second of an idle worker.
  static constexpr duration watch_period = std::chrono::milliseconds(1);
  // Long enough that a server with a request every now and then does not allocate anew for each.
  static constexpr duration frames_kept = std::chrono::milliseconds(100);
  static constexpr duration need_measured = std::chrono::milliseconds(500);
  // A reading costs about as much as a resume, and a turn has up to 64. Only reports need it, if there are no timers.
  static constexpr unsigned turns_a_reading = 4;

  scheduler(runtime_core& rt, std::uint64_t runtime_id, unsigned index, std::size_t workers, bool simulated,
            std::uint64_t seed, std::unique_ptr<driver> d);

  void run() noexcept;  // in the worker's thread, until the runtime ends
  void resume(routine& r) noexcept;
  void observe_by(observer& o) noexcept;
  routine* take() noexcept;         // the next routine to run, or null
  routine* take_random() noexcept;  // in a simulation; null also if the one that it wants is not ready
  void end_turn();
  void note_time(time_point now) noexcept { coarse_now = now.time_since_epoch().count(); }
  // Takes work from the global queue or another worker. False: there is none, and the worker has not slept since
  // end_turn().
  bool find_work();

  std::uint32_t queued() const noexcept {  // in the owner's thread
    return tail_.load(std::memory_order_relaxed) - head_.load(std::memory_order_relaxed);
  }
  // Any thread. The owner may take and add between the two loads.
  std::uint32_t ready_for_report() const noexcept {
    const std::uint32_t head = head_.load(std::memory_order_acquire);
    return std::min(tail_.load(std::memory_order_relaxed) - head, queue_size);
  }
  bool has_work() const noexcept { return run_next != nullptr || may_be_stolen_from(); }
  // Whether other workers may take routines from here; any thread.
  bool may_be_stolen_from() const noexcept {
    return newest_.load(std::memory_order_acquire) != nullptr || !queue_empty() || has_early();
  }
  bool has_early() const noexcept { return early_count_.load(std::memory_order_acquire) != 0; }
  bool queue_empty() const noexcept {
    return head_.load(std::memory_order_acquire) == tail_.load(std::memory_order_acquire);
  }
  // Sets where a routine that will start is listed, before another thread knows it.
  void announce(routine& r) noexcept {
    r.listed_in = &routines;
    r.runtime_id = static_cast<std::uint32_t>(runtime_id);
  }
  // The number of a routine that starts here. No two workers give the same one.
  std::uint32_t give_number() noexcept {
    const auto number = static_cast<std::uint32_t>(next_number_.value());
    next_number_.add(number_step_);
    return number;
  }
  // Any thread. How many routines have started here; and without those that have ended here, which may be more.
  std::int64_t started() const noexcept { return (next_number_.value() - first_number()) / number_step_; }
  std::int64_t live_routines() const noexcept { return started() - counts.ended.value(); }
  // While it lives, routines become ready by events, and are told to other workers once, at its end, if several are
  // ready then. A lone one runs here next: a worker that is woken for it costs more than an event, and finds nothing.
  // It must not live while a routine or a posted function runs.
  class batch {
   public:
    explicit batch(scheduler& w) noexcept : of_(w) { of_.batch_ = batch_state::open; }
    batch(const batch&) = delete;
    batch& operator=(const batch&) = delete;
    ~batch() {
      if (std::exchange(of_.batch_, batch_state::none) == batch_state::grown && of_.has_several()) of_.tell_others();
    }

   private:
    scheduler& of_;
  };
  bool has_several() const noexcept;  // whether two or more routines are ready here
  void add_new(routine& r) noexcept;
  void add_early(routine& r) noexcept;
  bool looks_outside() const noexcept { return room_ == 0; }  // then routines that become ready go before the queue
  // Any thread. Whether its ring may hold a completion, and it has not looked there for a while.
  bool has_unseen(time_point now) const noexcept {
    return now.time_since_epoch().count() - looked_at_.load(std::memory_order_acquire) > late_look.count() &&
           driver_->may_have_answers();
  }
  std::uint32_t steal_into(scheduler& thief) noexcept;  // moves half of the queue, or the newest; returns the number
  void discard_queue() noexcept;
  void wake() noexcept { driver_->wake(); }
  void expire_timers(time_point now) { expire_timers(now, now); }
  void become_current() noexcept;
  // Called when it has a routine to run, which may compute: asks a sleeping worker to watch its timers.
  void have_timers_watched() noexcept;
  void finish_operations() noexcept;  // after the loop, in the worker's thread

  const unsigned index;
  timer_queue timers;
  roster routines;
  early_ends to_end;
  std::unique_ptr<times_of_worker> times;  // null without runtime_options::histograms
  std::unique_ptr<driver> driver_;
  std::atomic<pid_t> thread = 0;  // 0: not started, or ended
  // Of that thread, and stored before it: its clock, and where run() is on its stack.
  std::atomic<clockid_t> cpu_clock = 0;
  std::atomic<std::uintptr_t> stack = 0;
  scheduler* idle_next = nullptr;         // in the runtime's list of idle workers
  std::atomic<bool> idle_listed = false;  // changed under that list's mutex

 private:
  friend class worker;
  class goes_before_queue;
  routine* pop() noexcept;
  void check() const;  // in the owner's thread, between two resumes
  template <bool is_observed>
  void run_turn() noexcept;
  [[gnu::noinline, gnu::hot]] void resume_observed(routine& r) noexcept;
  void run_slice(routine& r) noexcept;
  void end_slice() noexcept;
  bool may_hand_over() noexcept { return --handovers >= full_handovers_ - in_a_row_; }
  [[gnu::noinline]] routine* take_before_queue() noexcept;
  bool may_pass_over(bool somebody) noexcept;
  // Any thread; null if there is none. Acquire, to see the routine; release, so that the next one is put after this.
  routine* take_newest() noexcept {
    if (newest_.load(std::memory_order_relaxed) == nullptr) return nullptr;
    return newest_.exchange(nullptr, std::memory_order_acq_rel);
  }
  routine* take_early() noexcept;  // null if other workers have taken them
  void run_early() noexcept;
  std::uint32_t give_early(scheduler& thief) noexcept;
  void look(time_point now, bool late);
  void give_back_memory(time_point now) noexcept;
  void expire_timers(time_point now, time_point due);
  bool steal() noexcept;
  void go_on_after_turn(routine& r, bool was_given_work) noexcept;
  void judge_turn(time_point now) noexcept;
  void judge_resumes(duration took) noexcept;
  void judge_length(duration took) noexcept;
  void judge_stolen() noexcept;
  void back_off();
  bool has_due_timers(time_point now) noexcept;
  time_point next_timer() noexcept;
  struct expired_timers {
    routine_list woken;
    timer_entry* put_off = nullptr;
    bool all = true;  // no entry is left that is due
  };
  std::uint32_t number_of_ready(std::uint32_t i) const noexcept;                                     // in a simulation
  static expired_timers take_expired(timer_queue& of, time_point now, time_point due, int at_most);  // under its lock
  duration slack() const noexcept;
  void go_on_with(expired_timers& expired);
  void expire_timers_of_others();
  void idle();
  void resume_foreign(foreign_record& wait) noexcept;
  void finish(routine& r) noexcept;
  [[gnu::cold, gnu::noinline]] void finish_main(routine& r) noexcept;
  void end_and_tell(routine& r) noexcept;
  [[gnu::noinline]] void end_joined(routine& r) noexcept;

  std::int64_t first_number() const noexcept { return index + 1; }

  const std::int64_t number_step_;  // the number of workers
  counter next_number_;
  bool owes_watch_ = false;  // in its last sleep it watched timers, or was asked to; it has had no work since
  std::int64_t resumes_a_turn_ = most_resumes;
  int turn_length_ = turn_length;  // follows from it, and so does in_a_row_
  unsigned turns_without_clock_ = 0;
  time_point turn_began_{};   // by one of the clocks, within a tick
  time_point turn_end_{};     // the end of the last turn, or a later reading of the clock
  time_point next_expiry_{};  // a lower bound
  time_point next_giving_back_{};
  time_point computing_until_{};     // a guess
  duration unjudged_time_{};         // since `computes` was judged
  std::int64_t judged_resumes_ = 0;  // until then
  struct stolen_work {
    time_point since;
    std::int64_t resumes;  // before
  };
  std::optional<stolen_work> stolen_;  // the stolen routines that it runs
  duration backoff_{};
  std::vector<std::int64_t> resumes_of_others_;  // for back_off()
  std::atomic<routine*> newest_ =
      nullptr;  // with other workers: the routine that was started last; each worker may take it
  // With other workers: the clock's reading before the last look that has ended.
  std::atomic<std::int64_t> looked_at_ = 0;

  // Routines that run before the queue, since an event from outside has woken them. A linked list: usually few, at
  // times many.
  leaf_spin_lock early_lock_;
  routine_list early_;
  std::atomic<std::uint32_t> early_count_ = 0;  // written under the lock
  std::uint32_t outside_until_ = 0;  // while the tail has this value, all routines in the queue came from outside
  // Timers that were due then are put off, until some early routines have run.
  std::optional<time_point> put_off_at_;
  std::uint32_t before_expiry_ = 0;
};

// Ends a routine that will never begin, with `cancelled`; others may know it already. w is a worker of its runtime, or
// null if that has ended.
void end_unbegun(worker* w, routine& r) noexcept;

RINGO_ALWAYS_INLINE inline routine* scheduler::pop() noexcept {
  std::uint32_t head = head_.load(std::memory_order_acquire);
  for (;;) {
    if (head == tail_.load(std::memory_order_relaxed)) return nullptr;
    routine* r = queue_[head % queue_size].load(std::memory_order_relaxed);
    // With many routines, their records are not in the cache: prefetch one that will come. A stale slot does no harm.
    __builtin_prefetch(queue_[(head + 2) % queue_size].load(std::memory_order_relaxed));
    if (!shared) {
      head_.store(head + 1, std::memory_order_relaxed);
      return r;
    }
    // acq_rel: release, so that the slot is read before it is seen as free; acquire, to see the writes before it was
    // queued.
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
