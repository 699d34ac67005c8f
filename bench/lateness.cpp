// How late other routines are beside a routine that computes for 50 ms at a time, and beside a run queue that is never
// empty.
#include <chrono>
#include <functional>
#include <utility>
#include <vector>

#include "harness.hpp"

namespace {

using namespace std::chrono_literals;
using clock = std::chrono::steady_clock;
using delays = std::vector<std::int64_t>;
using std::chrono::nanoseconds;

ringo::task<> compute(clock::time_point end) {
  while (clock::now() < end) {
    const auto until = clock::now() + 50ms;
    while (clock::now() < until) {
    }
    co_await ringo::yield();
  }
}

ringo::task<> sleep_often(clock::time_point end, delays& late) {
  for (;;) {
    const auto due = clock::now() + 1ms;
    if (due >= end) co_return;
    co_await ringo::sleep(1ms);
    late.push_back(nanoseconds(clock::now() - due).count());
  }
}

ringo::task<> answer(ringo::unix_stream s) {
  while (auto byte = co_await s.recv()) co_await s.send(*byte);
}

ringo::task<> ask(ringo::unix_stream s, clock::time_point end, delays& took) {
  for (auto begin = clock::now(); begin < end; begin = clock::now()) {
    co_await s.send("x");
    co_await s.recv();
    took.push_back(nanoseconds(clock::now() - begin).count());
  }
}

void report(bench::timing& timing, const std::vector<delays>& of_each) {
  delays all;
  for (const delays& each : of_each) all.insert(all.end(), each.begin(), each.end());
  timing.measured(std::move(all));
}

clock::time_point end_of(const bench::timing& timing) {
  return clock::now() + std::chrono::duration_cast<nanoseconds>(timing.seconds());
}

ringo::task<> late_timers(bench::timing& timing) {
  std::vector<delays> of_each(100);
  const auto end = end_of(timing);
  ringo::wait_group all;
  for (delays& late : of_each) all.go(sleep_often, end, std::ref(late));
  all.go(compute, end);
  co_await all.wait();
  report(timing, of_each);
}

ringo::task<> yield_often(clock::time_point end) {
  while (clock::now() < end) {
    const auto until = clock::now() + 250us;
    while (clock::now() < until) {
    }
    co_await ringo::yield();
  }
}

ringo::task<> late_ticks(bench::timing& timing) {
  std::vector<delays> late(1);
  const auto end = end_of(timing);
  ringo::wait_group all;
  for (int i = 0; i != 16; ++i) all.go(yield_often, end);
  ringo::ticker ticks(1ms);
  while (clock::now() < end) {
    const auto due = co_await ticks.tick();
    late.front().push_back(nanoseconds(clock::now() - due).count());
  }
  co_await all.wait();
  report(timing, late);
}

ringo::task<> late_echo(bench::timing& timing) {
  std::vector<delays> of_each(20);
  const auto end = end_of(timing);
  ringo::wait_group all;
  for (delays& took : of_each) {
    auto ends = ringo::unix_stream::pair();
    all.go(answer, std::move(ends.first));
    all.go(ask, std::move(ends.second), end, std::ref(took));
  }
  all.go(compute, end);
  co_await all.wait();
  report(timing, of_each);
}

}  // namespace

int main(int argc, char** argv) {
  return bench::measure(argc, argv,
                        {{"late_timers", late_timers}, {"late_echo", late_echo}, {"late_ticks", late_ticks}});
}
