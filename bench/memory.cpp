// What a blocked routine costs.
#include <atomic>

#include "harness.hpp"

namespace {

std::atomic<int> arrived{0};

ringo::task<> block_on(ringo::receiver<int> never_sent) {
  arrived.fetch_add(1, std::memory_order_relaxed);
  co_await never_sent.recv();
}

ringo::task<> memory(bench::timing& timing) {
  constexpr int tasks = 1'000'000;
  ringo::channel<int> never_sent;
  const double before = bench::resident_bytes();
  for (int i = 0; i < tasks; ++i) ringo::go(block_on, never_sent);
  while (arrived.load(std::memory_order_relaxed) < tasks) co_await ringo::yield();
  timing.measured((bench::resident_bytes() - before) / tasks, tasks);
  never_sent.close();
}

}  // namespace

int main(int argc, char** argv) { return bench::measure(argc, argv, {{"memory", memory}}); }
