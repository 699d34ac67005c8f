// The timers of one worker: a radix heap, ordered by deadline. To add or cancel a timer touches one list only, timers
// expire in the exact order of their deadlines, and nothing is allocated. A deadline that is put off, as a limit is by
// each message, is only noted in the timer: it moves to its place when time reaches the list that it is in.
//
// Seven bits of the deadline are a digit; each level has 128 lists, one for each value of its digit. A timer is at the
// highest level at which its deadline differs from `base_`, in the list of its digit there. `base_` never passes the
// earliest deadline. When time reaches a list, its timers move to lower levels: each at most once per level.
#pragma once
#include <array>
#include <bit>
#include <cstdint>
#include <utility>

#include <ringo/detail/checked.hpp>
#include <ringo/detail/current_worker.hpp>
#include <ringo/detail/time_types.hpp>

namespace ringo::detail {

class timer_queue;

// An event that is due at a time. In at most one queue.
class timer_entry {
 public:
  timer_entry() noexcept = default;
  timer_entry(const timer_entry&) = delete;
  timer_entry& operator=(const timer_entry&) = delete;

  // Under the queue's lock, when the time has come. The entry is out of the queue, and may be added again. Adds the
  // routines that it wakes to `woken`.
  virtual void expire(timer_queue& queue, time_point now, routine_list& woken) noexcept = 0;
  virtual void after_expiry(worker&) noexcept {}  // without locks, if expire() put it off
  virtual void queue_gone() noexcept = 0;         // the runtime has ended with the entry in its queue

 protected:
  ~timer_entry() = default;
  const routine* runs_next = nullptr;  // the routine that will run then, if known: prefetched a little before

 private:
  friend class timer_queue;
  timer_entry* next_ = nullptr;
  timer_entry* previous_ = nullptr;
  timer_entry* ahead_ = nullptr;  // an entry further on in the list, perhaps removed since: only for prefetch
  std::int64_t when_ = 0;         // in ns: the deadline; of a new entry, the time from the next reading of the clock
  std::int16_t place_ = out;

  static constexpr std::int16_t out = -1, fresh = -2, endless = -3, resting = -4;
};

// All calls are under `lock`, if there are several workers.
class timer_queue {
 public:
  explicit timer_queue(worker& of) noexcept
      : of_(of), checks_(checked_build || of.simulated), is_plain_(!of.shared && !checks_) {}
  timer_queue(const timer_queue&) = delete;
  timer_queue& operator=(const timer_queue&) = delete;
  ~timer_queue();

  spin_lock lock;

  bool shared() const noexcept { return of_.shared; }
  // Wakes the worker whose queue this is. For another worker that has added a deadline.
  void wake_owner() noexcept;
  bool empty() const noexcept { return armed_.value() == 0; }
  std::int64_t armed() const noexcept { return armed_.value(); }  // any thread

  // Adds an entry for `deadline`; time_point::max() is never.
  void add(timer_entry& e, time_point deadline) noexcept;
  // Adds an entry for `length` after the next reading of the clock, at the end of the worker's turn. (To read the clock
  // for each timer would cost more than all the rest.)
  void add(timer_entry& e, duration length) noexcept;
  // The entry, whether it is in the queue or not, expires at `deadline` now. False if it was due no later before, so
  // that no worker needs to look sooner.
  bool set(timer_entry& e, time_point deadline) noexcept;
  // The entry, whether it is in the queue or not, has no deadline now, and only learns of the queue's end.
  void rest(timer_entry& e) noexcept;
  void remove(timer_entry& e) noexcept;  // nothing if it is not in the queue
  void let_go() noexcept;                // removes all entries: the runtime has ended
  static bool has_deadline(const timer_entry& e) noexcept {
    return e.place_ != timer_entry::out && e.place_ != timer_entry::resting;
  }

  // For each entry with a deadline, while no other thread uses the queue.
  template <class F>
  void each_armed(F f) const {
    const auto each = [&](const list& l) {
      for (const timer_entry* e = l.first; e != nullptr; e = e->next_) f(*e);
    };
    each(fresh_);
    for (const auto& level : lists_) {
      for (const list& l : level) each(l);
    }
  }

  // Called by expire(): after_expiry() will do the rest without the lock.
  void put_off(timer_entry& e) noexcept {
    e.next_ = put_off_;
    put_off_ = &e;
  }
  timer_entry* take_put_off() noexcept { return std::exchange(put_off_, nullptr); }  // all, linked: see next_put_off
  static timer_entry* next_put_off(const timer_entry& e) noexcept { return e.next_; }
  static std::int64_t due_time_of(const timer_entry& e) noexcept { return e.when_; }  // in ns; of one that has expired

  // Gives the new entries their deadlines, and expires at most `at_most` entries that were due at `due`, which is not
  // after now. True if more are due.
  bool advance(time_point now, time_point due, int at_most, routine_list& woken) noexcept;
  // A lower bound of the earliest deadline; time_point::max() if there is none. After advance().
  time_point next() noexcept;
  // Whether advance() has been due since that time.
  bool is_late(time_point since) noexcept { return fresh_.first != nullptr || next() <= since; }

 private:
  static constexpr int bits = 7, digits = 1 << bits, levels = 9;
  static constexpr std::uint32_t lead = 8;  // the distance of an entry's ahead_
  struct list {
    timer_entry* first = nullptr;
    timer_entry* last = nullptr;
    timer_entry* trailing = nullptr;  // the next entry becomes this entry's ahead_
    std::uint32_t followers = 0;      // the number of entries after trailing, until there are `lead`
    // A lower bound while the list is not empty: of the list's range, and no later than any entry. It was an entry's
    // deadline, but that one may have been removed or put off.
    std::int64_t earliest = 0;
  };
  // The lists of a level that are not empty.
  struct digit_set {
    bool empty() const noexcept { return (low | high) == 0; }
    bool has(unsigned digit) const noexcept { return ((digit < 64 ? low : high) >> digit % 64 & 1) != 0; }
    int first() const noexcept { return low != 0 ? std::countr_zero(low) : 64 + std::countr_zero(high); }
    void add(unsigned digit) noexcept { (digit < 64 ? low : high) |= std::uint64_t{1} << digit % 64; }
    void remove(unsigned digit) noexcept { (digit < 64 ? low : high) &= ~(std::uint64_t{1} << digit % 64); }
    std::uint64_t low = 0, high = 0;
  };
  void after_add() noexcept;
  void check() const;  // under the lock
  void append(list& l, timer_entry& e) noexcept;
  void append_to_long(list& l, timer_entry& e) noexcept;
  void unlink(list& l, timer_entry& e) noexcept;
  void place(timer_entry& e) noexcept;
  static void fetch_what_runs(const timer_entry& e) noexcept;
  list& list_of(std::int16_t at) noexcept;

  worker& of_;
  const bool checks_;
  const bool is_plain_;           // one worker, and no checks
  bool watch_was_asked_ = false;  // since the last advance(), and since the queue was empty
  std::int64_t base_ = 0;
  list fresh_;
  list endless_;
  list resting_;
  std::array<digit_set, levels> occupied_{};
  std::array<std::array<list, digits>, levels> lists_;
  timer_entry* put_off_ = nullptr;
  counter armed_;
};

timer_queue& timers_of(worker& w) noexcept;

// Whether the ring that feeds this routine's wait may have a completion that the ring's worker has not seen yet. Then
// the routine's time limit does not apply yet, and is checked again after `look_again`. On a worker.
bool may_have_arrived(const routine& r, time_point now) noexcept;
inline bool is_fed(const routine& r) noexcept {
  return r.state.load(std::memory_order_relaxed) >> routine::ring_shift != 0;
}
inline constexpr duration look_again = std::chrono::milliseconds(1);

}  // namespace ringo::detail
