// The protocol that every operation and every other case of a select follows.
#pragma once
#include <concepts>
#include <cstdint>
#include <type_traits>

#include <ringo/detail/checked.hpp>
#include <ringo/detail/compilers.hpp>
#include <ringo/detail/current_worker.hpp>
#include <ringo/detail/spin_lock.hpp>
#include <ringo/detail/wait_queue.hpp>
#include <ringo/detail/wait_report.hpp>

namespace ringo::detail {

// An operation, or another case of a select, provides:
//   result_type                      what take() returns
//   case_tag                         void; another type if it can be awaited, but not be a case
//   void enter(worker*)              first, without locks. May throw: the source belongs to another runtime
//   spin_lock* lock()                its source's; null if it needs none. A case with several sources instead has
//                                    places(), how many locks it needs at most, and add_locks(lock_set&)
//   bool ready(worker&)              under the lock: would commit() succeed now?
//   bool looks_ready(worker&)        the same without the lock. It may be wrong by saying true. May be missing
//   bool commit(worker&, bool shared, routine*&)   under the lock: takes effect if it can, and is `done`, `closed` or
//                                    `failed` then. It names a routine that must be made ready after the unlock; more
//                                    than one go through an inner_section (section.hpp)
//   void link(worker&, routine&)     under the lock: into the source's queue; it is `waiting` then
//   bool unlink() noexcept           under the lock: out of the queue; `idle` unless it has won. True: the source is
//                                    unused, and the caller calls dispose() after the unlock
//   void dispose() noexcept          deletes the source
//   void leave() noexcept            without the lock: unlink() and dispose(), for a case that has not won
//   progress current_state()         its state
//   result_type take()               the result of a case that has won; `idle` then
//   void discard() noexcept          drops that result, or gives it back to the source; `idle` then
//   void append_to(wait_report&) const   appends what it waits for
//   void check_source() const        under the lock, in checked builds: the source's invariants. May be missing
//   glance look_shared(worker&)      looks_ready() before enter(). `elsewhere`: enter() has something to do. May be
//   missing
//   loses_as_cancelled               a member of any type: its cancellation is the same as its loss. May be missing
// A case may also decide within a select of a runtime of one worker, where nothing is locked (decides_alone):
//   glance look_alone(worker&)       without enter(): would commit() succeed now? `elsewhere`: its source is not this
//                                    runtime's, or there are other workers
//   progress settle(worker&)         its state, `idle` then. Of a case that was `ready`, and has not committed: commits
//                                    first
//   result_type result_after(progress)   the result of a case that has come to this
//   Variant result_as<Variant, N>(progress)   the same as an alternative of a variant. May be missing
// While the lock is held, ready() and commit() agree; only a waiter's wait may be claimed elsewhere in between.
// The base class `operation` provides leave(), current_state() and discard(). Off the hot paths the library calls all
// of these without the type (untyped_case.hpp).
template <class C>
concept follows_case_protocol =
    requires(C& c, const C& as_it_is, worker& w, routine& r, routine*& woken, wait_report& report) {
      typename C::result_type;
      c.enter(&w);
      { c.ready(w) } -> std::same_as<bool>;
      { c.commit(w, true, woken) } -> std::same_as<bool>;
      c.link(w, r);
      { c.unlink() } -> std::same_as<bool>;
      c.leave();
      { c.current_state() } -> std::same_as<progress>;
      c.take();
      c.discard();
      as_it_is.append_to(report);
    } && (requires(C& c) { c.places(); } || requires(C& c) {
      { c.lock() } -> std::convertible_to<spin_lock*>;
    });

enum class glance : std::uint8_t { not_ready, ready, elsewhere };
template <class C>
concept has_one_lock = requires(C& c) { c.lock(); };
template <class C>
concept looks_from_here = has_one_lock<C> && requires(C& c, worker& w) {
  { c.look_shared(w) } -> std::same_as<glance>;
};
template <class C>
concept decides_alone = requires(C& c, worker& w) {
  { c.look_alone(w) } -> std::same_as<glance>;
  { c.settle(w) } -> std::same_as<progress>;
  c.result_after(progress::done);
};

// Whether a case has its state itself. One that refers to an operation shows the state of that, which may be awaited
// elsewhere.
template <class Kept>
inline constexpr bool owns_state = !std::is_reference_v<Kept>;
template <class Kept>
requires requires { Kept::owns_its_state; }
inline constexpr bool owns_state<Kept> = Kept::owns_its_state;

template <class C>
RINGO_ALWAYS_INLINE inline void check_source_of([[maybe_unused]] C& c) {
  if constexpr (checked_build && requires { c.check_source(); }) c.check_source();
}

template <class Operation>
concept case_operation = requires {
  typename Operation::result_type;
  requires std::is_void_v<typename Operation::case_tag>;
};
template <class Operation>
concept looks_without_lock = requires(Operation& o, worker& w) {
  { o.looks_ready(w) };
};

}  // namespace ringo::detail
