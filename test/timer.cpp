// timer: wait, stop and reset, as Go's timers have been since 1.23.
#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <ringo/ringo.hpp>
#include <stdexcept>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "dice.hpp"
#include "every_scheduler.hpp"
#include "reached.hpp"
#include "task_ending.hpp"

using namespace ringo;
using namespace std::chrono_literals;

namespace {

// Whether the timer has a value that can be received now.
task<bool> is_ready(timer& t) {
  auto r = co_await select(t.wait(), otherwise);
  co_return r.index() == 0;
}

}  // namespace

TEST_CASE("A timer yields the time at which it was due (90)") {
  on_simulated_schedulers([]() -> task<> {
    const auto start = now();
    timer t(1s);
    const auto due = co_await t.wait();
    CHECK(due == start + 1s);
    CHECK(now() == start + 1s);
  });
}

TEST_CASE("A timer's value is the time at which it was due, however late it is received (90)") {
  on_simulated_schedulers([]() -> task<> {
    const auto start = now();
    timer t(1s);
    co_await sleep(1h);
    const auto due = co_await t.wait();
    CHECK(due == start + 1s);
    CHECK(now() == start + 1h);
  });
}

TEST_CASE("A timer fires once: its value is received once (86)") {
  on_simulated_schedulers([]() -> task<> {
    timer t(1s);
    co_await t.wait();
    auto r = co_await select(t.wait(), sleep(1h));
    CHECK(r.index() == 1);
  });
}

TEST_CASE("A timer's value goes to one of several who wait (52)") {
  on_simulated_schedulers([]() -> task<> {
    timer t(1s);
    int received = 0;
    std::vector<handle<void>> waiting;
    for (int i = 0; i != 3; ++i) {
      waiting.push_back(go([&t, &received]() -> task<> {
        auto r = co_await select(t.wait(), sleep(1h));
        received += r.index() == 0;
      }));
    }
    for (auto& each : waiting) co_await each;
    CHECK(received == 1);
  });
}

TEST_CASE("A timer is polled without waiting (88)") {
  on_simulated_schedulers([]() -> task<> {
    timer t(1s);
    const bool before = co_await is_ready(t);
    CHECK_FALSE(before);
    co_await sleep(1s + 1ns);
    const bool after = co_await is_ready(t);
    CHECK(after);
    const bool again = co_await is_ready(t);
    CHECK_FALSE(again);
  });
}

TEST_CASE("stop is true if it prevented the value, and a second stop is false (86)") {
  on_simulated_schedulers([]() -> task<> {
    timer t(1s);
    CHECK(t.stop());
    CHECK_FALSE(t.stop());
    auto r = co_await select(t.wait(), sleep(1h));
    CHECK(r.index() == 1);
  });
}

TEST_CASE("stop of a timer whose value was received is false (86)") {
  on_simulated_schedulers([]() -> task<> {
    timer t(1s);
    co_await t.wait();
    CHECK_FALSE(t.stop());
  });
}

TEST_CASE("stop of an expired timer whose value nobody has received is true, and the value is gone (87)") {
  on_simulated_schedulers([]() -> task<> {
    timer t(1s);
    co_await sleep(2s);
    CHECK(t.stop());
    const bool ready = co_await is_ready(t);
    CHECK_FALSE(ready);
    CHECK_FALSE(t.stop());
    auto r = co_await select(t.wait(), sleep(1h));
    CHECK(r.index() == 1);
  });
}

TEST_CASE("A stopped timer does not wake who waits on it, as its channel is not closed (86)") {
  on_simulated_schedulers([]() -> task<> {
    timer t(1s);
    auto waiting = go([&t]() -> task<std::size_t> {
      auto r = co_await select(t.wait(), sleep(1h));
      co_return r.index();
    });
    co_await testing::settle();
    CHECK(t.stop());
    const auto index = co_await waiting;
    CHECK(index == 1);
  });
}

TEST_CASE(
    "reset of a running timer is true, and the old deadline is forgotten, whether the new one is later or sooner "
    "(89)") {
  on_simulated_schedulers([]() -> task<> {
    const auto start = now();
    timer t(2s);
    co_await sleep(1s);
    CHECK(t.reset(3s));
    const auto later = co_await t.wait();
    CHECK(later == start + 4s);
    CHECK(now() == start + 4s);

    CHECK_FALSE(t.reset(1h));
    CHECK(t.reset(1s));
    const auto sooner = co_await t.wait();
    CHECK(sooner == start + 5s);
    auto r = co_await select(t.wait(), sleep(2h));
    CHECK(r.index() == 1);
  });
}

TEST_CASE("reset of a timer whose value was received, or that was stopped, is false, and it runs again (89)") {
  on_simulated_schedulers([]() -> task<> {
    const auto start = now();
    timer t(1s);
    co_await t.wait();
    CHECK_FALSE(t.reset(1s));
    const auto second = co_await t.wait();
    CHECK(second == start + 2s);
    CHECK_FALSE(t.reset(1h));
    CHECK(t.stop());
    CHECK_FALSE(t.reset(1s));
    const auto third = co_await t.wait();
    CHECK(third == start + 3s);
  });
}

TEST_CASE("reset of an expired timer whose value nobody has received is true, and only the new value comes (87)") {
  on_simulated_schedulers([]() -> task<> {
    const auto start = now();
    timer t(1s);
    co_await sleep(5s);
    CHECK(t.reset(1s));
    const bool stale = co_await is_ready(t);
    CHECK_FALSE(stale);
    const auto due = co_await t.wait();
    CHECK(due == start + 6s);
    CHECK(now() == start + 6s);
    auto r = co_await select(t.wait(), sleep(1h));
    CHECK(r.index() == 1);
  });
}

TEST_CASE("reset moves the deadline of who waits already (89)") {
  on_simulated_schedulers([]() -> task<> {
    const auto start = now();
    timer t(1h);
    auto waiting = go([&t]() -> task<time_point> { co_return co_await t.wait(); });
    co_await testing::settle();
    CHECK(t.reset(1s));
    const auto due = co_await waiting;
    CHECK(due == start + 1s);
    CHECK(now() == start + 1s);
  });
}

TEST_CASE("A timer of zero or less fires at once, through its wait (84)") {
  on_simulated_schedulers([]() -> task<> {
    const auto start = now();
    for (auto length : {0s, -1s}) {
      timer t(length);
      const auto due = co_await t.wait();
      CHECK(due <= start);
      CHECK(now() == start);
    }
    timer past(std::chrono::hours::min());
    co_await past.wait();
    timer resettled(1h);
    CHECK(resettled.reset(0s));
    co_await resettled.wait();
    CHECK(now() == start);
  });
}

TEST_CASE("A timer of zero is never missed by a scheduler that has nothing else to do (84)") {
  const auto rounds = stressed(10'000);
  on_real_schedulers([rounds]() -> task<> {
    for (std::size_t i = 0; i != rounds; ++i) {
      timer t(0s);
      co_await t.wait();
    }
    reached("every timer was heard");
  });
}

TEST_CASE("A sleep of a nanosecond is never missed by a scheduler that has nothing else to do (84)") {
  const auto rounds = stressed(2000);
  on_real_schedulers([rounds]() -> task<> {
    for (std::size_t i = 0; i != rounds; ++i) co_await sleep(1ns);
    reached("every sleep has ended");
  });
}

TEST_CASE("A timer that is too long for the clock never fires, and can be stopped and reset (85)") {
  on_simulated_schedulers([]() -> task<> {
    const auto start = now();
    timer t(std::chrono::hours::max());
    auto r = co_await select(t.wait(), sleep(1h));
    CHECK(r.index() == 1);
    CHECK(t.reset(duration::max()));
    auto s = co_await select(t.wait(), sleep(1h));
    CHECK(s.index() == 1);
    CHECK(t.reset(1s));
    co_await t.wait();
    CHECK(now() == start + 2h + 1s);
  });
}

TEST_CASE("Timers fire in the order of their deadlines, also after resets (83)") {
  on_simulated_schedulers([]() -> task<> {
    const auto start = now();
    std::vector<std::unique_ptr<timer>> timers;
    for (int i = 0; i != 20; ++i) timers.push_back(std::make_unique<timer>(1h));
    std::vector<duration> fired;
    wait_group all;
    for (int i = 0; i != 20; ++i) {
      all.go([&fired, &each = *timers[static_cast<std::size_t>(i)], start]() -> task<> {
        const auto due = co_await each.wait();
        CHECK(due == now());
        fired.push_back(due - start);
      });
    }
    for (int i = 0; i != 20; ++i) timers[static_cast<std::size_t>(i)]->reset(std::chrono::seconds(i * 7 % 20 + 1));
    co_await all.wait();
    REQUIRE(fired.size() == 20);
    for (int i = 0; i != 20; ++i) CHECK(fired[static_cast<std::size_t>(i)] == std::chrono::seconds(i + 1));
  });
}

TEST_CASE(
    "Timers that are put off and brought forward while routines wait expire at their last deadlines, and in that order "
    "(83, 89)") {
  std::uint64_t seed = 0;
  on_simulated_schedulers(
      [&seed]() -> task<> {
        constexpr std::size_t count = 50, changes = 2000;
        dice d(++seed);
        std::vector<std::unique_ptr<timer>> timers;
        std::vector<time_point> due(count);
        time_point latest{};
        int expired = 0;
        group waits;
        for (std::size_t i = 0; i < count; ++i) {
          timers.push_back(std::make_unique<timer>(1h));
          waits.go([&, i]() -> task<> {
            const time_point at = co_await timers[i]->wait();
            CHECK(at == due[i]);
            CHECK(now() >= due[i]);
            CHECK(at >= latest);
            latest = at;
            ++expired;
          });
        }
        co_await yield();
        for (std::size_t i = 0; i < changes; ++i) {
          const std::size_t which = i < count ? i : d.below(count);
          // Some deadlines differ from each other by less than a list of the queue covers, and some by hours.
          const duration length =
              duration(100000 + (std::int64_t{1} << d.below(42)) + static_cast<std::int64_t>(d.below(100)));
          due[which] = now() + length;
          timers[which]->reset(length);
          if (i >= count && i < changes / 2 && d.below(8) == 0)
            co_await sleep(duration(static_cast<std::int64_t>(d.below(1000))));
        }
        co_await waits.wait();
        CHECK(expired == count);
      },
      3);
}

TEST_CASE("A timer that is destroyed is stopped, and counts no longer (91)") {
  const auto report = testing::simulate({.seed = 5, .workers = 1}, []() -> task<> {
    const auto before = testing::live();
    {
      std::vector<std::unique_ptr<timer>> many;
      for (int i = 0; i != 1000; ++i) many.push_back(std::make_unique<timer>(1h));
      CHECK(testing::live().timers >= before.timers + 1000);
    }
    CHECK(testing::live().timers == before.timers);
    co_await sleep(1s);
  });
  CHECK(report.elapsed == 1s);
}

TEST_CASE("A stopped timer keeps no program alive: who waits on it for ever is deadlocked (86, 160)") {
  on_each(every_scheduler(3), [&](const scheduler_under_test& scheduler) {
    auto program = []() -> task<> {
      timer t(1h);
      t.stop();
      co_await t.wait();
    };
    CHECK_THROWS_AS(scheduler.run(program), deadlock);
  });
}

TEST_CASE("Stops and resets from several routines lose no timer and fire none twice (93)") {
  const auto rounds = stressed(200);
  on_every_scheduler(
      [rounds]() -> task<> {
        // Whoever stops a timer with success has taken its value: received and stopped add up to one each time.
        std::atomic<std::size_t> received = 0, prevented = 0;
        for (std::size_t i = 0; i != rounds; ++i) {
          timer t(std::chrono::microseconds(i % 5));
          channel<void> stopped;
          auto waiting = go([&t, &received, stopped]() -> task<> {
            auto r = co_await select(t.wait(), stopped.recv());
            received += r.index() == 0;
          });
          auto stopping = go([&t, &prevented, stopped, i]() -> task<> {
            co_await sleep(std::chrono::microseconds(i % 3));
            if (t.stop()) {
              ++prevented;
              stopped.close();
            }
          });
          co_await stopping;
          co_await waiting;
        }
        CHECK(received + prevented == rounds);
      },
      3);
}

TEST_CASE("Ten thousand timers are started, reset and stopped by many routines at once (93)") {
  on_every_scheduler(
      []() -> task<> {
        constexpr int routines = 20;
        constexpr int each = 500;
        wait_group all;
        std::atomic<int> wrong = 0;
        for (int r = 0; r != routines; ++r) {
          all.go([r, &wrong]() -> task<> {
            for (int i = 0; i != each; ++i) {
              timer t(1h);
              if (!t.reset(std::chrono::hours(1 + (i + r) % 7))) ++wrong;
              if (i % 50 == 0) co_await yield();
              if (i % 2 == 0 && !t.stop()) ++wrong;
            }
          });
        }
        co_await all.wait();
        CHECK(wrong == 0);
      },
      2);
}

TEST_CASE("A user's failure beside a timer leaves timers working (100)") {
  on_simulated_schedulers([]() -> task<> {
    const auto start = now();
    timer t(1s);
    bool threw = false;
    try {
      co_await select(on(t.wait(), [](time_point) { throw std::runtime_error("on purpose"); }));
    } catch (const std::runtime_error&) {
      threw = true;
    }
    CHECK(threw);
    CHECK_FALSE(t.reset(1s));
    co_await t.wait();
    CHECK(now() == start + 2s);
  });
}

TEST_CASE("A wait for a timer that is cancelled leaves the timer as it was (77)") {
  on_simulated_schedulers([]() -> task<> {
    const auto start = now();
    timer t(2s);
    auto waiting = go([&t]() -> task<> { co_await t.wait(); });
    co_await sleep(1s);
    waiting.cancel();
    const auto end = co_await ending_of(waiting);
    CHECK(end == ending::was_cancelled);
    const auto due = co_await t.wait();
    CHECK(due == start + 2s);
  });
}

TEST_CASE("There is no timer that was never started (94)") {
  CHECK_FALSE(std::is_default_constructible_v<timer>);
  CHECK_FALSE(std::is_default_constructible_v<ticker>);
}
