// Calls that allocate where there is no memory: each throws std::bad_alloc to its caller, and leaves what it was about
// as it was.
#include <doctest/doctest.h>

#include <atomic>
#include <ringo/ringo.hpp>
#include <sstream>
#include <thread>

#include "process_counts.hpp"
#include "refused_memory.hpp"
#include "states.hpp"

using namespace ringo;
using namespace std::chrono_literals;

static runtime_options with_workers(unsigned workers) {
  runtime_options o;
  o.workers = workers;
  return o;
}

TEST_CASE("A dump for which there is no memory lets go of the routine that it was about to describe") {
  for (const unsigned workers : {1u, 2u}) {
    runtime rt(with_workers(workers));
    std::ostringstream to;
    int failures = 0;
    rt.run([&]() -> task<> {
      const channel<int> c;
      auto waits = go([c]() -> task<int> { co_return *co_await c.recv(); });
      co_await until_parked("waits for receive on");
      failures = failures_of([&] { rt.dump(to); });
      co_await c.send(1);  // claims the wait
      const int value = co_await waits;
      CHECK(value == 1);
    });
    CHECK(failures > 0);
  }
}

TEST_CASE("A dump from a thread that is no worker, for which there is no memory, throws in that thread") {
  runtime rt(with_workers(1));
  std::ostringstream to;
  int failures = 0;
  rt.run([&]() -> task<> {
    completion<int> done;
    std::thread asks([&, setter = done.setter()] {
      failures = failures_of([&] { rt.dump(to); }, allocations_of::all_threads);  // a worker makes it
      setter.set_value(1);
    });
    const int value = co_await done;
    CHECK(value == 1);
    asks.join();
  });
  CHECK(failures > 0);
}

TEST_CASE("A close from another thread, for which there is no memory, can be tried again") {
  int failures = 0;
  run(
      [&]() -> task<> {
        const channel<int> c;
        (void)co_await select(c.recv(), otherwise);  // it belongs to this runtime now
        std::thread closes([&] { failures = failures_of([&] { c.close(); }); });
        const auto nothing = co_await c.recv();
        CHECK_FALSE(nothing);
        closes.join();
      },
      with_workers(1));
  CHECK(failures > 0);
}

TEST_CASE("A run for which there is no memory throws that, and leaves nothing") {
  for (const unsigned workers : {1u, 4u}) {
    const auto descriptors = open_descriptors();
    const auto before = testing::live();
    std::atomic<int> begun = 0;
    const int failures = failures_of([&] {
      run(
          [&]() -> task<> {
            ++begun;
            co_await yield();
          },
          with_workers(workers));
    });
    CHECK(failures > 3);
    CHECK(begun == 1);
    CHECK(testing::live() == before);
    CHECK(open_descriptors() == descriptors);
  }
}
