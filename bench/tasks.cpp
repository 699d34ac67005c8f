// Routines: to start, join and yield; a tree of a million routines; a pool.
#include <cstdint>

#include "harness.hpp"

namespace {

using ringo::channel;
using ringo::receiver;
using ringo::sender;
using ringo::task;

task<> trivial() { co_return; }

task<> spawn_join(bench::timing& timing) {
  constexpr int tasks = 100'000;
  while (timing.next(tasks)) {
    for (int started = 0; started < tasks; started += 1000) {
      ringo::wait_group batch;
      for (int i = 0; i < 1000; ++i) batch.go(trivial);
      co_await batch.wait();
    }
  }
}

task<> tree(sender<std::int64_t> parent, std::int64_t first, std::int64_t leaves) {
  if (leaves == 1) {
    co_await parent.send(first);
    co_return;
  }
  channel<std::int64_t> sums;
  const std::int64_t below = leaves / 10;
  for (int i = 0; i < 10; ++i) ringo::go(tree, sums, first + i * below, below);
  std::int64_t sum = 0;
  for (int i = 0; i < 10; ++i) {
    const auto part = co_await sums.recv();
    sum += *part;
  }
  co_await parent.send(sum);
}

task<> skynet(bench::timing& timing) {
  constexpr std::int64_t leaves = 1'000'000;
  while (timing.next(1)) {
    channel<std::int64_t> root;
    ringo::go(tree, root, 0, leaves);
    const auto sum = co_await root.recv();
    timing.expect(*sum == leaves * (leaves - 1) / 2);
  }
}

task<> yield_often(int times) {
  for (int i = 0; i < times; ++i) co_await ringo::yield();
}

task<> yield(bench::timing& timing) {
  constexpr int yields = 400'000;
  while (timing.next(yields)) {
    ringo::wait_group both;
    both.go(yield_often, yields / 2);
    both.go(yield_often, yields / 2);
    co_await both.wait();
  }
}

task<> work(receiver<int> jobs, sender<int> results) {
  while (auto job = co_await jobs.recv()) co_await results.send(*job * 2);
}

task<> hand_out(sender<int> jobs, int count) {
  for (int i = 0; i < count; ++i) co_await jobs.send(i);
  jobs.close();
}

task<> worker_pool(bench::timing& timing) {
  constexpr int count = 200'000;
  while (timing.next(count)) {
    channel<int> jobs(128);
    channel<int> results(128);
    for (int i = 0; i < 4; ++i) ringo::go(work, jobs, results);
    ringo::go(hand_out, jobs, count);
    std::int64_t sum = 0;
    for (int i = 0; i < count; ++i) {
      const auto result = co_await results.recv();
      sum += *result;
    }
    timing.expect(sum == std::int64_t{count} * (count - 1));
  }
}

}  // namespace

int main(int argc, char** argv) {
  return bench::measure(
      argc, argv, {{"spawn_join", spawn_join}, {"skynet", skynet}, {"yield", yield}, {"worker_pool", worker_pool}});
}
