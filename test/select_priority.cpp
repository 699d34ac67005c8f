// Select with prefer_first: the order of the cases is their priority.
#include <doctest/doctest.h>

#include <optional>
#include <ringo/ringo.hpp>
#include <variant>

#include "every_scheduler.hpp"

using namespace ringo;
using namespace std::chrono_literals;

TEST_CASE("With prefer_first the first ready case is taken, always (76)") {
  on_every_scheduler([]() -> task<> {
    channel<int> first(1), second(1), third(1);
    for (int i = 0; i != 100; ++i) {
      second.try_send(i);
      third.try_send(i);
      auto r = co_await select(prefer_first, first.recv(), second.recv(), third.recv());
      REQUIRE(r.index() == 1);
      CHECK(std::get<1>(r) == i);
      first.try_send(i);
      auto s = co_await select(prefer_first, first.recv(), second.send(0), third.recv());
      REQUIRE(s.index() == 0);
      CHECK(std::get<0>(s) == i);
      CHECK(third.try_recv() == i);
    }
  });
}

TEST_CASE("With prefer_first a closed channel that comes first is always taken before ready work (60, 76)") {
  on_every_scheduler([]() -> task<> {
    channel<void> stop;
    channel<int> jobs(1);
    jobs.try_send(1);
    stop.close();
    for (int i = 0; i != 100; ++i) {
      auto r = co_await select(prefer_first, stop.recv(), jobs.recv());
      CHECK(r.index() == 0);
    }
    CHECK(jobs.size() == 1);
  });
}

TEST_CASE("With prefer_first otherwise comes last, and is taken only if nothing is ready (56, 76)") {
  on_every_scheduler([]() -> task<> {
    channel<int> c(1);
    auto r = co_await select(prefer_first, c.recv(), otherwise);
    CHECK(r.index() == 1);
    c.try_send(1);
    auto s = co_await select(prefer_first, channel<int>::nil().recv(), c.recv(), otherwise);
    CHECK(s.index() == 1);
  });
}

TEST_CASE("With prefer_first a parked select is decided by the first event, not by priority (55, 76)") {
  on_simulated_schedulers([]() -> task<> {
    channel<int> first, second;
    auto selecting = go([first, second]() -> task<std::size_t> {
      auto r = co_await select(prefer_first, first.recv(), second.recv());
      co_return r.index();
    });
    co_await testing::settle();
    CHECK(second.try_send(2));
    CHECK_FALSE(first.try_send(1));
    const auto index = co_await selecting;
    CHECK(index == 1);
  });
}

TEST_CASE("With prefer_first a send on a closed channel that comes first throws (61, 76)") {
  on_every_scheduler([]() -> task<> {
    channel<int> closed, ready(1);
    closed.close();
    ready.try_send(1);
    bool threw = false;
    try {
      co_await select(prefer_first, closed.send(1), ready.recv());
    } catch (const channel_closed&) {
      threw = true;
    }
    CHECK(threw);
    CHECK(ready.size() == 1);
    auto r = co_await select(prefer_first, ready.recv(), closed.send(1));
    CHECK(r.index() == 0);
  });
}

TEST_CASE("With prefer_first the first of two handlers of ready cases runs (69, 76)") {
  on_every_scheduler([]() -> task<> {
    channel<int> a(1), b(1);
    a.try_send(1);
    b.try_send(2);
    auto r = co_await select(prefer_first, on(b.recv(), [](std::optional<int> v) { return v.value() * 10; }),
                             on(a.recv(), [](std::optional<int> v) { return v.value() * 100; }));
    REQUIRE(r.index() == 0);
    CHECK(std::get<0>(r) == 20);
  });
}
