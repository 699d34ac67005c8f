// A select that offers on a channel and takes from the same one (semantics 63, 64).
#include <doctest/doctest.h>

#include <cstddef>
#include <ringo/ringo.hpp>
#include <utility>
#include <variant>
#include <vector>

#include "every_scheduler.hpp"

using namespace ringo;

namespace {

struct tally {
  int sent = 0, received = 0, own = 0;
};

task<tally> send_or_receive(channel<int> ch, int me, int rounds, bool send_first) {
  tally mine;
  for (int i = 0; i != rounds; ++i) {
    int value = -1;
    if (send_first) {
      auto got = co_await select(ch.send(me), ch.recv());
      if (got.index() == 1) value = std::get<1>(got).value();
    } else {
      auto got = co_await select(ch.recv(), ch.send(me));
      if (got.index() == 0) value = std::get<0>(got).value();
    }
    value == -1 ? ++mine.sent : ++mine.received;
    if (value == me) ++mine.own;
  }
  co_return mine;
}

}  // namespace

TEST_CASE("one routine alone never meets itself on an unbuffered channel (semantics 63)") {
  const auto main = []() -> task<> {
    const channel<int> ch;
    co_await select(ch.send(1), ch.recv());
    CHECK(false);
  };
  on_each(every_scheduler(),
          [&](const scheduler_under_test& scheduler) { CHECK_THROWS_AS(scheduler.run(main), deadlock); });
  const auto with_default = []() -> task<> {
    const channel<int> ch;
    auto got = co_await select(ch.recv(), ch.send(1), ch.recv(), ch.send(2), otherwise);
    CHECK(got.index() == 4);
  };
  on_every_scheduler(with_default);
}

TEST_CASE("two routines that send or receive on one unbuffered channel always pair with each other (semantics 64)") {
  on_every_scheduler([]() -> task<> {
    const int rounds = static_cast<int>(stressed(1000));
    for (int order = 0; order != 4; ++order) {
      const channel<int> ch;
      auto first = go(send_or_receive, ch, 1, rounds, (order & 1) != 0);
      auto second = go(send_or_receive, ch, 2, rounds, (order & 2) != 0);
      const tally one = co_await first;
      const tally two = co_await second;
      CHECK(one.own == 0);
      CHECK(two.own == 0);
      CHECK(one.sent == two.received);
      CHECK(two.sent == one.received);
      CHECK(one.sent + one.received == rounds);
    }
  });
}

TEST_CASE("with a buffer the same two never get stuck, and what was sent is received or still queued (semantics 64)") {
  on_every_scheduler([]() -> task<> {
    const int rounds = static_cast<int>(stressed(1000));
    for (int order = 0; order != 4; ++order) {
      const channel<int> ch(10);
      auto first = go(send_or_receive, ch, 1, rounds, (order & 1) != 0);
      auto second = go(send_or_receive, ch, 2, rounds, (order & 2) != 0);
      const tally one = co_await first;
      const tally two = co_await second;
      CHECK(one.sent + two.sent == one.received + two.received + static_cast<int>(ch.size()));
      CHECK(one.sent + one.received == rounds);
      CHECK(two.sent + two.received == rounds);
    }
  });
}

TEST_CASE("a select that waits in both directions of a channel is met by whoever comes (semantics 9, 63)") {
  on_simulated_schedulers([]() -> task<> {
    const channel<int> ch;
    for (int direction = 0; direction != 2; ++direction) {
      auto waiting = go([ch]() -> task<int> {
        auto got = co_await select(ch.send(1), ch.recv());
        co_return got.index() == 0 ? -1 : std::get<1>(got).value();
      });
      co_await testing::settle();
      if (direction == 0) {
        CHECK(ch.try_send(2));
        CHECK_FALSE(ch.try_send(3));
      } else {
        auto value = ch.try_recv();
        CHECK(value == 1);
        auto none = ch.try_recv();
        CHECK_FALSE(none);
      }
      const int got = co_await waiting;
      CHECK(got == (direction == 0 ? 2 : -1));
    }
  });
}

TEST_CASE("many routines that send or receive on one channel pair up until at most one is left (semantics 64)") {
  on_every_scheduler([]() -> task<> {
    const channel<int> ch;
    const channel<void> over;
    std::vector<handle<std::pair<int, int>>> all;
    for (int id = 0; id != 7; ++id) {
      all.push_back(go([=]() -> task<std::pair<int, int>> {
        std::pair<int, int> sent_and_received(0, 0);
        for (int i = 0; i != 100; ++i) {
          auto got = co_await select(ch.send(id), ch.recv(), over.recv());
          if (got.index() == 0) ++sent_and_received.first;
          if (got.index() == 1) {
            ++sent_and_received.second;
            CHECK(std::get<1>(got) != id);
          }
          if (got.index() == 2) break;
          if (i == 99) (void)over.try_close();
        }
        co_return sent_and_received;
      }));
    }
    int sent = 0, received = 0;
    for (auto& one : all) {
      const auto count = co_await one;
      sent += count.first;
      received += count.second;
    }
    CHECK(sent == received);
    CHECK(sent >= 100);
  });
}
