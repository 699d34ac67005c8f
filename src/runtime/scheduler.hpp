// A worker's own part of the scheduler: its loop, queue, timers and driver.
#pragma once
#include <sys/types.h>

#include <memory>

#include <ringo/detail/timer_queue.hpp>
#include <ringo/detail/worker.hpp>

#include "driver/driver.hpp"
#include "runtime/kernel_operation.hpp"
#include "runtime/roster.hpp"

namespace ringo::detail {

// What a worker does, in rounds: a turn of at most `turn_length` resumes from the queue, fewer when they take long
// while timers run, then timers, driver, posts and the global queue once; and when there is nothing to run, stealing,
// then sleep (runtime_core.hpp tells why no wake-up is lost).
//
// Order: run_next first, so that a routine and the one it wakes stay on a warm cache; but only `most_handovers` times
// in a row, so that a pair handing to each other does not starve the queue. Then the queue, first in first out. Woken
// routines go into run_next, and new ones where there is one worker; new ones otherwise, expired timers and routines
// whose budget is spent go to the end of the queue.
class scheduler final : public worker {
 public:
  static constexpr int turn_length = 64;
  static constexpr duration long_turn = std::chrono::microseconds(200);
  static constexpr int timers_a_turn = 1024;
  static constexpr std::int64_t few_timers = 64;
  static constexpr duration timer_slack = std::chrono::microseconds(100);  // with more than a few timers
  static constexpr std::int64_t many_timers = 10'000;
  static constexpr duration long_timer_slack = std::chrono::microseconds(500);  // with that many

  scheduler(runtime_core& rt, std::uint64_t runtime_id, unsigned index, bool shared, bool simulated, std::uint64_t seed,
            std::unique_ptr<driver> d);

  void run() noexcept;  // in the worker's thread, until the runtime is done
  void resume(routine& r) noexcept;
  routine* take() noexcept;         // the next to run, or null
  routine* take_random() noexcept;  // in a simulation
  void end_turn();
  bool find_work() noexcept;  // from the global queue or another worker

  std::uint32_t queued() const noexcept {  // in the owner's thread
    return tail_.load(std::memory_order_relaxed) - head_.load(std::memory_order_relaxed);
  }
  bool has_work() const noexcept { return run_next != nullptr || !queue_empty(); }
  bool queue_empty() const noexcept {
    return head_.load(std::memory_order_acquire) == tail_.load(std::memory_order_acquire);
  }
  std::uint32_t steal_into(scheduler& thief) noexcept;  // half of the queue; how many
  void discard_queue() noexcept;
  void wake() noexcept { driver_->wake(); }
  void expire_timers(time_point now);
  void become_current() noexcept;
  void end_early_soon(kernel_operation& one) noexcept;  // from other workers
  // Ends early what other workers have asked for; without its driver when its thread has ended, and nothing is left to
  // be ended.
  void end_those_asked_for(bool with_driver) noexcept;
  void finish_operations() noexcept;  // when the loop has ended, in the worker's thread

  const unsigned index;
  timer_queue timers;
  roster routines;
  std::unique_ptr<driver> driver_;
  pid_t thread = 0;
  scheduler* idle_next = nullptr;  // in the runtime's list of idle workers
  bool idle_listed = false;

 private:
  friend class worker;
  routine* pop() noexcept;
  void idle();
  void resume_specially(routine& r) noexcept;
  void finish(routine& r) noexcept;
  [[gnu::noinline]] void end_joined(routine& r) noexcept;

  int turn_length_ = turn_length;
  time_point turn_end_{};
  std::atomic<kernel_operation*> to_end_ = nullptr;
};

// Its frames are gone: it runs under its context no more.
void leave_context(routine& r, bool shared) noexcept;

inline scheduler& scheduler_of(worker& w) noexcept { return static_cast<scheduler&>(w); }

}  // namespace ringo::detail
