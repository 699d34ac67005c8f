// An attempt looks at one instant. While somebody makes a second thing ready before the first ceases to be, there is no
// instant at which nothing is ready, so an attempt over both must never come back empty-handed (semantics 46, 57).
#include <doctest/doctest.h>

#include <cstddef>
#include <ringo/ringo.hpp>
#include <utility>
#include <variant>

#include "every_scheduler.hpp"

using namespace ringo;

namespace {

// Whether a select with a default over both found something.
task<bool> finds_one(receiver<int> one, receiver<int> other) {
  auto got = co_await select(one.recv(), other.recv(), otherwise);
  co_return got.index() != 2;
}

}  // namespace

TEST_CASE("a select with a default finds the value, or the close that follows it (semantics 46)") {
  on_every_scheduler([]() -> task<> {
    const std::size_t rounds = stressed(3000);
    std::size_t missed = 0;
    for (std::size_t i = 0; i != rounds; ++i) {
      const channel<int> ch(1);
      co_await ch.send(1);
      auto attempt = go([ch]() -> task<bool> {
        auto got = co_await select(ch.recv(), otherwise);
        co_return got.index() == 0;
      });
      ch.close();
      // Somebody has to take the value: whether it is the attempt or this one, the close is there for the other.
      co_await ch.recv();
      const bool found = co_await attempt;
      if (!found) ++missed;
    }
    CHECK(missed == 0);
  });
}

TEST_CASE("an attempt over two channels finds the one that became ready before the other ceased to be (semantics 57)") {
  on_every_scheduler([]() -> task<> {
    const std::size_t rounds = stressed(3000);
    std::size_t missed = 0;
    for (std::size_t i = 0; i != rounds; ++i) {
      const channel<int> first(1), second(1);
      co_await first.send(1);
      auto attempt = i % 2 == 0 ? go(finds_one, first, second) : go(finds_one, second, first);
      if (i % 3 == 0) co_await yield();
      co_await second.send(1);
      (void)first.try_recv();
      const bool found = co_await attempt;
      if (!found) ++missed;
    }
    CHECK(missed == 0);
  });
}

TEST_CASE("the same when the second becomes ready by being closed (semantics 57)") {
  on_every_scheduler([]() -> task<> {
    const std::size_t rounds = stressed(3000);
    std::size_t missed = 0;
    for (std::size_t i = 0; i != rounds; ++i) {
      const channel<int> first(1), second;
      co_await first.send(1);
      auto attempt = i % 2 == 0 ? go(finds_one, first, second) : go(finds_one, second, first);
      if (i % 3 == 0) co_await yield();
      second.close();
      (void)first.try_recv();
      const bool found = co_await attempt;
      if (!found) ++missed;
    }
    CHECK(missed == 0);
  });
}

TEST_CASE("room that moves from one channel to the other is always found by a sender (semantics 57)") {
  on_every_scheduler([]() -> task<> {
    const std::size_t rounds = stressed(3000);
    std::size_t missed = 0;
    for (std::size_t i = 0; i != rounds; ++i) {
      const channel<int> first(1), second(1);
      co_await second.send(1);
      auto attempt = go([first, second]() -> task<bool> {
        auto got = co_await select(first.send(5), second.send(5), otherwise);
        co_return got.index() != 2;
      });
      if (i % 3 == 0) co_await yield();
      co_await second.recv();
      (void)first.try_send(1);
      const bool found = co_await attempt;
      if (!found) ++missed;
    }
    CHECK(missed == 0);
  });
}
