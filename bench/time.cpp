// Many timers at once.
#include <chrono>

#include "harness.hpp"

namespace {

using std::chrono::milliseconds;

ringo::task<> sleep_once(milliseconds length) { co_await ringo::sleep(length); }

ringo::task<> timers_sleep(bench::timing& timing) {
  constexpr int sleepers = 100'000;
  while (timing.next(sleepers)) {
    ringo::wait_group all;
    for (int i = 0; i < sleepers; ++i) all.go(sleep_once, milliseconds(1 + i % 100));
    co_await all.wait();
  }
}

}  // namespace

int main(int argc, char** argv) { return bench::measure(argc, argv, {{"timers_sleep", timers_sleep}}); }
