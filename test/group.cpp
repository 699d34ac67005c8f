#include <doctest/doctest.h>

#include <atomic>
#include <stdexcept>
#include <string>
#include <thread>

#include "every_scheduler.hpp"

using namespace ringo;
using namespace std::chrono_literals;

namespace {

std::string message_of(const std::exception_ptr& e) {
  if (!e) return "nothing";
  try {
    std::rethrow_exception(e);
  } catch (const cancelled&) {
    return "cancelled";
  } catch (const timed_out&) {
    return "timed out";
  } catch (const std::exception& error) {
    return error.what();
  }
}

task<> fails(const char* how) {
  throw std::runtime_error(how);
  co_return;
}

task<> waits_for_ever() { co_await never(); }

}  // namespace

TEST_CASE("wait joins all members and rethrows the first error, which has cancelled the rest (149, 150, 156)") {
  on_every_scheduler([]() -> task<> {
    group g;
    g.go(waits_for_ever);
    g.go(waits_for_ever);
    co_await yield();
    g.go(fails, "first");
    auto ended = co_await outcome(g.wait());
    CHECK(message_of(ended.error()) == "first");
    CHECK(g.ctx().is_cancelled());
    CHECK(message_of(g.ctx().cause()) == "first");
  });
}

TEST_CASE(
    "A group whose members succeed waits without an error, its context is then cancelled, and it may be used again "
    "(150, 155)") {
  on_every_scheduler([]() -> task<> {
    group g;
    std::atomic<int> ran = 0;
    auto counts = [&ran]() -> task<> {
      co_await yield();
      ++ran;
    };
    for (int i = 0; i != 3; ++i) g.go(counts);
    co_await g.wait();
    CHECK(ran == 3);
    CHECK(g.ctx().is_cancelled());
    g.go(counts);
    co_await g.wait();
    CHECK(ran == 4);
    g.go(fails, "one");
    auto first = co_await outcome(g.wait());
    CHECK(message_of(first.error()) == "one");
    g.go(fails, "two");
    auto second = co_await outcome(g.wait());
    CHECK(message_of(second.error()) == "one");
  });
}

TEST_CASE("No more members than the limit run at a time, and queued ones run later (152)") {
  on_every_scheduler([]() -> task<> {
    for (std::size_t limit : {1u, 3u, 10u}) {
      group g;
      g.limit(limit);
      std::atomic<std::size_t> active = 0, most = 0, ran = 0;
      auto member = [&]() -> task<> {
        const std::size_t now_active = ++active;
        for (std::size_t seen = most; now_active > seen && !most.compare_exchange_weak(seen, now_active);) {
        }
        co_await yield();
        --active;
        ++ran;
      };
      for (int i = 0; i != 25; ++i) g.go(member);
      co_await g.wait();
      CHECK(ran == 25);
      CHECK(most <= limit);
    }
  });
}

TEST_CASE("try_go is false at the limit, and true again when a member has ended (153)") {
  on_every_scheduler([]() -> task<> {
    group g;
    g.limit(1);
    channel<void> go_on;
    auto member = [go_on]() -> task<> { co_await go_on.recv(); };
    CHECK(g.try_go(member));
    CHECK_FALSE(g.try_go(member));
    co_await go_on.send();
    co_await g.slot();
    CHECK(g.try_go(member));
    co_await go_on.send();
    co_await g.wait();
    group none;
    none.limit(0);
    CHECK_FALSE(none.try_go(member));
  });
}

TEST_CASE("try_go takes a task as well, and leaves it whole at the limit (153)") {
  on_every_scheduler([]() -> task<> {
    group g;
    g.limit(1);
    int ran = 0;
    const channel<void> go_on;
    auto counts = [&ran, &go_on]() -> task<> {
      co_await go_on.recv();
      ++ran;
    };
    auto one = counts();
    CHECK(g.try_go(counts()));
    CHECK_FALSE(g.try_go(std::move(one)));
    go_on.close();
    co_await g.wait();
    CHECK(g.try_go(std::move(one)));
    co_await g.wait();
    CHECK(ran == 2);
  });
}

TEST_CASE("Queued members never start after the first error") {
  on_every_scheduler([]() -> task<> {
    group g;
    g.limit(1);
    std::atomic<bool> started = false;
    event may_fail;
    g.go([&may_fail]() -> task<> {
      co_await may_fail.wait();
      co_await fails("first");
    });
    auto never_runs = [&started]() -> task<> {
      started = true;
      co_return;
    };
    g.go(never_runs);
    may_fail.set();
    auto ended = co_await outcome(g.wait());
    CHECK(message_of(ended.error()) == "first");
    CHECK_FALSE(started);
  });
}

TEST_CASE("With keep_going an error stops nobody (151)") {
  on_every_scheduler([]() -> task<> {
    group g(current_context(), on_error::keep_going);
    std::atomic<int> ran = 0;
    auto counts = [&ran]() -> task<> {
      co_await yield();
      ++ran;
    };
    g.go(fails, "first");
    g.go(counts);
    auto ended = co_await outcome(g.wait());
    CHECK(message_of(ended.error()) == "first");
    CHECK(ran == 1);
  });
}

TEST_CASE("Changing the limit while members run is refused (154)") {
  on_every_scheduler([]() -> task<> {
    group g;
    g.go(waits_for_ever);
    CHECK_THROWS_AS(g.limit(2), std::logic_error);
    g.ctx().cancel();
    auto ended = co_await outcome(g.wait());
    CHECK(message_of(ended.error()) == "cancelled");
  });
}

TEST_CASE("A group that is left without wait cancels its members, which end by themselves (158)") {
  on_every_scheduler([]() -> task<> {
    wait_group ended;
    std::atomic<int> were_cancelled = 0;
    ended.add(2);
    auto member = [&]() -> task<> {
      try {
        co_await never();
      } catch (const cancelled&) {
        ++were_cancelled;
        ended.done();
        throw;
      }
    };
    {
      group g;
      g.go(member);
      g.go(member);
      co_await yield();
    }
    co_await ended.wait();
    CHECK(were_cancelled == 2);
  });
}

TEST_CASE("A wait that is cancelled cancels the members, joins them, and throws") {
  on_every_scheduler([]() -> task<> {
    std::atomic<bool> joined = false;
    auto waits = [&joined]() -> task<> {
      group g(context::background());
      auto member = [&joined]() -> task<> {
        auto ended = co_await outcome(never());
        co_await shield(yield());
        CHECK(message_of(ended.error()) == "cancelled");
        joined = true;
      };
      g.go(member);
      co_await g.wait();
    };
    auto h = go(waits);
    co_await yield();
    h.cancel();
    auto ended = co_await outcome(h);
    CHECK(message_of(ended.error()) == "cancelled");
    CHECK(joined);
  });
}

TEST_CASE("A group cancelled by its parent makes wait throw cancelled") {
  on_every_scheduler([]() -> task<> {
    context parent = context::with_cancel();
    group g(parent);
    g.go(waits_for_ever);
    parent.cancel();
    auto ended = co_await outcome(g.wait());
    CHECK(message_of(ended.error()) == "cancelled");
  });
}

TEST_CASE("wait as a case of a select that loses leaves the members alone") {
  on_every_scheduler([]() -> task<> {
    group g;
    channel<void> go_on;
    auto member = [go_on]() -> task<> { co_await go_on.recv(); };
    g.go(member);
    auto r = co_await select(g.wait(), sleep(0s));
    CHECK(r.index() == 1);
    CHECK_FALSE(g.ctx().is_cancelled());
    co_await go_on.send();
    auto again = co_await select(g.wait(), never());
    CHECK(again.index() == 0);
  });
}

TEST_CASE("Nothing outlives a scope, whichever way it is left (158)") {
  on_every_scheduler([]() -> task<> {
    std::atomic<int> alive = 0;
    auto member = [&alive]() -> task<> {
      ++alive;
      (void)co_await outcome(never());
      co_await shield(yield());
      --alive;
    };
    auto body = [&](group& g) -> task<> {
      g.go(member);
      g.go(member);
      co_await yield();
      throw std::runtime_error("left");
    };
    auto ended = co_await outcome(scope(body));
    CHECK(message_of(ended.error()) == "left");
    CHECK(alive == 0);
    auto failing_member = [&](group& g) -> task<> {
      g.go(fails, "member");
      co_await never();
    };
    auto ended_too = co_await outcome(scope(failing_member));
    CHECK(message_of(ended_too.error()) == "member");
    auto runs = [&](group& g) -> task<> {
      g.go(yield);
      co_return;
    };
    co_await scope(runs);
  });
}

TEST_CASE(
    "In the body of a scope, wait joins the members there are, and the body, the group and background members go on") {
  on_every_scheduler([]() -> task<> {
    std::atomic<int> ran = 0, ticks = 0;
    std::atomic<bool> background_has_ended = false;
    const auto counts = [&ran]() -> task<> {
      co_await yield();
      ++ran;
    };
    const auto ticks_on = [&]() -> task<> {
      try {
        for (;; ++ticks) co_await yield();
      } catch (const cancelled&) {
        background_has_ended = true;
        throw;
      }
    };
    int stages = 0;
    const auto body = [&](group& g) -> task<> {
      g.background(ticks_on);
      for (; stages != 3; ++stages) {
        g.go(counts);
        g.go(counts);
        co_await g.wait();
        CHECK(ran == 2 * (stages + 1));
        CHECK_FALSE(g.ctx().is_cancelled());
        const int before = ticks;
        while (ticks == before) co_await yield();
        const auto polled = co_await select(g.wait(), otherwise);
        CHECK(polled.index() == 0);
      }
      CHECK_FALSE(background_has_ended);
    };
    co_await scope(body);
    CHECK(stages == 3);
    CHECK(background_has_ended);
    const auto fails_in_between = [&](group& g) -> task<> {
      g.go(fails, "stage");
      (void)co_await outcome(g.wait());
      stages = 4;
    };
    const auto ended = co_await outcome(scope(fails_in_between));
    CHECK(message_of(ended.error()) == "stage");
    CHECK(stages == 4);
    const auto cancels_in_between = [&](group& g) -> task<> {
      g.go(waits_for_ever);
      g.go([&g]() -> task<> {
        co_await yield();
        g.cancel();
      });
      co_await g.wait();
      stages = 5;
    };
    co_await scope(cancels_in_between);
    CHECK(stages == 4);
  });
}

TEST_CASE("all yields every result, or cancels and joins the rest at the first error") {
  on_every_scheduler([]() -> task<> {
    channel<int> c(1);
    c.try_send(4);
    auto three = []() -> task<int> { co_return 3; };
    auto results = co_await all(three(), c.recv(), yield());
    CHECK(std::get<0>(results) == 3);
    CHECK(std::get<1>(results) == 4);
    auto ended = co_await outcome(all(three(), fails("first"), never()));
    CHECK(message_of(ended.error()) == "first");
    std::vector<task<int>> tasks;
    for (int i = 0; i != 5; ++i) tasks.push_back(three());
    auto threes = co_await all(std::move(tasks));
    CHECK(threes == std::vector<int>(5, 3));
  });
}

TEST_CASE("A group may not be copied, and go on a thread that is no worker is refused") {
  static_assert(!std::is_copy_constructible_v<group>);
  group g;
  CHECK_THROWS_AS(g.go(waits_for_ever), std::logic_error);
}

TEST_CASE("A group that is made on a thread that is no worker, while a runtime runs, is refused by its name") {
  std::string refusal;
  run([&refusal]() -> task<> {
    std::thread([&refusal] {
      try {
        group refused;
      } catch (const std::logic_error& e) {
        refusal = e.what();
      }
    }).join();
    co_return;
  });
  CHECK(refusal.find("group") != std::string::npos);
  CHECK(refusal.find("with_cancel") == std::string::npos);
}
