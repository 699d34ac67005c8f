// Ten thousand routines in a row, each of which hands on what its right neighbour gives it, plus one. Run to the end,
// and torn down in the middle (semantics 50, 159, 170).
#include <doctest/doctest.h>

#include <cstddef>
#include <memory>
#include <ringo/ringo.hpp>
#include <utility>

#include "every_scheduler.hpp"
#include "reached.hpp"

using namespace ringo;

namespace {

task<> link_of_chain(sender<int> left, receiver<int> right) {
  auto value = co_await right.recv();
  if (value) co_await left.send(*value + 1);
}

struct chain {
  channel<int> leftmost;
  channel<int> rightmost;
};

chain build(std::size_t links, std::size_t capacity) {
  chain built{channel<int>(capacity), channel<int>::nil()};
  channel<int> left = built.leftmost;
  for (std::size_t i = 0; i != links; ++i) {
    channel<int> right(capacity);
    go(link_of_chain, left, right);
    left = std::move(right);
  }
  built.rightmost = left;
  return built;
}

}  // namespace

TEST_CASE("a value goes through a daisy chain of 10,000 links (semantics 50, 170)") {
  const std::size_t links = stressed(10000);
  for (std::size_t capacity : {0u, 1u}) {
    on_every_scheduler(
        [&]() -> task<> {
          const chain whole = build(links, capacity);
          co_await whole.rightmost.send(0);
          auto value = co_await whole.leftmost.recv();
          CHECK(value == static_cast<int>(links));
        },
        1);
  }
}

TEST_CASE("a daisy chain of 10,000 links is torn down while every link waits to receive (semantics 50, 159)") {
  const std::size_t links = stressed(10000);
  on_every_scheduler(
      [&]() -> task<> {
        const chain whole = build(links, 0);
        for (int i = 0; i != 3; ++i) co_await yield();
        auto nothing = whole.leftmost.try_recv();
        CHECK_FALSE(nothing);
      },
      1);
}

TEST_CASE(
    "a daisy chain is torn down while a value is on its way and links wait on both sides of it (semantics 50, 159)") {
  const std::size_t links = stressed(3000);
  on_every_scheduler([&]() -> task<> {
    const chain whole = build(links, 0);
    co_await whole.rightmost.send(0);
    for (int i = 0; i != 20; ++i) co_await yield();
    // One of the links has the value now, and will not be rid of it.
    reached("the main routine ends while the value is on its way");
  });
}

TEST_CASE("a daisy chain of routines that all wait to send is torn down with their values (semantics 23, 159)") {
  const std::size_t links = stressed(10000);
  const auto carried = std::make_shared<int>(0);
  on_every_scheduler(
      [&]() -> task<> {
        const channel<std::shared_ptr<int>> unread;
        for (std::size_t i = 0; i != links; ++i) {
          go([unread, carried]() -> task<> {
            auto mine = carried;
            co_await unread.send(std::move(mine));
          });
        }
        auto one = co_await unread.recv();
        CHECK(one == carried);
      },
      1);
  CHECK(carried.use_count() == 1);
}

TEST_CASE("closing the right end runs through the whole chain (semantics 22, 50)") {
  const std::size_t links = stressed(10000);
  on_every_scheduler(
      [&]() -> task<> {
        const channel<void> first;
        channel<void> before = first;
        for (std::size_t i = 0; i != links; ++i) {
          channel<void> after;
          go([before, after]() -> task<> {
            while (co_await before.recv()) co_await after.send();
            after.close();
          });
          before = std::move(after);
        }
        first.close();
        const bool signalled = co_await before.recv();
        CHECK_FALSE(signalled);
        CHECK(before.is_drained());
      },
      1);
}
