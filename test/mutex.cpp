// mutex: one guard at a time; its waiters go in the order of arrival.
#include <doctest/doctest.h>

#include <atomic>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <ringo/ringo.hpp>
#include <stdexcept>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "error_told.hpp"
#include "every_scheduler.hpp"
#include "reached.hpp"
#include "states.hpp"
#include "task_ending.hpp"

using namespace ringo;
using namespace std::chrono_literals;

static_assert(!std::is_copy_constructible_v<mutex> && !std::is_move_constructible_v<mutex>);
static_assert(!std::is_copy_constructible_v<mutex::guard> && std::is_nothrow_move_constructible_v<mutex::guard>);

TEST_CASE("One at a time holds the lock, also across what it awaits (110)") {
  on_every_scheduler([]() -> task<> {
    mutex m;
    wait_group all;
    int counter = 0, inside = 0;
    bool alone = true;
    for (int i = 0; i != 8; ++i) {
      all.go([&]() -> task<> {
        for (int k = 0; k != 50; ++k) {
          const auto held = co_await m.lock();
          alone = alone && ++inside == 1;
          const int seen = counter;
          if (k % 5 == 0) co_await yield();
          counter = seen + 1;
          --inside;
        }
      });
    }
    co_await all.wait();
    CHECK(counter == 400);
    CHECK(alone);
    CHECK(m.try_lock());
  });
}

TEST_CASE("A routine that locks all the time lets a single worker's others run") {
  run(
      []() -> task<> {
        mutex m;
        bool other_ran = false;
        auto other = go([&other_ran] { other_ran = true; });
        int locks = 0;
        while (!other_ran) {
          const auto held = co_await m.lock();
          REQUIRE(++locks < 100'000);
        }
        co_await other;
      },
      {.workers = 1});
}

TEST_CASE("A hog that locks again at once does not starve who locks now and then (113, TestMutexFairness)") {
  on_every_scheduler(
      []() -> task<> {
        mutex m;
        bool stop = false;
        auto hog = go([&]() -> task<> {
          for (;;) {
            const auto held = co_await m.lock();
            if (stop) co_return;
            co_await yield();
          }
        });
        for (int i = 0; i != 10; ++i) {
          co_await yield();
          const auto held = co_await m.lock();
          stop = i == 9;
        }
        reached("main has had the lock ten times");
        co_await hog;
      },
      5);
}

TEST_CASE(
    "waiters are served in the order of arrival; until the woken one has run, the lock is free for others (113)") {
  on_simulated_schedulers([]() -> task<> {
    mutex m;
    auto first = co_await m.lock();
    std::vector<int> served;
    wait_group all;
    for (int i = 0; i != 6; ++i) {
      all.go([&m, &served, i]() -> task<> {
        const auto held = co_await m.lock();
        served.push_back(i);
        co_await yield();
      });
      co_await testing::settle();
    }
    CHECK_FALSE(m.try_lock());
    first.unlock();
    CHECK(m.try_lock());
    CHECK(m.try_lock());
    co_await all.wait();
    CHECK(served == std::vector<int>{0, 1, 2, 3, 4, 5});
  });
}

TEST_CASE(
    "a woken waiter that finds the lock taken remains the first, and the next unlock hands the lock to it (113)") {
  on_simulated_schedulers([]() -> task<> {
    mutex m;
    auto held = co_await m.lock();
    std::vector<int> served;
    auto lock_once = [&m, &served](int number) -> task<> {
      const auto mine = co_await m.lock();
      served.push_back(number);
    };
    auto first = go(lock_once, 1);
    co_await testing::settle();
    auto second = go(lock_once, 2);
    co_await testing::settle();
    held.unlock();
    held = m.try_lock();
    CHECK(held);
    co_await testing::settle();
    CHECK(served.empty());
    held.unlock();
    CHECK_FALSE(m.try_lock());
    co_await first;
    co_await second;
    CHECK(served == std::vector<int>{1, 2});
    CHECK(m.try_lock());
  });
}

TEST_CASE("a woken waiter that is cancelled before it runs leaves the lock to the next one") {
  on_every_scheduler([]() -> task<> {
    mutex m;
    auto held = co_await m.lock();
    auto lock_once = [&m]() -> task<> { const auto mine = co_await m.lock(); };
    auto first = go(lock_once);
    co_await until_parked("mutex", 1);
    auto second = go(lock_once);
    co_await until_parked("mutex", 2);
    held.unlock();
    first.cancel();
    co_await second;
    (void)co_await outcome(first);
    CHECK(m.try_lock());
  });
}

TEST_CASE("the waiter that an unlock has woken ends with cancelled if the mutex is destroyed before it runs") {
  on_simulated_schedulers([]() -> task<> {
    std::optional<mutex> m(std::in_place);
    auto held = co_await m->lock();
    auto waiter = go([&m]() -> task<> { const auto mine = co_await m->lock(); });
    co_await testing::settle();
    held.unlock();
    m.reset();
    const auto ended = co_await outcome(waiter);
    CHECK(told(ended) == "cancelled");
  });
}

TEST_CASE("a case of a select is handed the lock by the unlock") {
  on_simulated_schedulers([]() -> task<> {
    mutex m;
    auto held = co_await m.lock();
    auto waiter = go([&m]() -> task<> { co_await select(m.lock(), never()); });
    co_await testing::settle();
    held.unlock();
    CHECK_FALSE(m.try_lock());
    co_await waiter;
    CHECK(m.try_lock());
  });
}

TEST_CASE("try_lock has the lock if and only if it is free (114)") {
  on_every_scheduler([]() -> task<> {
    mutex m;
    auto held = m.try_lock();
    CHECK(held);
    auto refused = m.try_lock();
    CHECK_FALSE(refused);
    held.unlock();
    refused = m.try_lock();
    CHECK(refused);
    co_return;
  });
}

TEST_CASE("An unlock of a guard that is empty is a logic_error which says so (111)") {
  on_every_scheduler([]() -> task<> {
    mutex m;
    mutex::guard none;
    CHECK_FALSE(none);
    CHECK_THROWS_WITH_AS(none.unlock(), doctest::Contains("unlocked"), std::logic_error);
    auto held = co_await m.lock();
    auto moved = std::move(held);
    CHECK_THROWS_AS(held.unlock(), std::logic_error);
    moved.unlock();
    CHECK_FALSE(moved);
    CHECK_THROWS_AS(moved.unlock(), std::logic_error);
    auto refused = m.try_lock();
    auto second = m.try_lock();
    CHECK_THROWS_AS(second.unlock(), std::logic_error);
    CHECK(refused);
  });
}

TEST_CASE("A guard may be moved, assigned over and given to another routine, which unlocks (110)") {
  on_every_scheduler([]() -> task<> {
    mutex a, b;
    auto of_a = co_await a.lock();
    auto of_b = co_await b.lock();
    of_a = std::move(of_b);
    CHECK(a.try_lock());
    CHECK_FALSE(b.try_lock());
    auto& same = of_a;
    of_a = std::move(same);
    CHECK(of_a);
    auto unlocks = [](mutex::guard g) -> task<> {
      co_await yield();
      g.unlock();
    };
    co_await go(unlocks, std::move(of_a));
    CHECK(b.try_lock());
  });
}

TEST_CASE("What was written under the lock is seen under the next (112)") {
  on_real_schedulers([]() -> task<> {
    mutex m;
    wait_group all;
    std::vector<int> plain;
    for (int i = 0; i != 4; ++i) {
      all.go([&]() -> task<> {
        for (int k = 0; k != 200; ++k) {
          const auto held = co_await m.lock();
          plain.push_back(k);
        }
      });
    }
    co_await all.wait();
    CHECK(plain.size() == 800);
  });
}

TEST_CASE("A routine that locks twice is a deadlock whose report names the mutex (110, 160)") {
  on_each(every_scheduler(3), [&](const scheduler_under_test& scheduler) {
    std::string report;
    try {
      scheduler.run([]() -> task<> {
        mutex m;
        const auto held = co_await m.lock();
        const auto again = co_await m.lock();
      });
    } catch (const deadlock& e) {
      report = e.what();
    }
    CHECK(report.find("the lock of mutex") != std::string::npos);
    CHECK(report.find("mutex.cpp") != std::string::npos);
  });
}

TEST_CASE("lock is a case: it is taken if it wins, and if it loses it is not") {
  on_every_scheduler([]() -> task<> {
    mutex m;
    {
      auto r = co_await select(m.lock(), otherwise);
      CHECK(r.index() == 0);
      CHECK(std::get<0>(r));
      auto s = co_await select(m.lock(), otherwise);
      CHECK(s.index() == 1);
    }
    CHECK(m.try_lock());
    auto held = co_await m.lock();
    channel<int> other(1);
    other.try_send(1);
    for (int i = 0; i != 20; ++i) {
      auto r = co_await select(m.lock(), other.recv());
      CHECK(r.index() == 1);
      other.try_send(1);
    }
    held.unlock();
    CHECK(m.try_lock());
    int locked = 0;
    for (int i = 0; i != 200; ++i) {
      auto r = co_await select(m.lock(), other.recv());
      r.index() == 0 ? void(++locked) : void(other.try_send(1));
      if (r.index() == 0) CHECK(std::get<0>(r));
    }
    CHECK(locked > 20);
    CHECK(locked < 180);
    CHECK(m.try_lock());
  });
}

TEST_CASE("A parked select takes the lock that is handed to it, and has a handler take the guard") {
  on_simulated_schedulers([]() -> task<> {
    mutex m;
    channel<void> silent;
    auto held = co_await m.lock();
    auto waiting = go([&]() -> task<> {
      auto take = [](mutex::guard g) { return bool(g); };
      const auto r = co_await select(silent.recv(), on(m.lock(), take));
      CHECK(r.index() == 1);
      CHECK(std::get<1>(r));
    });
    co_await testing::settle();
    held.unlock();
    CHECK_FALSE(m.try_lock());
    co_await waiting;
    CHECK(m.try_lock());
  });
}

TEST_CASE("Routines that select over the same two locks in opposite order get each once") {
  on_every_scheduler([]() -> task<> {
    mutex a, b;
    wait_group all;
    std::atomic<int> had = 0;
    for (int i = 0; i != 4; ++i) {
      all.go([&, i]() -> task<> {
        for (int k = 0; k != 30; ++k) {
          auto& first = i % 2 ? a : b;
          auto& second = i % 2 ? b : a;
          auto r = co_await select(first.lock(), second.lock());
          had += r.index() == 0 ? bool(std::get<0>(r)) : bool(std::get<1>(r));
          if (k % 7 == 0) co_await yield();
        }
      });
    }
    co_await all.wait();
    CHECK(had == 120);
    CHECK(a.try_lock());
    CHECK(b.try_lock());
  });
}

TEST_CASE("A waiter that is cancelled, in front, in the middle or at the end, leaves the others their places") {
  for (std::size_t victim : {0u, 1u, 2u}) {
    on_simulated_schedulers([victim]() -> task<> {
      mutex m;
      auto held = co_await m.lock();
      std::vector<std::size_t> served;
      std::vector<handle<>> waiting;
      for (std::size_t i = 0; i != 3; ++i) {
        waiting.push_back(go([&m, &served, i]() -> task<> {
          const auto mine = co_await m.lock();
          served.push_back(i);
        }));
        co_await testing::settle();
      }
      waiting[victim].cancel();
      held.unlock();  // before the cancelled routine has run
      for (std::size_t i = 0; i != 3; ++i) {
        const auto end = co_await ending_of(waiting[i]);
        CHECK(end == (i == victim ? ending::was_cancelled : ending::returned));
      }
      std::vector<std::size_t> expected{0, 1, 2};
      std::erase(expected, victim);
      CHECK(served == expected);
      CHECK(m.try_lock());
    });
  }
}

TEST_CASE("A cancelled routine does not get a lock, though it is free (125); one that it was handed it keeps (D13)") {
  on_simulated_schedulers([]() -> task<> {
    mutex m;
    auto held = co_await m.lock();
    bool had = false, again = false;
    auto waiting = go([&]() -> task<> {
      auto mine = co_await m.lock();
      had = true;
      mine.unlock();
      try {
        const auto more = co_await m.lock();
        again = true;
      } catch (const cancelled&) {
        CHECK(m.try_lock());
        throw;
      }
    });
    co_await testing::settle();
    held.unlock();
    held = m.try_lock();
    co_await testing::settle();  // it has been woken in vain, so the next unlock hands it the lock
    held.unlock();
    waiting.cancel();
    const auto end = co_await ending_of(waiting);
    CHECK(end == ending::was_cancelled);
    CHECK(had);
    CHECK_FALSE(again);
    CHECK(m.try_lock());
  });
}

TEST_CASE("A mutex that is destroyed empties its guard and ends who waits with cancelled (D8)") {
  on_simulated_schedulers([]() -> task<> {
    auto m = std::make_unique<mutex>();
    auto held = co_await m->lock();
    channel<void> silent;
    auto waiting = go([&]() -> task<> { const auto mine = co_await m->lock(); });
    auto selecting = go([&]() -> task<> { co_await select(silent.recv(), m->lock()); });
    auto lost = go([&]() -> task<> {
      const auto r = co_await select(m->lock(), silent.recv());
      CHECK(r.index() == 1);
    });
    co_await testing::settle();
    CHECK(silent.try_send());  // to `selecting` or `lost`, whose case in the mutex is still to be taken out
    m.reset();
    CHECK_FALSE(held);
    CHECK_THROWS_AS(held.unlock(), std::logic_error);
    const auto end = co_await ending_of(waiting);
    CHECK(end == ending::was_cancelled);
    const auto end_of_selecting = co_await ending_of(selecting);
    const auto end_of_lost = co_await ending_of(lost);
    CHECK((end_of_selecting == ending::was_cancelled || end_of_lost == ending::was_cancelled));
    CHECK((end_of_selecting == ending::returned || end_of_lost == ending::returned));
  });
}

TEST_CASE("A mutex may be destroyed by whom its lock was handed to, and before its guard is") {
  const auto rounds = stressed(200);
  on_every_scheduler(
      [rounds]() -> task<> {
        for (std::size_t i = 0; i != rounds; ++i) {
          auto m = std::make_unique<mutex>();
          channel<void> locked;
          auto holder = go([&m = *m, &locked]() -> task<> {
            auto held = co_await m.lock();
            co_await locked.send();
            co_await yield();
            held.unlock();
          });
          co_await locked.recv();
          mutex::guard mine = co_await m->lock();
          m.reset();
          CHECK_FALSE(mine);
          co_await holder;
        }
      },
      3);
}

TEST_CASE("A mutex is used by one thread before and after a runtime, and its guard outlives both") {
  auto m = std::make_unique<mutex>();
  auto held = m->try_lock();
  CHECK_FALSE(m->try_lock());
  for (unsigned workers : {1u, 2u}) {
    run(
        [&]() -> task<> {
          auto waiting = go([&]() -> task<> { const auto mine = co_await m->lock(); });
          co_await yield();
          CHECK_FALSE(waiting.is_done());
          held.unlock();
          co_await waiting;
          held = co_await m->lock();
        },
        {.workers = workers});
  }
  CHECK(held);
  held.unlock();
  held = m->try_lock();
  m.reset();
  CHECK_FALSE(held);
}

TEST_CASE("A guard may be destroyed by a thread that is no worker while the runtime runs; locking there is refused") {
  for (unsigned workers : {1u, 2u, 4u}) {
    run(
        []() -> task<> {
          mutex m;
          for (int i = 0; i != 20; ++i) {
            auto held = co_await m.lock();
            bool refused = false;
            std::thread other([&, g = std::move(held)]() mutable {
              try {
                (void)m.try_lock();
              } catch (const std::logic_error&) {
                refused = true;
              }
              const auto moved = std::move(g);
            });
            auto mine = co_await m.lock();
            other.join();
            CHECK(refused);
            mine.unlock();
          }
        },
        {.workers = workers});
  }
}

TEST_CASE("A guard that another runtime's worker destroys frees the lock in its own") {
  run(
      []() -> task<> {
        mutex m;
        auto held = co_await m.lock();
        std::thread other([g = std::move(held), &m]() mutable {
          run(
              [&]() -> task<> {
                bool refused = false;
                try {
                  const auto mine = co_await m.lock();
                } catch (const std::logic_error&) {
                  refused = true;
                }
                CHECK(refused);
                g = {};
              },
              {.workers = 1});
        });
        {
          const auto mine = co_await m.lock();
          CHECK(mine);
        }
        other.join();
      },
      {.workers = 1});
}

TEST_CASE("What is thrown under a lock lets it go") {
  on_every_scheduler([]() -> task<> {
    mutex m;
    auto throws = go([&m]() -> task<> {
      const auto held = co_await m.lock();
      co_await yield();
      throw std::runtime_error("on purpose");
    });
    const auto end = co_await ending_of(throws);
    CHECK(end == ending::failed);
    CHECK(m.try_lock());
  });
}
