#include "runtime/scheduler.hpp"

#include <unistd.h>

#include <algorithm>
#include <limits>
#include <utility>

#include <ringo/detail/compilers.hpp>
#include <ringo/detail/context_core.hpp>
#include <ringo/errors.hpp>

#include "platform/thread_state.hpp"
#include "runtime/choices.hpp"
#include "runtime/observer.hpp"
#include "runtime/report.hpp"
#include "runtime/runtime_core.hpp"
#include "runtime/sigpipe.hpp"

namespace ringo::detail {
namespace {

#if defined(NDEBUG)
constexpr bool keeps_all_frames = false;
#else
constexpr bool keeps_all_frames = true;
#endif

}  // namespace

time_point coarse_clock() noexcept {
  timespec t{};
  ::clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
  return time_point(std::chrono::seconds(t.tv_sec) + std::chrono::nanoseconds(t.tv_nsec));
}

scheduler::scheduler(runtime_core& rt, std::uint64_t id, unsigned i, std::size_t workers, bool is_simulated,
                     std::uint64_t seed, std::unique_ptr<driver> d)
    : worker(rt, id, workers > 1, is_simulated, seed),
      index(i),
      timers(*this),
      routines(shared, simulated),
      driver_(std::move(d)),
      number_step_(static_cast<std::int64_t>(workers)),
      next_number_(first_number()),
      resumes_of_others_(workers) {
  driver_->may_leave_alarm = !shared;
  if (keeps_all_frames || simulated) frames.keep(true);
}

void scheduler::observe_by(observer& o) noexcept {
  observed = &o;
  driver_->listener = &o;
  turns_of_the_loop = std::numeric_limits<std::int32_t>::max();
  full_handovers_ = 0;
}

void scheduler::become_current() noexcept {
  set_current_worker(this);
  cpu_clock.store(own_cpu_clock(), std::memory_order_relaxed);
  thread.store(::gettid(), std::memory_order_release);
}

void scheduler::run() noexcept {
  sigpipe_blocked while_it_runs;
  // A look is a system call, for SIGPIPE: rare beside the rounds, and soon for a person.
  constexpr unsigned rounds_without_a_look = 256;
  constexpr duration time_without_a_look = std::chrono::milliseconds(10);
  unsigned rounds = 0;
  time_point next_look{};
  stack.store(reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0)), std::memory_order_relaxed);
  become_current();
  try {
    driver_->attach();
    note_time(driver_->now());
    turn_began_ = coarse_clock();
    while (!runtime.done()) {
      if (++rounds % rounds_without_a_look == 0) while_it_runs.look();
      run_early();
      // If more early ones wait, one routine of the queue runs; if timers wait until they have run, none does.
      turn = !has_early() ? turn_length_ : 1;
      if (put_off_at_ && before_expiry_ == 0) turn = 0;
      observed != nullptr ? run_turn<true>() : run_turn<false>();
      end_turn();
      if (has_work() || runtime.done()) continue;
      if (find_work()) {
        have_timers_watched();
        turn_began_ = coarse_clock();
        continue;
      }
      if (const time_point now = coarse_clock(); now >= next_look) {
        while_it_runs.look();
        next_look = now + time_without_a_look;
      }
      idle();
      turn_began_ = coarse_clock();
    }
  } catch (...) {
    runtime.fail(std::current_exception());
  }
  finish_operations();
  thread.store(0, std::memory_order_relaxed);
  set_current_worker(nullptr);
}

// Without an observer the loop does not ask for one at each resume.
template <bool is_observed>
RINGO_ALWAYS_INLINE inline void scheduler::run_turn() noexcept {
  for (; turn > 0; --turn) {
    routine* r = take();
    if (r == nullptr) break;
    if constexpr (is_observed) {
      resume_observed(*r);
    } else {
      run_slice(*r);
      end_slice();
    }
  }
}

void scheduler::finish_operations() noexcept {
  to_end.carry_out(this);
  driver_->drain();
}

void scheduler::end_turn() {
  if (!to_end.empty()) [[unlikely]]
    to_end.carry_out(this);
  if (!timers.empty() || yielded != nullptr || shared) {
    const time_point now = driver_->now();
    note_time(now);
    look(now, now - turn_end_ > late_look);  // if that is not known, it may be late
    judge_turn(now);
    turn_began_ = now;
    if (now >= next_giving_back_) [[unlikely]]
      give_back_memory(now);
  } else {
    look(time_point::min(), false);
    turn_end_ = {};
    // No timer is late, but bytes may be.
    if (!simulated) {
      const time_point now = coarse_clock();
      const duration took = now - std::exchange(turn_began_, now);
      judge_length(took > very_long_turn ? took : duration::zero());
    }
    if (++turns_without_clock_ % turns_a_reading == 0) note_time(driver_->now());
  }
  // Routines that overflowed the queue came from the same place as the rest.
  const bool all_from_outside = tail_.load(std::memory_order_relaxed) == outside_until_;
  const bool was_given_work = runtime.has_global() && runtime.take_global(*this) > 0;
  if (all_from_outside) outside_until_ = tail_.load(std::memory_order_relaxed);
  if (runtime.unwinding()) [[unlikely]]
    runtime.check_grace(driver_->now());
  runtime.serve_dump_request(*this);
  if (yielded != nullptr) go_on_after_turn(*std::exchange(yielded, nullptr), was_given_work);
  have_timers_watched();
  if (checked_build || simulated) check();
}

void scheduler::have_timers_watched() noexcept {
  if (!shared || !has_work()) return;
  if (std::exchange(owes_watch_, false) || !timers.empty()) runtime.ask_to_watch();
}

void scheduler::run_early() noexcept {
  for (int left = most_early; left > 0 && has_early(); --left) {
    routine* const r = take_early();
    if (r == nullptr) break;
    turn = 1;  // only the loop takes the next one: after a wait the next early one runs, not the queue's first
    if (before_expiry_ != 0) --before_expiry_;
    resume(*r);
  }
}

routine* scheduler::take() noexcept {
  if (run_next != nullptr || shared) [[unlikely]] {
    if (routine* r = take_before_queue()) return r;
  }
  handovers = full_handovers_;
  return pop();
}

routine* scheduler::take_before_queue() noexcept {
  if (run_next != nullptr) {
    if (may_hand_over() || may_pass_over(may_be_stolen_from())) return std::exchange(run_next, nullptr);
    push(*std::exchange(run_next, nullptr));
  }
  if (routine* const newest = take_newest()) {
    if (may_hand_over() || may_pass_over(!queue_empty())) return newest;
    push(*newest);
  }
  return nullptr;
}

// Called after the last hand-over. If the queue is empty, the count starts again, and no other worker is woken for a
// routine that then enters the queue.
bool scheduler::may_pass_over(bool somebody) noexcept {
  const bool ends = turn % hand_overs_a_look == 0 && !simulated && coarse_clock() - turn_began_ > very_long_turn;
  if (ends) [[unlikely]]
    turn = 1;
  if (somebody) return false;
  handovers = ends ? full_handovers_ - in_a_row_ : full_handovers_;
  return true;
}

void scheduler::resume(routine& r) noexcept {
  if (observed != nullptr) [[unlikely]]
    return resume_observed(r);
  run_slice(r);
  end_slice();
}

void scheduler::resume_observed(routine& r) noexcept {
  observed->resumes(r);
  run_slice(r);
  observed->left(*this);
  const woken_by_event cause(observed, recording::cause::routine);  // the joiners, if it has ended
  end_slice();
}

RINGO_ALWAYS_INLINE inline void scheduler::run_slice(routine& r) noexcept {
  set_current(r);
  counts.resumes.add();
  switch (r.resumed_as) {
    case routine::kind::plain:
      r.resume_at.resume();
      break;
    case routine::kind::begins: {
      r.resumed_as = routine::kind::plain;
      const std::coroutine_handle<> task = r.begin();
      task ? task.resume() : void(finished = &r);
      break;
    }
    case routine::kind::tries_again:
      r.resumed_as = routine::kind::plain;
      r.parked->try_again(*r.parked, *this) ? r.resume_at.resume() : void(current = nullptr);
      break;
    case routine::kind::foreign:
      resume_foreign(static_cast<foreign_record&>(r));
      current = nullptr;
      break;
  }
}

RINGO_ALWAYS_INLINE inline void scheduler::end_slice() noexcept {
  if (finished != nullptr) {
    current = nullptr;
    finish(*std::exchange(finished, nullptr));
  } else if (current != nullptr) [[unlikely]] {
    report_forgotten(*current);
  }
}

// Called when the routine's frames are gone.
RINGO_ALWAYS_INLINE inline void scheduler::end_and_tell(routine& r) noexcept {
  context_core::leave(r, this);
  r.listed_in->remove(r);
  counts.ended.add();
  // A joiner has a handle, which counts. is_one() acquires: this sees the joiners that came before a handle was
  // dropped.
  if ((shared && !r.count.is_one()) || !r.joiners.empty()) {
    end_joined(r);
  } else {
    r.ended.store(true, std::memory_order_release);  // as below
  }
  r.at_end(*this);
}

void scheduler::finish(routine& r) noexcept {
  if (&r == runtime.main) [[unlikely]]
    return finish_main(r);
  // The routine's frames, function and arguments are destroyed before any joiner runs.
  r.close();
  end_and_tell(r);
  r.release();
  if (runtime.unwinding()) [[unlikely]]
    runtime.routine_has_ended();
}

// In many programs, other routines use variables of main's frame. So the frame is kept, and such a use throws.
void scheduler::finish_main(routine& r) noexcept {
  if (simulated) runtime.simulation->main_ends(runtime);
  const bool all_are_kept = frames.keeps();
  frames.keep(true);
  r.close();
  r.resume_at = nullptr;  // the search for leaks must not see what is left of the frames
  frames.keep(all_are_kept);
  if (simulated) runtime.simulation->main_is_gone(runtime);
  end_and_tell(r);
  runtime.main_has_ended(*this);
  r.release();
  runtime.routine_has_ended();
}

namespace {

routine_list end_and_claim_joiners(routine& r, bool shared) noexcept {
  routine_list woken;
  const optional_guard guard(r.joining, shared);
  r.ended.store(true, std::memory_order_release);  // pairs with handle::is_done()
  while (waiter* w = r.joiners.take_open(shared)) {
    w->state = progress::done;
    woken.push_back(*w->blocked);
  }
  return woken;
}

}  // namespace

void scheduler::end_joined(routine& r) noexcept {
  routine_list woken = end_and_claim_joiners(r, shared);
  while (routine* joiner = woken.pop_front()) make_ready(*joiner);
}

void end_unbegun(worker* w, routine& r) noexcept {
  r.close();
  r.fail(std::make_exception_ptr(cancelled()));
  routine_list woken = end_and_claim_joiners(r, w != nullptr && w->shared);
  while (routine* joiner = woken.pop_front()) make_ready_or_drop(w, *joiner);
  r.release();
}

// A routine that has yielded goes behind those that have become ready in the meantime. But beside a routine that
// computes everything is late, since a wait's events come to the worker where it began. So if the routine has computed,
// it goes to the global queue, for the first worker that comes; not if it came from there, for then all workers
// compute.
void scheduler::go_on_after_turn(routine& r, bool was_given_work) noexcept {
  if (has_work() && shared && !was_given_work && turn_end_ < computing_until_) {
    if (run_next != nullptr) push(*std::exchange(run_next, nullptr));
    if (routine* each = take_newest()) push(*each);
    while (routine* each = pop()) runtime.add_global({&each, 1});
    tell_others();
  }
  handovers = full_handovers_;
  if (has_work() || computes) return push(r);
  run_next = &r;
}

// A long turn makes timers and bytes late, so the next one is as much shorter. After a very long one, a routine is
// expected to compute for as long again.
void scheduler::judge_turn(time_point now) noexcept {
  const time_point began = std::exchange(turn_end_, now);
  if (began == time_point()) return;
  const duration took = now - began;
  if (shared) judge_resumes(took);
  judge_length(took);
  if (took > watch_period) computing_until_ = now + took;
}

// A turn has `turn_length_` routines of the queue, and up to `in_a_row_` hand-overs before each of them.
void scheduler::judge_length(duration took) noexcept {
  if (took <= long_turn && resumes_a_turn_ == most_resumes) return;
  resumes_a_turn_ = took > long_turn
                        ? std::max<std::int64_t>(resumes_a_turn_ * long_turn.count() / took.count(), fewest_resumes)
                        : std::min(resumes_a_turn_ * 2, most_resumes);
  turn_length_ = static_cast<int>(std::max<std::int64_t>(resumes_a_turn_ / most_handovers, 1));
  in_a_row_ = static_cast<std::int32_t>(std::min<std::int64_t>(resumes_a_turn_, most_handovers));
  if (observed == nullptr) full_handovers_ = in_a_row_;
}

// Looks at several turns together: routines that compute are among others that do not, and one long resume outweighs
// many short ones.
void scheduler::judge_resumes(duration took) noexcept {
  unjudged_time_ += took;
  const std::int64_t resumes = counts.resumes.value() - judged_resumes_;
  const bool takes_long = unjudged_time_ > resumes * long_resume;
  if (!takes_long && resumes < turn_length) return;
  computes = takes_long;
  unjudged_time_ = {};
  judged_resumes_ += resumes;
}

void scheduler::give_back_memory(time_point now) noexcept {
  next_giving_back_ = now + need_measured;
  frames.give_back_unneeded();
  driver_->give_back_unneeded();
  if (!simulated) buffer_pool::trim_heap(now);
}

}  // namespace ringo::detail
