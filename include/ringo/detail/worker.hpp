// The part of a worker that the hot paths touch. The rest of it is in src/runtime.
#pragma once
#include <array>
#include <atomic>
#include <coroutine>
#include <cstdint>
#include <limits>
#include <source_location>

#include <ringo/detail/compilers.hpp>
#include <ringo/detail/frame_cache.hpp>
#include <ringo/detail/routine.hpp>

namespace ringo::detail {

class runtime_core;

// Written by their worker alone, read by any thread: plain additions, never a locked read-modify-write.
class counter {
 public:
  RINGO_ALWAYS_INLINE void add(std::int64_t n = 1) noexcept {
#if defined(__x86_64__)
    // One instruction, where compilers make three of an atomic's load and store. Aligned, it is never seen by half.
    __asm__("addq %1, %0" : "+m"(value_) : "er"(n));
#else
    value_.store(value_.load(std::memory_order_relaxed) + n, std::memory_order_release);
#endif
  }
  std::int64_t value(std::memory_order order = std::memory_order_relaxed) const noexcept { return value_.load(order); }

 private:
  std::atomic<std::int64_t> value_ = 0;
};

struct counters {
  counter frames, routines, timers, operations;                                  // made less destroyed, by this worker
  counter started, resumes, steals, parks, wakes, waits, sleeps, steals_failed;  // events
};

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
  RINGO_ALWAYS_INLINE bool spend() noexcept {
#if defined(__x86_64__)
    // Two instructions with the branch, where g++ makes five.
    bool left;
    __asm__("subl $1, %1" : "=@ccg"(left), "+m"(budget));
    return left;
#else
    return --budget > 0;
#endif
  }

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
  const std::uint64_t lone_id;  // the same, or where there are other workers a number that no runtime has
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
        lone_id(has_peers ? ~std::uint64_t{0} : id),
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

// The calling thread's worker, or null. Never cached across a suspension, after which a coroutine may be on another
// thread: compilers keep the address of a thread_local, so it is read where they cannot see it.
#if defined(__x86_64__) && defined(__ELF__)
extern __thread worker* current_worker_slot __asm__("ringo_current_worker") __attribute__((tls_model("initial-exec")));
inline worker* current_worker() noexcept {
  worker* w;
  __asm__ volatile("movq ringo_current_worker@gottpoff(%%rip), %0\n\tmovq %%fs:(%0), %0" : "=r"(w));
  return w;
}
#else
worker* current_worker() noexcept;
#endif

void set_current_worker(worker* w) noexcept;

// The calling thread's worker; throws std::logic_error that names the call and what to use instead.
[[noreturn, gnu::cold]] void refuse_foreign_thread(const char* call);
inline worker& require_worker(const char* call) {
  if (worker* w = current_worker()) [[likely]]
    return *w;
  refuse_foreign_thread(call);
}

// The calling thread's worker, or null where no runtime runs, so that the calling thread is the only one; else throws
// as above.
worker* worker_or_alone_slow(const char* call);
inline worker* worker_or_alone(const char* call) {
  if (worker* w = current_worker()) [[likely]]
    return w;
  return worker_or_alone_slow(call);
}

// Where a list of free frames does not do.
void* allocate_frame_slowly(std::size_t size);
void free_frame_slowly(void* frame, std::size_t size) noexcept;

RINGO_ALWAYS_INLINE inline void* allocate_frame(std::size_t size) {
  worker* w = current_worker();
  if (frame_cache::recycles && w != nullptr && !w->simulated) [[likely]] {
    if (void* frame = w->frames.try_allocate(size)) [[likely]] {
      w->counts.frames.add();
      return frame;
    }
  }
  return allocate_frame_slowly(size);
}

inline void free_frame(void* frame, std::size_t size) noexcept {
  worker* w = current_worker();
  if (frame_cache::recycles && w != nullptr && w->frames.try_free(frame, size)) [[likely]] {
    w->counts.frames.add(-1);
    return;
  }
  free_frame_slowly(frame, size);
}

void* allocate_block_slowly(std::size_t size);
void free_block_slowly(void* block, std::size_t size) noexcept;

inline void* allocate_block(std::size_t size) {
  worker* w = current_worker();
  if (frame_cache::recycles && w != nullptr) [[likely]] {
    if (void* block = w->frames.try_allocate(size)) [[likely]]
      return block;
  }
  return allocate_block_slowly(size);
}

inline void free_block(void* block, std::size_t size) noexcept {
  worker* w = current_worker();
  if (!frame_cache::recycles || w == nullptr || !w->frames.try_free(block, size)) [[unlikely]]
    free_block_slowly(block, size);
}

inline void* routine::operator new(std::size_t size) { return allocate_frame(size); }
inline void routine::operator delete(void* block, std::size_t size) noexcept { free_frame(block, size); }

bool any_runtime_runs() noexcept;

// Whoever has claimed a routine's wait where no runtime runs (w is null) has claimed one that has outlived its own: it
// never runs again, and is as one that was still in a run queue then.
void drop_from_queue(routine& r) noexcept;
inline void make_ready_or_drop(worker* w, routine& r) noexcept { w != nullptr ? w->make_ready(r) : drop_from_queue(r); }

// Throws std::logic_error in a process that was forked while a runtime ran.
void refuse_in_forked_child(const char* call);

[[noreturn, gnu::cold]] void throw_cancelled();

// A record for a coroutine of a foreign type that is about to wait, or for a task under one, so that it can be
// scheduled as a routine.
routine& adopt(worker& w, bool in_task);

// Runs a task that a coroutine of a foreign type awaits, until it first waits. Returns its station, which
// leave_station() gives back when the awaiting expression ends, however.
foreign_record* make_station();
void run_at_station(foreign_record& station, std::coroutine_handle<> coroutine);
void leave_station(foreign_record& station) noexcept;

// The current routine goes on with the coroutine when it is its turn again.
void go_on_later(worker& w, std::coroutine_handle<> coroutine) noexcept;

[[noreturn]] void throw_empty_task();

// The awaiting coroutine's frame is destroyed while a wait of its is parked or claimed: closes the wait, or lets the
// run queue forget it.
void forget(routine& r, bool claimed) noexcept;

}  // namespace ringo::detail
