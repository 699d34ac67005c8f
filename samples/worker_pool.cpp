// A pool of three workers does five jobs of one second each: that takes two seconds, not five.
#include <chrono>
#include <cstdio>

#include <ringo/ringo.hpp>

using namespace ringo;
using namespace std::chrono_literals;

task<> worker(int id, receiver<int> jobs, sender<int> results) {
  while (auto job = co_await jobs.recv()) {
    std::printf("worker %d started  job %d\n", id, *job);
    co_await sleep(1s);
    std::printf("worker %d finished job %d\n", id, *job);
    co_await results.send(*job * 2);
  }
}

task<> program() {
  const auto start = now();
  channel<int> jobs(5);
  channel<int> results(5);
  for (int id = 1; id <= 3; ++id) go(worker, id, jobs, results);

  for (int job = 1; job <= 5; ++job) co_await jobs.send(job);
  jobs.close();

  for (int i = 1; i <= 5; ++i) {
    auto result = co_await results.recv();
    std::printf("result %d\n", *result);
  }
  const std::chrono::duration<double> elapsed = now() - start;
  std::printf("5 jobs of a second each took %.2f s\n", elapsed.count());
}

int main() { run(program); }
