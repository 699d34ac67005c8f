// main() of a program that measures ringo.
#pragma once

#include <initializer_list>

#include <ringo/ringo.hpp>

#include "timing.hpp"

namespace bench {

using workload = ringo::task<> (*)(timing&);

inline int measure(int argc, char** argv, std::initializer_list<named<workload>> workloads) {
  return program(argc, argv, workloads, [](workload run, timing& timing, unsigned workers) {
    ringo::options options;
    options.workers = workers;
    ringo::run(run(timing), options);
  });
}

}  // namespace bench
