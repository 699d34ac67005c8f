// group::background: members that end with the others.
#include <doctest/doctest.h>

#include <atomic>
#include <stdexcept>
#include <string>

#include "error_told.hpp"
#include "every_scheduler.hpp"

using namespace ringo;
using namespace std::chrono_literals;

namespace {

task<> fails(const char* how) {
  throw std::runtime_error(how);
  co_return;
}

task<> ticks_for_ever(std::atomic<int>& alive, std::atomic<int>& ticks) {
  ++alive;
  try {
    for (;;) {
      co_await yield();
      ++ticks;
    }
  } catch (const cancelled&) {
    --alive;
    throw;
  }
}

// Takes a while to end when it is cancelled.
task<> ends_slowly(std::atomic<int>& alive) {
  ++alive;
  (void)co_await outcome(never());
  co_await shield(yield());
  co_await shield(yield());
  --alive;
}

}  // namespace

TEST_CASE("Background members run until the last other member has ended, and are then cancelled and joined") {
  on_every_scheduler([]() -> task<> {
    std::atomic<int> alive = 0, ticks = 0, ran = 0;
    group g;
    g.background(ticks_for_ever, std::ref(alive), std::ref(ticks));
    g.background(ends_slowly, std::ref(alive));
    const auto waits_for_ticks = [&]() -> task<> {
      while (ticks < 5) co_await yield();
      ++ran;
    };
    g.go(waits_for_ticks);
    g.go(waits_for_ticks);
    co_await g.wait();
    CHECK(ran == 2);
    CHECK(alive == 0);
  });
}

TEST_CASE("In a scope, they run until the body has ended, too") {
  on_every_scheduler([]() -> task<> {
    std::atomic<int> alive = 0, ticks = 0;
    const auto body = [&](group& g) -> task<> {
      g.background(ticks_for_ever, std::ref(alive), std::ref(ticks));
      g.go(yield);
      while (ticks < 5) co_await yield();  // the only other member has long ended
    };
    co_await scope(body);
    CHECK(ticks >= 5);
    CHECK(alive == 0);
  });
}

TEST_CASE("A group that has background members only is done as soon as it is waited for") {
  on_every_scheduler([]() -> task<> {
    std::atomic<int> alive = 0;
    group g;
    g.background(ends_slowly, std::ref(alive));
    g.background(ends_slowly, std::ref(alive));
    co_await yield();
    co_await g.wait();
    CHECK(alive == 0);
    co_await g.wait();
    g.background(ends_slowly, std::ref(alive));  // used anew
    const auto sees_it = [&alive]() -> task<> {
      while (alive == 0) co_await yield();
    };
    g.go(sees_it);
    co_await g.wait();
    CHECK(alive == 0);
  });
}

TEST_CASE("A background member's error is the group's, and cancels the rest") {
  on_every_scheduler([]() -> task<> {
    group g;
    g.go(never);
    g.background(fails, "health");
    const auto ended = co_await outcome(g.wait());
    CHECK(told(ended.error()) == "health");

    group keeps(current_context(), on_error::keep_going);
    int ran = 0;
    keeps.background(fails, "kept");
    keeps.go([&ran]() -> task<> {
      co_await yield();
      ++ran;
    });
    const auto kept = co_await outcome(keeps.wait());
    CHECK(told(kept.error()) == "kept");
    CHECK(ran == 1);

    // In the clean-up, when it is cancelled at the end.
    group late;
    late.background([]() -> task<> {
      (void)co_await outcome(never());
      throw std::runtime_error("late");
    });
    co_await yield();
    const auto at_the_end = co_await outcome(late.wait());
    CHECK(told(at_the_end.error()) == "late");
  });
}

TEST_CASE("One that ends early is no end of anything") {
  on_every_scheduler([]() -> task<> {
    int ran = 0;
    group g;
    g.background(yield);
    g.background([]() -> task<> { co_return; }());
    g.go([&ran]() -> task<> {
      for (int i = 0; i != 10; ++i) co_await yield();
      ++ran;
    });
    co_await g.wait();
    CHECK(ran == 1);
  });
}

TEST_CASE("A body that throws cancels background members as it does the others") {
  on_every_scheduler([]() -> task<> {
    std::atomic<int> alive = 0;
    const auto body = [&alive](group& g) -> task<> {
      g.background(ends_slowly, std::ref(alive));
      g.go(ends_slowly, std::ref(alive));
      co_await yield();
      throw std::runtime_error("body");
    };
    const auto ended = co_await outcome(scope(body));
    CHECK(told(ended.error()) == "body");
    CHECK(alive == 0);
  });
}

TEST_CASE("What a background member starts is an ordinary member, and runs to its end, even when started at the end") {
  on_every_scheduler([]() -> task<> {
    std::atomic<bool> has_begun = false;
    std::atomic<int> early = 0, late = 0;
    const auto takes_a_while = [](std::atomic<int>& ran) -> task<> {
      for (int i = 0; i != 5; ++i) co_await yield();
      ++ran;
    };
    group g;
    g.background([&]() -> task<> {
      g.go(takes_a_while, std::ref(early));
      has_begun = true;
      (void)co_await outcome(never());
      g.go(takes_a_while, std::ref(late));
    });
    // One that is cancelled before it begins starts nothing.
    while (!has_begun) co_await yield();
    co_await g.wait();
    CHECK(early == 1);
    CHECK(late == 1);
    CHECK(g.ctx().is_cancelled());
  });
}

TEST_CASE("Background members take no place of the limit, and are never queued") {
  on_every_scheduler([]() -> task<> {
    std::atomic<int> alive = 0;
    group g;
    g.limit(1);
    g.background(ends_slowly, std::ref(alive));
    channel<> go_on;
    const auto waits = [go_on]() -> task<> { (void)co_await go_on.recv(); };
    CHECK(g.try_go(waits));
    CHECK_FALSE(g.try_go(waits));
    g.background(ends_slowly, std::ref(alive));
    while (alive != 2) co_await yield();
    CHECK_THROWS_AS(g.limit(2), std::logic_error);
    g.go(waits);  // queued
    go_on.close();
    co_await g.wait();
    CHECK(alive == 0);
    group none;
    none.limit(0);
    none.background(ends_slowly, std::ref(alive));
    CHECK_THROWS_AS(none.limit(2), std::logic_error);
    co_await none.wait();
    CHECK(alive == 0);
  });
}

TEST_CASE("wait() as a case of a select ends and joins them, too") {
  on_every_scheduler([]() -> task<> {
    std::atomic<int> alive = 0;
    group g;
    channel<> go_on;
    g.background(ends_slowly, std::ref(alive));
    g.go([go_on]() -> task<> { (void)co_await go_on.recv(); });
    while (alive == 0) co_await yield();
    const auto early = co_await select(g.wait(), sleep(0s));
    CHECK(early.index() == 1);
    CHECK(alive == 1);  // an ordinary member still runs
    const auto polled = co_await select(g.wait(), otherwise);
    CHECK(polled.index() == 1);
    CHECK(alive == 1);
    go_on.close();
    const auto late = co_await select(never(), g.wait());
    CHECK(late.index() == 1);
    CHECK(alive == 0);
  });
}

TEST_CASE("A wait that is cancelled, and group::cancel, end background members with the others") {
  on_every_scheduler([]() -> task<> {
    std::atomic<int> alive = 0;
    const auto waits = [&alive]() -> task<> {
      group g(context::background());
      g.background(ends_slowly, std::ref(alive));
      g.go(ends_slowly, std::ref(alive));
      co_await g.wait();
    };
    const auto routine = go(waits);
    while (alive != 2) co_await yield();
    routine.cancel();
    const auto ended = co_await outcome(routine);
    CHECK(told(ended.error()) == "cancelled");
    CHECK(alive == 0);

    const auto body = [&alive](group& g) -> task<> {
      g.background(ends_slowly, std::ref(alive));
      while (alive != 1) co_await yield();
      g.cancel();
    };
    co_await scope(body);
    CHECK(alive == 0);
  });
}

TEST_CASE("Several wait for a group with background members, and all go on when these have ended") {
  on_every_scheduler([]() -> task<> {
    std::atomic<int> alive = 0;
    group g;
    channel<> go_on;
    g.background(ends_slowly, std::ref(alive));
    g.go([go_on]() -> task<> { (void)co_await go_on.recv(); });
    const auto waits = [&]() -> task<> {
      co_await g.wait();
      CHECK(alive == 0);
    };
    wait_group all;
    for (int i = 0; i != 3; ++i) all.go(waits);
    co_await yield();
    go_on.close();
    co_await all.wait();
  });
}

TEST_CASE("Many background members and others that end at the same time leave nobody behind") {
  on_every_scheduler(
      []() -> task<> {
        for (int round = 0; round != 20; ++round) {
          std::atomic<int> alive = 0;
          const auto body = [&alive](group& g) -> task<> {
            for (int i = 0; i != 4; ++i) {
              g.background(ends_slowly, std::ref(alive));
              g.go(yield);
            }
            co_await yield();
          };
          co_await scope(body);
          CHECK(alive == 0);
        }
      },
      3);
}

TEST_CASE("A background member on a thread that is no worker is refused by its name") {
  group g;
  std::string refusal;
  try {
    g.background(yield);
  } catch (const std::logic_error& e) {
    refusal = e.what();
  }
  CHECK(refusal.find("group::background") != std::string::npos);
}
