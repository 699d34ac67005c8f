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
namespace detail {
namespace {

enum class grip { held, lost, taken };

// taken: by a report, or by another barrier where the same routine's select has arrived.
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

class barrier_core final : public object_source {
 public:
  explicit barrier_core(std::size_t n) noexcept : number_(n) {}

  bool all_others_wait() const noexcept {
    if (queued_ + 1 < number_) return false;
    std::size_t open = 1;
    for (const waiter* w = queue_.front(); w != nullptr && open < number_; w = w->next)
      open += w->blocked->is_waiting();
    return open == number_;
  }
  // Under the lock: the n-th arrival lets all others go on.
  bool release_all(section& in) noexcept {
    if (!all_others_wait() || (in.shared() && !hold_all_others())) return false;
    for (waiter *w = queue_.front(), *next; w != nullptr; w = next) {
      next = w->next;
      routine& r = *w->blocked;
      remove(*w);
      if (!r.is_waiting()) {  // only with one worker: with several, hold_all_others() has taken it out
        detach(*w);
        continue;
      }
      if (in.shared()) {
        r.state.fetch_and(~(routine::waiting | routine::ring_bits | routine::inspected), std::memory_order_acq_rel);
      } else {
        (void)r.claim(false);
      }
      in.wake(*w, progress::done);
    }
    return true;
  }
  // A select that names the barrier twice, and links its cases one after the other, has arrived once. The second case
  // is in no queue, and must not touch the barrier later, as if that had ended.
  void link(waiter& w) noexcept override {
    if (const waiter* last = queue_.back(); last != nullptr && last->blocked == w.blocked) {
      w.state = progress::ended;
      return;
    }
    object_source::link(w);
    ++queued_;
  }
  bool unlink(waiter& w) noexcept override {
    if (w.where_queued == waiter::place::queued) --queued_;
    return object_source::unlink(w);
  }
  void describe(wait_report& text) const {
    text += "the others at ";
    text +=
        reported_object{.at = this, .kind = "barrier", .state = "of " + std::to_string(number_), .capacity = number_};
  }
  void check() const override {
    object_source::check();
    std::size_t length = 0, open = 0;
    for (const waiter* w = queue_.front(); w != nullptr; w = w->next, ++length) open += w->blocked->is_waiting();
    invariant(length == queued_, "a barrier counts the waiters in its queue");
    invariant(open < number_, "fewer than n routines wait at a barrier of n");
  }

 private:
  void remove(waiter& w) noexcept {
    queue_.remove(w);
    --queued_;
  }
  void end_waits(section& in) noexcept override {
    object_source::end_waits(in);
    queued_ = 0;
  }
  // With several workers: all waiters are held, and enough of them; or none is.
  bool hold_all_others() noexcept {
    for (;;) {
      std::size_t held = 0;
      waiter* next = queue_.front();
      while (next != nullptr) {
        const grip got = take_hold_of(*next->blocked);
        if (got == grip::taken) break;
        waiter& each = *std::exchange(next, next->next);
        if (got == grip::held) {
          ++held;
        } else {
          remove(each);
          detach(each);
        }
      }
      if (next == nullptr && held + 1 == number_) return true;
      for (waiter* w = queue_.front(); w != next; w = w->next) {
        w->blocked->state.fetch_and(~routine::inspected, std::memory_order_release);
      }
      if (next == nullptr) return false;
      ::sched_yield();
    }
  }

  const std::size_t number_;
  std::size_t queued_ = 0;
};

barrier_operation::barrier_operation(barrier_core& at) noexcept : source_operation(at) {}
bool barrier_operation::ready(worker&) noexcept { return static_cast<barrier_core*>(of_)->all_others_wait(); }
bool barrier_operation::commit(worker& w, bool, routine*&) noexcept {
  inner_section here(w);
  if (!static_cast<barrier_core*>(of_)->release_all(here)) return false;
  set_state(progress::done);
  return true;
}
void barrier_operation::append_to(wait_report& text) const { static_cast<const barrier_core*>(of_)->describe(text); }

}  // namespace detail

barrier::barrier(std::size_t n) {
  if (n == 0 || n > std::numeric_limits<std::size_t>::max() / 2) {
    throw std::invalid_argument("ringo: a barrier of " + std::to_string(n) +
                                ": at least one must arrive (was it a negative number?)");
  }
  core_ = new detail::barrier_core(n);
}
barrier::barrier(const detail::object_name& name, std::size_t n) : barrier(n) { core_->set_name(name); }
barrier::~barrier() { detail::end_of(core_, std::size_t{1}); }

}  // namespace ringo
