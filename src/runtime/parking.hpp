// How an operation begins to wait with several workers.
#pragma once
#include <ringo/detail/operation.hpp>

namespace ringo::detail {

// Under the lock: link() and an open wait, unless commit(routine*& woken) succeeds. True: the routine waits.
template <class Commit, class Link>
RINGO_ALWAYS_INLINE inline bool park_under(untyped_operation o, worker& w, routine& r, spin_lock* lock, Commit commit,
                                           Link link) {
  routine* woken = nullptr;
  {
    const optional_guard guard(lock);
    // It may have become ready since await_ready.
    if (!commit(woken)) {
      link();
      announce(*o.of, *o.its, w, r);
      if (w.observed != nullptr) [[unlikely]]
        w.note_park(r);
      if (r.open_wait(true)) [[likely]]  // from the unlock on, the frame may be gone
        return true;
      refuse_to_park(o);
    }
  }
  w.wake(woken);
  return false;
}

}  // namespace ringo::detail
