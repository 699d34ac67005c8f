// A pool that works until its context's time is up: five seconds, or as many as the argument says. The jobs never end.
// When the context is cancelled, each wait of each routine under it ends, and no further job is begun.
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>

#include <ringo/ringo.hpp>

using namespace ringo;
using namespace std::chrono_literals;

using seconds = std::chrono::duration<double>;

std::atomic<int> jobs_done = 0;

task<> hand_out(sender<int> jobs) {
  for (int job = 1;; ++job) co_await jobs.send(job);
}

// A worker in Go would select on ctx.Done() in each of its three waits. Here the context ends each of them.
task<> worker(int id, receiver<int> jobs, sender<int> results) {
  try {
    while (auto job = co_await jobs.recv()) {
      co_await sleep(50ms);
      ++jobs_done;
      co_await results.send(*job * 2);
    }
  } catch (const cancelled&) {
    std::printf("worker %d: cancelled\n", id);
    throw;
  }
}

task<> count(receiver<int> results) {
  for (int n = 1; co_await results.recv(); ++n) {
    if (n % 10 == 0) std::printf("%d results\n", n);
  }
}

task<> program(seconds patience) {
  const context limited = context::with_timeout(patience);
  channel<int> jobs;
  channel<int> results;
  group pool(limited);
  pool.go(hand_out, jobs);
  pool.go(count, results);
  for (int id = 1; id <= 3; ++id) pool.go(worker, id, jobs, results);

  const auto start = now();
  try {
    co_await pool.wait();
  } catch (const cancelled&) {
    // The group's context was cancelled: its cause says why.
  }
  const seconds elapsed = now() - start;
  try {
    std::rethrow_exception(limited.cause());
  } catch (const timed_out&) {
    std::printf("time is up: %d jobs done in %.1f s, all routines have returned\n", jobs_done.load(), elapsed.count());
  }
}

int main(int argc, char** argv) {
  const seconds patience(argc > 1 ? std::atof(argv[1]) : 5);
  run(program(patience));
}
