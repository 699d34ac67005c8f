// What waits on an object that may be destroyed first: then the wait ends with `cancelled`, and its routine does not
// touch the object any more.
//
// Whoever is in the queue is the object's to let go, as long as it holds the lock: it makes the waiter's state
// `orphaned`, and does not touch the waiter from then on. A routine that comes to take its case out makes the state
// `leaving` before it touches the object; the one who finds that leaves the waiter in the queue, and the destructor
// waits for it: the routine runs, and is about to hold the lock for an instant.
#pragma once
#include <atomic>

#include <ringo/detail/compilers.hpp>
#include <ringo/detail/operation.hpp>
#include <ringo/detail/ownership.hpp>

namespace ringo::detail {

class mortal_queue : public wait_queue {
 public:
  // As wait_queue's, but whom another has claimed is let go here and does not come back.
  waiter* claim_first(bool shared) noexcept;
  void claim_all(bool shared, routine_list& woken) noexcept;

  // Under the lock, of one whose wait another has claimed, or will never be: takes it out; false if it is leaving.
  bool let_go(waiter& w, bool shared) noexcept;

  // The object is destroyed: ends the waits, and makes their routines ready on w; where that is null their runtime has
  // ended, and nobody can. `lock` is null where none is needed. Nobody can begin to wait meanwhile.
  void end_waits(worker* w, spin_lock* lock) noexcept;
  void end_waits(spin_lock& lock, const ownership& owner) noexcept;  // by the calling thread's worker

 private:
  static bool orphan(waiter& w, bool shared) noexcept;
  void end_waits_now(worker* w, bool shared, routine_list& woken) noexcept;
};

// Derived is as a queued_operation, but that its source need not outlive it.
template <class Derived, class Result>
class mortal_operation : public queued_operation<Derived, Result> {
 public:
  progress standing() const noexcept {  // another worker may orphan it now
    return std::atomic_ref<progress>(const_cast<progress&>(this->state)).load(std::memory_order_relaxed);
  }
  void leave() noexcept {
    const worker* w = current_worker();
    const bool shared = w == nullptr || w->shared;
    if (shared ? !begin_to_leave() : standing() == progress::orphaned) return this->stand(progress::idle);
    queued_operation<Derived, Result>::leave();
  }

 protected:
  mortal_operation() = default;
  mortal_operation(const mortal_operation&) = default;
  mortal_operation& operator=(const mortal_operation&) = default;
  RINGO_ALWAYS_INLINE ~mortal_operation() {
    if (standing() != progress::idle) [[unlikely]]
      this->abandon(*this->who);
  }

 private:
  // acquire: what the object did to the waiter before it let go of it is done. The object's release is its pair.
  bool begin_to_leave() noexcept {
    progress expected = progress::waiting;
    return std::atomic_ref<progress>(this->state)
        .compare_exchange_strong(expected, progress::leaving, std::memory_order_acq_rel, std::memory_order_acquire);
  }
};

}  // namespace ringo::detail
