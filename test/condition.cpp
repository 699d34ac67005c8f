// condition: let go of the lock and wait for a change, in one step.
#include <doctest/doctest.h>

#include <atomic>
#include <cstddef>
#include <memory>
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

TEST_CASE("notify_one wakes one, which holds the lock (120, TestCondSignal)") {
  on_simulated_schedulers([]() -> task<> {
    mutex m;
    condition c;
    constexpr std::size_t n = 3;
    std::size_t waiting = 0, awake = 0;
    std::vector<handle<>> routines;
    for (std::size_t i = 0; i != n; ++i) {
      routines.push_back(go([&]() -> task<> {
        auto held = co_await m.lock();
        ++waiting;
        co_await c.wait(held);
        CHECK(held);
        CHECK_FALSE(m.try_lock());
        ++awake;
      }));
    }
    co_await testing::settle();
    CHECK(waiting == n);
    for (std::size_t i = 1; i <= n; ++i) {
      auto held = co_await m.lock();
      c.notify_one();
      held.unlock();
      co_await testing::settle();
      CHECK(awake == i);
    }
    c.notify_one();  // nobody waits, and it is not remembered
    auto late = go([&]() -> task<> {
      auto held = co_await m.lock();
      co_await c.wait(held);
    });
    co_await testing::settle();
    CHECK_FALSE(late.is_done());
    late.cancel();
    (void)co_await ending_of(late);
    CHECK(m.try_lock());
  });
}

TEST_CASE("Who waits longest is woken first (120, TestCondSignalGenerations)") {
  on_simulated_schedulers([]() -> task<> {
    mutex m;
    condition c;
    std::vector<int> order;
    wait_group all;
    for (int i = 0; i != 6; ++i) {
      all.go([&, i]() -> task<> {
        auto held = co_await m.lock();
        co_await c.wait(held);
        order.push_back(i);
      });
      co_await testing::settle();
    }
    for (int i = 0; i != 6; ++i) {
      c.notify_one();  // without the lock
      co_await testing::settle();
    }
    CHECK(order == std::vector<int>{0, 1, 2, 3, 4, 5});
    co_await all.wait();
  });
}

TEST_CASE("notify_all wakes all who wait then (120, TestCondBroadcast)") {
  on_every_scheduler([]() -> task<> {
    mutex m;
    condition c, everybody_waits;
    constexpr int n = 6;
    int waiting = 0, rounds = 0;
    bool stop = false;
    wait_group all;
    for (int i = 0; i != n; ++i) {
      all.go([&]() -> task<> {
        auto held = co_await m.lock();
        while (!stop) {
          if (++waiting == n) everybody_waits.notify_one();
          co_await c.wait(held);
          ++rounds;
        }
      });
    }
    for (int round = 0; round != 10; ++round) {
      auto held = co_await m.lock();
      co_await everybody_waits.wait(held, [&] { return waiting == n; });
      waiting = 0;
      stop = round == 9;
      c.notify_all();
    }
    co_await all.wait();
    CHECK(rounds == 10 * n);
  });
}

TEST_CASE("Who comes later cannot steal a notification (121, TestCondSignalStealing)") {
  on_simulated_schedulers([]() -> task<> {
    mutex m;
    condition c;
    bool first_woken = false, second_woken = false;
    auto first = go([&]() -> task<> {
      auto held = co_await m.lock();
      co_await c.wait(held);
      first_woken = true;
    });
    co_await testing::settle();
    auto held = co_await m.lock();
    auto second = go([&]() -> task<> {
      auto mine = co_await m.lock();
      co_await c.wait(mine);
      second_woken = true;
    });
    co_await testing::settle();
    c.notify_all();
    held.unlock();  // `second` has the lock before `first` does, and waits after the notification
    co_await first;
    co_await testing::settle();
    CHECK(first_woken);
    CHECK_FALSE(second_woken);
    c.notify_one();
    co_await second;
  });
}

TEST_CASE(
    "Between the unlock and the wait no notification is lost: what is tested under the lock is not missed (120)") {
  on_every_scheduler([]() -> task<> {
    mutex m;
    condition not_empty, not_full;
    constexpr int most = 2, count = 200;
    int queued = 0, taken = 0;
    wait_group all;
    for (int i = 0; i != 2; ++i) {
      all.go([&]() -> task<> {
        for (int k = 0; k != count; ++k) {
          auto held = co_await m.lock();
          co_await not_full.wait(held, [&] { return queued < most; });
          ++queued;
          not_empty.notify_one();
        }
      });
      all.go([&]() -> task<> {
        for (int k = 0; k != count; ++k) {
          auto held = co_await m.lock();
          while (queued == 0) co_await not_empty.wait(held);
          --queued;
          ++taken;
          not_full.notify_one();
        }
      });
    }
    co_await all.wait();
    CHECK(taken == 2 * count);
    CHECK(queued == 0);
  });
}

TEST_CASE("wait with a predicate that is true does not let the lock go; what the predicate throws leaves it locked") {
  on_every_scheduler([]() -> task<> {
    mutex m;
    condition c;
    auto held = co_await m.lock();
    int asked = 0;
    co_await c.wait(held, [&] {
      ++asked;
      return !m.try_lock();
    });
    CHECK(asked == 1);
    bool threw = false;
    auto throws = []() -> bool { throw std::runtime_error("on purpose"); };
    try {
      co_await c.wait(held, throws);
    } catch (const std::runtime_error&) {
      threw = true;
    }
    CHECK(threw);
    CHECK(held);
    CHECK_FALSE(m.try_lock());
  });
}

TEST_CASE("wait without the lock is a logic_error (111)") {
  on_every_scheduler([]() -> task<> {
    condition c;
    mutex::guard none;
    int refused = 0;
    try {
      co_await c.wait(none);
    } catch (const std::logic_error&) {
      ++refused;
    }
    try {
      co_await c.wait(none, [] { return false; });
    } catch (const std::logic_error&) {
      ++refused;
    }
    CHECK(refused == 2);
  });
}

TEST_CASE("A cancelled wait holds the lock again when it throws, and waits for it (120)") {
  on_simulated_schedulers([]() -> task<> {
    mutex m;
    condition c;
    bool had_the_lock = false;
    auto waiting = go([&]() -> task<> {
      auto held = co_await m.lock();
      try {
        co_await c.wait(held);
      } catch (const cancelled&) {
        had_the_lock = held && !m.try_lock();
        throw;
      }
    });
    co_await testing::settle();
    auto mine = co_await m.lock();
    waiting.cancel();
    co_await testing::settle();
    CHECK_FALSE(waiting.is_done());
    mine.unlock();
    const auto end = co_await ending_of(waiting);
    CHECK(end == ending::was_cancelled);
    CHECK(had_the_lock);
    CHECK(m.try_lock());
    auto before = go([&]() -> task<> {
      auto held = co_await m.lock();
      try {
        co_await never();
      } catch (const cancelled&) {
      }
      co_await c.wait(held);
    });
    co_await testing::settle();
    before.cancel();
    const auto end_before = co_await ending_of(before);
    CHECK(end_before == ending::was_cancelled);
    CHECK(m.try_lock());
  });
}

TEST_CASE("A notification is not lost with a wait that is cancelled: who is notified returns, else the next is (D13)") {
  for (const bool notify_first : {true, false}) {
    on_simulated_schedulers([notify_first]() -> task<> {
      mutex m;
      condition c;
      std::vector<handle<>> waiting;
      std::vector<int> returned;
      for (int i = 0; i != 2; ++i) {
        waiting.push_back(go([&, i]() -> task<> {
          auto held = co_await m.lock();
          co_await c.wait(held);
          returned.push_back(i);
        }));
        co_await testing::settle();
      }
      if (notify_first) c.notify_one();
      waiting[0].cancel();
      if (!notify_first) c.notify_one();
      co_await testing::settle();
      CHECK(returned == std::vector<int>{notify_first ? 0 : 1});
      waiting[1].cancel();
      for (handle<>& each : waiting) (void)co_await ending_of(each);
      CHECK(m.try_lock());
    });
  }
}

TEST_CASE("wait is a case: when it loses, the lock is held again all the same") {
  on_simulated_schedulers([]() -> task<> {
    mutex m;
    condition c;
    auto held = co_await m.lock();
    auto r = co_await select(c.wait(held), sleep(1s));
    CHECK(r.index() == 1);
    CHECK(held);
    CHECK_FALSE(m.try_lock());
    auto notifies = go([&]() -> task<> {
      const auto mine = co_await m.lock();
      c.notify_one();
    });
    auto s = co_await select(c.wait(held), sleep(1s));
    CHECK(s.index() == 0);
    CHECK(held);
    co_await notifies;
  });
}

TEST_CASE("Readers wait for a condition with shared locks, and have shared locks again") {
  on_simulated_schedulers([]() -> task<> {
    shared_mutex m;
    condition c;
    bool changed = false;
    wait_group all;
    for (int i = 0; i != 3; ++i) {
      all.go([&]() -> task<> {
        auto held = co_await m.lock_shared();
        co_await c.wait(held, [&] { return changed; });
        CHECK(m.try_lock_shared());
        CHECK_FALSE(m.try_lock());
      });
    }
    co_await testing::settle();
    {
      const auto held = co_await m.lock();
      changed = true;
      c.notify_all();
    }
    co_await all.wait();
    CHECK(m.try_lock());
  });
}

TEST_CASE("A condition that is destroyed ends who waits with cancelled, holding the lock (D8)") {
  on_simulated_schedulers([]() -> task<> {
    mutex m;
    auto c = std::make_unique<condition>();
    int had_the_lock = 0;
    std::vector<handle<>> waiting;
    for (int i = 0; i != 4; ++i) {
      waiting.push_back(go([&, i]() -> task<> {
        auto held = co_await m.lock();
        try {
          if (i < 2) {
            co_await c->wait(held);
          } else {
            co_await c->wait(held, [] { return false; });
          }
        } catch (const cancelled&) {
          had_the_lock += held && !m.try_lock();
          throw;
        }
      }));
    }
    co_await testing::settle();
    c->notify_all();  // those with a predicate look, and would wait again
    c.reset();
    int cancelled_ones = 0;
    for (handle<>& each : waiting) {
      const auto end = co_await ending_of(each);
      cancelled_ones += end == ending::was_cancelled;
    }
    CHECK(cancelled_ones == 2);
    CHECK(had_the_lock == 2);
    CHECK(m.try_lock());
  });
}

TEST_CASE(
    "A mutex that is destroyed while routines wait for a condition ends their waits with cancelled, without it (D8)") {
  on_simulated_schedulers([]() -> task<> {
    auto m = std::make_unique<mutex>();
    condition c;
    auto waiting = go([&]() -> task<> {
      auto held = co_await m->lock();
      try {
        co_await c.wait(held);
      } catch (const cancelled&) {
        CHECK_FALSE(held);
        throw;
      }
    });
    co_await testing::settle();
    m.reset();
    c.notify_one();
    const auto end = co_await ending_of(waiting);
    CHECK(end == ending::was_cancelled);
  });
}

TEST_CASE("A wait that nobody ends is a deadlock whose report names the condition (160)") {
  on_each(every_scheduler(2), [&](const scheduler_under_test& scheduler) {
    std::string report;
    try {
      scheduler.run([]() -> task<> {
        mutex m;
        condition c;
        auto held = co_await m.lock();
        co_await c.wait(held);
      });
    } catch (const deadlock& e) {
      report = e.what();
    }
    CHECK(report.find("waits for condition") != std::string::npos);
  });
}

TEST_CASE("A wait with an empty guard is refused, also where what it waits for is true already") {
  on_every_scheduler([]() -> task<> {
    mutex m;
    condition changed;
    mutex::guard empty;
    const auto yes = [] { return true; };
    int refused = 0;
    try {
      co_await changed.wait(empty, yes);
    } catch (const std::logic_error&) {
      ++refused;
    }
    try {
      co_await changed.wait(empty);
    } catch (const std::logic_error&) {
      ++refused;
    }
    CHECK(refused == 2);
    auto held = co_await m.lock();
    co_await changed.wait(held, yes);
    CHECK(held);
  });
}
