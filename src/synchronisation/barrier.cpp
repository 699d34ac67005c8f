// All waiters go on, or none: the last arrival must claim all waits together, while a cancellation or, in a select,
// another source may claim one of them. A claim cannot be undone, since another source may have skipped the waiter in
// the meantime. So with several workers each wait is first held (by `inspected`, which makes claimers spin). If enough
// waits are held, all are claimed; else all are released, unchanged.
#include <ringo/barrier.hpp>

#include <sched.h>

#include <limits>
#include <stdexcept>
#include <utility>

namespace ringo {
namespace {

using detail::routine;
using detail::waiter;

enum class grip { held, lost, taken };

// taken: a report holds it, or another barrier at which the same routine's select has arrived.
grip take_hold_of(routine& r) noexcept {
  std::uint32_t seen = r.state.load(std::memory_order_relaxed);
  do {
    if (!(seen & routine::waiting)) return grip::lost;
    if (seen & routine::inspected) return grip::taken;
    // acq_rel: as a claim (routine.hpp).
  } while (!r.state.compare_exchange_weak(seen, seen | routine::inspected, std::memory_order_acq_rel,
                                          std::memory_order_relaxed));
  return grip::held;
}

}  // namespace

barrier::barrier(std::size_t n) : number_(n) {
  if (n == 0 || n > std::numeric_limits<std::size_t>::max() / 2) {
    throw std::invalid_argument("ringo: a barrier of " + std::to_string(n) +
                                ": at least one must arrive (was it a negative number?)");
  }
}

barrier::~barrier() {
  waiting_.end_waits(lock_, owner_);
  owner_.mark_destroyed();
}

bool barrier::everybody_else_waits() const noexcept {
  if (queued_ + 1 < number_) return false;
  std::size_t open = 1;
  for (const waiter* w = waiting_.front(); w != nullptr && open < number_; w = w->next) {
    if (w->who->state.load(std::memory_order_relaxed) & routine::waiting) ++open;
  }
  return open == number_;
}

// Under the lock: holds all open waits if there are enough; else none.
bool barrier::hold_everybody_else() noexcept {
  for (;;) {
    std::size_t held = 0;
    waiter* next = waiting_.front();
    while (next != nullptr) {
      const grip got = take_hold_of(*next->who);
      if (got == grip::taken) break;
      waiter& each = *std::exchange(next, next->next);
      if (got == grip::held) {
        ++held;
      } else if (waiting_.let_go(each, true)) {
        --queued_;
      }
    }
    if (next == nullptr && held + 1 == number_) return true;
    for (waiter* w = waiting_.front(); w != next; w = w->next) {
      w->who->state.fetch_and(~routine::inspected, std::memory_order_release);
    }
    if (next == nullptr) return false;
    ::sched_yield();
  }
}

// Under the lock, by the n-th arrival.
bool barrier::release_everybody(bool shared, detail::routine_list& woken) noexcept {
  if (!everybody_else_waits() || (shared && !hold_everybody_else())) return false;
  waiter* next;
  for (waiter* w = waiting_.front(); w != nullptr; w = next) {
    next = w->next;
    if (!(w->who->state.load(std::memory_order_relaxed) & routine::waiting)) {  // with several workers, one that leaves
      if (waiting_.let_go(*w, shared)) --queued_;
      continue;
    }
    if (shared) {
      w->who->state.fetch_and(~(routine::waiting | routine::inspected), std::memory_order_acq_rel);
    } else {
      (void)w->who->claim(false);
    }
    waiting_.remove(*w);
    --queued_;
    w->state = detail::progress::done;
    woken.push_back(*w->who);
  }
  return true;
}

namespace detail {

void barrier_operation::enter(const worker* w) { at_->owner_.enter(w, call_name); }
spin_lock* barrier_operation::lock() noexcept { return &at_->lock_; }
mortal_queue& barrier_operation::queue() noexcept { return at_->waiting_; }
bool barrier_operation::ready(worker&) noexcept { return at_->everybody_else_waits(); }

bool barrier_operation::commit(worker& w, bool shared, routine*&) noexcept {
  routine_list woken;
  if (!at_->release_everybody(shared, woken)) return false;
  w.wake_besides(woken);
  stand(progress::done);
  return true;
}

// A select that names the barrier twice arrives once: its second case is in no queue.
void barrier_operation::link(worker& w, routine& r) noexcept {
  const waiter* last = at_->waiting_.back();
  if (last != nullptr && last->who == &r) {
    who = &r;
    stand(progress::orphaned);
    return;
  }
  mortal_operation::link(w, r);
  ++at_->queued_;
}

bool barrier_operation::unlink() noexcept {
  if (where_queued == place::queued) --at_->queued_;
  return mortal_operation::unlink();
}

void barrier_operation::tell(std::string& text) const {
  text += "the others at a barrier of ";
  text += std::to_string(at_->number_);
}

}  // namespace detail
}  // namespace ringo
