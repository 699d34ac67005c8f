// A worker pool that closes its results channel when the last worker has ended. So main can receive until the end,
// without knowing the number of results.
#include <chrono>
#include <cstdio>

#include <ringo/ringo.hpp>

using namespace ringo;
using namespace std::chrono_literals;

task<> worker(int id, receiver<int> jobs, sender<int> results) {
  while (auto job = co_await jobs.recv()) {
    co_await sleep(100ms);
    std::printf("worker %d did job %d\n", id, *job);
    co_await results.send(*job * *job);
  }
}

task<> hand_out(int count, sender<int> jobs) {
  for (int job = 1; job <= count; ++job) co_await jobs.send(job);
  jobs.close();
}

task<> program() {
  channel<int> jobs;
  channel<int> results;
  go(hand_out, 9, jobs);

  wait_group workers;
  for (int id = 1; id <= 3; ++id) workers.go(worker, id, jobs, results);

  // A routine of its own does this: main must receive in the meantime, or the workers could not send.
  go([&workers, results]() -> task<> {
    co_await workers.wait();
    results.close();
  });

  int sum = 0;
  while (auto result = co_await results.recv()) {
    std::printf("result %d\n", *result);
    sum += *result;
  }
  std::printf("all workers are done, sum %d\n", sum);
}

int main() { run(program); }
