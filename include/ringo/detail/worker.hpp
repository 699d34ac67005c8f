// The part of a worker that the hot paths touch. The rest of it is in src/runtime.
#pragma once
#include <array>
#include <atomic>
#include <coroutine>
#include <cstdint>
#include <limits>

#include <ringo/detail/compilers.hpp>
#include <ringo/detail/counter.hpp>
#include <ringo/detail/frame_cache.hpp>
#include <ringo/detail/machine_code.hpp>
#include <ringo/detail/routine.hpp>

namespace ringo::detail {

class observer;
class runtime_core;

class worker {
 public:
  // How many operations that need not wait a routine may do in one resume. At about 10 ns each that is a microsecond,
  // some ten times what it costs to let another routine run.
  static constexpr int ready_budget = 128;
  static constexpr int budget_of_a_throw = 8;  // an exception takes about a microsecond; 16 of them are a turn
  // Off the budget of a cancelled routine, so that one comparison sees both: more than a resume can spend.
  static constexpr std::int32_t cancelled_bias = 1 << 20;
  // How many woken routines may run before the queue's next. A pair that hands to each other keeps its cache warm, and
  // the others wait for some microseconds (test/fairness.cpp).
  static constexpr int most_handovers = 16;
  // 8 KiB of addresses. A longer queue overflows, half of it at a time, into the global one, where any worker takes it.
  static constexpr std::uint32_t queue_size = 1024;

  worker(const worker&) = delete;
  worker& operator=(const worker&) = delete;

  // Makes a claimed routine run next on this worker; the one that was to run next goes to the end of the queue. While
  // this worker's routines compute, the claimed one goes there itself, where other workers take it.
  void make_ready(routine& r) noexcept {
    if (computes) [[unlikely]]
      return push_woken_by_call(r);
    make_next(r);
  }
  RINGO_ALWAYS_INLINE void make_next(routine& r) noexcept {
    // One comparison for both, so that an observer costs nothing where there is none.
    if ((reinterpret_cast<std::uintptr_t>(run_next) | reinterpret_cast<std::uintptr_t>(observed)) != 0)
      return make_next_noted(r);
    run_next = &r;
  }
  void set_next(routine& r) noexcept {  // one that is noted as ready
    if (run_next != nullptr) push(*run_next);
    run_next = &r;
  }
  // The same, to the end of the queue.
  void push_woken(routine& r) noexcept {
    if (observed != nullptr) [[unlikely]]
      note_ready(r);
    push(r);
  }
  // The same for several routines, in their order; the first runs next.
  void make_ready(routine_list& woken) noexcept;
  // With several workers, after a source has been unlocked: the routine that a commit has named, if any, and those in
  // `woken_under_lock`.
  void wake(routine* named) noexcept {
    if (named != nullptr || !woken_under_lock.empty()) [[unlikely]]
      wake_now(named);
  }
  // For the routines that a commit or an unlink has claimed besides its own: makes them ready at once if nothing is
  // locked, else wake() does after the unlock.
  void wake_besides(routine_list& woken) noexcept {
    if (!shared) return make_ready(woken);
    while (routine* r = woken.pop_front()) woken_under_lock.push_back(*r);
  }

  // What runs when a routine waits: the routine that was made ready last; if there is none the queue's first, which
  // counts in the turn as if the loop had taken it; else the loop. Not for a wait of a foreign coroutine: a routine is
  // still on the stack then.
  RINGO_ALWAYS_INLINE std::coroutine_handle<> switch_away() noexcept {
    routine* r = run_next;
    if (r != nullptr) {
      if (handovers <= 0 || r->resumed_as != routine::kind::plain) [[unlikely]]
        return switch_away_noted();
      --handovers;
      run_next = nullptr;
      return go_to(*r);
    }
    if (!may_take_from_queue()) return switch_away_noted();
    const std::uint32_t head = head_.load(std::memory_order_relaxed);
    if (head == tail_.load(std::memory_order_relaxed)) return back_to_loop();
    return go_to_first(head);
  }
  // The same if the routine goes to the end of the queue.
  RINGO_ALWAYS_INLINE std::coroutine_handle<> push_and_switch_away(routine& r) noexcept {
    const std::uint32_t tail = tail_.load(std::memory_order_relaxed);
    const std::uint32_t head = head_.load(std::memory_order_relaxed);
    // One comparison for an empty queue and a full one.
    if (run_next != nullptr || !may_take_from_queue() || tail - head - 1 >= queue_size - 1) [[unlikely]] {
      if (tail == head && run_next == nullptr && !simulated) {
        yield_to_none(r);
        return back_to_loop();
      }
      push(r);
      return switch_away();
    }
    append(r, tail);
    return go_to_first(head);
  }

  // At the end of the queue; wakes a sleeping worker if there is one.
  void push(routine& r) noexcept {
    if (enqueue(r) && shared) [[unlikely]]
      tell_others();
  }

  // A routine that waits, or goes to a queue, sets `current` to null on its way back to the loop. If it comes back with
  // `current` set and has not ended, its compiler has forgotten its body (report_forgotten).
  RINGO_ALWAYS_INLINE std::coroutine_handle<> back_to_loop() noexcept {
    current = nullptr;
    return std::noop_coroutine();
  }

  // For an observer, which is there. note_ready(): before the routine can be seen in a queue. note_park(): with several
  // workers, before the wait is open; with one, the observer sees it when the routine has left.
  void note_ready(const routine& r) noexcept;
  void note_park(const routine& r) noexcept;

  // From now on this worker runs the routine, and what awaits does so as that routine.
  RINGO_ALWAYS_INLINE void set_current(routine& r) noexcept {
    set_current_uncancelled(r);
    if (r.is_cancelled()) [[unlikely]]
      budget -= cancelled_bias;
  }
  RINGO_ALWAYS_INLINE void set_current_uncancelled(routine& r) noexcept {
    if constexpr (checked_build) r.check_runs();
    current = &r;
    budget = ready_budget;
  }
  // To be called after the routine may have been cancelled, or after a shield of it has ended.
  void look_for_cancellation(const routine& r) noexcept {
    if (current == &r && r.is_cancelled() && budget > -cancelled_bias / 2) budget -= cancelled_bias;
  }
  // Spends one of the current routine's budget. False: its turn is over, or it may have been cancelled.
  RINGO_ALWAYS_INLINE bool spend() noexcept { return count_down(budget); }

  // For an await that ends with an exception before it tries anything.
  void spend_a_throw() noexcept { budget -= budget_of_a_throw - 1; }
  // After spend(): whether the turn lasts, cancelled or not.
  bool turn_lasts() const noexcept {
    return budget > 0 || (budget < -cancelled_bias / 2 && budget + cancelled_bias > 0);
  }
  // Spends, too. True: the operation has to look at its source only, for there is one worker, the turn lasts, and the
  // routine is not cancelled. With one worker only the running routine itself can cancel it.
  RINGO_ALWAYS_INLINE bool goes_on_alone() noexcept { return spend() && !shared; }

  // Uniform below n.
  std::uint32_t random_below(std::uint32_t n) noexcept {
    if (simulated) [[unlikely]]
      return choose(n);
    random_ ^= random_ << 13;
    random_ ^= random_ >> 7;
    random_ ^= random_ << 17;
    return static_cast<std::uint32_t>(((random_ >> 32) * n) >> 32);
  }

  routine* current = nullptr;
  routine* run_next = nullptr;
  observer* observed = nullptr;  // what its events are told to: a recorder, hooks; set before it runs
  routine* finished = nullptr;   // the routine that has reached its end in this resume
  // How many ready operations and awaited tasks the current routine has left in this resume; less cancelled_bias if its
  // awaits end with `cancelled`.
  std::int32_t budget = 0;
  // How many times in a row run_next may still come before the queue; 0 in a simulation. Less most_handovers, so 0 or
  // below, with an observer: then switch_away_noted() hands over, or the loop, and has it noted.
  std::int32_t handovers = 0;
  std::int32_t turn = 0;  // how many of the queue may yet run in this turn, the present one included
  // With so many left, or fewer, only the loop takes from the queue. That is the last one of each turn; and all of them
  // in a simulation, if there are other workers, and if a transfer is a call (compilers.hpp). With an observer,
  // switch_away_noted() does.
  std::int32_t turns_of_the_loop;
  bool computes = false;  // there are other workers, and its routines run for long before they wait
  const bool shared;      // there are other workers
  const bool simulated;
  runtime_core& runtime;
  const std::uint64_t runtime_id;
  // The same if this is the only worker; else, and in simulations, whose hot paths check themselves (section.hpp), a
  // number that no runtime has.
  const std::uint64_t lone_id;
  counters counts;
  // Nanoseconds of the driver's clock, read between two turns, and in a program without timers after every fourth one:
  // a report says by it how long a routine has waited.
  std::int64_t coarse_now = 0;
  routine* yielded = nullptr;     // it has yielded while no other routine was ready, and goes on after this turn
  routine_list woken_under_lock;  // behind the members that every resume uses, which share one cache line
  frame_cache frames;

 protected:
  worker(runtime_core& rt, std::uint64_t id, bool has_peers, bool is_simulated, std::uint64_t seed) noexcept
      : turns_of_the_loop(has_peers || is_simulated || !transfers_are_jumps ? std::numeric_limits<std::int32_t>::max()
                                                                            : 1),
        shared(has_peers),
        simulated(is_simulated),
        runtime(rt),
        runtime_id(id),
        lone_id(has_peers || (is_simulated && !checked_build) ? ~std::uint64_t{0} : id),
        frames(has_peers),
        random_(seed | 1) {}
  ~worker() = default;

  void make_next_noted(routine& r) noexcept;
  [[gnu::noinline]] void make_next_slowly(routine& r) noexcept;
  // switch_away() for an observer that only records; without one, back to the loop.
  std::coroutine_handle<> switch_away_noted() noexcept;
  [[gnu::noinline]] std::coroutine_handle<> switch_away_slowly() noexcept;
  void push_woken_by_call(routine& r) noexcept;
  void wake_now(routine* named) noexcept;
  void overflow(routine& r) noexcept;
  void yield_to_none(routine& r) noexcept;
  void tell_others() noexcept;
  std::uint32_t choose(std::uint32_t n) noexcept;

  // False: it has told the other workers already.
  bool enqueue(routine& r) noexcept {
    const std::uint32_t tail = tail_.load(std::memory_order_relaxed);
    // acquire: a thief's reads of the slots before its head is advanced come before this overwrites them.
    if (tail - head_.load(std::memory_order_acquire) >= room_) [[unlikely]] {
      overflow(r);
      return false;
    }
    append(r, tail);
    return true;
  }
  bool may_take_from_queue() const noexcept { return turn > turns_of_the_loop; }
  void append(routine& r, std::uint32_t tail) noexcept {
    queue_[tail % queue_size].store(&r, std::memory_order_relaxed);
    tail_.store(tail + 1, std::memory_order_release);  // a thief that sees the tail sees the routine
  }
  // Takes the queue's first, which is there; with one worker only. Null: it is not plainly resumed, so the loop takes
  // it.
  RINGO_ALWAYS_INLINE routine* take_first(std::uint32_t head) noexcept {
    routine* const r = queue_[head % queue_size].load(std::memory_order_relaxed);
    if (r->resumed_as != routine::kind::plain) [[unlikely]]
      return nullptr;
    __builtin_prefetch(queue_[(head + 2) % queue_size].load(std::memory_order_relaxed));  // as in scheduler::pop
    head_.store(head + 1, std::memory_order_relaxed);
    --turn;
    return r;
  }
  RINGO_ALWAYS_INLINE std::coroutine_handle<> go_to_first(std::uint32_t head) noexcept {
    routine* const r = take_first(head);
    if (r == nullptr) [[unlikely]]
      return back_to_loop();
    handovers = most_handovers;
    return go_to(*r);
  }
  RINGO_ALWAYS_INLINE std::coroutine_handle<> go_to(routine& r) noexcept {
    set_current(r);
    counts.resumes.add();
    return r.resume_at;
  }
  RINGO_ALWAYS_INLINE std::coroutine_handle<> go_to_uncancelled(routine& r) noexcept {
    set_current_uncancelled(r);
    counts.resumes.add();
    return r.resume_at;
  }

  // The queue is a ring: its owner adds at the tail, and any worker takes at the head.
  std::atomic<std::uint32_t> head_ = 0;
  std::atomic<std::uint32_t> tail_ = 0;
  std::array<std::atomic<routine*>, queue_size> queue_{};
  std::uint32_t room_ =
      queue_size;  // 0: routines that are made ready become early ones (scheduler::look), in overflow()
  // While several routines may become ready at once, other workers are told at the end (scheduler::batch).
  enum class batch_state : std::uint8_t { none, open, grown } batch_ = batch_state::none;
  std::int32_t full_handovers_ = most_handovers;  // what `handovers` counts down from
  std::int32_t in_a_row_ = most_handovers;        // how often: fewer after long turns
  std::uint64_t random_;
};

}  // namespace ringo::detail
