// A hash over all simulations of a test case: over every choice of the scheduler and every move of the clock. A change
// that should alter no schedule must not alter a hash; test/traces compares them.
//
// The linker redirects the calls of simulate() and explore() to here (--wrap). With RINGO_TRACES=FILE, each test case
// that simulates writes one line into the file: the hash, the number of simulations, and the name of the test case.
#pragma once
#include <doctest/doctest.h>

#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ringo/testing.hpp>

#include "quiet_listener.hpp"

class trace_ledger final : public quiet_listener {
 public:
  explicit trace_ledger(const doctest::ContextOptions&) {}
  void test_case_start(const doctest::TestCaseData& data) override {
    name_ = data.m_name;
    folded() = {};
  }
  void test_case_end(const doctest::CurrentTestCaseStats&) override {
    const char* path = std::getenv("RINGO_TRACES");
    if (path == nullptr || folded().simulations == 0) return;
    if (std::FILE* file = std::fopen(path, has_written_ ? "a" : "w")) {
      has_written_ = true;
      std::fprintf(file, "%016" PRIx64 " %" PRIu64 " %s\n", folded().hash, folded().simulations, name_);
      std::fclose(file);
    }
  }

  static void note(std::uint64_t number, std::uint64_t simulations) {
    folded().hash = (folded().hash ^ number) * 0x9e3779b97f4a7c15;
    folded().hash ^= folded().hash >> 32;
    folded().simulations += simulations;
  }

 private:
  struct sums {
    std::uint64_t hash = 0, simulations = 0;
  };
  static sums& folded() {
    static thread_local sums one;  // a simulation runs on the thread that calls for it
    return one;
  }

  const char* name_ = "";
  bool has_written_ = false;
};

// ringo::detail::simulate and ringo::testing::explore, by their linker names.
#define RINGO_SIMULATE "_ZN5ringo6detail8simulateERKNS_7testing11sim_optionsEPKSt8functionIFjjEERNS0_7routineE"
#define RINGO_EXPLORE "_ZN5ringo7testing7exploreERKSt8functionIFNS_4taskIvEEvEEmj"

ringo::testing::report real_simulate(const ringo::testing::sim_options&, const ringo::testing::chooser*,
                                     ringo::detail::routine&) __asm__("__real_" RINGO_SIMULATE);
ringo::testing::report wrapped_simulate(const ringo::testing::sim_options&, const ringo::testing::chooser*,
                                        ringo::detail::routine&) __asm__("__wrap_" RINGO_SIMULATE);
ringo::testing::exploration real_explore(const std::function<ringo::task<>()>&, std::uint64_t,
                                         unsigned) __asm__("__real_" RINGO_EXPLORE);
ringo::testing::exploration wrapped_explore(const std::function<ringo::task<>()>&, std::uint64_t,
                                            unsigned) __asm__("__wrap_" RINGO_EXPLORE);

ringo::testing::report wrapped_simulate(const ringo::testing::sim_options& o, const ringo::testing::chooser* choices,
                                        ringo::detail::routine& main) {
  const ringo::testing::report came_to = real_simulate(o, choices, main);
  trace_ledger::note(came_to.trace_hash, 1);
  trace_ledger::note(came_to.steps, 0);
  return came_to;
}
ringo::testing::exploration wrapped_explore(const std::function<ringo::task<>()>& make_main, std::uint64_t most,
                                            unsigned workers) {
  const ringo::testing::exploration seen = real_explore(make_main, most, workers);
  trace_ledger::note(seen.runs, seen.runs);
  return seen;
}
