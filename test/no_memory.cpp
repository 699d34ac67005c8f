// Calls that allocate where there is no memory: each throws std::bad_alloc to its caller, and leaves what it was about
// as it was.
#include <doctest/doctest.h>

#include <atomic>
#include <cstdlib>
#include <new>
#include <ringo/ringo.hpp>
#include <sstream>
#include <thread>

using namespace ringo;
using namespace std::chrono_literals;

// How many allocations of this process still succeed, before one fails; negative: all do.
static std::atomic<int> until_one_fails = -1;
static thread_local bool may_fail = true;  // false: those of this thread all succeed, and are not counted

void* operator new(std::size_t size) {
  if (may_fail && until_one_fails.load() >= 0 && until_one_fails.fetch_sub(1) == 0) throw std::bad_alloc();
  if (void* const memory = std::malloc(size)) return memory;
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

// Calls f with the first allocation failing, then with the second, until f returns; how often it threw.
template <class F>
static int failures_of(F f) {
  for (int n = 0;; ++n) {
    until_one_fails = n;
    try {
      f();
      until_one_fails = -1;
      return n;
    } catch (const std::bad_alloc&) {
      until_one_fails = -1;
    }
  }
}

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
      while (rt.metrics().operations == 0) co_await yield();
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
      failures = failures_of([&] { rt.dump(to); });
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
        may_fail = false;                            // of the only worker's: the failure is for the thread that closes
        std::thread closes([&] { failures = failures_of([&] { c.close(); }); });
        const auto nothing = co_await c.recv();
        CHECK_FALSE(nothing);
        closes.join();
        may_fail = true;
      },
      with_workers(1));
  CHECK(failures > 0);
}
