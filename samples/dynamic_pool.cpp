// A pool that grows while jobs pile up and shrinks while there are none. Whoever is idle is told to quit by a signal;
// a worker that is busy does not hear it before its job is done.
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

// Looks at the backlog once in a while. The only one who knows how many workers there are.
task<> scale(receiver<int> jobs, event& at_rest, group& workers) {
  channel<void> quit;
  for (int i = 0; i < min_workers; ++i) workers.go(worker, jobs, quit);

  int size = min_workers;
  ticker look(10ms);
  while (!jobs.drained()) {
    co_await look.tick();
    if (jobs.size() > 0 && size < max_workers) {
      workers.go(worker, jobs, quit);
      at_rest.reset();
      std::printf("%d workers: jobs are waiting\n", ++size);
    } else if (jobs.size() == 0 && size > min_workers && quit.try_send()) {
      // A rendezvous that does not wait: it takes place only if a worker is idle.
      std::printf("%d workers: one was idle\n", --size);
    }
    if (size == min_workers && jobs.size() == 0) at_rest.set();
  }
}

task<> pool(receiver<int> jobs, event& at_rest) {
  // The scope ends when the workers that remain have ended, too.
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
