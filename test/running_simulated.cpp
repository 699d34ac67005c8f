// Simulations: the same seed gives the same run, another seed another, and settle() waits until everybody else is
// blocked.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <ringo/ringo.hpp>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "every_scheduler.hpp"
#include "task_ending.hpp"

using namespace ringo;
using namespace std::chrono_literals;

namespace {

// A program with many choices: who runs next, which case of a select, which of several timers of one instant.
task<> busy_program() {
  channel<int> a, b(2);
  wait_group all;
  for (int i = 0; i != 4; ++i) {
    all.go([a, b, i]() -> task<> {
      for (int k = 0; k != 5; ++k) {
        co_await select(a.send(i), b.send(k));
        if (k % 2) co_await sleep(1ms);
      }
    });
  }
  all.go([a, b]() -> task<> {
    for (int k = 0; k != 20; ++k) co_await select(a.recv(), b.recv());
  });
  co_await all.wait();
}

// The order in which routines that are ready at once come to run.
std::vector<int> order_under(std::uint64_t seed, unsigned workers, int routines) {
  std::vector<int> order;
  testing::simulate({.seed = seed, .workers = workers}, [&order, routines]() -> task<> {
    wait_group all;
    for (int i = 0; i != routines; ++i) {
      all.go([&order, i] { order.push_back(i); });
    }
    co_await all.wait();
  });
  return order;
}

}  // namespace

TEST_CASE("The same seed gives the same run: the same trace, steps and time") {
  for (unsigned workers : {1u, 2u, 4u}) {
    for (std::uint64_t seed : {0u, 1u, 2u, 77u}) {
      const auto first = testing::simulate({.seed = seed, .workers = workers}, busy_program());
      // Where things lie in memory must have no influence.
      std::vector<std::unique_ptr<char[]>> elsewhere;
      for (std::size_t i = 1; i != 40; ++i) elsewhere.push_back(std::make_unique<char[]>(i * 24));
      const auto second = testing::simulate({.seed = seed, .workers = workers}, busy_program());
      CHECK(first.trace_hash == second.trace_hash);
      CHECK(first.steps == second.steps);
      CHECK(first.elapsed == second.elapsed);
      CHECK(first.steps > 0);
    }
  }
}

TEST_CASE("Different seeds give different runs") {
  for (unsigned workers : {1u, 4u}) {
    std::set<std::uint64_t> hashes;
    for (std::uint64_t seed = 0; seed != 32; ++seed) {
      hashes.insert(testing::simulate({.seed = seed, .workers = workers}, busy_program()).trace_hash);
    }
    CHECK(hashes.size() >= 30);
  }
}

TEST_CASE("The trace tells programs apart") {
  const auto one = testing::simulate({.seed = 5}, []() -> task<> { co_await sleep(1s); });
  const auto other = testing::simulate({.seed = 5}, []() -> task<> { co_await sleep(2s); });
  CHECK(one.trace_hash != other.trace_hash);
}

TEST_CASE("The seed chooses among the ready routines of a worker: every order comes up") {
  for (unsigned workers : {1u, 2u}) {
    std::set<std::vector<int>> orders;
    for (std::uint64_t seed = 0; seed != 300; ++seed) orders.insert(order_under(seed, workers, 3));
    CHECK(orders.size() == 6);
  }
}

TEST_CASE("The same seed gives the same order") {
  for (std::uint64_t seed = 0; seed != 10; ++seed) CHECK(order_under(seed, 4, 8) == order_under(seed, 4, 8));
}

TEST_CASE("The seed chooses among the ready cases of a select, and among timers of one instant (D22)") {
  std::set<std::size_t> cases, timers;
  for (std::uint64_t seed = 0; seed != 60; ++seed) {
    testing::simulate({.seed = seed}, [&]() -> task<> {
      channel<void> a, b, c;
      for (const auto& each : {a, b, c}) each.close();
      auto r = co_await select(a.recv(), b.recv(), c.recv());
      cases.insert(r.index());
      timer x(1s), y(1s);
      auto s = co_await select(x.wait(), y.wait());
      timers.insert(s.index());
    });
  }
  CHECK(cases == std::set<std::size_t>{0, 1, 2});
  CHECK(timers == std::set<std::size_t>{0, 1});
}

TEST_CASE("simulate throws what main throws, and unwinds the others") {
  auto alive = std::make_shared<int>(1);
  bool threw = false;
  try {
    testing::simulate({.seed = 1, .workers = 2}, [alive]() -> task<> {
      go([alive]() -> task<> { co_await never(); });
      co_await sleep(1s);
      throw std::runtime_error("from main");
    });
  } catch (const std::runtime_error&) {
    threw = true;
  }
  CHECK(threw);
  CHECK(alive.use_count() == 1);
}

TEST_CASE("simulate throws deadlock where run would, and what is left is unwound") {
  auto alive = std::make_shared<int>(1);
  for (unsigned workers : {1u, 4u}) {
    auto program = [alive]() -> task<> {
      channel<int> c;
      go([alive, c]() -> task<> { co_await c.send(1); });
      co_await never();
    };
    CHECK_THROWS_AS(testing::simulate({.seed = 1, .workers = workers}, program), deadlock);
  }
  CHECK(alive.use_count() == 1);
}

TEST_CASE("simulate runs on the calling thread, whatever its number of workers") {
  const auto caller = std::this_thread::get_id();
  int elsewhere = 0;
  testing::simulate({.seed = 3, .workers = 8}, [&]() -> task<> {
    wait_group all;
    for (int i = 0; i != 50; ++i) {
      all.go([&]() -> task<> {
        elsewhere += std::this_thread::get_id() != caller;
        co_await yield();
        elsewhere += std::this_thread::get_id() != caller;
      });
    }
    co_await all.wait();
  });
  CHECK(elsewhere == 0);
}

TEST_CASE("settle waits until every other routine waits for another") {
  on_simulated_schedulers([]() -> task<> {
    channel<int> c;
    int steps = 0;
    for (int i = 0; i != 5; ++i) {
      go([c, &steps]() -> task<> {
        for (int k = 0; k != 20; ++k) {
          ++steps;
          co_await yield();
        }
        co_await c.send(1);
      });
    }
    co_await testing::settle();
    CHECK(steps == 100);
    const auto first = co_await c.recv();
    CHECK(first == 1);
    go([c, &steps]() -> task<> {
      const auto value = co_await c.recv();
      steps += value.value();
    });
    co_await testing::settle();
    CHECK(steps == 101);
    // Three senders still wait: their routines outlive main with a reference to its local, and are let go before it
    // ends.
    for (int i = 0; i != 3; ++i) co_await c.recv();
  });
}

TEST_CASE("settle does not wait for who waits for time, and does not move the clock") {
  on_simulated_schedulers([]() -> task<> {
    const auto start = now();
    bool woken = false;
    auto sleeper = go([&woken]() -> task<> {
      co_await sleep(1s);
      woken = true;
    });
    for (int i = 0; i != 3; ++i) co_await testing::settle();
    CHECK(now() == start);
    CHECK_FALSE(woken);
    co_await sleeper;
    CHECK(now() == start + 1s);
  });
}

TEST_CASE("settle returns at once when there is nobody else") {
  on_simulated_schedulers([]() -> task<> {
    const auto start = now();
    for (int i = 0; i != 10; ++i) co_await testing::settle();
    CHECK(now() == start);
  });
}

TEST_CASE("settle outside of a simulation is a logic_error") {
  on_real_schedulers([]() -> task<> {
    bool threw = false;
    try {
      co_await testing::settle();
    } catch (const std::logic_error&) {
      threw = true;
    }
    CHECK(threw);
  });
}

TEST_CASE("A year of ticks and sleeps takes no time, and is counted exactly") {
  const auto report = testing::simulate({.seed = 2, .workers = 2}, []() -> task<> {
    const auto start = now();
    ticker days(std::chrono::hours(24));
    for (int i = 0; i != 365; ++i) co_await days.tick();
    CHECK(now() == start + std::chrono::days(365));
  });
  CHECK(report.elapsed == std::chrono::days(365));
}

TEST_CASE("A simulation that has nothing to wait for takes no virtual time") {
  const auto report = testing::simulate({.seed = 9}, []() -> task<> {
    for (int i = 0; i != 100; ++i) co_await yield();
  });
  CHECK(report.elapsed == 0ns);
}

TEST_CASE("A simulation leaves nothing behind") {
  const auto before = testing::live();
  for (std::uint64_t seed = 0; seed != 5; ++seed) {
    testing::simulate({.seed = seed, .workers = 3}, []() -> task<> {
      channel<int> c;
      for (int i = 0; i != 10; ++i) {
        go([c, i]() -> task<> {
          while (true) {
            co_await select(c.send(i), c.recv(), sleep(1ms));
            co_await sleep(std::chrono::microseconds(100 * i + 50));
          }
        });
      }
      co_await sleep(10ms);
    });
    const auto after = testing::live();
    CHECK(after.frames == before.frames);
    CHECK(after.routines == before.routines);
    CHECK(after.timers == before.timers);
    CHECK(after.operations == before.operations);
  }
}
