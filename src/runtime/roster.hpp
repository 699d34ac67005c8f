// The routines that were started on one worker and have not ended: for shutdown and reports.
#pragma once
#include <ringo/detail/routine.hpp>

namespace ringo::detail {

class roster {
 public:
  explicit roster(bool shared) noexcept : shared_(shared) {}

  void add(routine& r) noexcept {
    optional_guard guard(lock, shared_);
    r.roster_next = first_;
    r.roster_previous = nullptr;
    if (first_) first_->roster_previous = &r;
    first_ = &r;
  }
  void remove(routine& r) noexcept {
    optional_guard guard(lock, shared_);
    (r.roster_previous ? r.roster_previous->roster_next : first_) = r.roster_next;
    if (r.roster_next) r.roster_next->roster_previous = r.roster_previous;
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
  const bool shared_;
  routine* first_ = nullptr;
};

}  // namespace ringo::detail
