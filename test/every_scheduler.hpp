// Runs a program on every kind of scheduler, real workers and simulations. The program must not see a difference.
//
//   on_every_scheduler(make_main)       1, 2, 4 and 8 workers, then simulations with 1 and 4 workers and some seeds
//   on_real_schedulers(make_main)       the real workers only: for programs with threads of their own
//   on_several_workers(make_main)       2, 4 and 8 workers
//   on_simulated_schedulers(make_main)  the simulations only: for programs that use settle() or virtual time
//   on_two_schedulers(make_main)        2 workers, and one simulation: for programs whose result no schedule alters
//   on_each(schedulers, use)            use(scheduler) calls scheduler.run(make_main): for programs that throw
//
// make_main takes nothing and returns a task<>. It stays alive while its program runs, so it may be a coroutine that
// captures. On real schedulers it may take the runtime, for its dump. After every run testing::live() must be what it
// was before. A failed check, on any thread, prints the scheduler first. RINGO_FIRST_SEED=7 makes seed 7 the first,
// RINGO_SEEDS_TIMES=10 makes the seeds ten times as many. RINGO_ONLY_SIMULATED=1 leaves out the real workers, and
// RINGO_ONLY_REAL=1 leaves out the simulations: where a run repeats another with a different driver, they would do the
// same again.
//
// A doctest macro wraps its argument in a lambda, so co_await cannot stand in it. Name the result first.
#pragma once

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <ringo/ringo.hpp>
#include <string>
#include <type_traits>
#include <vector>

// A count of rounds. RINGO_STRESS=100 makes it a hundred times as large.
inline std::size_t stressed(std::size_t count) {
  const char* factor = std::getenv("RINGO_STRESS");
  const auto times = factor ? std::strtoull(factor, nullptr, 10) : 1;
  return times > 1 ? count * static_cast<std::size_t>(times) : count;
}

class scheduler_under_test {
 public:
  static scheduler_under_test real(unsigned workers) { return {false, workers, 0}; }
  static scheduler_under_test simulated(unsigned workers, std::uint64_t seed) { return {true, workers, seed}; }

  bool is_simulated() const { return simulated_; }
  unsigned workers() const { return workers_; }
  std::uint64_t seed() const { return seed_; }
  std::string name() const {
    const auto count = std::to_string(workers_) + (workers_ == 1 ? " worker" : " workers");
    return simulated_ ? "simulation with " + count + ", seed " + std::to_string(seed_) : count;
  }

  // Checks that the program left nothing behind, then rethrows its exception.
  template <class F>
  void run(F&& make_main) const {
    current() = name();
    const auto before = ringo::testing::live();
    try {
      start(make_main);
    } catch (...) {
      check_nothing_is_left_since(before);
      throw;
    }
    check_nothing_is_left_since(before);
  }

  // The name of the scheduler that runs now, or ran last. Empty before the first run of a test case.
  static std::string& current() {
    static std::string name;
    return name;
  }

 private:
  scheduler_under_test(bool simulated, unsigned workers, std::uint64_t seed)
      : simulated_(simulated), workers_(workers), seed_(seed) {}

  template <class F>
  void start(F& make_main) const {
    ringo::runtime_options how;
    how.workers = workers_;
    if constexpr (std::is_invocable_v<F&, ringo::runtime&>) {
      ringo::runtime rt(how);
      rt.run([&]() -> ringo::task<> { return make_main(rt); });
    } else {
      auto main = [&make_main]() -> ringo::task<> { return make_main(); };
      if (simulated_) {
        ringo::testing::sim_options simulation;
        simulation.workers = workers_;
        simulation.seed = seed_;
        ringo::testing::simulate(simulation, main);
      } else {
        ringo::run(main, how);
      }
    }
  }

  static void check_nothing_is_left_since(const ringo::testing::counts& before) {
    const auto after = ringo::testing::live();
    CHECK(after.frames == before.frames);
    CHECK(after.routines == before.routines);
    CHECK(after.timers == before.timers);
    CHECK(after.operations == before.operations);
  }

  bool simulated_;
  unsigned workers_;
  std::uint64_t seed_;
};

// doctest's INFO belongs to one thread, but a routine moves between threads.
class scheduler_namer final : public doctest::IReporter {
 public:
  explicit scheduler_namer(const doctest::ContextOptions&) {}
  void report_query(const doctest::QueryData&) override {}
  void test_run_start() override {}
  void test_run_end(const doctest::TestRunStats&) override {}
  void test_case_start(const doctest::TestCaseData&) override { scheduler_under_test::current().clear(); }
  void test_case_reenter(const doctest::TestCaseData&) override {}
  void test_case_end(const doctest::CurrentTestCaseStats&) override {}
  void test_case_exception(const doctest::TestCaseException&) override { name(); }
  void subcase_start(const doctest::SubcaseSignature&) override {}
  void subcase_end() override {}
  void log_assert(const doctest::AssertData& assertion) override {
    if (assertion.m_failed) name();
  }
  void log_message(const doctest::MessageData&) override {}
  void test_case_skipped(const doctest::TestCaseData&) override {}

 private:
  static void name() {
    const auto& current = scheduler_under_test::current();
    if (!current.empty()) std::cout << "  on a scheduler with: " << current << std::endl;
  }
};
DOCTEST_REGISTER_LISTENER("scheduler_namer", 1, scheduler_namer);

inline std::vector<scheduler_under_test> real_schedulers() {
  std::vector<scheduler_under_test> all;
  if (std::getenv("RINGO_ONLY_SIMULATED")) return all;
  for (unsigned workers : {1u, 2u, 4u, 8u}) all.push_back(scheduler_under_test::real(workers));
  return all;
}

inline std::vector<scheduler_under_test> simulated_schedulers(std::size_t seeds = 10) {
  const char* first_seed = std::getenv("RINGO_FIRST_SEED");
  const std::uint64_t first = first_seed ? std::strtoull(first_seed, nullptr, 10) : 0;
  if (const char* times = std::getenv("RINGO_SEEDS_TIMES")) seeds *= std::strtoull(times, nullptr, 10);
  std::vector<scheduler_under_test> all;
  if (std::getenv("RINGO_ONLY_REAL")) return all;
  for (unsigned workers : {1u, 4u}) {
    for (std::size_t i = 0; i != seeds; ++i) all.push_back(scheduler_under_test::simulated(workers, first + i));
  }
  return all;
}

inline std::vector<scheduler_under_test> every_scheduler(std::size_t seeds = 10) {
  auto all = real_schedulers();
  for (const auto& one : simulated_schedulers(seeds)) all.push_back(one);
  return all;
}

template <class Use>
void on_each(const std::vector<scheduler_under_test>& schedulers, Use use) {
  for (const auto& scheduler : schedulers) use(scheduler);
}

// Large programs pass a small number of seeds.
template <class F>
void on_every_scheduler(F make_main, std::size_t seeds = 10) {
  for (const auto& scheduler : every_scheduler(seeds)) scheduler.run(make_main);
}

template <class F>
void on_two_schedulers(F make_main) {
  for (const auto& scheduler : real_schedulers()) {
    if (scheduler.workers() == 2) scheduler.run(make_main);
  }
  for (const auto& scheduler : simulated_schedulers(1)) {
    if (scheduler.workers() == 4) scheduler.run(make_main);
  }
}

template <class F>
void on_real_schedulers(F make_main) {
  for (const auto& scheduler : real_schedulers()) scheduler.run(make_main);
}

template <class F>
void on_several_workers(F make_main) {
  for (const auto& scheduler : real_schedulers()) {
    if (scheduler.workers() > 1) scheduler.run(make_main);
  }
}

template <class F>
void on_simulated_schedulers(F make_main, std::size_t seeds = 10) {
  for (const auto& scheduler : simulated_schedulers(seeds)) scheduler.run(make_main);
}
