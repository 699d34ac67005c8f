// main() of a program that measures ringo.
//
//   program WORKLOAD WORKERS Nx events     prints: workload workers ops, and the scheduler's counts of resumes, stolen
//                                          routines, failed attempts to steal, sleeps, wake-ups
#pragma once

#include <initializer_list>
#include <span>

#include <ringo/ringo.hpp>

#include "timing.hpp"

namespace bench {

using workload = ringo::task<> (*)(timing&);

inline int measure(int argc, char** argv, std::span<const named<workload>> workloads) {
  const bool wants_events = argc > 4 && std::string_view(argv[4]) == "events";
  return program(argc, argv, workloads, [=](workload run, timing& timing, unsigned workers) {
    ringo::runtime_options options;
    options.workers = workers;
    ringo::runtime runtime(options);
    runtime.run(run(timing));
    if (!wants_events) return;
    const auto counted = runtime.metrics();
    std::printf("%s %u %llu", argv[1], workers, static_cast<unsigned long long>(timing.operations()));
    for (const std::uint64_t each :
         {counted.resumes, counted.steals, counted.steals_failed, counted.parks, counted.wakes_sent}) {
      std::printf(" %llu", static_cast<unsigned long long>(each));
    }
    std::puts("");
    std::exit(0);
  });
}
inline int measure(int argc, char** argv, std::initializer_list<named<workload>> workloads) {
  return measure(argc, argv, std::span<const named<workload>>(workloads.begin(), workloads.size()));
}

}  // namespace bench
