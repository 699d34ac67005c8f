#include "io/one_shot.hpp"

#include <stdexcept>

#include <ringo/errors.hpp>

#include "runtime/outside_error.hpp"
#include "runtime/runtime_core.hpp"

namespace ringo::detail {

void enter_call(one_shot* c, worker* w, const char* call) {
  if (c == nullptr) throw std::logic_error("ringo: an operation was awaited after it had been moved from");
  c->enter(*w, call);
}
spin_lock* lock_of(one_shot& c) noexcept { return &c.lock; }
bool has_answer(one_shot& c) noexcept { return c.has_answer(); }
void begin_call(one_shot& c, waiter& as, worker& w) noexcept { c.begin(as, w); }
void end_call(one_shot& c, waiter& as) noexcept { c.end(as); }
void append_call(const one_shot& c, wait_report& report) { report += c.describe(); }
void let_go_of_call(one_shot& c) noexcept { c.release(); }

void one_shot::enter(const worker& w, const char* call) {
  if (w.simulated) [[unlikely]]
    refuse_in_simulation(describe());
  owner_.enter(&w, call);
  int answer = 0;
  if (!try_at_once(answer)) return;
  const optional_guard guard(lock, w.shared);
  if (std::exchange(has_answer_, true)) return;
  answer_ = answer;
}

void one_shot::begin(waiter& as, worker& w) noexcept {
  waiting_.push_back(as);
  // A call that was asked to end early, and is waited for again, is begun anew when it has ended.
  if (!in_flight()) {
    ++holds_;
    begins();
    start(scheduler_of(w));
  }
  feeds(*as.blocked);
}

void one_shot::end(waiter& as) noexcept {
  if (as.where_queued == waiter::place::queued) waiting_.remove(as);
  worker* w = current_worker();
  if (waiting_.empty() && w != nullptr) end_early(scheduler_of(*w));
}

void one_shot::release() noexcept {
  const section_of here(*this);
  --holds_;
}

void one_shot::check() const {
  waiting_.check();
  invariant(!has_answer_ || waiting_.empty(), "no routine waits for a call that has its answer");
  const worker* const w = current_worker();
  invariant(waiting_.empty() || in_flight() || w == nullptr || w->runtime.done(),
            "a routine waits => the call is in flight");
}

void one_shot::fill(kernel_call& call) noexcept {
  if (now_ == next::after_a_pause) return fill_pause(call);
  ask(call);
  if (now_ == next::on_a_thread) call.may_take_long = true;
}

void one_shot::complete(const kernel_answer& answer) noexcept {
  int result = answer.result;
  scheduler& w = scheduler_of(*current_worker());
  // Until over() no other worker begins it.
  const bool had_thread = now_ == next::on_a_thread;
  const bool was_ended = now_ == next::after_a_pause || result == -ECANCELED || result == -EINTR;
  const next then = !was_ended ? judge(result) : had_thread ? next::on_a_thread : next::again;
  section_of here(*this, &w);
  over();
  if (!has_answer_ && then == next::none && !is_part(result, !waiting_.empty())) {
    answer_ = result;
    has_answer_ = true;
  }
  const bool goes_on = !has_answer_ && !waiting_.empty() && !w.runtime.done();
  now_ = goes_on && then != next::none ? then : next::again;
  if (goes_on) {
    start(w);
  } else {
    // Also an answer that was had at once meanwhile stays: its routine reads it without the lock.
    if (has_answer_) waiting_.claim_all(here);
    has_ended(w);
    --holds_;
  }
  here.end_behind_queue();  // this call may be gone
  const int more = (goes_on && then == next::on_a_thread) - had_thread;
  if (more != 0) w.driver_->add_waiting_threads(more);
}

void one_shot::let_go(scheduler* ring) noexcept {
  {
    const optional_guard guard(lock, true);  // only another worker could ask
    was_asked(ring);
  }
  release();
}

int one_shot::take() {
  if (is_taken_) throw std::logic_error("ringo: " + describe() + ": awaited again after its result has been taken");
  is_taken_ = true;
  if (answer_ < 0) throw_outside_error(-answer_, "ringo: " + describe());
  return answer_;
}

}  // namespace ringo::detail
