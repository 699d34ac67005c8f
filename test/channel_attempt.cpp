// try_send and try_recv, and that nothing wakes by mistake.
#include <doctest/doctest.h>

#include <atomic>
#include <cstddef>
#include <memory>
#include <optional>
#include <ringo/ringo.hpp>
#include <utility>
#include <variant>

#include "every_scheduler.hpp"

using namespace ringo;

TEST_CASE("an attempt succeeds on a buffer exactly as far as there is room, and values (semantics 46)") {
  on_every_scheduler([]() -> task<> {
    channel<int> ch(2);
    auto nothing = ch.try_recv();
    CHECK_FALSE(nothing);
    CHECK(ch.try_send(1));
    CHECK(ch.try_send(2));
    CHECK_FALSE(ch.try_send(3));
    auto first = ch.try_recv();
    auto second = ch.try_recv();
    auto third = ch.try_recv();
    CHECK(first == 1);
    CHECK(second == 2);
    CHECK_FALSE(third);
    co_return;
  });
}

TEST_CASE(
    "an attempt on an unbuffered channel succeeds exactly when somebody waits at the other end (semantics 2, 46)") {
  on_simulated_schedulers([]() -> task<> {
    channel<int> ch;
    CHECK_FALSE(ch.try_send(1));
    auto nothing = ch.try_recv();
    CHECK_FALSE(nothing);

    auto receiving = go([ch]() -> task<int> {
      auto value = co_await ch.recv();
      co_return value.value_or(-1);
    });
    co_await testing::settle();
    CHECK(ch.try_send(1));
    CHECK_FALSE(ch.try_send(2));
    const int received = co_await receiving;
    CHECK(received == 1);

    auto sending = go([ch]() -> task<> { co_await ch.send(3); });
    co_await testing::settle();
    CHECK_FALSE(ch.try_send(4));
    auto value = ch.try_recv();
    CHECK(value == 3);
    auto again = ch.try_recv();
    CHECK_FALSE(again);
    co_await sending;
  });
}

TEST_CASE("an attempt meets a case of a waiting select, and that select is then over (semantics 46, 52)") {
  on_simulated_schedulers([]() -> task<> {
    channel<int> in, out;
    auto selecting = go([in, out]() -> task<std::size_t> {
      auto got = co_await select(in.recv(), out.send(5));
      co_return got.index();
    });
    co_await testing::settle();
    CHECK(in.try_send(1));
    auto value = out.try_recv();
    CHECK_FALSE(value);
    CHECK_FALSE(in.try_send(2));
    const std::size_t chosen = co_await selecting;
    CHECK(chosen == 0);
  });
}

TEST_CASE("while a value is there an attempt to receive gets it, whatever close does meanwhile (semantics 46, 47)") {
  on_every_scheduler([]() -> task<> {
    for (std::size_t i = 0; i != stressed(300); ++i) {
      const channel<int> ch(1);
      co_await ch.send(1);
      auto attempt = go([ch]() -> task<bool> {
        auto value = ch.try_recv();
        co_return value == 1;
      });
      auto closing = go([ch]() -> task<> {
        ch.close();
        co_return;
      });
      const bool got = co_await attempt;
      co_await closing;
      CHECK(got);
    }
  });
}

TEST_CASE("while there is room an attempt to send succeeds, whatever others ask meanwhile (semantics 46)") {
  on_every_scheduler([]() -> task<> {
    const channel<int> ch(2);
    for (std::size_t i = 0; i != stressed(300); ++i) {
      auto first = go([ch]() -> task<bool> { co_return ch.try_send(1); });
      auto second = go([ch]() -> task<bool> { co_return ch.try_send(2); });
      const bool one = co_await first;
      const bool two = co_await second;
      CHECK(one);
      CHECK(two);
      (void)ch.try_recv();
      (void)ch.try_recv();
    }
    CHECK(ch.size() == 0);
  });
}

TEST_CASE("once an attempt has seen the channel closed, it is closed for everybody after (semantics 28, 47)") {
  on_every_scheduler([]() -> task<> {
    for (int i = 0; i != 50; ++i) {
      const channel<int> ch(1), told;
      auto attempts = go([ch, told]() -> task<> {
        for (;;) {
          try {
            (void)ch.try_send(1);
          } catch (const channel_closed&) {
            break;
          }
          co_await yield();
        }
        co_await told.send(1);
      });
      co_await yield();
      ch.close();
      co_await told.recv();
      CHECK(ch.is_closed());
      CHECK_THROWS_AS(ch.try_send(2), channel_closed);
      co_await attempts;
    }
  });
}

TEST_CASE("a select that is over is never woken by the cases that it lost (semantics 48, 65)") {
  on_simulated_schedulers([]() -> task<> {
    channel<int> won, lost, next;
    std::atomic<int> steps = 0;
    auto waiting = go([&, won, lost, next]() -> task<int> {
      auto got = co_await select(won.recv(), lost.recv(), lost.send(9));
      ++steps;
      auto value = co_await next.recv();
      ++steps;
      co_return got.index() == 0 ? value.value_or(-1) : -2;
    });
    co_await testing::settle();
    co_await won.send(1);
    co_await testing::settle();
    CHECK(steps == 1);
    // Neither end of the channel that lost has anybody left, and closing it wakes nobody.
    CHECK_FALSE(lost.try_send(2));
    auto nothing = lost.try_recv();
    CHECK_FALSE(nothing);
    lost.close();
    won.close();
    co_await testing::settle();
    CHECK(steps == 1);
    co_await next.send(3);
    const int value = co_await waiting;
    CHECK(value == 3);
  });
}

TEST_CASE("a waiting operation resumes once, with a result, while others come and go around it (semantics 48)") {
  on_every_scheduler([]() -> task<> {
    const channel<int> quiet, busy(1);
    std::atomic<int> woken = 0;
    wait_group waiting, traffic;
    for (int i = 0; i != 10; ++i) {
      waiting.go([&, quiet]() -> task<> {
        auto value = co_await quiet.recv();
        CHECK(value.has_value());
        ++woken;
      });
      traffic.go([busy]() -> task<> {
        for (int n = 0; n != 50; ++n) {
          co_await select(busy.send(n), channel<int>::nil().recv());
          auto got = co_await select(channel<int>::nil().recv(), busy.recv());
          CHECK(std::get<1>(got).has_value());
        }
      });
    }
    co_await traffic.wait();
    CHECK(woken == 0);
    for (int i = 0; i != 10; ++i) co_await quiet.send(i);
    co_await waiting.wait();
    CHECK(woken == 10);
  });
}

TEST_CASE("a refused attempt leaves a named value whole, an accepted one takes it (semantics 70, D1)") {
  on_every_scheduler([]() -> task<> {
    const channel<std::unique_ptr<int>> ch(1);
    auto first = std::make_unique<int>(1), second = std::make_unique<int>(2);
    CHECK(ch.try_send(std::move(first)));
    CHECK(first == nullptr);
    CHECK_FALSE(ch.try_send(std::move(second)));
    REQUIRE(second != nullptr);
    CHECK(*second == 2);
    ch.close();
    CHECK_THROWS_AS(ch.try_send(std::move(second)), channel_closed);
    CHECK(second != nullptr);
    CHECK_FALSE(channel<std::unique_ptr<int>>::nil().try_send(std::move(second)));
    CHECK(second != nullptr);
    auto value = ch.try_recv();
    REQUIRE(value.has_value());
    CHECK(**value == 1);
    co_return;
  });
}
