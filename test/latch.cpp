// latch: a counter that goes down to zero once.
#include <doctest/doctest.h>

#include <atomic>
#include <cstddef>
#include <memory>
#include <ringo/ringo.hpp>
#include <stdexcept>
#include <string>
#include <variant>
#include <vector>

#include "every_scheduler.hpp"
#include "reached.hpp"
#include "task_ending.hpp"

using namespace ringo;
using namespace std::chrono_literals;

TEST_CASE("wait returns when the counter is at zero, and wakes all who wait (106)") {
  on_every_scheduler([]() -> task<> {
    constexpr std::size_t n = 8;
    latch ready(n), gone(n);
    std::atomic<std::size_t> before = 0;
    std::vector<int> plain(n);
    for (std::size_t i = 0; i != n; ++i) {
      go([&, i]() -> task<> {
        plain[i] = 1;
        ready.count_down();
        co_await ready.wait();
        int sum = 0;
        for (int each : plain) sum += each;
        before += sum == n;
        gone.count_down();
      });
    }
    co_await gone.wait();
    CHECK(before == n);
    co_await ready.wait();
  });
}

TEST_CASE("It counts down by any number, not below zero, and a latch of zero is open (103)") {
  on_every_scheduler([]() -> task<> {
    latch l(5);
    l.count_down(3);
    CHECK_THROWS_AS(l.count_down(3), std::logic_error);
    auto shut = co_await select(l.wait(), otherwise);
    CHECK(shut.index() == 1);
    l.count_down(0);
    l.count_down(2);
    auto open = co_await select(l.wait(), otherwise);
    CHECK(open.index() == 0);
    CHECK_THROWS_AS(l.count_down(), std::logic_error);
    latch none(0);
    co_await none.wait();
    CHECK_THROWS_AS(latch(static_cast<std::size_t>(-1)), std::logic_error);
  });
}

TEST_CASE("A wait that is cancelled or loses a select changes nothing (77)") {
  on_simulated_schedulers([]() -> task<> {
    latch l(1);
    auto lost = co_await select(l.wait(), sleep(1s));
    CHECK(lost.index() == 1);
    auto impatient = go([&]() -> task<> { co_await l.wait(); });
    co_await testing::settle();
    impatient.cancel();
    const auto end = co_await ending_of(impatient);
    CHECK(end == ending::was_cancelled);
    l.count_down();
    co_await l.wait();
  });
}

TEST_CASE("A latch may die as soon as its wait returns (109)") {
  const auto rounds = stressed(300);
  on_every_scheduler(
      [rounds]() -> task<> {
        for (std::size_t i = 0; i != rounds; ++i) {
          auto l = std::make_unique<latch>(2);
          for (int k = 0; k != 2; ++k) go([&l = *l] { l.count_down(); });
          co_await l->wait();
          l.reset();
        }
        reached("each latch goes while the last count_down may still return");
      },
      3);
}

TEST_CASE("A latch that nobody counts down is a deadlock whose report names the wait (160)") {
  on_each(every_scheduler(2), [&](const scheduler_under_test& scheduler) {
    std::string report;
    try {
      scheduler.run([]() -> task<> {
        latch l(1);
        co_await l.wait();
      });
    } catch (const deadlock& e) {
      report = e.what();
    }
    CHECK(report.find("waits for latch") != std::string::npos);
  });
}
