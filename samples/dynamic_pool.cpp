// A pool that grows while jobs wait, and shrinks while there are none. A signal on a channel tells an idle worker to
// quit; a busy worker ends its job first.
#include <atomic>
#include <chrono>
#include <cstdio>
#include <functional>

#include <ringo/ringo.hpp>

using namespace ringo;
using namespace std::chrono_literals;

constexpr int min_workers = 2;
constexpr int max_workers = 6;

std::atomic<int> jobs_done = 0;

task<> worker(receiver<int> jobs, receiver<void> quit) {
  for (;;) {
    auto ready = co_await select(quit.recv(), jobs.recv());
    if (ready.index() == 0) co_return;
    if (!std::get<1>(ready)) co_return;  // the jobs are closed and drained
    co_await sleep(50ms);
    ++jobs_done;
  }
}

// Looks at the number of waiting jobs every 10 ms. Only this routine starts workers and tells them to quit.
task<> scale(receiver<int> jobs, event& at_rest, group& workers) {
  channel<void> quit;
  for (int i = 0; i < min_workers; ++i) workers.go(worker, jobs, quit);

  int size = min_workers;
  ticker look(10ms);
  while (!jobs.is_drained()) {
    co_await look.tick();
    if (jobs.size() > 0 && size < max_workers) {
      workers.go(worker, jobs, quit);
      at_rest.reset();
      std::printf("%d workers: jobs are waiting\n", ++size);
    } else if (jobs.size() == 0 && size > min_workers && quit.try_send()) {
      // A send without waiting on a channel without capacity succeeds only if a worker is idle.
      std::printf("%d workers: one was idle\n", --size);
    }
    if (size == min_workers && jobs.size() == 0) at_rest.set();
  }
}

task<> pool(receiver<int> jobs, event& at_rest) {
  // The scope ends when the last worker has ended.
  co_await scope([&](group& workers) -> task<> { co_await scale(jobs, at_rest, workers); });
}

task<> program() {
  channel<int> jobs(8);
  event at_rest;
  handle<> ended = go(pool, jobs, std::ref(at_rest));

  for (int job = 1; job <= 60; ++job) co_await jobs.send(job);
  co_await at_rest.wait();
  jobs.close();
  co_await ended;
  std::printf("%d jobs done\n", jobs_done.load());
}

int main() { run(program); }
