// A pool that grows while jobs pile up and shrinks while there are none. Whoever is idle is told to quit by a signal;
// a worker that is busy does not hear it before its job is done.
#include <atomic>
#include <chrono>
#include <cstdio>

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

// Looks after the backlog, and reports each new number of workers.
task<> scale(receiver<int> jobs, sender<int> sizes, group& workers) {
  channel<void> quit;
  for (int i = 0; i < min_workers; ++i) workers.go(worker, jobs, quit);

  int size = min_workers;
  ticker look(10ms);
  while (!jobs.drained()) {
    co_await look.tick();
    if (jobs.size() > 0 && size < max_workers) {
      workers.go(worker, jobs, quit);
      co_await sizes.send(++size);
    } else if (jobs.size() == 0 && size > min_workers && quit.try_send()) {
      // A rendezvous that does not wait: it takes place only if a worker is idle.
      co_await sizes.send(--size);
    }
  }
}

task<> pool(receiver<int> jobs, sender<int> sizes) {
  co_await scope([&](group& workers) { return scale(jobs, sizes, workers); });  // and waits for the workers that remain
}

task<> hand_out(int count, sender<int> jobs) {
  for (int job = 1; job <= count; ++job) co_await jobs.send(job);
}

task<> program() {
  channel<int> jobs(8);
  channel<int> sizes;
  handle<> ended = go(pool, jobs, sizes);
  handle<> burst = go(hand_out, 60, jobs);

  std::printf("%d workers\n", min_workers);
  int size = min_workers;
  do {
    const int before = size;
    size = *co_await sizes.recv();
    std::printf("%d workers: one %s\n", size, size > before ? "more, jobs are waiting" : "less, it was idle");
  } while (size > min_workers);

  co_await burst;
  jobs.close();
  co_await ended;
  std::printf("%d jobs done\n", jobs_done.load());
}

int main() { run(program); }
