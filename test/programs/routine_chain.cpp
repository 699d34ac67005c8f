// A chain in which each routine starts the next one, and only the last of them knows that it is the last (semantics 50,
// 170).
#include <doctest/doctest.h>

#include <atomic>
#include <cstddef>
#include <functional>
#include <ringo/ringo.hpp>

#include "every_scheduler.hpp"

using namespace ringo;

namespace {

// Answers on `up` once everything below has been built; then waits for a word from above that never comes.
task<> grow(std::size_t depth, channel<void> up, receiver<void> word, std::atomic<std::size_t>& grown) {
  ++grown;
  if (depth != 0) {
    const channel<void> below;
    go(grow, depth - 1, below, word, std::ref(grown));
    co_await below.recv();
  }
  co_await up.send();
  co_await word.recv();
}

task<std::size_t> depth_of(std::size_t depth) {
  if (depth == 0) co_return 0;
  auto below = go(depth_of, depth - 1);
  const std::size_t levels = co_await below;
  co_return levels + 1;
}

}  // namespace

TEST_CASE(
    "10,000 routines, each started by the one before, all answer and are torn down where they wait (semantics 50, "
    "159)") {
  const std::size_t depth = stressed(10000);
  std::atomic<std::size_t> grown = 0;
  on_every_scheduler(
      [&]() -> task<> {
        grown = 0;
        const channel<void> top, word;
        go(grow, depth, top, word, std::ref(grown));
        co_await top.recv();
        CHECK(grown == depth + 1);
      },
      1);
}

TEST_CASE("the same chain ends by itself when the word comes (semantics 31, 50)") {
  const std::size_t depth = stressed(10000);
  std::atomic<std::size_t> grown = 0;
  on_every_scheduler(
      [&]() -> task<> {
        grown = 0;
        const channel<void> top, word;
        auto first = go(grow, depth, top, word, std::ref(grown));
        co_await top.recv();
        word.close();
        co_await first;
        CHECK(grown == depth + 1);
      },
      1);
}

TEST_CASE("10,000 joins hang from each other (semantics 44, 170)") {
  const std::size_t depth = stressed(10000);
  on_every_scheduler(
      [&]() -> task<> {
        const std::size_t levels = co_await depth_of(depth);
        CHECK(levels == depth);
      },
      1);
}

TEST_CASE("10,000 joins that hang from each other are torn down while the last routine waits (semantics 159)") {
  const std::size_t depth = stressed(10000);
  on_every_scheduler(
      [&]() -> task<> {
        const channel<void> begun(1);
        struct descent {
          static task<> below(std::size_t levels, channel<void> at_the_bottom) {
            if (levels == 0) {
              co_await at_the_bottom.send();
              co_await never();
            }
            auto next = go(below, levels - 1, at_the_bottom);
            co_await next;
          }
        };
        go(descent::below, depth, begun);
        co_await begun.recv();
        CHECK(testing::live().routines > depth);
      },
      1);
}
