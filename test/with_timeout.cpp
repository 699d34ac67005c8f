// with_timeout, with_deadline: an operation or a task for so long at the most.
#include <doctest/doctest.h>

#include <atomic>
#include <memory>
#include <ringo/ringo.hpp>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "error_told.hpp"
#include "every_scheduler.hpp"

using namespace ringo;
using namespace std::chrono_literals;

namespace {

task<int> sleeps(duration d, int result) {
  co_await sleep(d);
  co_return result;
}

task<> waits_for_ever() { co_await never(); }

}  // namespace

TEST_CASE("what is faster than the limit yields its value, and its timer is gone") {
  on_every_scheduler([]() -> task<> {
    const auto before = testing::live().timers;
    auto fast = []() -> task<int> { co_return 7; };
    const int seven = co_await with_timeout(1h, fast());
    CHECK(seven == 7);
    channel<std::unique_ptr<int>> c(1);
    c.try_send(std::make_unique<int>(5));
    const auto five = co_await with_deadline(now() + 1h, c.recv());
    CHECK(**five == 5);
    CHECK(testing::live().timers == before);
    CHECK(current_context() == context::background());
  });
}

TEST_CASE("what is slower is ended at the limit, with timed_out, and has lost nothing") {
  on_simulated_schedulers([]() -> task<> {
    const time_point start = now();
    channel<int> c;
    const auto operation = co_await outcome(with_timeout(1s, c.recv()));
    CHECK(told(operation) == "timed out");
    CHECK(now() == start + 1s);
    CHECK_FALSE(c.try_send(1));
    const auto slow = co_await outcome(with_deadline(start + 2s, sleeps(1h, 1)));
    CHECK(told(slow) == "timed out");
    CHECK(now() == start + 2s);
    CHECK_FALSE(current_context().is_cancelled());
  });
}

TEST_CASE("an operation and its limit are one wait, without a frame of its own") {
  on_simulated_schedulers([]() -> task<> {
    channel<int> c;
    wait_group receivers;
    auto plain = [&]() -> task<> { co_await c.recv(); };
    auto limited = [&]() -> task<> { co_await with_timeout(1h, c.recv()); };
    auto limited_by_name = [&]() -> task<> {
      auto bounded = with_deadline(now() + 1h, c.recv());
      co_await bounded;
      const auto again = co_await outcome(bounded);
      CHECK(told(again) == "ringo: awaiting an empty task: it was moved from, or has been awaited before");
    };
    const auto none = testing::live();
    receivers.go(plain);
    co_await testing::settle();
    const auto one = testing::live();
    receivers.go(limited);
    co_await testing::settle();
    const auto two = testing::live();
    CHECK(two.frames - one.frames == one.frames - none.frames);
    CHECK(two.timers == one.timers + 1);
    receivers.go(limited_by_name);
    co_await testing::settle();
    CHECK(testing::live().frames - two.frames == one.frames - none.frames);
    for (int i = 0; i < 3; ++i) co_await c.send(i);
    co_await receivers.wait();
    CHECK(testing::live().timers == one.timers);
  });
}

TEST_CASE("the time runs from when it is awaited") {
  on_simulated_schedulers([]() -> task<> {
    auto bounded = with_timeout(2s, sleeps(1s, 3));
    co_await sleep(1h);
    const int three = co_await std::move(bounded);
    CHECK(three == 3);
  });
}

TEST_CASE("operations, tasks, handles and selects, by value and by name") {
  on_simulated_schedulers([]() -> task<> {
    channel<int> c, d(1);
    auto receives = c.recv();
    auto o = co_await outcome(with_timeout(1s, receives));
    CHECK(told(o) == "timed out");
    d.try_send(1);
    auto receives_one = d.recv();
    const auto one = co_await with_timeout(1s, receives_one);
    CHECK(one == 1);

    auto h = go(sleeps, 2s, 4);
    const auto joined_early = co_await outcome(with_timeout(1s, h));
    CHECK(told(joined_early) == "timed out");
    const int four = co_await with_timeout(2s, h);  // the result was left with its handle
    CHECK(four == 4);
    const int five = co_await with_timeout(2s, go(sleeps, 1s, 5));
    CHECK(five == 5);

    auto t = sleeps(1s, 6);
    const int six = co_await with_timeout(2s, std::move(t));
    CHECK(six == 6);

    const auto neither = co_await outcome(with_timeout(1s, select(c.recv(), d.recv())));
    CHECK(told(neither) == "timed out");
    wait_group group;
    group.add();
    const auto waited = co_await outcome(with_timeout(1s, group.wait()));
    CHECK(told(waited) == "timed out");
    group.done();
    co_await with_timeout(1s, group.wait());
    int value = 8;
    auto named = c.send(value);
    const auto sent = co_await outcome(with_timeout(1s, std::move(named)));
    CHECK(told(sent) == "timed out");
    auto whole = std::make_unique<int>(9);
    channel<std::unique_ptr<int>> p;
    const auto lost = co_await outcome(with_timeout(1s, p.send(std::move(whole))));
    CHECK(told(lost) == "timed out");
    CHECK(whole != nullptr);
  });
}

TEST_CASE("a limit of zero, or a negative one, has passed before anything is tried") {
  on_every_scheduler([]() -> task<> {
    channel<int> ready(1);
    ready.try_send(1);
    for (const duration length : {duration(0), duration(-1), duration::min()}) {
      const auto o = co_await outcome(with_timeout(length, ready.recv()));
      CHECK(told(o) == "timed out");
    }
    const auto o = co_await outcome(with_deadline(now() - 1s, ready.recv()));
    CHECK(told(o) == "timed out");
    CHECK(ready.size() == 1);
    // A task that awaits nothing has a value all the same.
    auto at_once = []() -> task<int> { co_return 1; };
    const int value = co_await with_timeout(0s, at_once());
    CHECK(value == 1);
  });
}

TEST_CASE("a limit beyond the clock's end is none") {
  on_every_scheduler([]() -> task<> {
    const int value = co_await with_timeout(std::chrono::hours::max(), sleeps(1us, 2));
    CHECK(value == 2);
  });
}

TEST_CASE("nested: the outer limit ends both, and is told at its own boundary") {
  on_simulated_schedulers([]() -> task<> {
    const time_point start = now();
    std::string inner;
    auto bounded = [&inner]() -> task<> {
      const auto o = co_await outcome(with_timeout(1h, never()));
      inner = told(o);
      co_await yield();
    };
    const auto outer = co_await outcome(with_timeout(1s, bounded()));
    CHECK(inner == "cancelled");
    CHECK(told(outer) == "timed out");
    CHECK(now() == start + 1s);
  });
}

TEST_CASE("nested: the inner limit ends what it bounds, and the outer goes on") {
  on_simulated_schedulers([]() -> task<> {
    const time_point start = now();
    auto bounded = []() -> task<int> {
      const auto o = co_await outcome(with_timeout(1s, never()));
      CHECK(told(o) == "timed out");
      co_return co_await sleeps(1s, 3);
    };
    const int three = co_await with_timeout(1h, bounded());
    CHECK(three == 3);
    CHECK(now() == start + 2s);
  });
}

TEST_CASE("nested limits that are equal: the outer one's boundary tells of it") {
  on_simulated_schedulers([]() -> task<> {
    const auto o = co_await outcome(with_timeout(1s, with_timeout(1s, never())));
    CHECK(told(o) == "timed out");
  });
}

TEST_CASE("nested: a routine that asks, and so finds that the outer limit has passed, is told the same") {
  run(
      []() -> task<> {
        auto computes = []() -> task<> {
          while (!current_context().is_cancelled()) {
          }
          co_await yield();
        };
        std::string inner;
        auto bounded = [&]() -> task<> {
          const auto o = co_await outcome(with_timeout(1h, computes()));
          inner = told(o);
          co_await yield();
        };
        const auto outer = co_await outcome(with_timeout(1ms, bounded()));
        CHECK(inner == "cancelled");
        CHECK(told(outer) == "timed out");
      },
      {.workers = 1});
}

TEST_CASE("a value that comes after the limit wins all the same") {
  on_simulated_schedulers([]() -> task<> {
    auto ignores = []() -> task<int> {
      try {
        co_await never();
      } catch (const cancelled&) {
      }
      co_return 5;
    };
    const int five = co_await with_timeout(1s, ignores());
    CHECK(five == 5);
    auto holds_back = []() -> task<int> { co_return co_await shield(sleeps(1h, 6)); };
    const int six = co_await with_timeout(1s, holds_back());
    CHECK(six == 6);
    co_await yield();
  });
}

TEST_CASE("another error passes, before and after the limit") {
  on_simulated_schedulers([]() -> task<> {
    auto fails = [](duration after) -> task<> {
      co_await shield(sleep(after));
      throw std::runtime_error("other");
    };
    for (const duration after : {duration(1ms), duration(1h)}) {
      const auto o = co_await outcome(with_timeout(1s, fails(after)));
      CHECK(told(o) == "other");
    }
  });
}

TEST_CASE("a cancellation that is not the limit's passes as such") {
  on_simulated_schedulers([]() -> task<> {
    const context ctx = context::with_cancel();
    auto bounded = []() -> task<> { co_await with_timeout(1h, never()); };
    auto by_context = go(ctx, bounded);
    auto by_handle = go(bounded);
    auto of_another = go([]() -> task<> {
      auto victim = go(waits_for_ever);
      co_await yield();
      victim.cancel();
      co_await with_timeout(1h, victim);
    });
    co_await testing::settle();
    ctx.cancel();
    by_handle.cancel();
    for (handle<>* each : {&by_context, &by_handle, &of_another}) {
      const auto o = co_await outcome(*each);
      CHECK(told(o) == "cancelled");
    }
  });
}

TEST_CASE("what the bounded task has started is ended with it") {
  on_simulated_schedulers([]() -> task<> {
    std::vector<handle<>> started;
    auto starts = [&started]() -> task<> {
      started.push_back(go(waits_for_ever));
      started.push_back(go([]() -> task<> { co_await with_timeout(1h, waits_for_ever()); }));
      co_await never();
    };
    const auto o = co_await outcome(with_timeout(1s, starts()));
    CHECK(told(o) == "timed out");
    for (handle<>& each : started) {
      const auto ended = co_await outcome(each);
      CHECK(told(ended) == "cancelled");
    }
  });
}

TEST_CASE("what the bounded task has started may go on when the task ends in time, until the limit") {
  on_simulated_schedulers([]() -> task<> {
    const time_point start = now();
    handle<> started;
    auto starts = [&started]() -> task<> {
      started = go(waits_for_ever);
      co_return;
    };
    co_await with_timeout(1s, starts());
    const auto ended = co_await outcome(started);
    CHECK(told(ended) == "cancelled");
    CHECK(now() == start + 1s);
  });
}

TEST_CASE("as a case of a select it is a task: it may win, and its loss cancels and joins it") {
  on_simulated_schedulers([]() -> task<> {
    channel<int> c;
    bool unwound = false;
    auto bounded = [&]() -> task<int> {
      struct witness {
        bool& gone;
        ~witness() { gone = true; }
      } w{unwound};
      co_return *co_await c.recv();
    };
    const auto lost = co_await select(with_timeout(1h, bounded()), sleep(1s));
    CHECK(lost.index() == 1);
    CHECK(unwound);
    const auto won = co_await select(with_timeout(2s, sleeps(1s, 3)), never());
    CHECK(std::get<0>(won) == 3);
    const auto threw = co_await outcome(select(with_timeout(1s, never()), sleep(1h)));
    CHECK(told(threw) == "timed out");
  });
}

TEST_CASE("a value at the instant of the limit, or just before: it or timed_out, and never both or neither") {
  for (const duration before : {duration(0), duration(1)}) {
    int runs = 0, values = 0, timeouts = 0;
    for (const auto& scheduler : simulated_schedulers(20)) {
      ++runs;
      scheduler.run([&]() -> task<> {
        channel<int> c;
        auto sends = go([&]() -> task<> {
          co_await sleep(1s - before);
          co_await c.send(1);
        });
        auto o = co_await outcome(with_timeout(1s, c.recv()));
        if (o) {
          ++values;
        } else {
          CHECK(told(o) == "timed out");
          ++timeouts;
          const auto still_there = co_await c.recv();
          CHECK(still_there == 1);
        }
        co_await sends;
      });
    }
    CHECK(values + timeouts == runs);
    if (before > 0ns) CHECK(values == runs);
  }
}

TEST_CASE("ten thousand limits that are not reached leave no timers, and cost no waiting") {
  on_simulated_schedulers(
      []() -> task<> {
        const time_point start = now();
        const auto before = testing::live();
        channel<int> c(1);
        for (int i = 0; i != 10'000; ++i) {
          c.try_send(i);
          const auto got = co_await with_timeout(1h, c.recv());
          if (got != i) FAIL_CHECK("lost " << i);
        }
        CHECK(now() == start);
        const auto after = testing::live();
        CHECK(after.timers == before.timers);
        CHECK(after.frames == before.frames);
        CHECK(after.routines == before.routines);
      },
      1);
}
