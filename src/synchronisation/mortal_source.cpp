#include <ringo/detail/mortal_source.hpp>

#include <sched.h>

namespace ringo::detail {

bool mortal_queue::orphan(waiter& w, bool shared) noexcept {
  if (!shared) {
    w.state = progress::orphaned;
    return true;
  }
  progress expected = progress::waiting;
  return std::atomic_ref<progress>(w.state).compare_exchange_strong(
      expected, progress::orphaned, std::memory_order_acq_rel, std::memory_order_relaxed);
}

bool mortal_queue::let_go(waiter& w, bool shared) noexcept {
  remove(w);
  if (orphan(w, shared)) return true;  // it may be gone now
  restore(w);
  return false;
}

waiter* mortal_queue::claim_first(bool shared) noexcept {
  waiter* next;
  for (waiter* w = front(); w != nullptr; w = next) {
    next = w->next;
    if (w->who->claim(shared)) {
      remove(*w);
      w->state = progress::done;
      return w;
    }
    (void)let_go(*w, shared);
  }
  return nullptr;
}

void mortal_queue::claim_all(bool shared, routine_list& woken) noexcept {
  while (waiter* w = claim_first(shared)) woken.push_back(*w->who);
}

void mortal_queue::end_waits_now(worker* w, bool shared, routine_list& woken) noexcept {
  waiter* next;
  for (waiter* each = front(); each != nullptr; each = next) {
    next = each->next;
    if (w != nullptr && each->who->claim(shared)) {
      remove(*each);
      each->state = progress::orphaned;
      woken.push_back(*each->who);
    } else {
      (void)let_go(*each, shared);
    }
  }
}

void mortal_queue::end_waits(worker* w, spin_lock* lock) noexcept {
  routine_list woken;
  for (;;) {
    {
      const optional_guard guard(lock);
      end_waits_now(w, lock != nullptr, woken);
      if (empty()) break;
    }
    ::sched_yield();
  }
  if (!woken.empty()) w->make_ready(woken);
}

void mortal_queue::end_waits(spin_lock& lock, const ownership& owner) noexcept {
  worker* w = current_worker();
  if (w != nullptr && w->runtime_id != owner.runtime_id()) w = nullptr;
  end_waits(w, w != nullptr && !w->shared ? nullptr : &lock);
}

}  // namespace ringo::detail
