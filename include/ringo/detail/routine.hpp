// The record of a started task, with the state word of its waits.
//
// The wait protocol. A routine has one wait at a time, with one case or many. To wait it links its cases into their
// sources, each under its source's lock, and opens the wait: it sets `waiting` in its state. A waker that makes a case
// ready claims the wait: it clears `waiting`. The waker that cleared it puts the result into the case, still under the
// source's lock, and makes the routine ready; all others leave the case as it is. The routine then runs, and takes its
// losing cases out of their sources.
//
// Why a wait is claimed once: `waiting` is cleared by compare-and-swap, or, with one worker, by the only thread there
// is. Why a claim never hits a later wait (ABA): a source claims only under its lock and through a linked case, and a
// routine cannot wait anew before it has taken each losing case out, under that lock. Cancellation claims whatever wait
// is open, which is its meaning. Why a parked routine does not run before it has been published: a select holds the
// locks of all its sources until every case is linked and the wait is open, and the routine passes through each of
// those locks when it takes its cases out.
#pragma once
#include <atomic>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <limits>
#include <source_location>
#include <string>

#include <ringo/detail/checked.hpp>
#include <ringo/detail/compilers.hpp>
#include <ringo/detail/reference_count.hpp>
#include <ringo/detail/spin_lock.hpp>
#include <ringo/detail/wait_queue.hpp>

namespace ringo::detail {

class context_core;
class roster;
class routine_list;
class wait_report;
class worker;
struct routine;

// The operation that a parked routine waits in, for reports.
struct parked_operation {
  parked_operation() noexcept {}  // it need not be written before the operation is parked

  union {
    std::source_location where;  // of the await: set by await_transform, or by await_suspend (note_where)
  };
  union {
    void (*describe)(const parked_operation&, wait_report&);  // while `waiting`
    // While its routine is kind::tries_again: begins what it did not begin in the last turn. False if it waits now.
    bool (*try_again)(parked_operation&, worker&);
    // While it is `refused`: the exception_ptr that it throws; null means `cancelled`. Raw, so that an operation needs
    // no destructor for it.
    alignas(std::exception_ptr) std::byte refusal[sizeof(std::exception_ptr)];
  };
};

struct routine {
  // Bits of `state`.
  static constexpr std::uint32_t waiting = 1;             // the wait is open, and may be claimed
  static constexpr std::uint32_t cancelled = 2;           // the routine: each later await ends with `cancelled`
  static constexpr std::uint32_t shielded = 4;            // both kinds of cancellation are held back
  static constexpr std::uint32_t inspected = 8;           // a report reads the parked operation: claims spin
  static constexpr std::uint32_t context_cancelled = 16;  // its context is cancelled: as for `cancelled`
  static constexpr std::uint32_t immune = 32;             // only `cancelled` is held back
  // Thirteen bits above these count the awaits that have ended with `cancelled`.
  static constexpr std::uint32_t one_ended = 256;
  static constexpr std::uint32_t most_ended = (1U << 13) - 1;
  // The bits above those name the ring that feeds a case of the open wait: its worker's index plus 1, or all_rings for
  // several. 0: no ring feeds it, or there is one worker.
  static constexpr unsigned ring_shift = 21;
  static constexpr std::uint32_t all_rings = (1U << (32 - ring_shift)) - 1, ring_bits = all_rings << ring_shift;

  routine() = default;
  routine(const routine&) = delete;
  routine& operator=(const routine&) = delete;
  virtual ~routine() = default;

  void count_ended_await() noexcept {  // by the routine itself
    if (ended_awaits() < most_ended) state.fetch_add(one_ended, std::memory_order_relaxed);
  }
  std::uint32_t ended_awaits() const noexcept {
    return state.load(std::memory_order_relaxed) / one_ended % (most_ended + 1);
  }

  RINGO_ALWAYS_INLINE bool is_cancelled() const noexcept { return ends_awaits(state.load(std::memory_order_relaxed)); }
  // Although something may hold the cancellation back.
  bool may_be_cancelled() const noexcept { return is_marked(state.load(std::memory_order_relaxed)); }
  RINGO_ALWAYS_INLINE static bool is_marked(std::uint32_t s) noexcept {
    return (s & (cancelled | context_cancelled)) != 0;
  }
  RINGO_ALWAYS_INLINE static bool ends_awaits(std::uint32_t s) noexcept { return is_marked(s) && not_held_back(s); }

  // Opens the wait, unless the routine has been cancelled. Under the locks of all its sources.
  // release: a canceller, which takes none of these locks, sees the linked cases; its acquire is in claim().
  RINGO_ALWAYS_INLINE bool open_wait(bool shared) noexcept {
    std::uint32_t seen = state.load(std::memory_order_relaxed);
    do {
      if (ends_awaits(seen)) [[unlikely]]
        return refuse_wait();
      if (!shared) {
        state.store(seen | waiting, std::memory_order_relaxed);
        return true;
      }
    } while (!state.compare_exchange_weak(seen, seen | waiting, std::memory_order_acq_rel, std::memory_order_relaxed));
    return true;
  }

  void check_runs() const {  // when a worker begins to run it
    invariant((state.load(std::memory_order_relaxed) & (waiting | ring_bits)) == 0,
              "a routine that runs has no open wait, and no ring feeds it");
  }

  // False: its wait has been claimed. True may be wrong in the next moment.
  bool is_waiting() const noexcept { return (state.load(std::memory_order_relaxed) & waiting) != 0; }

  // By the routine itself, before it opens its wait: the ring of the worker with that index feeds one of its cases.
  void is_fed_by(unsigned worker_index) noexcept {
    state.fetch_or(with_ring(state.load(std::memory_order_relaxed), worker_index), std::memory_order_relaxed);
  }
  // By another thread, under the lock of the source that has the case. If the wait has been claimed, nothing is noted:
  // the claimer has cleared the rings. So the change is a compare-exchange. relaxed: only time limits read the rings.
  void is_fed_by_also(unsigned worker_index) noexcept {
    std::uint32_t seen = state.load(std::memory_order_relaxed);
    while ((seen & waiting) != 0 &&
           !state.compare_exchange_weak(seen, with_ring(seen, worker_index), std::memory_order_relaxed)) {
    }
  }
  static std::uint32_t with_ring(std::uint32_t state, unsigned worker_index) noexcept {
    const std::uint32_t already = state >> ring_shift, ring = worker_index + 1;
    return state | (already == 0 || already == ring ? ring : all_rings) << ring_shift;
  }

  // True: the caller may deliver the result.
  RINGO_ALWAYS_INLINE bool claim(bool shared) noexcept {
    std::uint32_t seen = state.load(std::memory_order_relaxed);
    while (seen & waiting) {
      if (!shared) {
        state.store(seen & ~waiting, std::memory_order_relaxed);
        return true;
      }
      seen &= ~inspected;
      // acquire: the linked cases are seen, also by a canceller, which comes by the state alone. release: a thread that
      // finds the wait claimed sees what was done before the claim. (The result is published by the run queue.)
      if (state.compare_exchange_weak(seen, seen & ~(waiting | ring_bits), std::memory_order_acq_rel,
                                      std::memory_order_relaxed)) {
        return true;
      }
      if (seen & inspected) [[unlikely]]
        seen = wait_while_inspected();
    }
    return false;
  }
  // The linked cases may have noted rings (is_fed_by), which the next wait must not find.
  [[gnu::cold, gnu::noinline]] bool refuse_wait() noexcept;
  // Returns the state after the wait. A report may take long for a routine.
  [[gnu::cold, gnu::noinline]] std::uint32_t wait_while_inspected() const noexcept;

  // Cancels the routine. True if this has claimed its wait: then the caller makes it ready. The caller keeps the
  // record.
  bool cancel(bool shared, std::uint32_t why = cancelled) noexcept;

  // From the memory of coroutine frames: inline, in frame.hpp.
  static void* operator new(std::size_t size);
  static void operator delete(void* block, std::size_t size) noexcept;

  virtual std::coroutine_handle<> begin() noexcept;  // makes its task; null: that has failed, and the error is kept
  virtual void close() noexcept;  // at its end: keeps the result; destroys the frames, the function and its arguments
  virtual void at_end(worker&) noexcept;  // after its end, when its frame is gone and its joiners are ready
  virtual const void* member_of() const noexcept { return nullptr; }  // the wait_group, group or pool that it ends in
  virtual void fail(std::exception_ptr) noexcept {}  // sets its error, if its frame had to be destroyed
  virtual std::exception_ptr untaken_error() const noexcept { return nullptr; }  // its exception, if not joined

  [[gnu::cold, gnu::noinline]] static bool not_held_back(std::uint32_t s) noexcept {
    return (s & shielded) == 0 && (s & (immune | context_cancelled)) != immune;
  }

  // Drops one count; the last one frees the block.
  RINGO_ALWAYS_INLINE void release() noexcept {
    // The last holder needs no read-modify-write.
    if (!count.is_one() && !count.drop()) return;
    failed || has_name ? delete_slowly() : delete this;
  }
  void delete_slowly() noexcept;

  std::atomic<std::uint32_t> state = 0;
  // Its handles, and 1 for the routine itself until its frame is gone.
  basic_reference_count<std::uint32_t> count{1};
  // plain: resumed as it is. begins: begin() comes first. foreign: the record stands for a foreign coroutine.
  // tries_again: its turn was over before it began what it awaits.
  enum class kind : std::uint8_t { plain, begins, foreign, tries_again };
  kind resumed_as = kind::begins;
  // In one byte: `has_name` is written before it starts, `failed`, `has_call` and `has_task` before it has ended,
  // `taken` afterwards.
  bool failed : 1 = false;      // untaken_error() may return an error
  bool taken : 1 = false;       // a join has its result
  bool has_name : 1 = false;    // named() gave it one (object_name.hpp)
  bool has_call : 1 = false;    // its function object and arguments are there (started.hpp)
  bool has_task : 1 = false;    // its task is there, and not yet its result (started.hpp)
  std::uint8_t unused : 3 = 0;  // with all bits set, the byte is written without being read
  std::atomic<bool> ended = false;
  spin_lock joining;             // guards joiners and the change of `ended`
  std::uint32_t runtime_id = 0;  // half of one: a process has no 2^32 runtimes
  // Set by start_in(), before it is in a roster. After 2^32 starts the numbers begin anew.
  std::atomic<std::uint32_t> number = 0;
  std::uint32_t started_by = 0;  // the number of the routine that started it; 0: no routine did
  std::coroutine_handle<> resume_at;
  union {
    routine* next = nullptr;   // in a run queue
    std::int64_t waits_since;  // while `waiting`: worker::coarse_now when the wait began
  };
  union {
    parked_operation* parked = nullptr;  // while `waiting`, or kind::tries_again
    void (*function)();                  // while kind::begins: what it will call, if that is a plain function
  };
  std::source_location started;
  roster* listed_in = nullptr;  // of that runtime; set before other threads know the routine
  routine* roster_next = nullptr;
  routine* roster_previous = nullptr;
  joiner_queue joiners;
  context_core* context = nullptr;  // that it runs under, retained; null: the background
  routine* member_next = nullptr;   // among those under that context
  routine* member_previous = nullptr;
};

// Routines in the order in which they will run, linked by `next`.
class routine_list {
 public:
  bool empty() const noexcept { return first_ == nullptr; }
  const routine* front() const noexcept { return first_; }
  const routine* back() const noexcept { return last_; }
  void push_back(routine& r) noexcept {
    r.next = nullptr;
    (last_ ? last_->next : first_) = &r;
    last_ = &r;
  }
  routine* pop_front() noexcept {
    routine* r = first_;
    // NOLINTNEXTLINE(bugprone-assignment-in-if-condition): written in parts, g++ 12 makes spawn_join 3 % longer
    if (r != nullptr && (first_ = r->next) == nullptr) last_ = nullptr;
    return r;
  }

 private:
  routine* first_ = nullptr;
  routine* last_ = nullptr;
};

inline const waiter* wait_queue::first_open() const noexcept {
  const waiter* w = front();
  while (w != nullptr && !w->blocked->is_waiting()) w = w->next;
  return w;
}

template <class Lost>
RINGO_ALWAYS_INLINE inline waiter* wait_queue::take_open(bool shared, Lost lost) noexcept {
  while (waiter* w = front()) {
    if (w->blocked->claim(shared)) {
      pop_front(*w);
      return w;
    }
    pop_front(*w);
    lost(*w);
  }
  return nullptr;
}

inline waiter* joiner_queue::take_open(bool shared) noexcept {
  while (waiter* w = first_) {
    remove(*w);
    if (w->blocked->claim(shared)) return w;
  }
  return nullptr;
}

}  // namespace ringo::detail
