// ticker: ticks at start + k * period, at most one pending.
#include <doctest/doctest.h>

#include <chrono>
#include <optional>
#include <ringo/ringo.hpp>
#include <stdexcept>
#include <variant>

#include "every_scheduler.hpp"

using namespace ringo;
using namespace std::chrono_literals;

TEST_CASE("A ticker ticks at its start plus whole periods (97)") {
  on_simulated_schedulers([]() -> task<> {
    const auto start = now();
    ticker t(10ms);
    for (int i = 1; i <= 100; ++i) {
      const auto due = co_await t.tick();
      CHECK(due == start + i * 10ms);
      CHECK(now() == due);
    }
  });
}

TEST_CASE("What a reader does between ticks does not shift them (97)") {
  on_simulated_schedulers([]() -> task<> {
    const auto start = now();
    ticker t(10ms);
    for (int i = 1; i <= 20; ++i) {
      const auto due = co_await t.tick();
      CHECK(due == start + i * 10ms);
      co_await sleep(std::chrono::milliseconds(i % 10));
    }
  });
}

TEST_CASE("A slow reader misses ticks, finds at most one pending, and gets the next one in phase (96, 97)") {
  on_simulated_schedulers([]() -> task<> {
    const auto start = now();
    ticker t(10ms);
    co_await sleep(55ms);
    const auto pending = co_await t.tick();
    CHECK(now() == start + 55ms);
    CHECK(pending > start);
    CHECK(pending <= now());
    CHECK((pending - start) % 10ms == 0ms);
    auto more = co_await select(t.tick(), otherwise);
    CHECK(more.index() == 1);
    const auto next = co_await t.tick();
    CHECK(next == start + 60ms);
    CHECK(now() == start + 60ms);
    const auto after = co_await t.tick();
    CHECK(after == start + 70ms);
  });
}

TEST_CASE("However long a reader was away, there is one tick and no burst (96)") {
  on_simulated_schedulers([]() -> task<> {
    ticker t(10ms);
    for (int i = 0; i != 30; ++i) {
      co_await sleep(i * 37ms + 11ms + 1ns);
      int ticks = 0;
      for (bool more = true; more;) {
        auto r = co_await select(t.tick(), otherwise);
        more = r.index() == 0;
        ticks += more;
      }
      CHECK(ticks == 1);
    }
  });
}

TEST_CASE("A ticker's period must be positive (95)") {
  on_simulated_schedulers([]() -> task<> {
    CHECK_THROWS_AS(ticker(0s), std::invalid_argument);
    CHECK_THROWS_AS(ticker(-1s), std::invalid_argument);
    ticker t(1s);
    CHECK_THROWS_AS(t.reset(0s), std::invalid_argument);
    CHECK_THROWS_AS(t.reset(-1s), std::invalid_argument);
    const auto start = now();
    const auto due = co_await t.tick();
    CHECK(due == start + 1s);
  });
}

TEST_CASE("reset gives a new period, counted from now, and drops a pending tick (98)") {
  on_simulated_schedulers([]() -> task<> {
    const auto start = now();
    ticker t(10s);
    co_await t.tick();
    co_await sleep(3s);
    t.reset(1s);
    const auto first = co_await t.tick();
    CHECK(first == start + 14s);
    const auto second = co_await t.tick();
    CHECK(second == start + 15s);
    co_await sleep(2500ms);
    t.reset(1h);
    auto stale = co_await select(t.tick(), otherwise);
    CHECK(stale.index() == 1);
    const auto third = co_await t.tick();
    CHECK(third == start + 17s + 500ms + 1h);
  });
}

TEST_CASE("A stopped ticker ticks no more, also not with what was pending, and its readers go on waiting (98)") {
  on_simulated_schedulers([]() -> task<> {
    ticker t(10ms);
    co_await sleep(35ms);
    t.stop();
    auto pending = co_await select(t.tick(), otherwise);
    CHECK(pending.index() == 1);
    auto later = co_await select(t.tick(), sleep(1h));
    CHECK(later.index() == 1);
    t.stop();
  });
}

TEST_CASE("A stopped ticker can be reset, and ticks again (98)") {
  on_simulated_schedulers([]() -> task<> {
    ticker t(10ms);
    co_await t.tick();
    t.stop();
    co_await sleep(1s);
    const auto start = now();
    t.reset(5ms);
    const auto due = co_await t.tick();
    CHECK(due == start + 5ms);
  });
}

TEST_CASE("reset wakes who waits already at the new time (98)") {
  on_simulated_schedulers([]() -> task<> {
    const auto start = now();
    ticker t(1h);
    auto waiting = go([&t]() -> task<time_point> { co_return co_await t.tick(); });
    co_await testing::settle();
    t.reset(1s);
    const auto due = co_await waiting;
    CHECK(due == start + 1s);
  });
}

TEST_CASE("A tick that loses a select is still pending (77)") {
  on_simulated_schedulers([]() -> task<> {
    const auto start = now();
    ticker t(2s);
    auto r = co_await select(t.tick(), sleep(1s));
    CHECK(r.index() == 1);
    co_await sleep(2s);
    auto s = co_await select(prefer_first, never(), t.tick());
    REQUIRE(s.index() == 1);
    CHECK(std::get<1>(s) == start + 2s);
  });
}

TEST_CASE("Two tickers in one select keep their own phases (97)") {
  on_simulated_schedulers([]() -> task<> {
    const auto start = now();
    ticker fast(2s), slow(5s);
    int fast_ticks = 0, slow_ticks = 0;
    // A third alarm, between the others' ticks, ends the loop.
    timer alarm(19s + 500ms);
    for (bool running = true; running;) {
      co_await select(on(fast.tick(), [&](time_point due) { CHECK(due == start + ++fast_ticks * 2s); }),
                      on(slow.tick(), [&](time_point due) { CHECK(due == start + ++slow_ticks * 5s); }),
                      on(alarm.wait(), [&](time_point) { running = false; }));
    }
    CHECK(fast_ticks == 9);
    CHECK(slow_ticks == 3);
  });
}

TEST_CASE("A ticker may be destroyed while it ticks, and leaves nothing (99)") {
  on_every_scheduler([]() -> task<> {
    const auto before = testing::live();
    for (int i = 0; i != 50; ++i) {
      ticker t(std::chrono::microseconds(1 + i));
      co_await t.tick();
      if (i % 2) co_await t.tick();
    }
    CHECK(testing::live().timers == before.timers);
  });
}

TEST_CASE("A ticker on real workers never ticks early, and its times grow (82, 97)") {
  on_real_schedulers([]() -> task<> {
    const auto start = now();
    ticker t(200us);
    auto latest = start;
    for (int i = 0; i != 20; ++i) {
      const auto due = co_await t.tick();
      CHECK(std::chrono::steady_clock::now() >= due);
      CHECK(due >= latest + 200us);
      latest = due;
    }
  });
}
