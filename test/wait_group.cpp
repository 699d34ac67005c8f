// wait_group: counts routines, and waits for the last.
#include <doctest/doctest.h>

#include <atomic>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <ringo/ringo.hpp>
#include <source_location>
#include <stdexcept>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "every_scheduler.hpp"
#include "reached.hpp"
#include "task_ending.hpp"

using namespace ringo;
using namespace std::chrono_literals;

TEST_CASE("wait returns when the counter is at zero, and wakes all who wait (102)") {
  on_every_scheduler([]() -> task<> {
    constexpr int routines = 16;
    wait_group start, finish;
    std::atomic<int> before = 0, after = 0;
    start.add(routines);
    for (int i = 0; i != routines; ++i) {
      finish.go([&]() -> task<> {
        ++before;
        start.done();
        co_await start.wait();
        after += before == routines;
      });
    }
    co_await finish.wait();
    CHECK(after == routines);
  });
}

TEST_CASE("wait does not return before the last done (102)") {
  on_simulated_schedulers([]() -> task<> {
    const auto began = now();
    wait_group group;
    group.add(3);
    for (int seconds : {2, 3, 1}) {
      go([seconds, &group]() -> task<> {
        co_await sleep(std::chrono::seconds(seconds));
        group.done();
      });
    }
    co_await group.wait();
    CHECK(now() == began + 3s);
  });
}

TEST_CASE("A counter below zero is a logic_error, and the group can still be used (103)") {
  on_every_scheduler([]() -> task<> {
    wait_group group;
    CHECK_THROWS_AS(group.done(), std::logic_error);
    CHECK_THROWS_AS(group.add(-1), std::logic_error);
    group.add(2);
    group.done();
    group.done();
    CHECK_THROWS_AS(group.done(), std::logic_error);
    group.add(2);
    group.add(-1);
    CHECK_THROWS_AS(group.add(-2), std::logic_error);
    group.done();
    co_await group.wait();
  });
}

TEST_CASE("A group may be used again when its waits have returned (105)") {
  on_every_scheduler([]() -> task<> {
    wait_group group;
    int sum = 0;
    for (int round = 0; round != 50; ++round) {
      std::atomic<int> done = 0;
      for (int i = 0; i != 4; ++i) {
        group.go([&done]() -> task<> {
          co_await yield();
          ++done;
        });
      }
      co_await group.wait();
      sum += done;
    }
    CHECK(sum == 200);
  });
}

TEST_CASE("What was written before done is seen after wait (106)") {
  on_real_schedulers([]() -> task<> {
    for (int round = 0; round != 50; ++round) {
      wait_group group;
      std::vector<int> plain(8);
      for (int i = 0; i != 8; ++i) {
        group.go([&plain, i]() -> task<> {
          co_await yield();
          plain[static_cast<std::size_t>(i)] = i + 1;
        });
      }
      co_await group.wait();
      int sum = 0;
      for (int each : plain) sum += each;
      CHECK(sum == 36);
    }
  });
}

TEST_CASE("wait at zero returns at once, before anybody else has run (107)") {
  run(
      []() -> task<> {
        wait_group group;
        bool ran = false;
        auto other = go([&ran] { ran = true; });
        co_await group.wait();
        CHECK_FALSE(ran);
        co_await other;
        CHECK(ran);
      },
      {.workers = 1});
}

TEST_CASE("wait at zero is ready beside otherwise (107)") {
  on_every_scheduler([]() -> task<> {
    wait_group group;
    auto r = co_await select(group.wait(), otherwise);
    CHECK(r.index() == 0);
    group.add();
    auto s = co_await select(group.wait(), otherwise);
    CHECK(s.index() == 1);
    group.done();
  });
}

TEST_CASE("go counts what it starts until it has ended (108)") {
  on_every_scheduler([]() -> task<> {
    wait_group group;
    std::atomic<int> ended = 0;
    for (int i = 0; i != 20; ++i) {
      group.go([&ended, i]() -> task<> {
        for (int k = 0; k != i; ++k) co_await yield();
        ++ended;
      });
    }
    co_await group.wait();
    CHECK(ended == 20);
  });
}

TEST_CASE("go passes arguments that live as long as the routine (108)") {
  on_every_scheduler([]() -> task<> {
    wait_group group;
    std::size_t length = 0;
    int value = 0;
    auto measure = [](const std::string& text, std::size_t& into) -> task<> {
      co_await yield();
      into = text.size();
    };
    auto unbox = [](std::unique_ptr<int> box, int& into) -> task<> {
      co_await yield();
      into = *box;
    };
    group.go(measure, "a literal that is longer than a short string", std::ref(length));
    auto box = std::make_unique<int>(7);
    group.go(unbox, std::move(box), std::ref(value));
    co_await group.wait();
    CHECK(length == 44);
    CHECK(value == 7);
  });
}

TEST_CASE("go takes a plain callable, and a task that was made before (108)") {
  on_every_scheduler([]() -> task<> {
    wait_group group;
    std::atomic<int> sum = 0;
    group.go([&sum](int n) { sum += n; }, 3);
    auto coroutine = [](std::atomic<int>& into) -> task<> {
      co_await yield();
      into += 4;
    };
    group.go(coroutine(sum));
    co_await group.wait();
    CHECK(sum == 7);
  });
}

TEST_CASE("A routine of a group that throws has been counted down, and its exception is reported (108)") {
  for (unsigned workers : {1u, 2u, 4u}) {
    std::atomic<int> reported = 0;
    runtime_options how;
    how.workers = workers;
    how.on_unhandled = [&reported](std::exception_ptr error, const std::source_location&) {
      try {
        std::rethrow_exception(error);
      } catch (const std::runtime_error& e) {
        reported += e.what() == std::string("on purpose");
      } catch (...) {
      }
    };
    run(
        []() -> task<> {
          wait_group group;
          for (int i = 0; i != 5; ++i) {
            group.go([i]() -> task<> {
              co_await yield();
              if (i % 2) throw std::runtime_error("on purpose");
            });
          }
          group.go([] { throw std::runtime_error("on purpose"); });
          co_await group.wait();
        },
        how);
    CHECK(reported == 3);
  }
}

TEST_CASE("A routine may add to its own group while it runs (104)") {
  on_every_scheduler([]() -> task<> {
    struct tree {
      wait_group group;
      std::atomic<int> leaves = 0;
      task<> grow(int depth) {
        co_await yield();
        if (depth == 0) {
          ++leaves;
          co_return;
        }
        for (int i = 0; i != 2; ++i) group.go(grow(depth - 1));
      }
    };
    tree t;
    t.group.go(t.grow(6));
    co_await t.group.wait();
    CHECK(t.leaves == 64);
  });
}

TEST_CASE("A group may die as soon as its wait returns (109)") {
  const auto rounds = stressed(500);
  on_every_scheduler(
      [rounds]() -> task<> {
        for (std::size_t i = 0; i != rounds; ++i) {
          auto group = std::make_unique<wait_group>();
          group->add(2);
          for (int k = 0; k != 2; ++k) go([&group = *group] { group.done(); });
          co_await group->wait();
          group.reset();
        }
        reached("each group goes while the last done may still return");
      },
      3);
}

TEST_CASE("done may be called by a thread that is no worker (106, 109)") {
  for (unsigned workers : {1u, 2u, 4u}) {
    run(
        []() -> task<> {
          for (int round = 0; round != 10; ++round) {
            auto group = std::make_unique<wait_group>();
            int plain = 0;
            group->add(2);
            std::thread foreign([&group = *group, &plain] {
              plain = 1;
              group.done();
            });
            go([&group = *group] { group.done(); });
            co_await group->wait();
            CHECK(plain == 1);
            // Only when the call has returned may the group go: the thread is inside it.
            foreign.join();
            group.reset();
          }
        },
        {.workers = workers});
  }
}

TEST_CASE("A wait that loses a select, or is cancelled, changes nothing (77)") {
  on_simulated_schedulers([]() -> task<> {
    wait_group group;
    group.add();
    auto lost = co_await select(group.wait(), sleep(1s));
    CHECK(lost.index() == 1);
    auto patient = go([&group]() -> task<> { co_await group.wait(); });
    auto impatient = go([&group]() -> task<> { co_await group.wait(); });
    co_await testing::settle();
    impatient.cancel();
    const auto end = co_await ending_of(impatient);
    CHECK(end == ending::was_cancelled);
    CHECK_FALSE(patient.is_done());
    group.done();
    co_await patient;
  });
}

TEST_CASE("A group that is never counted down is a deadlock whose report names the wait (160)") {
  on_each(every_scheduler(3), [&](const scheduler_under_test& scheduler) {
    std::string report;
    try {
      scheduler.run([]() -> task<> {
        wait_group group;
        group.add();
        co_await group.wait();
      });
    } catch (const deadlock& e) {
      report = e.what();
    }
    CHECK(report.find("wait_group") != std::string::npos);
  });
}

TEST_CASE("A group can be neither copied nor moved (122)") {
  CHECK_FALSE(std::is_copy_constructible_v<wait_group>);
  CHECK_FALSE(std::is_move_constructible_v<wait_group>);
}

TEST_CASE("Ten thousand routines in a chain tear down (170)") {
  on_every_scheduler(
      []() -> task<> {
        constexpr int links = 10'000;
        wait_group all;
        channel<int> first;
        auto in = first;
        for (int i = 0; i != links; ++i) {
          channel<int> next;
          all.go([in, next]() -> task<> {
            const auto value = co_await in.recv();
            co_await next.send(value.value() + 1);
          });
          in = next;
        }
        co_await first.send(0);
        const auto last = co_await in.recv();
        CHECK(last == links);
        co_await all.wait();
      },
      2);
}
