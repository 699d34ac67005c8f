// Permits: the core of a mutex (one permit), a shared_mutex (one for each reader, all for a writer) and a semaphore.
//
// Invariants, whenever the lock is free and no waiter that has lost or been cancelled has yet to leave:
//   - the available and the held permits are the total;
//   - the first waiter asks for more than is available, or a woken one is on its way (`woken_`).
// A section that changes either side serves the queue.
//
// Order. A waiter of a semaphore or a shared_mutex gets its permits from the routine that gives them back, so a
// newcomer never overtakes it (semantics 116, 123, 124). With a mutex that order has a price: once a routine waits,
// each lock is a hand-over, since the routine that has unlocked comes back before the next one runs, and waits, too. So
// an unlock of a mutex only wakes the first waiter, which tries for the lock when it runs; until then others may take
// it. If it comes too late it waits again, as the first, and the next unlock hands the lock to it (113).
#pragma once
#include <atomic>
#include <concepts>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <utility>

#include <ringo/detail/compilers.hpp>
#include <ringo/detail/source.hpp>

namespace ringo::detail {

class permit_request;

class permit_core final : public object_source {
 public:
  enum class kind : std::uint8_t { mutex, shared_mutex, semaphore };
  // Half of the range: a larger number was a negative one.
  static constexpr std::size_t most = std::numeric_limits<std::size_t>::max() / 2;

  permit_core(kind of, std::size_t total) noexcept : total_(total), available_(total), kind_(of) {}

  // Under the lock.
  bool ready(std::size_t amount) const noexcept {
    return amount <= available_ && (queue_.empty() || kind_ == kind::mutex || !queue_.anyone_open());
  }
  bool take(std::size_t amount) noexcept {
    if (!ready(amount)) return false;
    available_ -= amount;
    ++uses_;
    return true;
  }
  void note_taker(const routine& by) noexcept {
    taker_.store(by.number.load(std::memory_order_relaxed), std::memory_order_relaxed);
  }
  // The same, with the lock and the note; with several workers, outside of simulations.
  bool take_locked(const worker& w, std::size_t amount) noexcept;
  void note_arrival(permit_request& woken) noexcept;
  void link(waiter& w) noexcept override;
  bool unlink(waiter& w) noexcept override;
  bool unused() const noexcept override { return object_source::unused() && apart_.empty(); }

  // Worker, or one thread while no runtime runs.
  bool try_take(std::size_t amount, const char* call);
  std::size_t available(const char* call);

  // Any thread; on one that is not a worker, it happens soon after the call.
  RINGO_ALWAYS_INLINE void give_back(std::size_t amount) noexcept {
    worker* w = current_worker();
    if (w == nullptr || !owner.is_of_lone(*w) || must_serve()) [[unlikely]]
      return give_back_slowly(w, amount);
    available_ += amount;
    if (--uses_ == 0) [[unlikely]]
      return delete_if_unused();
    check_in_place(*this);
  }

  void append_to(wait_report& text, std::size_t amount) const;
  void check() const override;

 private:
  friend class permit_request;
  bool must_serve() const noexcept { return !queue_.empty() && woken_ == nullptr; }
  bool give_back_locked(const worker& w, std::size_t amount) noexcept;
  void note_giver(const worker& w, std::size_t amount) noexcept;
  void delete_if_unused() noexcept;
  void give_back_slowly(worker* w, std::size_t amount) noexcept;
  void give_back_here(worker* w, std::size_t amount) noexcept;
  void serve(section& in) noexcept;
  void serve_readers(section& in) noexcept;
  void end_waits(section& in) noexcept override;
  bool grant(permit_request& request, section& in) noexcept;
  wait_queue& queue_of(const waiter& w) noexcept;

  wait_queue apart_;  // requests for more than the total: they are never served, and delay no other

  // Of a mutex: an unlock has woken the routine of this request to try for the lock, and has detached the request until
  // the routine runs.
  permit_request* woken_ = nullptr;
  permit_request* passed_ = nullptr;  // it was woken, and found the lock taken: it waits as the first
  const std::size_t total_;
  std::size_t available_;
  const kind kind_;
  // A routine has given back all permits, which another had taken. Only seen where a routine waits for them, and with
  // several workers: elsewhere it would cost each unlock a comparison.
  bool passes_on_ = false;
  // For reports: the number of the routine that was the last to take some; 0: not known. If one routine has all
  // permits, that is the one, unless it has passed them on.
  std::atomic<std::uint32_t> taker_ = 0;
};

void end_of(permit_core*& core) noexcept;  // source.hpp

// Permits that are held, and are given back once: the inside of guards and permits.
class hold {
 public:
  hold() noexcept = default;
  hold(permit_core& of, std::size_t amount) noexcept : of_(&of), amount_(amount) {}
  hold(hold&& from) noexcept : of_(std::exchange(from.of_, nullptr)), amount_(from.amount_) {}
  hold& operator=(hold&& from) noexcept {
    hold taken(std::move(from));
    std::swap(of_, taken.of_);
    std::swap(amount_, taken.amount_);
    return *this;
  }
  RINGO_ALWAYS_INLINE ~hold() {
    if (of_ != nullptr) of_->give_back(amount_);
  }

  bool holds() const noexcept { return of_ != nullptr && !of_->ended(); }
  bool give_back() noexcept {  // false if it holds nothing
    const bool held = holds();
    if (of_ != nullptr) std::exchange(of_, nullptr)->give_back(amount_);
    return held;
  }
  permit_core* of() const noexcept { return of_; }
  std::size_t amount() const noexcept { return amount_; }

 private:
  permit_core* of_ = nullptr;
  std::size_t amount_ = 0;
};

// The operation of lock() and acquire(). Throws: cancelled. Cancel safety: a request that is not granted changes
// nothing; permits that are granted to a frame that is destroyed are given back.
class permit_request : public source_operation<permit_request, hold, permit_core> {
 public:
  static constexpr const char* call_name = "lock or acquire";
  permit_request(permit_core& of, std::size_t amount) noexcept : source_operation(of), amount_(amount) {}

  // A request that need not wait stays idle. Unlike other operations, it does not commit at the end of a turn: the lock
  // would be held while the other routines have their turns, and all would come to wait for it. It is tried in the
  // routine's next turn.
  RINGO_ALWAYS_INLINE bool await_ready() {
    worker& w = require_worker(call_name);
    permit_core& of = *of_;
    if (!w.spend() || !of.owner.is_of_lone(w)) [[unlikely]]
      return await_ready_otherwise(w);
    if (!of.take(amount_)) return false;
    of.note_taker(*w.current);
    return true;
  }
  RINGO_ALWAYS_INLINE hold await_resume() {
    if (current_state() == progress::idle) [[likely]]
      return hold(*of_, amount_);
    return operation::await_resume();
  }
  template <class P>
  RINGO_AWAIT_SUSPEND std::coroutine_handle<> await_suspend(std::coroutine_handle<P> coroutine) {
    worker& w = *current_worker();
    note_where<P>(*this);
    if (!w.turn_lasts() && current_state() == progress::idle && is_ready(w)) [[unlikely]] {
      if (std::derived_from<P, routine_promise> && w.current->resumed_as != routine::kind::foreign) {
        w.current->resume_at = coroutine;
        return try_in_next_turn(w);
      }
      (void)(w.shared ? commit_locked(w) : commit_alone(w));
    }
    return operation::await_suspend(coroutine);
  }

  bool ready(worker&) noexcept { return of_->ready(amount_); }
  RINGO_ALWAYS_INLINE bool commit(worker& w, bool, routine*&) noexcept {
    const bool was_woken = where_queued == place::detached;
    if (was_woken) [[unlikely]] {
      if (of_->ended()) return true;  // it leaves as its routine goes on
      of_->note_arrival(*this);
    }
    if (!of_->take(amount_)) {
      if (was_woken) of_->passed_ = this;
      return false;
    }
    if (const routine* const by = w.current != nullptr ? w.current : blocked) of_->note_taker(*by);
    set_state(progress::done);
    return true;
  }
  hold take() noexcept {
    set_state(progress::idle);
    return hold(*of_, amount_);
  }
  void discard() noexcept {
    set_state(progress::idle);
    of_->give_back(amount_);
  }
  void append_to(wait_report& text) const { of_->append_to(text, amount_); }

 private:
  friend class permit_core;
  bool is_ready(const worker& w) const noexcept {
    const optional_guard guard(of_->lock, w.shared);
    return of_->ready(amount_);
  }
  // With several workers; or with one at the end of its turn, in a cancelled routine, or at the first use.
  [[gnu::noinline]] bool await_ready_otherwise(worker& w) {
    if (w.budget > 0 && w.shared && !w.simulated && of_->used_by(&w) && !w.current->is_cancelled()) [[likely]]
      return of_->take_locked(w, amount_);
    try {
      enter(&w);
    } catch (...) {
      return refuse(w, std::current_exception());
    }
    if (w.turn_lasts()) return commit_otherwise(w);
    if (w.current->is_cancelled()) return refuse(w);
    return false;
  }
  std::coroutine_handle<> try_in_next_turn(worker& w) noexcept;
  void try_when_it_runs(routine& r) noexcept;
  bool try_or_wait(worker& w) noexcept;

  std::size_t amount_;
};

[[noreturn]] void throw_nothing_held(const char* call);

}  // namespace ringo::detail
