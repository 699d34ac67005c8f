// sleep, sleep_until and now. Exact times are checked in simulations, where the clock stands still while anybody runs.
#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <limits>
#include <ringo/ringo.hpp>
#include <stdexcept>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "every_scheduler.hpp"
#include "reached.hpp"
#include "task_ending.hpp"

using namespace ringo;
using namespace std::chrono_literals;

TEST_CASE("A sleep lasts exactly its length on the virtual clock (81)") {
  on_simulated_schedulers([]() -> task<> {
    const auto start = now();
    co_await sleep(1s);
    CHECK(now() - start == 1s);
    co_await sleep(1ns);
    CHECK(now() - start == 1s + 1ns);
    co_await sleep(std::chrono::days(3));
    CHECK(now() - start == 1s + 1ns + std::chrono::days(3));
  });
}

TEST_CASE("A sleep is never shorter than its length on the real clock (81, 82)") {
  on_real_schedulers([]() -> task<> {
    std::vector<handle<bool>> sleepers;
    for (int i = 0; i != 50; ++i) {
      sleepers.push_back(go([i]() -> task<bool> {
        const auto length = std::chrono::microseconds(37 * i);
        const auto start = std::chrono::steady_clock::now();
        co_await sleep(length);
        co_return std::chrono::steady_clock::now() - start >= length;
      }));
    }
    int early = 0;
    for (auto& each : sleepers) {
      const bool long_enough = co_await each;
      early += !long_enough;
    }
    CHECK(early == 0);
  });
}

TEST_CASE("A sleep of nothing, or of less, takes no time (81)") {
  on_simulated_schedulers([]() -> task<> {
    const auto start = now();
    co_await sleep(0s);
    co_await sleep(-1s);
    co_await sleep(std::chrono::hours::min());
    co_await sleep(duration::min());
    co_await sleep_until(start - 1h);
    co_await sleep_until(time_point::min());
    co_await sleep_until(start);
    CHECK(now() == start);
  });
}

TEST_CASE("A sleep of zero lets others run (81)") {
  on_every_scheduler([]() -> task<> {
    std::atomic<bool> ran = false;
    go([&ran] { ran = true; });
    while (!ran) co_await sleep(0s);
    reached("the other has run");
  });
}

TEST_CASE("sleep_until ends at its time, and sleepers of one time end at that time (81)") {
  on_simulated_schedulers([]() -> task<> {
    const auto start = now();
    std::vector<handle<void>> sleepers;
    for (int i = 0; i != 10; ++i) {
      sleepers.push_back(go([start]() -> task<> {
        co_await sleep_until(start + 5s);
        CHECK(now() == start + 5s);
      }));
    }
    for (auto& each : sleepers) co_await each;
    CHECK(now() == start + 5s);
  });
}

TEST_CASE("Sleepers wake in the order of their deadlines (83)") {
  on_simulated_schedulers([]() -> task<> {
    const std::vector<int> slots = {5, 3, 6, 6, 6, 1, 1, 2, 7, 9, 4, 8, 0};
    channel<int> woken(slots.size());
    for (int slot : slots) {
      go([slot, woken]() -> task<> {
        co_await sleep(std::chrono::milliseconds(slot));
        woken.try_send(slot);
      });
    }
    auto expected = slots;
    std::sort(expected.begin(), expected.end());
    std::vector<int> order;
    while (order.size() != slots.size()) {
      const auto slot = co_await woken.recv();
      order.push_back(slot.value());
    }
    CHECK(order == expected);
  });
}

TEST_CASE("Sleepers that start at different times wake in the order of their deadlines (83)") {
  on_simulated_schedulers([]() -> task<> {
    std::vector<duration> order;
    const auto start = now();
    wait_group all;
    // Each routine starts i ms after the first, and sleeps until a time that does not grow with i.
    for (int i = 0; i != 40; ++i) {
      const auto until = start + 100ms + std::chrono::milliseconds((i * 17) % 41);
      all.go([until, start, &order]() -> task<> {
        co_await sleep(until - now());
        order.push_back(now() - start);
        CHECK(now() == until);
      });
      co_await sleep(1ms);
    }
    co_await all.wait();
    CHECK(order.size() == 40);
    CHECK(std::is_sorted(order.begin(), order.end()));
  });
}

TEST_CASE("A length that is too long for the clock means never, and can lose a select (85, D23)") {
  on_simulated_schedulers([]() -> task<> {
    const auto start = now();
    auto r = co_await select(sleep(std::chrono::hours::max()), sleep(std::chrono::years::max()), sleep(duration::max()),
                             sleep(std::chrono::duration<double>(std::numeric_limits<double>::infinity())),
                             sleep(std::chrono::duration<double>(1e300)), sleep_until(time_point::max()), sleep(1s));
    CHECK(r.index() == 6);
    CHECK(now() == start + 1s);
  });
}

TEST_CASE("A length that is too long for the clock can be cancelled (85)") {
  on_simulated_schedulers([]() -> task<> {
    auto sleeper = go([]() -> task<> { co_await sleep(std::chrono::hours::max()); });
    co_await sleep(1s);
    CHECK_FALSE(sleeper.is_done());
    sleeper.cancel();
    const auto end = co_await ending_of(sleeper);
    CHECK(end == ending::was_cancelled);
  });
}

TEST_CASE("A length between two ticks of the clock is rounded up (82)") {
  on_simulated_schedulers([]() -> task<> {
    const auto start = now();
    co_await sleep(std::chrono::duration<double, std::nano>(0.25));
    CHECK(now() - start == 1ns);
    co_await sleep(std::chrono::duration<long long, std::pico>(1001));
    CHECK(now() - start == 3ns);
    co_await sleep(std::chrono::duration<double>(0.5));
    CHECK(now() - start == 500ms + 3ns);
  });
  CHECK(delay(std::chrono::duration<double, std::nano>(2.5)).value() == 3ns);
  CHECK(delay(std::chrono::duration<double, std::nano>(-2.5)).value() <= 0ns);
  CHECK(delay(std::chrono::hours::max()).value() == duration::max());
  CHECK(delay(std::chrono::hours::min()).value() == duration::min());
}

TEST_CASE("A bare number is no length of time") {
  CHECK_FALSE((std::is_convertible_v<int, delay>));
  CHECK_FALSE((std::is_constructible_v<timer, int>));
  CHECK_FALSE((std::is_constructible_v<ticker, int>));
}

TEST_CASE("An hour of sleep takes no time in a simulation") {
  const auto report = testing::simulate({.seed = 7, .workers = 1}, []() -> task<> {
    for (int i = 0; i != 24; ++i) co_await sleep(1h);
  });
  CHECK(report.elapsed == 24h);
}

TEST_CASE("Sleepers at the same time share the virtual time") {
  const auto report = testing::simulate({.seed = 7, .workers = 4}, []() -> task<> {
    wait_group all;
    for (int hours : {3, 1, 2}) {
      all.go([hours]() -> task<> { co_await sleep(std::chrono::hours(hours)); });
    }
    co_await all.wait();
  });
  CHECK(report.elapsed == 3h);
}

TEST_CASE("Virtual time stands still while anybody can run") {
  const auto report = testing::simulate({.seed = 1, .workers = 2}, []() -> task<> {
    const auto start = now();
    bool woken = false;
    go([&woken]() -> task<> {
      co_await sleep(1ns);
      woken = true;
    });
    for (int i = 0; i != 1000; ++i) co_await yield();
    CHECK(now() == start);
    CHECK_FALSE(woken);
    co_await sleep(2ns);
    CHECK(woken);
  });
  CHECK(report.elapsed == 2ns);
}

TEST_CASE("now never runs backwards, in a routine and between routines") {
  on_every_scheduler([]() -> task<> {
    channel<time_point> c;
    go([c]() -> task<> {
      for (int i = 0; i != 200; ++i) {
        co_await c.send(now());
        if (i % 20 == 0) co_await sleep(10us);
      }
      c.close();
    });
    auto latest = now();
    int backwards = 0;
    while (auto sent = co_await c.recv()) {
      const auto here = now();
      backwards += here < latest;
      latest = here;
    }
    CHECK(backwards == 0);
  });
}

TEST_CASE("Outside a runtime now is the steady clock") {
  const auto before = std::chrono::steady_clock::now();
  const auto between = now();
  const auto after = std::chrono::steady_clock::now();
  CHECK(before <= between);
  CHECK(between <= after);
}

TEST_CASE("After a sleep on real workers now has reached its end (82)") {
  on_real_schedulers([]() -> task<> {
    for (int i = 0; i != 20; ++i) {
      const auto deadline = now() + 150us;
      co_await sleep_until(deadline);
      CHECK(now() >= deadline);
    }
  });
}

TEST_CASE("A hundred thousand sleepers at once all wake, in order, and none early (83, 93)") {
  const auto report = testing::simulate({.seed = 11, .workers = 1}, []() -> task<> {
    constexpr int sleepers = 100'000;
    int woken = 0, early_or_late = 0, out_of_order = 0;
    auto latest = now();
    wait_group all;
    for (int i = 0; i != sleepers; ++i) {
      const auto until = now() + std::chrono::microseconds((i * 7919LL) % 100'003);
      all.go([until, &woken, &early_or_late, &out_of_order, &latest]() -> task<> {
        co_await sleep_until(until);
        early_or_late += now() != until;
        out_of_order += now() < latest;
        latest = now();
        ++woken;
      });
    }
    CHECK(testing::live().routines > sleepers);
    co_await all.wait();
    CHECK(woken == sleepers);
    CHECK(early_or_late == 0);
    CHECK(out_of_order == 0);
  });
  CHECK(report.elapsed <= 100'003us);
}

TEST_CASE("Thousands of sleepers on real workers all wake, and none early (82, 93, 101)") {
  on_real_schedulers([]() -> task<> {
    constexpr int sleepers = 3000;
    std::atomic<int> woken = 0, early = 0;
    wait_group all;
    for (int i = 0; i != sleepers; ++i) {
      const auto length = std::chrono::microseconds(i * 7919 % 20'011);
      all.go([length, &woken, &early]() -> task<> {
        const auto deadline = std::chrono::steady_clock::now() + length;
        co_await sleep(length);
        early += std::chrono::steady_clock::now() < deadline;
        ++woken;
      });
    }
    co_await all.wait();
    CHECK(woken == sleepers);
    CHECK(early == 0);
  });
}

TEST_CASE("A cancelled sleep ends at once, and its timer is gone (91)") {
  on_simulated_schedulers([]() -> task<> {
    const auto before = testing::live();
    const auto start = now();
    std::vector<handle<void>> sleepers;
    for (int i = 0; i != 100; ++i) sleepers.push_back(go([]() -> task<> { co_await sleep(1h); }));
    co_await testing::settle();
    CHECK(testing::live().timers >= before.timers + 100);
    for (auto& each : sleepers) each.cancel();
    int were_cancelled = 0;
    for (auto& each : sleepers) {
      try {
        co_await each;
      } catch (const cancelled&) {
        ++were_cancelled;
      }
    }
    CHECK(were_cancelled == 100);
    CHECK(now() == start);
    CHECK(testing::live().timers == before.timers);
  });
}

TEST_CASE("A sleep that is made before it is awaited is never shorter than its length (81)") {
  on_simulated_schedulers([]() -> task<> {
    const auto start = now();
    auto later = sleep(2s);
    co_await sleep(1s);
    co_await std::move(later);
    CHECK(now() >= start + 2s);
    CHECK(now() <= start + 3s);
  });
}

TEST_CASE("A timer of a worker whose routine computes is expired by a worker that has nothing to do") {
  runtime_options two;
  two.workers = 2;
  run(
      []() -> task<> {
        std::atomic<bool> waits = false;
        std::atomic<bool> rang = false;
        timer alarm(1h);  // on this worker
        const auto compute_until = [](const std::atomic<bool>& done) {
          while (!done) std::this_thread::yield();
        };
        auto waiter = go([&]() -> task<> {
          waits = true;
          co_await alarm.wait();
          rang = true;
        });
        compute_until(waits);  // on the other
        alarm.reset(1ms);
        compute_until(rang);
        reached("the timer ends while its worker computes");
        co_await waiter;
      },
      two);
}

TEST_CASE("The end of a sleep wakes no other worker if nothing else is ready") {
  constexpr std::uint64_t sleeps = 200;
  runtime_options four;
  four.workers = 4;
  runtime rt(four);
  std::uint64_t wakes = 0;
  rt.run([&]() -> task<> {
    co_await sleep(1ms);  // from here on the other workers sleep
    const std::uint64_t before = rt.metrics().wakes_sent;
    for (std::uint64_t i = 0; i < sleeps; ++i) co_await sleep(100us);
    wakes = rt.metrics().wakes_sent - before;
  });
  CHECK(wakes <
        sleeps /
            2);  // not none: a busy machine may delay this worker for long, and another one watches its timers then
}
