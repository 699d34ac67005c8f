// The routines that were started on one worker and have not ended: for shutdown and reports.
#pragma once
#include <ringo/detail/checked.hpp>
#include <ringo/detail/routine.hpp>

namespace ringo::detail {

class roster {
 public:
  roster(bool shared, bool simulated) noexcept
      : shared_(shared), checks_(checked_build || simulated), is_plain_(!shared && !checks_) {}

  void add(routine& r) noexcept {
    if (is_plain_) [[likely]]
      return link(r);
    const optional_guard guard(lock, shared_);
    link(r);
    if (checks_) check();
  }
  void remove(routine& r) noexcept {
    if (is_plain_) [[likely]]
      return unlink(r);
    const optional_guard guard(lock, shared_);
    unlink(r);
    if (checks_) check();
  }
  bool empty() noexcept {
    optional_guard guard(lock, shared_);
    return first_ == nullptr;
  }
  routine* first() const noexcept { return first_; }  // under the lock

  // For each routine, newest first, under the lock: they cannot go away meanwhile.
  template <class F>
  void each(F&& f) {
    optional_guard guard(lock, shared_);
    for (routine* r = first_; r != nullptr; r = r->roster_next) f(*r);
  }

  ranked<raw_spin_lock, lock_rank::roster> lock;

 private:
  // These are under the lock.
  void link(routine& r) noexcept {
    r.roster_next = first_;
    r.roster_previous = nullptr;
    if (first_) first_->roster_previous = &r;
    first_ = &r;
  }
  void unlink(routine& r) noexcept {
    (r.roster_previous ? r.roster_previous->roster_next : first_) = r.roster_next;
    if (r.roster_next) r.roster_next->roster_previous = r.roster_previous;
  }
  void check() const;

  const bool shared_;
  const bool checks_;
  const bool is_plain_;  // neither: spawning takes this one branch
  routine* first_ = nullptr;
};

inline void roster::check() const {
  invariant(first_ == nullptr || first_->roster_previous == nullptr, "nothing is before a roster's first");
  int left = 16;
  for (const routine* r = first_; r != nullptr && left > 0; r = r->roster_next, --left) {
    invariant(r->listed_in == this, "a routine is in the roster that its record names");
    invariant(!r->ended.load(std::memory_order_relaxed), "no routine in a roster has ended");
    invariant(r->roster_next == nullptr || r->roster_next->roster_previous == r,
              "a roster's links agree in both directions");
  }
}

}  // namespace ringo::detail
