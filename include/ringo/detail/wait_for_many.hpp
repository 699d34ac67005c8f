// How the first of several operations is awaited: the common part of select and select_any.
#pragma once
#include <array>
#include <coroutine>
#include <cstddef>
#include <exception>
#include <utility>
#include <vector>

#include <ringo/detail/compilers.hpp>
#include <ringo/detail/operation.hpp>

namespace ringo::detail {

// The locks of a wait's sources, taken in the order of their addresses, each once. It has a place for each case.
class lock_set {
 public:
  explicit lock_set(std::size_t places);  // throws std::bad_alloc beyond `usual`
  lock_set(const lock_set&) = delete;
  lock_set& operator=(const lock_set&) = delete;
  ~lock_set() { unlock(); }

  void add(spin_lock* l) noexcept {
    if (l != nullptr) first_[count_++] = l;
  }
  void lock() noexcept {
    if constexpr (checked_build) note_lock(lock_rank::source, this);  // one lock, since the addresses have an order
    lock_each();
  }
  void unlock() noexcept {
    while (count_ > 0) first_[--count_]->unlock();  // after the last one, nothing but this object is read
    if constexpr (checked_build) note_unlock(this);
  }

 private:
  void lock_each() noexcept;

  static constexpr std::size_t usual = 16;  // locks that need no allocation: selects of more cases are rare
  std::size_t count_ = 0;
  std::array<raw_spin_lock*, usual> few_;
  std::vector<raw_spin_lock*> many_;
  raw_spin_lock** first_ = few_.data();
};

// How many locks guard a case: one, for most.
template <class C>
constexpr std::size_t places_of(C& c) noexcept {
  if constexpr (requires { c.places(); }) {
    return c.places();
  } else {
    return 1;
  }
}
template <class C>
void add_locks_of(C& c, lock_set& locks) noexcept {
  if constexpr (requires { c.add_locks(locks); }) {
    c.add_locks(locks);
  } else {
    locks.add(c.lock());
  }
}

// A Derived provides:
//   each(f)                          calls f(case) for each case, in order
//   places()                         how many locks its cases need
//   commit_one(worker&, bool shared, routine*&)   under all locks: commits a ready case, if there is one, and notes it
//   commit_seen(worker&, routine*&)  commits a case that looks ready, under its own lock only. May be missing
//   link_all(worker&, routine&)      under all locks
//   has_chosen()                     a case has been noted
//   note_winner()                    notes the case that won while the routine was parked, and takes the others out
//   note_refusal()                   has_chosen() is true from now on
//   forget_refusal()                 undoes that; false if there is none
//   never_waits                      it has an `otherwise`, and must know for sure that no case is ready
// With take(), the result of the noted case or of the winner, and append_to(), it is itself a case (case_protocol.hpp).
template <class Derived>
class wait_for_many : public parked_operation {
 public:
  RINGO_ALWAYS_INLINE bool await_ready() {
    worker& w = require_worker("select");
    (void)w.spend();
    return await_ready_otherwise(w);
  }

  template <class P>
  RINGO_AWAIT_SUSPEND std::coroutine_handle<> await_suspend(std::coroutine_handle<P> coroutine) {
    worker& w = *current_worker();
    note_where<P>(derived());
    if (derived().has_chosen()) [[unlikely]]
      return end_turn(w, coroutine, is_own_promise<P>, parked_);
    if (!waits_as_itself<P>(w)) [[unlikely]]
      return suspend_in_record(w, coroutine, is_own_promise<P>, {this, [](void* it, routine& r) {
                                                                   return static_cast<wait_for_many*>(it)->park_anyhow(
                                                                       *current_worker(), r);
                                                                 }});
    return park_in_place(w, coroutine);
  }

  // Commits a case that is ready at this instant, if there is one. With `for_sure`, false means that there was none.
  RINGO_ALWAYS_INLINE bool try_once(worker& w, bool for_sure) {
    return w.shared ? try_shared(w, for_sure) : try_alone(w);
  }

  // As a case of another.
  RINGO_ALWAYS_INLINE void enter(worker* w) {
    derived().each([w](auto& c) RINGO_ALWAYS_INLINE_LAMBDA { c.enter(w); });
  }
  void add_locks(lock_set& locks) noexcept {
    derived().each([&locks](auto& c) { add_locks_of(c, locks); });
  }
  bool ready(worker& w) {
    bool any = false;
    derived().each([&](auto& c) { any = any || c.ready(w); });
    return any;
  }
  bool commit(worker& w, bool shared, routine*& woken) { return derived().commit_one(w, shared, woken); }
  void link(worker& w, routine& r) { derived().link_all(w, r); }
  RINGO_ALWAYS_INLINE void check_source() {
    if constexpr (checked_build) derived().each([](auto& c) { check_source_of(c); });
  }
  bool unlink() noexcept {
    derived().each([](auto& c) { c.unlink(); });
    return false;
  }
  void leave() noexcept {
    derived().each([](auto& c) { c.leave(); });
  }
  void discard() noexcept {
    derived().each([](auto& c) { won(c.current_state()) ? c.discard() : c.leave(); });
  }
  progress current_state() noexcept {
    progress any = progress::idle;
    derived().each([&any](auto& c) {
      if (won(c.current_state())) any = c.current_state();
    });
    return any;
  }

 protected:
  wait_for_many() = default;
  wait_for_many(const wait_for_many&) noexcept : parked_operation() {}
  wait_for_many& operator=(const wait_for_many&) = delete;
  ~wait_for_many() = default;

  // The await has been spent.
  [[gnu::noinline]] bool await_ready_otherwise(worker& w) {
    try {
      enter(&w);
    } catch (...) {
      return refuse(w, std::current_exception());
    }
    if (w.current->is_cancelled()) [[unlikely]]
      return refuse(w, nullptr);
    return try_once(w, Derived::never_waits) && w.turn_lasts();
  }

  // First thing in await_resume.
  RINGO_ALWAYS_INLINE void come_back() {
    if (std::exchange(parked_, nullptr) != nullptr) {
      if (!derived().has_chosen()) {
        derived().note_winner();
      } else if (derived().forget_refusal()) [[unlikely]] {
        throw_noted(*this);
      }
    }
    if (!derived().has_chosen()) throw_cancelled();
  }

  // Derived's destructor calls it last: the frame may be destroyed while the wait is parked, or before its result was
  // taken.
  RINGO_ALWAYS_INLINE void abandon() noexcept {
    if (parked_ != nullptr) [[unlikely]]
      abandon_parked();
  }

 private:
  [[gnu::cold, gnu::noinline]] void abandon_parked() noexcept {
    worker* w = current_worker();
    const bool claimed_here = parked_->claim(w == nullptr || w->shared);
    derived().forget_refusal() ? drop_noted(*this) : discard();
    forget(*parked_, !claimed_here);
  }

  Derived& derived() noexcept { return static_cast<Derived&>(*this); }

  RINGO_ALWAYS_INLINE bool try_alone(worker& w) {
    routine* woken = nullptr;
    const bool committed = derived().commit_one(w, false, woken);
    check_source();
    if (woken) w.make_next(*woken);
    return committed;
  }
  // As operation's.
  [[gnu::cold, gnu::noinline]] bool refuse(worker& w, std::exception_ptr error) {
    throw_or_note(*this, w, std::move(error));
    derived().note_refusal();
    return false;
  }
  // Most often it is decided without all the locks: by a case that looks ready, or, if none does, by parking, which
  // looks again.
  [[gnu::noinline]] bool try_shared(worker& w, bool for_sure) {
    if constexpr (requires(routine* woken) { derived().commit_seen(w, woken); }) {
      routine* woken = nullptr;
      const progress seen = derived().commit_seen(w, woken);
      w.wake(woken);
      if (seen == progress::done) return true;
      if (seen == progress::waiting && !for_sure) return false;
    }
    return try_locked(w);
  }
  [[gnu::noinline]] bool try_locked(worker& w) {
    routine* woken = nullptr;
    bool committed;
    {
      lock_set locks(derived().places());
      add_locks(locks);
      locks.lock();
      committed = derived().commit_one(w, true, woken);
      check_source();
    }
    w.wake(woken);
    return committed;
  }
  [[gnu::noinline]] bool park_locked(worker& w, routine& r) {
    routine* woken = nullptr;
    {
      lock_set locks(derived().places());
      add_locks(locks);
      locks.lock();
      // It may have become ready since await_ready.
      if (!derived().commit_one(w, true, woken) && park(w, r, true))
        return true;  // from the last unlock on, the frame may be gone
    }
    w.wake(woken);
    return false;
  }
  bool park_anyhow(worker& w, routine& r) { return w.shared ? park_locked(w, r) : park(w, r, false); }
  // As operation's.
  std::coroutine_handle<> park_in_place(worker& w, std::coroutine_handle<> coroutine) {
    routine& r = *w.current;
    r.resume_at = coroutine;
    return park_anyhow(w, r) ? w.switch_away() : coroutine;
  }
  // Under all locks, if there are others.
  [[gnu::noinline]] bool park(worker& w, routine& r, bool shared) {
    derived().link_all(w, r);
    check_source();
    parked_ = &r;
    r.parked = this;
    describe = [](const parked_operation& p, wait_report& report) { static_cast<const Derived&>(p).append_to(report); };
    r.waits_since = w.coarse_now;
    w.counts.waits.add();
    if (shared && w.observed != nullptr) [[unlikely]]
      w.note_park(r);
    if (r.open_wait(shared)) [[likely]]
      return true;
    parked_ = nullptr;
    unlink();
    return false;
  }

  routine* parked_ = nullptr;
};

}  // namespace ringo::detail
