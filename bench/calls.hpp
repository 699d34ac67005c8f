// Single calls of the public API, each in a loop, on data that is there.
//
//   CALL(try_send_full) {
//     const channel<int> full(1);
//     full.try_send(1);
//     EACH { keep(full.try_send(1)); }
//   }
//
// After the name follows what is special about a call: allocates(n), at most so many blocks of memory each time, where
// it promises no more than that; in_kernel, so that its instructions say nothing, and only its time counts.
#pragma once
#include <vector>

#include "harness.hpp"

namespace bench {

struct call : named<workload> {
  double allocates = 0;
  bool in_kernel = false;
};
std::vector<call>& calls();

struct allocates {
  explicit allocates(double n) : most(n) {}
  void operator()(call& of) const { of.allocates = most; }
  double most;
};
inline constexpr auto in_kernel = [](call& of) { of.in_kernel = true; };

struct registered {
  template <class... Special>
  registered(std::string_view name, workload run, Special... special) {
    calls().push_back({{name, run}, 0, false});
    (special(calls().back()), ...);
  }
};

// The compiler has to make the value, though it is not used.
template <class T>
void keep(const T& value) {
  asm volatile("" : : "r"(&value) : "memory");
}

constexpr int batch = 1000;
inline ringo::task<bool> next_batch(timing& timing) {
  co_await ringo::yield();  // routines that a batch has started end before the next one, also with one worker
  co_return timing.next(batch);
}

}  // namespace bench

#define CALL(name, ...)                                                                 \
  ringo::task<> name(bench::timing& timing);                                            \
  const bench::registered name##_is_registered(#name, name __VA_OPT__(, ) __VA_ARGS__); \
  ringo::task<> name(bench::timing& timing)
// g++ 12 forgets the body of a coroutine that has a co_await in a condition, and no variable (docs/compilers.md).
#define BATCH for (bool more = true; (more = co_await bench::next_batch(timing));)
#define EACH BATCH for (int n = 0; n != bench::batch; ++n)
