// barrier: n routines wait for each other, again and again.
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
#include "task_ending.hpp"

using namespace ringo;
using namespace std::chrono_literals;

TEST_CASE("Nobody is in the next round before everybody has been in this one") {
  on_every_scheduler([]() -> task<> {
    constexpr std::size_t n = 5;
    barrier b(n);
    wait_group all;
    std::vector<int> round(n);
    std::atomic<int> ahead = 0;
    for (std::size_t i = 0; i != n; ++i) {
      all.go([&, i]() -> task<> {
        for (int k = 1; k <= 20; ++k) {
          round[i] = k;
          if (k % 3 == 0) co_await yield();
          co_await b.arrive_and_wait();
          for (int each : round) ahead += each != k;
          co_await b.arrive_and_wait();
        }
      });
    }
    co_await all.wait();
    CHECK(ahead == 0);
  });
}

TEST_CASE("A barrier of one holds nobody up, and one of none is refused") {
  on_every_scheduler([]() -> task<> {
    barrier one(1);
    for (int i = 0; i != 300; ++i) co_await one.arrive_and_wait();
    CHECK_THROWS_AS(barrier(0), std::logic_error);
    CHECK_THROWS_AS(barrier(static_cast<std::size_t>(-1)), std::logic_error);
  });
}

TEST_CASE("A cancelled arrival is taken back: another one must come") {
  on_simulated_schedulers([]() -> task<> {
    barrier b(3);
    std::vector<handle<>> arrived;
    for (int i = 0; i != 2; ++i) {
      arrived.push_back(go([&]() -> task<> { co_await b.arrive_and_wait(); }));
    }
    co_await testing::settle();
    arrived[0].cancel();
    auto too_few = co_await select(b.arrive_and_wait(), otherwise);  // before the cancelled routine has run
    CHECK(too_few.index() == 1);
    const auto end = co_await ending_of(arrived[0]);
    CHECK(end == ending::was_cancelled);
    auto still_too_few = co_await select(b.arrive_and_wait(), sleep(1s));
    CHECK(still_too_few.index() == 1);
    CHECK_FALSE(arrived[1].is_done());
    auto third = go([&]() -> task<> { co_await b.arrive_and_wait(); });
    co_await testing::settle();
    co_await b.arrive_and_wait();
    co_await third;
    co_await arrived[1];
  });
}

TEST_CASE("A cancel that comes when all have arrived finds the arrival made (D13)") {
  on_simulated_schedulers([]() -> task<> {
    barrier b(2);
    bool passed = false;
    auto first = go([&]() -> task<> {
      co_await b.arrive_and_wait();
      passed = true;
    });
    co_await testing::settle();
    co_await b.arrive_and_wait();
    first.cancel();
    (void)co_await ending_of(first);
    CHECK(passed);
  });
}

TEST_CASE("An arrival is a case: it counts only if it wins") {
  on_simulated_schedulers([]() -> task<> {
    barrier b(2);
    channel<int> other;
    auto selects = go([&]() -> task<int> {
      auto r = co_await select(other.recv(), b.arrive_and_wait());
      co_return static_cast<int>(r.index());
    });
    co_await testing::settle();
    CHECK(other.try_send(1));
    auto alone = co_await select(b.arrive_and_wait(), otherwise);
    CHECK(alone.index() == 1);
    const int lost = co_await selects;
    CHECK(lost == 0);
    auto again = go([&]() -> task<int> {
      auto r = co_await select(other.recv(), b.arrive_and_wait());
      co_return static_cast<int>(r.index());
    });
    co_await testing::settle();
    auto together = co_await select(b.arrive_and_wait(), otherwise);
    CHECK(together.index() == 0);
    const int won = co_await again;
    CHECK(won == 1);
  });
}

TEST_CASE("A select that names the barrier twice has arrived once") {
  on_simulated_schedulers([]() -> task<> {
    barrier b(3);
    auto twice = go([&]() -> task<> { co_await select(b.arrive_and_wait(), b.arrive_and_wait()); });
    co_await testing::settle();
    auto too_few = co_await select(b.arrive_and_wait(), otherwise);
    CHECK(too_few.index() == 1);
    auto second = go([&]() -> task<> { co_await b.arrive_and_wait(); });
    co_await testing::settle();
    co_await b.arrive_and_wait();
    co_await twice;
    co_await second;
  });
}

TEST_CASE("Routines that select over two barriers in either order pair up, and none is counted in both") {
  on_every_scheduler([]() -> task<> {
    barrier a(2), b(2);
    wait_group all;
    std::atomic<int> at_a = 0, at_b = 0;
    for (int i = 0; i != 4; ++i) {
      all.go([&, i]() -> task<> {
        for (int k = 0; k != 25; ++k) {
          bool is_a = false;
          if (i % 2) {
            auto r = co_await select(a.arrive_and_wait(), b.arrive_and_wait());
            is_a = r.index() == 0;
          } else {
            auto r = co_await select(b.arrive_and_wait(), a.arrive_and_wait());
            is_a = r.index() == 1;
          }
          ++(is_a ? at_a : at_b);
        }
      });
    }
    // Of four routines with as many turns each, one may be left alone at the end.
    all.go([&]() -> task<> {
      while (at_a + at_b < 100) {
        co_await select(a.arrive_and_wait(), otherwise);
        co_await select(b.arrive_and_wait(), otherwise);
        co_await yield();
      }
    });
    co_await all.wait();
    CHECK(at_a + at_b == 100);
  });
}

TEST_CASE("A barrier to which too few come is a deadlock whose report names it (160)") {
  on_each(every_scheduler(2), [&](const scheduler_under_test& scheduler) {
    std::string report;
    try {
      scheduler.run([]() -> task<> {
        barrier b(2);
        co_await b.arrive_and_wait();
      });
    } catch (const deadlock& e) {
      report = e.what();
    }
    CHECK(report.find("the others at barrier") != std::string::npos);
  });
}
