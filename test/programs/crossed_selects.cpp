// Routines that offer and take across each other, so that each waits in the queues that the other reads (semantics 67).
#include <doctest/doctest.h>

#include <cstddef>
#include <memory>
#include <ringo/ringo.hpp>
#include <utility>
#include <variant>
#include <vector>

#include "every_scheduler.hpp"

using namespace ringo;

namespace {

// What one side saw in each round: the number that it received, or -1 if its own was taken.
using record = std::vector<int>;

task<record> offer_or_take(sender<int> out, receiver<int> in, int rounds, bool offer_first) {
  record seen;
  for (int i = 0; i != rounds; ++i) {
    if (offer_first) {
      auto got = co_await select(out.send(i), in.recv());
      seen.push_back(got.index() == 0 ? -1 : std::get<1>(got).value());
    } else {
      auto got = co_await select(in.recv(), out.send(i));
      seen.push_back(got.index() == 1 ? -1 : std::get<0>(got).value());
    }
  }
  co_return seen;
}

}  // namespace

TEST_CASE("crossed selects: in each round exactly one of the two directions happens (semantics 52, 67)") {
  on_every_scheduler([]() -> task<> {
    const int rounds = static_cast<int>(stressed(300));
    for (int order = 0; order != 4; ++order) {
      const channel<int> x, y;
      auto a = go(offer_or_take, x, y, rounds, (order & 1) != 0);
      auto b = go(offer_or_take, y, x, rounds, (order & 2) != 0);
      const record seen_by_a = co_await a;
      const record seen_by_b = co_await b;
      int wrong = 0;
      for (std::size_t i = 0; i != static_cast<std::size_t>(rounds); ++i) {
        const bool a_gave = seen_by_a[i] == -1 && seen_by_b[i] == static_cast<int>(i);
        const bool b_gave = seen_by_b[i] == -1 && seen_by_a[i] == static_cast<int>(i);
        if (a_gave == b_gave) ++wrong;
      }
      CHECK(wrong == 0);
      CHECK_FALSE(x.try_send(0));
      CHECK_FALSE(y.try_send(0));
    }
  });
}

TEST_CASE(
    "a ring of three, each giving to the next or taking from the one before, conserves what is given (semantics 67)") {
  on_every_scheduler([]() -> task<> {
    const int rounds = static_cast<int>(stressed(200));
    const std::vector<channel<int>> ring{channel<int>(), channel<int>(), channel<int>()};
    const channel<void> enough;
    std::vector<handle<std::pair<int, int>>> members;
    for (std::size_t i = 0; i != 3; ++i) {
      members.push_back(go(
          [rounds, enough](sender<int> out, receiver<int> in) -> task<std::pair<int, int>> {
            std::pair<int, int> given_and_taken(0, 0);
            for (int n = 0; n != rounds; ++n) {
              auto got = co_await select(out.send(n), in.recv(), enough.recv());
              if (got.index() == 0) ++given_and_taken.first;
              if (got.index() == 1) ++given_and_taken.second;
              if (got.index() == 2) break;
            }
            // The others may still wait for a partner that has left.
            (void)enough.try_close();
            co_return given_and_taken;
          },
          ring[i], ring[(i + 1) % 3]));
    }
    std::vector<std::pair<int, int>> counts;
    for (auto& member : members) {
      const auto count = co_await member;
      counts.push_back(count);
    }
    for (std::size_t i = 0; i != 3; ++i) CHECK(counts[i].first == counts[(i + 2) % 3].second);
    CHECK(counts[0].first + counts[1].first + counts[2].first >= rounds);
  });
}

TEST_CASE(
    "crossed selects over many channels, listed in every order, neither lose nor double a value (semantics 10, 52, "
    "67)") {
  on_every_scheduler([]() -> task<> {
    const int count = static_cast<int>(stressed(200));
    const channel<std::unique_ptr<int>> a, b, c;
    const channel<void> over;
    std::vector<int> seen(static_cast<std::size_t>(4 * count), 0);
    wait_group givers, takers;
    for (int id = 0; id != 4; ++id) {
      givers.go([=]() -> task<> {
        for (int i = 0; i != count; ++i) {
          auto x = std::make_unique<int>(id * count + i);
          std::size_t chosen = 0;
          // The value is one; it is offered on three channels, of which one takes it.
          if (id % 2 == 0) {
            auto got = co_await select(a.send(std::move(x)), b.send(std::move(x)), c.send(std::move(x)));
            chosen = got.index();
          } else {
            auto got = co_await select(c.send(std::move(x)), a.send(std::move(x)), b.send(std::move(x)));
            chosen = got.index();
          }
          CHECK(chosen < 3);
          CHECK(x == nullptr);
        }
      });
    }
    std::vector<std::vector<int>> taken(3);
    for (auto& mine : taken) {
      takers.go([=, &mine]() -> task<> {
        for (;;) {
          auto got = co_await select(b.recv(), over.recv(), c.recv(), a.recv());
          if (got.index() == 0) mine.push_back(**std::get<0>(got));
          if (got.index() == 2) mine.push_back(**std::get<2>(got));
          if (got.index() == 3) mine.push_back(**std::get<3>(got));
          if (got.index() == 1) break;
        }
      });
    }
    co_await givers.wait();
    over.close();
    co_await takers.wait();
    for (const auto& mine : taken) {
      for (int value : mine) ++seen.at(static_cast<std::size_t>(value));
    }
    CHECK(seen == std::vector<int>(seen.size(), 1));
  });
}
