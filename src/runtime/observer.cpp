#include "runtime/observer.hpp"

#include <ringo/detail/compilers.hpp>

#include "runtime/scheduler.hpp"

namespace ringo {

void hooks::started(const routine&, std::uint32_t) noexcept {}
void hooks::resumed(const routine&) noexcept {}
void hooks::parked(const routine&) noexcept {}
void hooks::yielded(const routine&) noexcept {}
void hooks::ended(const routine&) noexcept {}

namespace detail {

observer::observer(const worker& of, unsigned index, recorder* to, ringo::hooks* hooks, times_of_worker* times)
    : only_records_(to != nullptr && hooks == nullptr && times == nullptr && !of.simulated),
      ring_(to != nullptr ? &to->ring_of(index) : nullptr),
      recorder_(to),
      worker_(index),
      hooks_(hooks),
      times_(times) {
  due_.reserve(scheduler::timers_a_turn);
}

void observer::ends_timer(std::int64_t due) noexcept {
  // An event has 48 bits for it: three days.
  constexpr std::int64_t most = (std::int64_t{1} << (64 - event_cell::place_shift)) - 1;
  const std::int64_t late = std::clamp<std::int64_t>(nanoseconds() - due, 0, most);
  late_ = static_cast<std::uintptr_t>(late);
  if (times_ != nullptr) times_->timer_ends(late);
}

void observer::tell_resumed(const routine& r, std::uint32_t number) noexcept {
  number_ = number;
  started_ = r.started;
  if (times_ != nullptr) times_->resumes(number, nanoseconds());
  if (ring_ != nullptr) ring_->running = number;
  put(event::resumed, number, address_of(started_));
  if (tells()) hooks_->resumed(as_told());
}

void observer::tell_left(const worker& w) noexcept {
  if (times_ != nullptr) times_->left(nanoseconds());
  if (w.finished != nullptr) {
    if (recorder_ != nullptr && w.finished->has_name) recorder_->note_end_of_named(number_);
    put(event::ended, number_);
    if (!tells()) return;
    if (parked_) hooks_->resumed(as_told());  // as in tell_parked()
    return hooks_->ended(as_told());
  }
  if (parked_) return;
  // With one worker no other routine has run since, so it is still there.
  if (!w.shared && running_->is_waiting()) return tell_parked(*running_);
  if (times_ != nullptr) times_->ready(number_, nanoseconds());
  put(event::yielded, number_);
  if (tells()) hooks_->yielded(as_told());
}

void observer::tell_ready(const worker& w, const routine& r) noexcept {
  const auto number = r.number.load(std::memory_order_relaxed);
  if (times_ != nullptr) times_->ready(number, nanoseconds());
  const std::uint64_t cause = cause_in(w);
  if (r.resumed_as != routine::kind::begins) return put(event::ready, number, late_in(w), cause);
  if (recorder_ != nullptr && r.has_name) recorder_->note_name(number, r);
  put(event::started, number, address_of(r.started), cause);
  if (hooks_ != nullptr) hooks_->started({number, worker_, r.started}, r.started_by);
}

void observer::tell_parked(const routine& r) noexcept {
  // An earlier wait of this resume was not opened, since the routine was cancelled.
  if (std::exchange(parked_, true) && tells()) hooks_->resumed(as_told());
  if (recorder_ != nullptr) {
    const unsigned kind = recorder_->kind_of_wait(*r.parked);
    if (times_ != nullptr) times_->parks(number_, kind, nanoseconds());
    put(event::parked, number_, address_of(r.parked->where), kind);
  }
  if (tells()) hooks_->parked({number_, worker_, r.parked->where});
}

// Hot, or g++ makes them short instead of fast: it takes what is called where mostly no observer is for cold.
[[gnu::hot]] void worker::note_ready(const routine& r) noexcept { observed->ready(*this, r); }
// A wait of a coroutine of another library is not the routine's.
[[gnu::hot]] void worker::note_park(const routine& r) noexcept {
  if (&r == current) observed->parks(r);
}

// The two below are the recorder's part of each switch, so they have no call on their hot path, which would save and
// restore registers: all that is not usual is in the functions that they end in.
[[gnu::hot]] void worker::make_next_noted(routine& r) noexcept {
  if (run_next != nullptr || observed == nullptr || !observed->notes_ready(*this, r)) return make_next_slowly(r);
  run_next = &r;
}

[[gnu::hot]] void worker::make_next_slowly(routine& r) noexcept {
  if (observed != nullptr) observed->ready(*this, r);
  set_next(r);
}

[[gnu::hot]] std::coroutine_handle<> worker::switch_away_noted() noexcept {
  routine* const r = run_next;
  if (observed == nullptr || !observed->only_records()) return back_to_loop();
  if (r == nullptr || handovers <= -in_a_row_ || r->resumed_as != routine::kind::plain || r->may_be_cancelled() ||
      !observed->hands_over_quickly(*this, *r)) [[unlikely]] {
    return switch_away_slowly();
  }
  --handovers;
  run_next = nullptr;
  return go_to_uncancelled(*r);
}

// As switch_away(), go_to_first() and the loop without an observer, so the order is the same.
[[gnu::hot]] std::coroutine_handle<> worker::switch_away_slowly() noexcept {
  routine* r = run_next;
  if (r != nullptr) {
    if (handovers <= -in_a_row_ || r->resumed_as != routine::kind::plain) return back_to_loop();
    --handovers;
    run_next = nullptr;
  } else {
    const std::uint32_t head = head_.load(std::memory_order_relaxed);
    if (shared || !transfers_are_jumps || turn <= 1 || head == tail_.load(std::memory_order_relaxed)) {
      return back_to_loop();
    }
    r = take_first(head);
    if (r == nullptr) return back_to_loop();
    handovers = 0;
  }
  observed->hands_over(*this, *r);
  return go_to(*r);
}

}  // namespace detail
}  // namespace ringo
