// once: one run, whoever comes first.
#include <doctest/doctest.h>

#include <atomic>
#include <ringo/ringo.hpp>
#include <stdexcept>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "every_scheduler.hpp"
#include "task_ending.hpp"

using namespace ringo;
using namespace std::chrono_literals;

TEST_CASE("The function runs once, and nobody's call returns before it is done (118, TestOnce)") {
  on_every_scheduler([]() -> task<> {
    once o;
    wait_group all;
    int runs = 0;
    bool finished = false;
    std::atomic<int> too_early = 0;
    for (int i = 0; i != 10; ++i) {
      all.go([&]() -> task<> {
        auto slow = [&]() -> task<> {
          ++runs;
          co_await yield();
          co_await yield();
          finished = true;
        };
        co_await o.call(slow);
        too_early += !finished;
      });
    }
    co_await all.wait();
    CHECK(runs == 1);
    CHECK(too_early == 0);
    CHECK(o.is_done());
  });
}

TEST_CASE("It takes a plain callable, one that returns a task or an operation, and a task") {
  on_every_scheduler([]() -> task<> {
    once plain, coroutine, operation, made;
    int sum = 0;
    co_await plain.call([&] { sum += 1; });
    co_await plain.call([&] { sum += 100; });
    auto body = [&]() -> task<int> {
      co_await yield();
      sum += 2;
      co_return 7;
    };
    co_await coroutine.call(body);
    channel<int> c(1);
    c.try_send(4);
    co_await operation.call([&] { return c.recv(); });
    CHECK(c.size() == 0);
    co_await made.call(body());
    CHECK(sum == 5);
    CHECK((plain.is_done() && coroutine.is_done() && operation.is_done() && made.is_done()));
  });
}

TEST_CASE("A function that throws has run: the first caller hears of it, and nobody else (119, TestOncePanic)") {
  on_every_scheduler([]() -> task<> {
    once o;
    std::atomic<int> runs = 0, threw = 0, returned = 0;
    wait_group all;
    for (int i = 0; i != 5; ++i) {
      all.go([&]() -> task<> {
        auto throws = [&]() -> task<> {
          ++runs;
          co_await yield();
          throw std::runtime_error("on purpose");
        };
        try {
          co_await o.call(throws);
          ++returned;
        } catch (const std::runtime_error&) {
          ++threw;
        }
      });
    }
    co_await all.wait();
    CHECK(runs == 1);
    CHECK(threw == 1);
    CHECK(returned == 4);
    CHECK(o.is_done());
    once p;
    CHECK_FALSE(p.is_done());
    try {
      co_await p.call([] { throw 1; });
    } catch (int) {
      ++threw;
    }
    CHECK(threw == 2);
    CHECK(p.is_done());
  });
}

TEST_CASE("A function whose routine is cancelled in it has not run: the next caller runs its own") {
  on_simulated_schedulers([]() -> task<> {
    once o;
    channel<void> never_sent;
    std::string ran;
    auto first = go([&]() -> task<> {
      auto waits = [&]() -> task<> {
        ran += "a";
        co_await never_sent.recv();
        ran += "b";
      };
      co_await o.call(waits);
    });
    co_await testing::settle();
    auto second = go([&]() -> task<> { co_await o.call([&] { ran += "c"; }); });
    co_await testing::settle();
    CHECK_FALSE(second.is_done());
    first.cancel();
    co_await second;
    const auto end = co_await ending_of(first);
    CHECK(end == ending::was_cancelled);
    CHECK(ran == "ac");
    CHECK(o.is_done());
  });
}

TEST_CASE("A caller that is cancelled while it waits leaves the run alone") {
  on_simulated_schedulers([]() -> task<> {
    once o;
    channel<void> gate;
    int runs = 0;
    const auto waits = [&]() -> task<> {
      co_await gate.recv();
      ++runs;
    };
    auto first = go([&]() -> task<> { co_await o.call(waits); });
    co_await testing::settle();
    auto second = go([&]() -> task<> { co_await o.call(waits); });
    auto third = go([&]() -> task<> { co_await o.call(waits); });
    co_await testing::settle();
    second.cancel();
    const auto end = co_await ending_of(second);
    CHECK(end == ending::was_cancelled);
    CHECK_FALSE(third.is_done());
    gate.close();
    co_await first;
    co_await third;
    CHECK(runs == 1);
  });
}

TEST_CASE("A cancelled routine's call ends with cancelled, though the run is done") {
  on_every_scheduler([]() -> task<> {
    once o;
    co_await o.call([] {});
    auto late = go([&]() -> task<> {
      for (;;) co_await o.call([] {});
    });
    late.cancel();
    const auto end = co_await ending_of(late);
    CHECK(end == ending::was_cancelled);
  });
}

TEST_CASE("A call is a case of a select: the loser has not run, or its run is cancelled") {
  on_simulated_schedulers([]() -> task<> {
    once o;
    const auto waits = []() -> task<> { co_await never(); };
    auto r = co_await select(o.call(waits), sleep(1s));
    CHECK(r.index() == 1);
    CHECK_FALSE(o.is_done());
    bool ran = false;
    co_await o.call([&] { ran = true; });
    CHECK(ran);
  });
}

TEST_CASE("A function that calls its own once is a deadlock that is reported (118, 160)") {
  on_each(every_scheduler(2), [&](const scheduler_under_test& scheduler) {
    bool reported = false;
    try {
      scheduler.run([]() -> task<> {
        once o;
        auto again = [&]() -> task<> { co_await o.call([] {}); };
        co_await o.call(again);
      });
    } catch (const deadlock&) {
      reported = true;
    }
    CHECK(reported);
  });
}

TEST_CASE("awaits that end at once make no task, but end their routine's turn as others do") {
  run(
      []() -> task<> {
        once o;
        co_await o.call([] {});
        channel<int> c(1);
        mutex m;
        condition changed;
        auto held = co_await m.lock();
        auto is_true = [frames = testing::live().frames] { return testing::live().frames == frames; };
        bool others_run = false;
        go([&others_run] { others_run = true; });
        int calls = 0;
        while (!others_run) {
          REQUIRE(++calls < 100'000);
          co_await o.call([] {});
          c.try_send(1);
          const auto within = co_await with_timeout(1h, c.recv());
          CHECK(within == 1);
          c.try_send(2);
          const auto of = co_await outcome(c.recv());
          CHECK(of.has_value());
          co_await shield(o.call([] {}));
        }
        co_await changed.wait(held, is_true);
      },
      {.workers = 1});
}
