// What a worker tells of what it does: to its ring of the recorder, to the program's hooks, and to its histograms.
#pragma once
#include <bit>
#include <cstdint>
#include <source_location>
#include <vector>

#include <ringo/clock.hpp>
#include <ringo/detail/routine.hpp>
#include <ringo/detail/worker.hpp>
#include <ringo/hooks.hpp>
#include <ringo/recording.hpp>

#include "driver/driver.hpp"
#include "runtime/event_ring.hpp"
#include "runtime/recorder.hpp"
#include "runtime/worker_times.hpp"

namespace ringo::detail {

// The address of what a place in the code is made of; the layout of g++ and of clang.
inline const void* address_of(const std::source_location& at) noexcept {
  static_assert(sizeof(std::source_location) == sizeof(const void*));
  return std::bit_cast<const void*>(at);
}

// One for each worker, and used in its thread. The paths of one worker that are hottest do not ask for it, for the
// worker has no hand-overs left (worker::handovers). So each switch comes to worker::switch_away_noted(). If there is a
// recorder only, that hands over as without it; else it goes back to the loop, which tells of each resume, and of how
// it ended.
class observer final : public call_listener {
  using event = recording::kind;
  using cells = event_cell::kind;

 public:
  // Each may be null. `times` not without a recorder, which knows the kinds of waits.
  observer(const worker& of, unsigned index, recorder* to, ringo::hooks* hooks, times_of_worker* times);

  bool only_records() const noexcept { return only_records_; }

  // The loop is about to run the routine, and has come back from it or from one that it has handed over to.
  RINGO_ALWAYS_INLINE void resumes(const routine& r) noexcept {
    running_ = &r;
    kind_ = r.resumed_as;
    parked_ = false;
    const auto number = r.number.load(std::memory_order_relaxed);
    if (!only_records_) [[unlikely]]
      return tell_resumed(r, number);
    ring_->running = number;
    put_resumed(r, number);
  }
  RINGO_ALWAYS_INLINE void left(const worker& w) noexcept {
    if (kind_ == routine::kind::foreign) return;
    if (!only_records_) [[unlikely]]
      return tell_left(w);
    if (w.finished != nullptr) {
      if (w.finished->has_name) [[unlikely]]
        recorder_->note_end_of_named(ring_->running);
      const std::uint64_t last = ring_->last_what();
      if (ring_->goes_on() && event_cell::kind_of(last) == code(event::resumed)) {
        ring_->join(last ^ code(event::resumed) ^ cells::ran);
      } else {
        put(event::ended, ring_->running);
      }
    } else if (!parked_) {
      // With one worker no other routine has run since, so it is still there.
      !w.shared && running_->is_waiting() ? parks(*running_) : put(event::yielded, ring_->running);
    }
  }
  // What mostly happens, without a call. False: nothing is noted.
  //   with one worker: the current routine waits after it has made that one ready, and the worker runs that
  RINGO_ALWAYS_INLINE bool hands_over_quickly(const worker& w, const routine& to) noexcept {
    const auto number = to.number.load(std::memory_order_relaxed);
    event_ring& ring = *ring_;
    const routine& from = *running_;
    if (!ring.goes_on() || ring.last_what() != woke || ring.last_number() != number || !ring.has_place(number) ||
        w.shared || !from.is_waiting()) [[unlikely]] {
      return false;
    }
    const parked_operation& in = *from.parked;
    const std::size_t wait = recorder::first_kind_of(in);
    if (!recorder_->is_kind(wait, in)) [[unlikely]]
      return false;
    ring.join(of_parts(event{}, address_of(in.where), wait) | cells::handed_over);
    runs(to, number);
    return true;
  }
  //   the current routine makes ready one that waits
  RINGO_ALWAYS_INLINE bool notes_ready(const worker& w, const routine& r) noexcept {
    if (!only_records_ || r.resumed_as != routine::kind::plain || w.current == nullptr || !ring_->goes_on()) {
      return false;
    }
    ring_->put_at_once(woke, r.number.load(std::memory_order_relaxed));
    return true;
  }
  // In an observer that only records: the current routine leaves, and the worker runs that one.
  RINGO_ALWAYS_INLINE void hands_over(const worker& w, const routine& to) noexcept {
    const auto number = to.number.load(std::memory_order_relaxed);
    const bool may_share = ring_->goes_on() && ring_->has_place(number);
    if (parked_) {
      parked_ = false;
      if (const std::uint64_t last = ring_->last_what();
          may_share && event_cell::kind_of(last) == cells::woke_and_parked && ring_->last_number() == number) {
        ring_->join(last ^ cells::woke_and_parked ^ cells::handed_over);
      } else {
        put_resumed(to, number);
      }
    } else if (!may_share) {
      left(w);
      parked_ = false;
      put_resumed(to, number);
    } else if (!w.shared && running_->is_waiting()) {
      const std::uint64_t wait = wait_of(*running_);
      if (ring_->last_what() == woke && ring_->last_number() == number) {
        ring_->join(wait | cells::handed_over);
      } else {
        ring_->put(wait | cells::switched, number);
      }
    } else {
      ring_->put(cells::passed, number);
    }
    runs(to, number);
  }

  RINGO_ALWAYS_INLINE void ready(const worker& w, const routine& r) noexcept {
    const bool begins = r.resumed_as == routine::kind::begins;
    if (!only_records_ || (begins && r.has_name)) [[unlikely]]
      return tell_ready(w, r);
    ring_->put(begins ? of_parts(event::started, address_of(r.started), cause_in(w))
                      : of_parts(event::ready, late_in(w), cause_in(w)),
               r.number.load(std::memory_order_relaxed));
  }
  // The current routine, before its wait is open.
  RINGO_ALWAYS_INLINE void parks(const routine& r) noexcept {
    if (!only_records_) [[unlikely]]
      return tell_parked(r);
    parked_ = true;
    const std::uint64_t wait = wait_of(r);
    ring_->goes_on() && ring_->last_what() == woke ? ring_->join(wait | cells::woke_and_parked)
                                                   : ring_->put(wait | code(event::parked), ring_->running);
  }

  void stole(unsigned from, std::uint32_t count) noexcept { put(event::stole, count, nullptr, from); }
  void sleeps() noexcept {
    look_soon();
    put(event::slept, 0);
  }
  void woke_up() noexcept {
    look_soon();
    put(event::woke, 0);
  }
  void submitted(const kernel_request& r, const kernel_call& call) noexcept override {
    put(event::submitted, static_cast<std::uint32_t>(call.descriptor), &r, static_cast<std::uint64_t>(call.what));
  }
  void answered(const kernel_request& r, const kernel_answer& answer) noexcept override {
    put(event::answered, static_cast<std::uint32_t>(answer.result), &r);
  }

  // Timers end in two steps: under their queue's lock each claims the routine that it wakes; then, in the same order,
  // the worker makes these ready. `due` is in ns.
  void will_end_timer(std::int64_t due) noexcept { due_.push_back(due); }  // no more than there is room for
  void ends_noted_timer(std::size_t index) noexcept { ends_timer(due_[index]); }
  void forget_timers() noexcept { due_.clear(); }
  // The worker is about to make ready what waits for a timer, or for a context, that was due then.
  void ends_timer(std::int64_t due) noexcept;

  recording::cause because = recording::cause::post;  // what makes routines ready between two resumes

 private:
  static constexpr std::uint64_t code(event kind) noexcept { return static_cast<std::uint64_t>(kind); }
  static constexpr std::uint64_t woke = static_cast<std::uint64_t>(event::ready);  // by a routine: cause 0
  static_assert(static_cast<int>(recording::cause::routine) == 0);

  void put(event kind, std::uint32_t number, const void* place = nullptr, std::uint64_t more = 0) noexcept {
    if (ring_ != nullptr) ring_->put(of_parts(kind, place, more), number);
  }
  RINGO_ALWAYS_INLINE static std::uint64_t of_parts(event kind, const void* place, std::uint64_t more) noexcept {
    return code(kind) | more << event_cell::kind_bits |
           reinterpret_cast<std::uintptr_t>(place) << event_cell::place_shift;
  }
  void put_resumed(const routine& r, std::uint32_t number) noexcept {
    ring_->put(of_parts(event::resumed, address_of(r.started), 0), number);
    ring_->note_place(number);
  }
  RINGO_ALWAYS_INLINE void runs(const routine& r, std::uint32_t number) noexcept {
    ring_->running = number;
    running_ = &r;
    kind_ = routine::kind::plain;
  }
  std::uint64_t wait_of(const routine& r) noexcept {
    return of_parts(event{}, address_of(r.parked->where), recorder_->kind_of_wait(*r.parked));
  }
  std::uint64_t cause_in(const worker& w) const noexcept {
    return static_cast<std::uint64_t>(w.current != nullptr ? recording::cause::routine : because);
  }
  // An event has that in place of an address.
  const void* late_in(const worker& w) const noexcept {
    return reinterpret_cast<const void*>(w.current == nullptr && because == recording::cause::timer ? late_ : 0);
  }
  void look_soon() noexcept {
    if (ring_ != nullptr) ring_->look_soon();
  }
  [[gnu::noinline]] void tell_resumed(const routine& r, std::uint32_t number) noexcept;
  [[gnu::noinline]] void tell_left(const worker& w) noexcept;
  [[gnu::noinline]] void tell_ready(const worker& w, const routine& r) noexcept;
  [[gnu::noinline]] void tell_parked(const routine& r) noexcept;
  static std::int64_t nanoseconds() noexcept { return now().time_since_epoch().count(); }
  bool tells() const noexcept { return hooks_ != nullptr && kind_ != routine::kind::foreign; }
  ringo::hooks::routine as_told() const noexcept { return {number_, worker_, started_}; }

  std::vector<std::int64_t> due_;  // of the timers that will end
  std::uintptr_t late_ = 0;        // how long after its time the last timer has ended, in ns
  const bool only_records_;        // to the ring, of a runtime that is no simulation
  bool parked_ = false;            // the routine that runs, and that is noted
  routine::kind kind_{};           // how it was resumed
  event_ring* const ring_;
  const routine* running_ = nullptr;  // with several workers its record may be gone when it has left
  recorder* const recorder_;
  const unsigned worker_;
  ringo::hooks* const hooks_;
  times_of_worker* const times_;
  // Of the routine that runs, unless only_records_.
  std::uint32_t number_ = 0;
  std::source_location started_;
};

// While it lives, the worker makes routines ready for that cause.
class woken_by_event {
 public:
  woken_by_event(observer* o, recording::cause cause) noexcept : observer_(o) {
    if (observer_ != nullptr) observer_->because = cause;
  }
  woken_by_event(const woken_by_event&) = delete;
  woken_by_event& operator=(const woken_by_event&) = delete;
  ~woken_by_event() {
    if (observer_ != nullptr) observer_->because = recording::cause::post;
  }

 private:
  observer* const observer_;
};

}  // namespace ringo::detail
