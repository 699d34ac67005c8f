// The common part of all C++ benchmark programs, for each library: arguments, the clock, the output line.
//
//   program WORKLOAD [WORKERS [SECONDS]]     prints: workload workers ns_per_op ops cpu_ns_per_op
//   program WORKLOAD WORKERS Nx              does N batches without a warm-up; under callgrind (bench/count) it dumps
//   the
//                                            instructions of the last one, with the description "WORKLOAD operations"
//   program --all [WORKERS [SECONDS|Nx]]     does so with all its workloads, one after the other
//   program --list                           prints the names of its workloads, one a line
//   program --build                          prints the compiler and its options
//
// The workload `memory` prints bytes in place of ns_per_op. Workloads named late_... print delays in ns: the 50th
// percentile in place of ns_per_op, the 99th in place of cpu_ns_per_op, and the longest after these.
#pragma once

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#if __has_include(<valgrind/callgrind.h>)
#include <valgrind/callgrind.h>
#else
#define CALLGRIND_ZERO_STATS ((void)0)
#define CALLGRIND_DUMP_STATS_AT(description) ((void)(description))
#endif

namespace bench {

// How often this thread has called operator new, in a program that counts it.
inline thread_local std::uint64_t allocations = 0;

// `while (timing.next(n)) { n operations }` warms up, and then repeats a batch for at least the seconds that the
// argument says. A batch is a fixed amount of work, so each library does the same batches.
class timing {
 public:
  explicit timing(const char* seconds_or_batches, std::string_view workload = {})
      : workload_(workload), seconds_(std::atof(seconds_or_batches)) {
    if (counts(seconds_or_batches)) batches_ = std::atoi(seconds_or_batches);
  }
  static bool counts(std::string_view seconds_or_batches) { return seconds_or_batches.ends_with('x'); }

  bool next(std::uint64_t operations) {
    if (batches_ == 0) {
      allocations_ = static_cast<double>(allocations - allocated_) / static_cast<double>(last_);
      const std::string description = std::string(workload_) + ' ' + std::to_string(last_);
      CALLGRIND_DUMP_STATS_AT(description.c_str());
      return false;
    }
    if (batches_ > 0) {
      operations_ += last_ = operations;
      allocated_ = allocations;
      if (--batches_ == 0) CALLGRIND_ZERO_STATS;
      return true;
    }
    const auto now = clock::now();
    if (phase_ == phase::before) {
      phase_ = phase::warm_up;
      begin_ = now;
      return true;
    }
    if (phase_ == phase::warm_up) {
      if (now - begin_ < seconds_ / 5) return true;
      phase_ = phase::timed;
      cpu_begin_ = cpu_nanoseconds();
      begin_ = clock::now();
      return true;
    }
    operations_ += operations;
    const std::chrono::duration<double, std::nano> elapsed = now - begin_;
    if (elapsed < seconds_) return true;
    per_operation_ = elapsed.count() / static_cast<double>(operations_);
    cpu_per_operation_ = (cpu_nanoseconds() - cpu_begin_) / static_cast<double>(operations_);
    return false;
  }

  // In place of next(), for a workload that does not measure time.
  void measured(double per_operation, std::uint64_t operations) {
    per_operation_ = per_operation;
    operations_ = operations;
  }

  // In place of next(), for a workload that collects delays, in ns.
  std::chrono::duration<double> seconds() const { return seconds_; }
  void measured(std::vector<std::int64_t> delays) {
    expect(!delays.empty());
    std::sort(delays.begin(), delays.end());
    measured(static_cast<double>(delays[delays.size() / 2]), delays.size());
    cpu_per_operation_ = static_cast<double>(delays[delays.size() * 99 / 100]);
    longest_ = delays.back();
  }

  std::uint64_t operations() const { return operations_; }
  double allocations_per_operation() const { return allocations_; }  // of the last batch
  double per_operation() const { return per_operation_; }
  double cpu_per_operation() const { return cpu_per_operation_; }

  // Ends the program if the workload has computed a wrong result.
  void expect(bool right) const {
    if (right) return;
    std::fputs("wrong result\n", stderr);
    std::_Exit(1);
  }

  void print(std::string_view workload, unsigned workers) const {
    std::printf("%.*s %u %.3f %llu %.3f", static_cast<int>(workload.size()), workload.data(), workers, per_operation_,
                static_cast<unsigned long long>(operations_), cpu_per_operation_);
    if (longest_ >= 0) std::printf(" %lld", static_cast<long long>(longest_));
    std::puts("");
  }

 private:
  using clock = std::chrono::steady_clock;
  enum class phase { before, warm_up, timed };

  static double cpu_nanoseconds() {
    rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    const auto of = [](timeval t) {
      return static_cast<double>(t.tv_sec) * 1e9 + static_cast<double>(t.tv_usec) * 1e3;
    };
    return of(usage.ru_utime) + of(usage.ru_stime);
  }

  std::string_view workload_;
  std::chrono::duration<double> seconds_;
  int batches_ = -1;  // those to come, if they are counted
  std::uint64_t last_ = 0, allocated_ = 0;
  double allocations_ = 0;
  phase phase_ = phase::before;
  clock::time_point begin_;
  double cpu_begin_ = 0;
  std::uint64_t operations_ = 0;
  double per_operation_ = 0;
  double cpu_per_operation_ = 0;
  std::int64_t longest_ = -1;
};

inline double resident_bytes() {
  long total = 0;
  long resident = 0;
  if (std::FILE* file = std::fopen("/proc/self/statm", "r")) {
    if (std::fscanf(file, "%ld %ld", &total, &resident) != 2) resident = 0;
    std::fclose(file);
  }
  return static_cast<double>(resident) * static_cast<double>(sysconf(_SC_PAGESIZE));
}

template <class Workload>
struct named {
  std::string_view name;
  Workload workload;
};

// `start(workload, timing, workers)` runs a workload with the library that is measured.
template <class Workload, class Start>
int program(int argc, char** argv, std::span<const named<Workload>> workloads, Start start) {
  const std::string_view wanted = argc > 1 ? argv[1] : "";
  for (const auto& each : workloads) {
    if (wanted == "--list") std::printf("%.*s\n", static_cast<int>(each.name.size()), each.name.data());
    if (wanted != each.name && wanted != "--all") continue;
    const unsigned workers = argc > 2 ? static_cast<unsigned>(std::atoi(argv[2])) : 1;
    timing measure(argc > 3 ? argv[3] : "0.5", each.name);
    start(each.workload, measure, workers);
    measure.print(each.name, workers);
    if (wanted == each.name) return 0;
  }
  if (wanted == "--list" || wanted == "--all") return 0;
#ifdef BENCH_BUILD
  if (wanted == "--build") return std::puts(BENCH_BUILD) < 0;
#endif
  std::fprintf(stderr, "usage: %s WORKLOAD|--all|--list [WORKERS [SECONDS]]\n", argv[0]);
  return 2;
}
template <class Workload, class Start>
int program(int argc, char** argv, std::initializer_list<named<Workload>> workloads, Start start) {
  return program(argc, argv, std::span<const named<Workload>>(workloads.begin(), workloads.size()), start);
}

}  // namespace bench
