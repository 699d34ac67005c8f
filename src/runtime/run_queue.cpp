// A worker's run queue: how routines enter and leave it.
#include <algorithm>
#include <array>
#include <utility>

#include <ringo/detail/foreign_coroutine.hpp>

#include "runtime/choices.hpp"
#include "runtime/runtime_core.hpp"
#include "runtime/scheduler.hpp"

namespace ringo::detail {

void worker::push_woken_by_call(routine& r) noexcept { push_woken(r); }

void worker::make_ready(routine_list& woken) noexcept {
  if (routine* first = woken.pop_front()) make_ready(*first);
  while (routine* r = woken.pop_front()) push_woken(*r);
}
void worker::wake_now(routine* named) noexcept {
  if (named != nullptr) make_ready(*named);
  while (routine* r = woken_under_lock.pop_front()) push_woken(*r);
}

void worker::overflow(routine& r) noexcept {
  // Moves half of the queue to the global one, with the new routine behind it, so that a long queue seldom needs the
  // global lock.
  auto& self = scheduler_of(*this);
  if (room_ == 0) return self.add_early(r);
  std::array<routine*, queue_size / 2 + 1> oldest;
  std::size_t count = 0;
  while (count < queue_size / 2) {
    routine* each = self.pop();
    if (each == nullptr) break;
    oldest[count++] = each;
  }
  oldest[count++] = &r;
  runtime.add_global({oldest.data(), count});
  if (shared) tell_others();
}

// A routine yields, and no other is ready. If timers, completions or posts may come, the turn ends, since the routine
// might compute for long, again and again. Else it goes on at once. No other worker is woken for it: that worker would
// steal it, although nothing delays it here.
void worker::yield_to_none(routine& r) noexcept {
  const auto& self = scheduler_of(*this);
  const bool somebody_may_wait =
      !self.timers.empty() || self.driver_->in_flight() != 0 || runtime.has_posts() || runtime.has_global();
  if (yielded == nullptr && somebody_may_wait) {
    yielded = &r;
    turn = 1;
  } else {
    handovers = full_handovers_;  // the queue is empty, so no routine in it was passed over
    run_next = &r;
  }
}

void worker::tell_others() noexcept {
  if (batch_ != batch_state::none) {
    batch_ = batch_state::grown;
    return;
  }
  std::atomic_thread_fence(std::memory_order_seq_cst);  // runtime_core.hpp: the adder's fence
  if (runtime.someone_idle()) [[unlikely]]
    runtime.wake_one();
}

std::uint32_t worker::choose(std::uint32_t n) noexcept { return runtime.simulation->choose(n); }

// With several workers the routine that was started last runs first. So a tree of routines is walked in depth, and
// thieves find its large parts.
void scheduler::add_new(routine& r) noexcept {
  if (simulated) return push(r);  // the simulation chooses a routine of the queue
  // seq_cst: the adder's fence (runtime_core.hpp). A thread that looks sees this routine or the one before it.
  routine* const before = newest_.exchange(&r, std::memory_order_seq_cst);
  if (before != nullptr && !enqueue(*before)) return;
  if (batch_ != batch_state::none) [[unlikely]] {
    batch_ = batch_state::grown;
  } else if (runtime.someone_idle()) [[unlikely]] {
    runtime.wake_one();
  }
}

bool scheduler::has_several() const noexcept {
  const std::uint32_t ready = queued() + early_count_.load(std::memory_order_relaxed) + (run_next != nullptr ? 1 : 0) +
                              (newest_.load(std::memory_order_relaxed) != nullptr ? 1 : 0);
  return ready > 1 || runtime.has_global();
}

std::uint32_t scheduler::number_of_ready(std::uint32_t i) const noexcept {
  const std::uint32_t head = head_.load(std::memory_order_relaxed);
  const routine* const r = head + i == tail_.load(std::memory_order_relaxed)
                               ? run_next
                               : queue_[(head + i) % queue_size].load(std::memory_order_relaxed);
  return r->number.load(std::memory_order_relaxed);
}

routine* scheduler::take_random() noexcept {
  const std::uint32_t head = head_.load(std::memory_order_relaxed);
  const std::uint32_t queued = tail_.load(std::memory_order_relaxed) - head;
  const std::uint32_t ready = queued + (run_next != nullptr ? 1 : 0);
  if (ready == 0) return nullptr;
  std::uint32_t choice = 0;
  if (const std::uint32_t wanted = runtime.simulation->wanted_routine(); wanted != 0) {
    while (choice < ready && number_of_ready(choice) != wanted) ++choice;
    if (choice == ready) return nullptr;
  } else if (ready > 1) {
    choice = choose(ready);
  }
  if (choice == queued) return std::exchange(run_next, nullptr);
  auto& chosen = queue_[(head + choice) % queue_size];
  auto& oldest = queue_[head % queue_size];
  routine* r = chosen.load(std::memory_order_relaxed);
  chosen.store(oldest.load(std::memory_order_relaxed), std::memory_order_relaxed);
  oldest.store(r, std::memory_order_relaxed);
  return pop();
}

void scheduler::check() const {
  invariant(queued() <= queue_size, "no more routines are queued than the ring has room for");
  invariant(current == nullptr && finished == nullptr, "no routine runs between two resumes");
  invariant(yielded == nullptr || yielded != run_next, "a routine is in one queue");
  invariant(woken_under_lock.empty(), "what was woken under a lock has been made ready");
  if (shared && !simulated) return;  // other workers take the routines meanwhile, and run them
  const std::uint32_t head = head_.load(std::memory_order_relaxed);
  const std::uint32_t looked_at = std::min<std::uint32_t>(queued(), 16);
  for (std::uint32_t i = 0; i < looked_at; ++i) {
    const routine* const r = queue_[(head + i) % queue_size].load(std::memory_order_relaxed);
    invariant(r != nullptr && r != run_next, "a routine is in one queue");
    invariant(!r->is_waiting() && !r->ended.load(std::memory_order_relaxed), "a routine in a queue can go on");
  }
}

void scheduler::discard_queue() noexcept {
  if (run_next != nullptr) drop_from_queue(*std::exchange(run_next, nullptr));
  if (yielded != nullptr) drop_from_queue(*std::exchange(yielded, nullptr));
  if (routine* r = take_newest()) drop_from_queue(*r);
  while (routine* r = take_early()) drop_from_queue(*r);
  while (routine* r = pop()) drop_from_queue(*r);
}

}  // namespace ringo::detail
