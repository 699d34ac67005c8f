// A critical section of a source: the way to hold its lock while its waiters or its state change.
//
//   void latch_core::count_down(worker* w) {
//     section_of here(*this, w);           // locks if the runtime has several workers
//     if (--count_ == 0) waiting_.claim_all(here);
//   }                                      // checks, unlocks, makes the claimed routines ready; deletes it if unused
//
// A source provides
//   spin_lock lock                 or, where it shares another's lock, spin_lock* section_lock(); null: none is needed
//   void check() const             its invariants, by invariant() (checked.hpp). May be missing
//   bool unused() const            true: nothing refers to it any more, and the end of this section deletes it. May be
//                                  missing; it stays true once it is
// A source whose members are private befriends every section: template <class> friend class section_of.
//
// From the unlock on, a routine that the section has woken may run, and may free the source. So a section makes the
// routines ready, and deletes the source, after it has unlocked, and its owner touches the source no more after end().
//
// check() runs in checked builds, and in simulations in every build. The few hot paths that are written without a
// section, for a runtime of one worker, call check_in_place() at their end.
#pragma once
#include <cstddef>
#include <utility>

#include <ringo/detail/checked.hpp>
#include <ringo/detail/compilers.hpp>
#include <ringo/detail/foreign_coroutine.hpp>
#include <ringo/detail/worker.hpp>

namespace ringo::detail {

// A section, as functions that run in it see it: the worker, whether claims race, and the list of claimed routines.
class section {
 public:
  section(const section&) = delete;
  section& operator=(const section&) = delete;

  worker* on() const noexcept { return worker_; }   // null: no worker can make a routine ready
  bool shared() const noexcept { return shared_; }  // the lock is held, and claims race
  void wake(routine& r) noexcept { woken_.push_back(r); }
  void wake(waiter& w, progress result) noexcept {
    w.state = result;
    woken_.push_back(*w.blocked);
  }

 protected:
  RINGO_ALWAYS_INLINE section(worker* w, bool shared) noexcept : worker_(w), shared_(shared) {}
  ~section() = default;

  RINGO_ALWAYS_INLINE bool checks() const noexcept { return checks_on(worker_); }
  RINGO_ALWAYS_INLINE static bool checks_on(const worker* w) noexcept {
    return checked_build || (w != nullptr && w->simulated);
  }
  // The first runs next on this worker, the others go to the end of its queue.
  RINGO_ALWAYS_INLINE void make_ready() noexcept {
    if (woken_.empty()) return;
    if (worker_ == nullptr) [[unlikely]]
      return drop_from_queue();
    worker_->make_ready(woken_);
  }
  // All of them go to the end of the worker's queue.
  void push_woken() noexcept {
    while (routine* r = woken_.pop_front()) worker_ != nullptr ? worker_->push_woken(*r) : detail::drop_from_queue(*r);
  }
  // Their runtime has ended, so they cannot go on.
  [[gnu::cold]] void drop_from_queue() noexcept {
    while (routine* r = woken_.pop_front()) detail::drop_from_queue(*r);
  }

  worker* const worker_;
  routine_list woken_;

 private:
  const bool shared_;
};

// In an operation's commit() or unlink(), whose caller holds the lock: hands the woken routines to the caller, which
// makes them ready after it has unlocked.
class inner_section final : public section {
 public:
  explicit inner_section(worker& w) noexcept : section(&w, w.shared) {}
  ~inner_section() { worker_->wake_besides(woken_); }
};

template <class Source>
RINGO_ALWAYS_INLINE inline void check_in_place([[maybe_unused]] const Source& s) {
  if constexpr (checked_build && requires { s.check(); }) s.check();
}

template <class Lost>
inline waiter* wait_queue::claim_first(section& in, progress result, Lost lost) noexcept {
  waiter* const w = take_open(in.shared(), lost);
  if (w != nullptr) in.wake(*w, result);
  return w;
}
template <class Lost>
inline void wait_queue::claim_all(section& in, progress result, Lost lost) noexcept {
  while (claim_first(in, result, lost) != nullptr) {
  }
}

template <class Source>
class section_of : public section {
 public:
  // On a worker of the source's runtime; w is null if no runtime uses the source and no other thread can
  // (do_where_used): then there is nothing to lock.
  RINGO_ALWAYS_INLINE section_of(Source& of, worker* w) noexcept : section_of(of, w, w != nullptr && w->shared) {}
  // On any thread. A thread that is not a worker locks, and claims as if there were several workers.
  RINGO_ALWAYS_INLINE explicit section_of(Source& of) noexcept : section_of(of, current_worker(), nullptr) {}
  RINGO_ALWAYS_INLINE section_of(Source& of, worker* w, bool shared) noexcept
      : section(w, shared), of_(&of), lock_(shared ? lock_of(of) : nullptr) {
    if (lock_ != nullptr) lock_->lock();
  }
  RINGO_ALWAYS_INLINE ~section_of() { end(); }

  // Calls change() as in a section, for a change that wakes no routine and leaves the source in use. Returns its
  // result.
  template <class F>
  RINGO_ALWAYS_INLINE static auto change_alone(Source& of, worker* w, bool shared, F change) {
    const optional_guard guard(shared ? lock_of(of) : nullptr);
    const struct check_before_unlock {
      RINGO_ALWAYS_INLINE ~check_before_unlock() {
        if (checks_on(w)) [[unlikely]]
          of.check();
      }
      const Source& of;
      const worker* w;
    } at_the_end{of, w};
    return change();
  }

  // The same as the destructor, earlier.
  RINGO_ALWAYS_INLINE void end() noexcept {
    Source* const unused = unlock();
    make_ready();
    delete_if(unused);
  }
  // The same, but all the woken routines go to the end of the worker's queue.
  void end_behind_queue() noexcept {
    Source* const unused = unlock();
    push_woken();
    delete_if(unused);
  }
  // The first part of end(), for a caller that acts before the woken routines are ready. Returns the source if it is
  // unused: then the caller deletes it.
  RINGO_ALWAYS_INLINE Source* unlock() noexcept {
    Source* const of = std::exchange(of_, nullptr);
    if (of == nullptr) return nullptr;
    if constexpr (requires { of->check(); }) {
      if (checks()) [[unlikely]]
        of->check();
    }
    Source* unused = nullptr;
    if constexpr (requires { of->unused(); }) {
      if (of->unused()) [[unlikely]]
        unused = of;
    }
    if (lock_ != nullptr) lock_->unlock();
    return unused;
  }

 private:
  section_of(Source& of, worker* w, std::nullptr_t) noexcept : section_of(of, w, w == nullptr || w->shared) {}

  static spin_lock* lock_of(Source& of) noexcept {
    if constexpr (requires { of.section_lock(); }) {
      return of.section_lock();
    } else {
      return &of.lock;
    }
  }
  static void delete_if(Source* unused) noexcept {
    if constexpr (requires { unused->unused(); }) {
      if (unused != nullptr) [[unlikely]]
        delete unused;
    }
  }

  Source* of_;
  spin_lock* const lock_;
};

}  // namespace ringo::detail
