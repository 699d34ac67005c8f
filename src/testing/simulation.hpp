// A simulation: N virtual workers on the calling thread, virtual time, and choices from a seed or from explore().
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <ringo/testing.hpp>

#include "driver/driver.hpp"
#include "runtime/choices.hpp"
#include "runtime/event_ring.hpp"
#include "testing/replay.hpp"

namespace ringo::detail {

class blocking_pool;
class runtime_core;
class scheduler;

class simulation final : public choices, public event_clock {
 public:
  simulation(const testing::sim_options& o, const testing::chooser* chooser);  // throws std::invalid_argument

  std::vector<std::unique_ptr<driver>> make_drivers();
  void run(runtime_core& rt) override;
  std::uint32_t choose(std::uint32_t n) override;
  std::uint32_t wanted_routine() const noexcept override { return replay_ ? replay_->wanted() : 0; }
  bool fails_allocation() noexcept override;
  const event_clock& clock() const noexcept override { return *this; }
  std::uint64_t ticks() const noexcept override {
    return static_cast<std::uint64_t>(now_.time_since_epoch().count()) << event_cell::time_shift;
  }
  bool in_blocking_call() const noexcept override { return in_blocking_call_; }
  void main_ends(runtime_core& rt) override;     // notes which routines outlive main
  void main_is_gone(runtime_core& rt) override;  // looks for leaks, if that is asked for
  void note_stubborn_await() noexcept override;

  testing::report report() const;
  ringo::hooks* hooks() noexcept { return replay_ ? &*replay_ : options_.hooks; }
  const std::string& leaks() const noexcept { return leaks_; }  // empty if there are none
  time_point now() const noexcept { return now_; }
  wait_queue settling;  // the routines that wait in settle()

 private:
  bool pass_time(runtime_core& rt);        // to the next deadline; false if there is none
  void wait_for_wanted(runtime_core& rt);  // the routine that the recording resumes next is not ready
  bool step(runtime_core& rt);             // false if no worker has a routine to run
  void run_blocking_call(blocking_pool& pool);
  void wake_settling(runtime_core& rt);
  void note(std::uint64_t what) noexcept;

  const testing::sim_options options_;
  const testing::chooser* choices_;
  std::optional<replay> replay_;
  std::uint64_t random_;
  std::vector<scheduler*> candidates_;  // the workers that can go on in this step
  std::uint64_t hash_ = 0xcbf29ce484222325;
  std::uint64_t steps_ = 0;
  std::uint64_t allocations_ = 0;
  int busyness_ = 0;  // since all routines waited
  bool throws_ = false;
  bool in_blocking_call_ = false;
  std::vector<std::string> outlived_main_;
  std::string leaks_;
  std::uintptr_t stack_ = 0;  // of run(): below it there are no frames of the program's between two steps
  time_point start_;
  time_point now_;
};

}  // namespace ringo::detail
