// runtime::current: what is given to a thread or a callback, so that it can start routines.
#include <doctest/doctest.h>

#include <optional>
#include <ringo/ringo.hpp>
#include <stdexcept>
#include <thread>

#include "every_scheduler.hpp"

using namespace ringo;
using namespace std::chrono_literals;

TEST_CASE("A thread starts a routine in the runtime that a routine has given it") {
  on_real_schedulers([]() -> task<> {
    completion<int> c;
    std::thread starts([here = runtime::current(), set = c.setter()] {
      CHECK_FALSE(here.is_done());
      here.go([set]() -> task<> {
        co_await yield();
        set.set_value(4);
      });
    });
    const int got = co_await c;
    CHECK(got == 4);
    starts.join();
    auto h = runtime::current().go([](int n) -> task<int> { co_return n; }, 5);
    const int joined = co_await h;
    CHECK(joined == 5);
  });
}

TEST_CASE("A call of blocking knows its runtime") {
  on_every_scheduler([]() -> task<> {
    channel<int> ch;
    const auto call = [ch] { runtime::current().go([ch]() -> task<> { co_await ch.send(6); }); };
    auto called = blocking(call);
    co_await called;
    const auto got = co_await ch.recv();
    CHECK(got == 6);
  });
}

TEST_CASE("It may be kept when the runtime has ended: go throws std::logic_error then, stop does nothing") {
  std::optional<runtime_ref> kept;
  run([&]() -> task<> {
    kept = runtime::current();
    co_return;
  });
  CHECK(kept->is_done());
  CHECK_THROWS_AS(kept->go([]() -> task<> { co_return; }), std::logic_error);
  kept->stop();
}

TEST_CASE("stop cancels main") {
  std::thread stops;
  CHECK_THROWS_AS(run([&]() -> task<> {
                    stops = std::thread([here = runtime::current()] { here.stop(); });
                    co_await sleep(1h);
                  }),
                  cancelled);
  stops.join();
}

TEST_CASE("On a thread that is no worker there is none: std::logic_error") {
  CHECK_THROWS_AS((void)runtime::current(), std::logic_error);
}
