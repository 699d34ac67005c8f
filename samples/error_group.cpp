// A pool that ends with the first error: its routines are one group (Go: errgroup), which cancels all others when one
// of them fails. So the routine that hands out jobs ends, too, and no routine is left in a send without a receiver.
#include <cstdio>
#include <exception>
#include <stdexcept>
#include <string>

#include <ringo/ringo.hpp>

using namespace ringo;

int process(int job) {
  if (job == 100) throw std::runtime_error("job 100 cannot be done");
  return job * job;
}

task<> hand_out(sender<int> jobs) {
  for (int job = 1;; ++job) co_await jobs.send(job);
}

task<> worker(receiver<int> jobs, sender<int> results) {
  while (auto job = co_await jobs.recv()) co_await results.send(process(*job));
}

task<> program() {
  channel<int> jobs;
  channel<int> results;
  group pool;
  pool.go(hand_out, jobs);
  for (int i = 0; i < 3; ++i) pool.go(worker, jobs, results);

  // When all routines of the pool have ended, the results channel is closed with the pool's error.
  go([&pool, results]() -> task<> {
    auto end = co_await outcome(pool.wait());
    results.close(end.error());
  });

  int count = 0;
  try {
    while (auto result = co_await results.recv()) ++count;
  } catch (const std::exception& error) {
    std::printf("results: %d\nthen: %s\n", count, error.what());
  }
}

int main() { run(program); }
