// Tests of one's own program: simulations, in which time is virtual and a seed makes every choice of the scheduler.
//
//   ringo::testing::simulate({.seed = 7, .workers = 2}, [] { return my_program(); });
#pragma once
#include <ringo/detail/cpp20.hpp>

#include <cstddef>
#include <cstdint>
#include <source_location>
#include <string>
#include <string_view>
#include <vector>

#include <ringo/detail/library.hpp>
#include <ringo/go.hpp>

namespace ringo {
class hooks;
struct recording;
}  // namespace ringo

namespace ringo::testing {

struct sim_options {
  std::uint64_t seed = 0;
  unsigned workers = 1;               // virtual: all run on the calling thread
  std::uint64_t fail_allocation = 0;  // the n-th frame that the program allocates fails with std::bad_alloc; 0: none
  std::size_t recorder = 0;           // as of ringo::runtime_options, in virtual time
  ringo::hooks* hooks = nullptr;      // as of ringo::runtime_options
  // Routines run in the order of this recording, which must begin with the program's start, as far as that is possible:
  // until the next one of the recording is not ready, and cannot become so by time or a blocking call. From then on,
  // the seed chooses. With 1 worker.
  const ringo::recording* replay = nullptr;
  // Whether simulate() throws std::runtime_error, with a list, if main returns and leaves routines that nothing could
  // have woken (leaks.hpp says what is found). The search reads all memory of the process: milliseconds for each run.
  bool fail_on_leaks = false;
  std::function<void(std::string_view)> on_warning = {};  // as of ringo::runtime_options
};

/// What is alive in this process: coroutine frames, routines that have not ended, armed timers, and operations that the
/// kernel or a pool works on.
struct counts {
  std::size_t frames, routines, timers, operations;
  friend bool operator==(const counts&, const counts&) = default;
};

struct report {
  std::uint64_t trace_hash;          // a hash of all choices and all moves of the clock: equal for equal runs
  std::uint64_t steps;               // resumes
  std::chrono::nanoseconds elapsed;  // virtual time
  std::uint64_t followed;            // the first so many resumes were those of sim_options::replay
  // The routines that had not ended when main did, newest first: what each waited for, where, and where it was started.
  // In a real run they would have gone on while main's objects were destroyed.
  std::vector<std::string> outlived_main;
};

/// Makes a simulation's choices: returns a number below n.
using chooser = std::function<std::uint32_t(std::uint32_t n)>;

}  // namespace ringo::testing

namespace ringo::detail {

void refuse_simulation_inside_routine();
testing::report simulate(const testing::sim_options& o, const testing::chooser* chooser, routine& main);

class RINGO_AWAITABLE settle_operation final : public queued_operation<settle_operation, void> {
 public:
  static constexpr const char* call_name = "settle";
  settle_operation() noexcept {}
  void enter(worker* w);
  spin_lock* lock() noexcept { return nullptr; }
  wait_queue& queue() noexcept;
  bool ready(worker&) noexcept { return false; }
  void append_to(wait_report& text) const { text += call_name; }

 private:
  wait_queue* queue_ = nullptr;
};

}  // namespace ringo::detail

namespace ringo::testing {

/// Runs a program on the calling thread. Virtual workers run the real scheduler; the seed picks the worker that goes on
/// and the ready routine that it runs; and the clock moves to the next deadline only when all routines wait. The same
/// seed gives the same run. Throws what main throws, and deadlock as run() does.
template <class F>
requires detail::startable<F>
report simulate(sim_options o, F&& main, std::source_location where = std::source_location::current()) {
  detail::refuse_simulation_inside_routine();
  auto* r = detail::make_routine(std::forward<F>(main));
  auto h = detail::handle_access::make(r);
  r->started = where;
  const report result = detail::simulate(o, nullptr, *r);
  h.join().take();
  return result;
}

template <class F>
requires detail::mistaken_start<F>
report simulate(const sim_options&, F&&) {
  constexpr detail::start_of<F> the;
  static_assert(the.task_is_moved, RINGO_SAY_MOVE_TASK);
  static_assert(the.argument_is_copied_or_moved, RINGO_SAY_MOVE);
  static_assert(the.reference_is_wrapped && the.function_and_arguments_match, RINGO_SAY_RUN);
  return {};
}

/// What an exploration has done.
struct exploration {
  std::uint64_t runs;
  bool complete;  // every sequence of choices has been run
};

/// Runs the program with every sequence of choices, depth first, and at most `most` of them: for programs of a few
/// routines with a few operations each. It calls make_main for each run. If a run throws, the exploration ends with a
/// std::runtime_error that tells the error and the choices.
exploration explore(const std::function<task<>()>& make_main, std::uint64_t most = 1'000'000, unsigned workers = 1);

/// Waits until every other routine waits for another one or for time. Throws std::logic_error outside of simulations.
inline detail::settle_operation settle() noexcept { return {}; }

counts live();  ///< Thread: any.

}  // namespace ringo::testing
