// The part of a worker that the hot paths touch. The rest of it is in src/runtime.
#pragma once
#include <array>
#include <atomic>
#include <coroutine>
#include <cstdint>
#include <limits>
#include <source_location>

#include <ringo/detail/compilers.hpp>
#include <ringo/detail/counter.hpp>
#include <ringo/detail/frame_cache.hpp>
#include <ringo/detail/machine_code.hpp>
#include <ringo/detail/routine.hpp>

namespace ringo::detail {

class runtime_core;

class worker {
 public:
  static constexpr int ready_budget = 128;            // ready completions in one resume, before others get their turn
  static constexpr int budget_of_a_throw = 8;         // an exception takes longer than what is ready
  static constexpr std::int32_t held_down = 1 << 20;  // off the budget: beyond all that is spent in a resume
  static constexpr int most_handovers = 16;
  static constexpr std::uint32_t queue_size = 1024;

  worker(const worker&) = delete;
  worker& operator=(const worker&) = delete;

  // Makes a claimed routine run next on this worker; who was to run next goes to the end of the queue. But where the
  // routines compute for long, that is no help to it: others may take it then.
  void make_ready(routine& r) noexcept { computes ? push(r) : make_next(r); }
  void make_next(routine& r) noexcept {
    if (run_next) push(*run_next);
    run_next = &r;
  }
  // The same for several, in their order: the first runs next.
  void make_ready(routine_list& woken) noexcept {
    if (routine* first = woken.pop_front()) make_ready(*first);
    while (routine* r = woken.pop_front()) push(*r);
  }
  // With several workers, after a source has been unlocked: the routine that a commit has named, if any, and those in
  // `woken_under_lock`.
  void wake(routine* named) noexcept {
    if (named) make_ready(*named);
    while (routine* r = woken_under_lock.pop_front()) push(*r);
  }
  // In a commit or an unlink, for what it has claimed besides: made ready at once if there is no lock, else after it.
  void wake_besides(routine_list& woken) noexcept {
    if (!shared) return make_ready(woken);
    while (routine* r = woken.pop_front()) woken_under_lock.push_back(*r);
  }

  // Where a worker goes on when a routine waits: straight to the one that was made ready last, or where there is none
  // to the queue's first, which counts in the turn as if the loop had taken it; else back to the loop. Not where a
  // coroutine of a foreign type waits: there a routine is still on the stack.
  RINGO_ALWAYS_INLINE std::coroutine_handle<> switch_away() noexcept {
    routine* r = run_next;
    if (r != nullptr) {
      if (handovers <= 0 || r->resumed_as != routine::kind::plain) [[unlikely]]
        return back_to_loop();
      --handovers;
      run_next = nullptr;
      return go_to(*r);
    }
    if (!may_take_from_queue()) return back_to_loop();
    const std::uint32_t head = head_.load(std::memory_order_relaxed);
    if (head == tail_.load(std::memory_order_relaxed)) return back_to_loop();
    return go_to_first(head);
  }
  // The same for one that goes to the end of the queue.
  RINGO_ALWAYS_INLINE std::coroutine_handle<> push_and_switch_away(routine& r) noexcept {
    const std::uint32_t tail = tail_.load(std::memory_order_relaxed);
    const std::uint32_t head = head_.load(std::memory_order_relaxed);
    // One comparison for an empty queue and a full one.
    if (run_next != nullptr || !may_take_from_queue() || tail - head - 1 >= queue_size - 1) [[unlikely]] {
      if (tail == head && run_next == nullptr && !simulated) {
        go_on_alone(r);
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

  // Every routine that waits, or goes to a queue, leaves `current` null on its way back to the loop. One that comes
  // back otherwise, and has not ended, has done nothing: its compiler has forgotten its body
  // (scheduler::find_forgotten).
  RINGO_ALWAYS_INLINE std::coroutine_handle<> back_to_loop() noexcept {
    current = nullptr;
    return std::noop_coroutine();
  }
  // The current routine awaits something that is not ringo's: whoever that gives the coroutine to will resume it.
  void note_foreign_await() noexcept {
    foreign_await = counts.resumes.value();
    if (current != nullptr) current->resume_at = nullptr;  // not known from now on
  }

  // Puts a routine on this worker: what it awaits is in its name from now on.
  RINGO_ALWAYS_INLINE void set_current(routine& r) noexcept {
    current = &r;
    budget = ready_budget;
    if (r.is_cancelled()) [[unlikely]]
      budget -= held_down;
  }
  // After the routine may have been cancelled, or a shield of it has ended.
  void look_for_cancellation(const routine& r) noexcept {
    if (current == &r && r.is_cancelled() && budget > -held_down / 2) budget -= held_down;
  }
  // One less of the current routine's budget: false when its turn is over, or it may have been cancelled.
  RINGO_ALWAYS_INLINE bool spend() noexcept { return count_down(budget); }

  // For an await that ends with an exception before it tries anything.
  void spend_a_throw() noexcept { budget -= budget_of_a_throw - 1; }
  // After spend(): whether the turn lasts, cancelled or not.
  bool turn_lasts() const noexcept { return budget > 0 || (budget < -held_down / 2 && budget + held_down > 0); }
  // Spends, and tells whether an operation need look at nothing but its source: with one worker, while the turn lasts,
  // and the routine is not cancelled. With one worker nobody but the routine itself can do that while it runs.
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
  routine* finished = nullptr;  // the routine that has reached its end in this resume
  // Of the current routine: ready completions and awaited tasks left in this resume; less held_down where, with one
  // worker, its awaits end with `cancelled`: so one look at it serves for both.
  std::int32_t budget = 0;
  std::int32_t handovers = 0;  // how many times in a row run_next may still come before the queue; 0 in a simulation
  std::int32_t turn = 0;       // resumes from the queue left in this turn of the loop, the present one included
  // With so many left, and fewer, only the loop takes from the queue: the last is always its own, and all are in a
  // simulation, with other workers, and where a transfer is a call (compilers.hpp).
  const std::int32_t turns_of_the_loop;
  bool computes = false;  // there are other workers, and its routines go on for long before they wait
  const bool shared;      // there are other workers
  const bool simulated;
  runtime_core& runtime;
  const std::uint64_t runtime_id;
  // The same if this is the only worker; else, and in simulations, whose hot paths check themselves (section.hpp), a
  // number that no runtime has.
  const std::uint64_t lone_id;
  counters counts;
  routine* alone = nullptr;         // has let others go where nobody was ready: goes on after this turn's end
  std::int64_t foreign_await = -1;  // in which resume
  routine_list woken_under_lock;    // behind what every resume touches, which is to stay on one cache line
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

  void overflow(routine& r) noexcept;
  void go_on_alone(routine& r) noexcept;
  void tell_others() noexcept;
  std::uint32_t choose(std::uint32_t n) noexcept;

  // False where others have been told already.
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
  // The queue's first, which is there; with one worker. The loop takes what is not resumed as it is.
  RINGO_ALWAYS_INLINE std::coroutine_handle<> go_to_first(std::uint32_t head) noexcept {
    routine* r = queue_[head % queue_size].load(std::memory_order_relaxed);
    if (r->resumed_as != routine::kind::plain) [[unlikely]]
      return back_to_loop();
    __builtin_prefetch(queue_[(head + 2) % queue_size].load(std::memory_order_relaxed));  // as in scheduler::pop
    head_.store(head + 1, std::memory_order_relaxed);
    --turn;
    handovers = most_handovers;
    return go_to(*r);
  }
  RINGO_ALWAYS_INLINE std::coroutine_handle<> go_to(routine& r) noexcept {
    set_current(r);
    counts.resumes.add();
    return r.resume_at;
  }

  // The queue: a ring that the owner fills at the tail and everybody, the owner included, takes from at the head.
  std::atomic<std::uint32_t> head_ = 0;
  std::atomic<std::uint32_t> tail_ = 0;
  std::array<std::atomic<routine*>, queue_size> queue_{};
  std::uint32_t room_ = queue_size;  // 0: what is made ready goes before the queue (scheduler::look), by overflow()
  std::uint64_t random_;
};

}  // namespace ringo::detail
