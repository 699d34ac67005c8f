// How a single operation is awaited. A select awaits many operations by the same protocol (case_protocol.hpp,
// wait_for_many.hpp).
#pragma once
#include <concepts>
#include <coroutine>
#include <cstdint>
#include <memory>
#include <source_location>
#include <string>
#include <type_traits>
#include <utility>

#include <ringo/detail/case_protocol.hpp>
#include <ringo/detail/compilers.hpp>
#include <ringo/detail/current_worker.hpp>
#include <ringo/detail/foreign_coroutine.hpp>
#include <ringo/detail/mistaken_await.hpp>
#include <ringo/detail/untyped_case.hpp>
#include <ringo/detail/wait_report.hpp>

namespace ringo::detail {

// An awaiter by reference: g++ 12 copies what await_transform returns a reference to.
template <class Awaiter>
class by_reference {
 public:
  explicit by_reference(Awaiter& a) noexcept : awaiter_(a) {}
  RINGO_ALWAYS_INLINE decltype(auto) await_ready() { return awaiter_.await_ready(); }
  template <class P>
  RINGO_ALWAYS_INLINE decltype(auto) await_suspend(std::coroutine_handle<P> coroutine) {
    return awaiter_.await_suspend(coroutine);
  }
  RINGO_ALWAYS_INLINE decltype(auto) await_resume() { return awaiter_.await_resume(); }

 private:
  Awaiter& awaiter_;
};

// An awaited expression, and the caller's location, which reports show.
template <class A>
struct awaited_at {
  A&& awaited;
  std::source_location where;
};
template <class A>
awaited_at<A> in_name_of(std::source_location where, A&& awaited) noexcept {
  return {std::forward<A>(awaited), where};
}

// A type that a coroutine can await: it has await_ready(), join() or begin(), or an operator co_await.
template <class A>
concept awaitable = requires(A&& a) { a.await_ready(); } ||
                    requires(A&& a, std::source_location where) { std::forward<A>(a).join(where); } ||
                    requires(A&& a, std::source_location where) { a.begin(where); } ||
                    requires(A&& a) { std::forward<A>(a).operator co_await(); } ||
                    requires(A&& a) { operator co_await(std::forward<A>(a)); };

// ringo's own awaiters. The task awaits all others through a relay (foreign_await.hpp).
template <class A>
concept own_awaiter = std::derived_from<std::remove_cvref_t<A>, parked_operation> || requires {
  std::remove_cvref_t<A>::never_waits;
} || requires { typename std::remove_cvref_t<A>::case_tag; };
template <class A>
decltype(auto) await_other(A&& awaited, std::source_location where);

// The base of the promises of ringo's coroutine types, which run in a routine and wait in its place.
struct routine_promise {
  static constexpr bool notes_where = true;  // await_transform does
  // Notes the location of an await, for reports.
  template <class A>
  RINGO_RETURNS_TASK static decltype(auto) await_transform(A&& awaited,
                                                           code_position at = __builtin_source_location()) {
    if constexpr (awaitable<A>) {
      return noted(std::forward<A>(awaited), location_of(at));
    } else {
      constexpr await_of<A> the;
      static_assert(the.task_is_moved, RINGO_SAY_MOVE_TASK);
      static_assert(the.length_is_of_a_sleep, RINGO_SAY_SLEEP);
      static_assert(the.can_be_awaited, RINGO_SAY_AWAIT);
      return mistaken_await();
    }
  }
  template <class A>
  RINGO_RETURNS_TASK static decltype(auto) await_transform(awaited_at<A>&& in_a_callers_name) {
    return noted(static_cast<A&&>(in_a_callers_name.awaited), in_a_callers_name.where);
  }

 private:
  // A type with join() is awaited by it; a deferred task is made now, unless a first look ends it (awaited.hpp).
  template <class A>
  RINGO_RETURNS_TASK RINGO_ALWAYS_INLINE static decltype(auto) noted(A&& awaited, std::source_location where) {
    if constexpr (requires { std::forward<A>(awaited).join(where); }) {
      return std::forward<A>(awaited).join(where);
    } else if constexpr (requires { awaited.begin(where); }) {
      return await_deferred(awaited, where);
    } else if constexpr (requires { await_in_place(std::forward<A>(awaited), where); }) {
      return await_in_place(std::forward<A>(awaited), where);
    } else if constexpr (own_awaiter<A>) {
      if constexpr (std::derived_from<std::remove_cvref_t<A>, parked_operation>)
        std::construct_at(&awaited.where, where);
      return by_reference<std::remove_reference_t<A>>(awaited);
    } else {
      return await_other(std::forward<A>(awaited), where);
    }
  }
};

// A coroutine of another type does not say where it awaits; an operation may know that itself.
template <class P, class Operation>
RINGO_ALWAYS_INLINE inline void note_where([[maybe_unused]] Operation& by) noexcept {
  if constexpr (!requires { requires P::notes_where; } && !requires { Operation::knows_where; }) {
    std::construct_at(&by.where);
  }
}

template <class P>
inline constexpr bool is_own_promise = std::derived_from<P, routine_promise>;
// True: the coroutine waits as the current routine. False: it is foreign, or a task that a foreign coroutine awaits,
// and waits in a record of its own. A routine is on the stack below it then, and the worker goes back to that routine.
template <class P>
bool waits_as_itself(const worker& w) noexcept {
  return is_own_promise<P> && w.current->resumed_as != routine::kind::foreign;
}

// How a wait begins, without the operation's type: so the code that all operations share is in the library.
//   begin(wait, r)    true: the routine waits, or is in a run queue, and from then on it may be gone; false: nothing
//                     refers to it
struct untyped_wait {
  void* wait;
  bool (*begin)(void* wait, routine& r);
};
std::coroutine_handle<> suspend_in_record(worker& w, std::coroutine_handle<> coroutine, bool in_task,
                                          untyped_wait wait);
// The coroutine goes on from the end of the queue, since its turn is over, although its operation has ended. The
// function sets `noted` to its routine first.
std::coroutine_handle<> end_turn(worker& w, std::coroutine_handle<> coroutine, bool in_task, routine*& noted);

// Ends an await before it has tried anything, with `error`, or with `cancelled` if that is null. It counts as any other
// await: while the turn lasts it throws at once; else the operation notes the error, its routine goes to the end of the
// queue, and throws when it runs. So a loop over such awaits lets others run.
void throw_or_note(parked_operation& by, worker& w, std::exception_ptr error);
[[noreturn]] void throw_noted(parked_operation& by);
void drop_noted(parked_operation& by) noexcept;
void note_cancelled(parked_operation& by) noexcept;

// What operations do off the hot path, or under a lock (operation.cpp).
//   refuse            in await_ready: the routine is cancelled, or the operation ends with an error. Throws, or returns
//                     false if it must throw in the next turn
//   refuse_to_enter   the same in the handler of an exception from enter()
//   commit            with one worker or several
//   commit_otherwise  in await_ready: with several workers, at the end of a turn, or in a cancelled routine
//   leave_source      out of the source's queue, if it is there; it has not won
//   abandon           by the destructor: the routine r waits, or has not taken its result
//   park_locked       true: it waits, and from then on its frame may be gone
//   refuse_to_park    it is linked, and its routine is cancelled
[[gnu::cold]] bool refuse(untyped_operation o, worker& w, std::exception_ptr error);
[[gnu::cold]] bool refuse_cancelled(untyped_operation o, worker& w);
[[gnu::cold]] bool refuse_to_enter(untyped_operation o, worker& w);
bool commit(untyped_operation o, worker& w);
bool commit_otherwise(untyped_operation o, worker& w);
void leave_source(untyped_operation o) noexcept;
[[gnu::cold]] void abandon(untyped_operation o, routine& r) noexcept;
bool park_locked(untyped_operation o, worker& w, routine& r);
std::coroutine_handle<> park_locked(untyped_operation o, worker& w, std::coroutine_handle<> coroutine);
[[gnu::cold]] void refuse_to_park(untyped_operation o) noexcept;
[[noreturn, gnu::cold]] void come_back_cancelled(untyped_operation o);
// With several workers: commit(routine*& woken) under the lock. The woken routine is ready after the unlock.
template <class Commit>
RINGO_ALWAYS_INLINE inline bool commit_under(spin_lock* lock, worker& w, Commit commit) {
  routine* woken = nullptr;
  bool committed;
  {
    const optional_guard guard(lock);
    committed = commit(woken);
  }
  w.wake(woken);
  return committed;
}
RINGO_ALWAYS_INLINE inline void announce(parked_operation& by, const wait_functions& its, worker& w,
                                         routine& r) noexcept {
  r.parked = &by;
  by.describe = its.describe;
  r.waits_since = w.coarse_now;
  w.counts.waits.add();
}

// Base of every operation. Case: `waiter`, or `wait_case` if its source does not queue it by a waiter's links.
template <class Derived, class Result, class Case = waiter>
class operation : public parked_operation, public Case {
 public:
  using result_type = Result;
  using case_tag = void;
  using protocol_type = Derived;

  RINGO_ALWAYS_INLINE bool await_ready() {
    static_assert(follows_case_protocol<Derived>);
    worker& w = require_worker(Derived::call_name);
    if constexpr (noexcept(derived().enter(&w))) {
      derived().enter(&w);
    } else {
      try {
        derived().enter(&w);
      } catch (...) {
        return refuse_to_enter(without_type(), w);
      }
    }
    return w.goes_on_alone() ? commit_alone(w) : commit_otherwise(w);
  }

  template <class P>
  RINGO_AWAIT_SUSPEND std::coroutine_handle<> await_suspend(std::coroutine_handle<P> coroutine) {
    worker& w = *current_worker();
    note_where<P>(derived());
    if (is_over(this->state)) [[unlikely]]
      return end_turn(w, coroutine, is_own_promise<P>, this->blocked);
    if (!waits_as_itself<P>(w)) [[unlikely]]
      return suspend_in_record(w, coroutine, is_own_promise<P>, {this, [](void* o, routine& r) {
                                                                   return detail::park_locked(
                                                                       static_cast<operation*>(o)->without_type(),
                                                                       *current_worker(), r);
                                                                 }});
    return park_in_place(w, coroutine);
  }

  RINGO_ALWAYS_INLINE Result await_resume() {
    if (!won(this->state)) [[unlikely]]
      come_back_cancelled();
    return derived().take();
  }

  progress current_state() const noexcept { return this->state; }
  void set_state(progress p) noexcept { this->state = p; }

  // Out of its source's queue; not if it has won.
  [[gnu::noinline]] void leave() noexcept {
    if (this->state == progress::idle) return;
    const worker* w = current_worker();
    if (w == nullptr || w->shared || this->state == progress::ended) return leave_source(without_type());
    if (derived().unlink()) [[unlikely]]
      wait_functions_of<Derived>.dispose(static_cast<parked_operation*>(this));
  }

  void discard() noexcept { set_state(progress::idle); }
  // With several workers; a Derived may replace it.
  std::coroutine_handle<> park_shared(worker& w, std::coroutine_handle<> coroutine) {
    return detail::park_locked(without_type(), w, coroutine);
  }

 protected:
  Derived& derived() noexcept { return static_cast<Derived&>(*this); }
  untyped_operation without_type() noexcept { return {this, &wait_functions_of<Derived>}; }

  operation() = default;
  template <class... A>
  explicit operation(std::in_place_t, A&&... of_the_case) : Case(std::forward<A>(of_the_case)...) {}
  // A copy is a new operation that was not awaited; a waiter's members are not copied (wait_queue.hpp).
  operation(const operation& from) noexcept(std::is_nothrow_copy_constructible_v<Case>)
      : parked_operation(), Case(from) {}
  operation& operator=(const operation& from) noexcept(std::is_nothrow_copy_assignable_v<Case>) {
    Case::operator=(from);
    return *this;
  }
  ~operation() = default;

  // Derived's destructor calls it last, unless the state is idle: the frame is destroyed while the operation waits in
  // it, or before its result was taken (semantics D9).
  void abandon(routine& r) noexcept { detail::abandon(without_type(), r); }

  bool refuse(worker& w) { return refuse_cancelled(without_type(), w); }
  bool refuse(worker& w, std::exception_ptr error) { return detail::refuse(without_type(), w, std::move(error)); }

  // Once for all types of coroutines. If it waits, another worker may already run the coroutine, and the frame may be
  // gone.
  std::coroutine_handle<> park_in_place(worker& w, std::coroutine_handle<> coroutine) {
    if (w.shared) return derived().park_shared(w, coroutine);
    routine& r = *w.current;
    r.resume_at = coroutine;
    return park_alone(w, r) ? w.switch_away() : coroutine;
  }

  // The first look of what wraps the operation (awaited.hpp). It counts as an await. True: take() has the result.
  // False: the operation would wait, or the routine's turn is over, or it may have been cancelled. An operation that
  // need do no more than commit makes it public.
  RINGO_ALWAYS_INLINE bool ends_at_once(worker& w) {
    if (!w.spend()) return false;
    derived().enter(&w);
    return w.shared ? detail::commit(without_type(), w) : commit_alone(w);
  }

  // With one worker there is no lock, and nothing changes between await_ready and await_suspend.
  RINGO_ALWAYS_INLINE bool commit_alone(worker& w) {
    routine* woken = nullptr;
    const bool committed = derived().commit(w, false, woken);
    check_source_of(derived());
    if (woken) w.make_next(*woken);
    return committed;
  }
  RINGO_ALWAYS_INLINE bool park_alone(worker& w, routine& r) {
    derived().link(w, r);
    check_source_of(derived());
    announce(*this, wait_functions_of<Derived>, w, r);
    if (r.open_wait(false)) [[likely]]
      return true;
    refuse_to_park(without_type());
    return false;
  }

  bool commit_otherwise(worker& w) { return detail::commit_otherwise(without_type(), w); }
  bool commit_locked(worker& w) { return detail::commit(without_type(), w); }
  bool park_locked(worker& w, routine& r) { return detail::park_locked(without_type(), w, r); }

  [[noreturn]] void come_back_cancelled() { detail::come_back_cancelled(without_type()); }
};

// For sources that have only a queue and outlive their cases: Derived provides `wait_queue& queue()`. The wait has no
// effect and no result.
template <class Derived, class Result>
class queued_operation : public operation<Derived, Result> {
 public:
  bool commit(worker& w, bool, routine*&) noexcept {
    if (!static_cast<Derived*>(this)->ready(w)) return false;
    this->set_state(progress::done);
    return true;
  }
  void take() noexcept { this->set_state(progress::idle); }
  void link(worker&, routine& r) noexcept {
    this->blocked = &r;
    this->set_state(progress::waiting);
    static_cast<Derived*>(this)->queue().push_back(*this);
  }
  bool unlink() noexcept {
    if (this->where_queued == waiter::place::queued) static_cast<Derived*>(this)->queue().remove(*this);
    if (!won(this->current_state())) this->set_state(progress::idle);
    return false;
  }
  void dispose() noexcept {}

 protected:
  queued_operation() = default;
  queued_operation(const queued_operation&) = default;
  queued_operation& operator=(const queued_operation&) = default;
  RINGO_ALWAYS_INLINE ~queued_operation() {
    if (this->current_state() != progress::idle) [[unlikely]]
      this->abandon(*this->blocked);
  }
};

// While it lives, its routine's awaits do not end with `cancelled`; with routine::immune, they do if the routine's
// context is cancelled.
class cancellation_held_back {
 public:
  explicit cancellation_held_back(std::uint32_t how = routine::shielded) noexcept
      : in_(current_worker() ? current_worker()->current : nullptr) {
    if (in_) sets_ = how & ~in_->state.fetch_or(how, std::memory_order_relaxed);
  }
  cancellation_held_back(const cancellation_held_back&) = delete;
  cancellation_held_back& operator=(const cancellation_held_back&) = delete;
  ~cancellation_held_back() {
    if (in_ == nullptr) return;
    in_->state.fetch_and(~sets_, std::memory_order_relaxed);
    if (worker* w = current_worker()) w->look_for_cancellation(*in_);
  }

 private:
  routine* in_;  // a coroutine stays in its routine, whichever worker that is on
  std::uint32_t sets_ = 0;
};

// For an await without an operation, which has nothing to wait for: it throws `cancelled` in a cancelled routine, as
// each await does.
inline void throw_if_cancelled(const char* call) {
  if (require_worker(call).current->is_cancelled()) [[unlikely]]
    throw_cancelled();
}

}  // namespace ringo::detail
