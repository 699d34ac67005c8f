// Who waits on a channel, and who is served when: first come, first served, from hand to hand, and nobody pushes in.
#include <doctest/doctest.h>

#include <atomic>
#include <cstddef>
#include <functional>
#include <optional>
#include <ringo/ringo.hpp>
#include <vector>

#include "every_scheduler.hpp"
#include "values.hpp"

using namespace ringo;

TEST_CASE("waiting receivers are served in the order in which they came (semantics 5)") {
  on_simulated_schedulers([]() -> task<> {
    for (std::size_t capacity : {0u, 2u}) {
      channel<int> ch(capacity);
      std::vector<handle<int>> receivers;
      for (int i = 0; i != 10; ++i) {
        receivers.push_back(go([ch]() -> task<int> {
          auto value = co_await ch.recv();
          co_return value.value();
        }));
        co_await testing::settle();
      }
      for (int i = 0; i != 10; ++i) co_await ch.send(i);
      for (int i = 0; i != 10; ++i) {
        const int value = co_await receivers[static_cast<std::size_t>(i)];
        CHECK(value == i);
      }
    }
  });
}

TEST_CASE("waiting senders are served in the order in which they came (semantics 5)") {
  on_simulated_schedulers([]() -> task<> {
    for (int capacity : {0, 2}) {
      channel<int> ch(static_cast<std::size_t>(capacity));
      wait_group senders;
      for (int i = 0; i != 10 + capacity; ++i) {
        senders.go(send_numbers, ch, i, i + 1);
        co_await testing::settle();
      }
      for (int i = 0; i != 10 + capacity; ++i) {
        auto value = co_await ch.recv();
        CHECK(value == i);
      }
      co_await senders.wait();
    }
  });
}

TEST_CASE("a baton through a chain of routines keeps their receives in order (semantics 5)") {
  on_every_scheduler([]() -> task<> {
    channel<int> values;
    const channel<void> start;
    channel<void> turn = start;
    std::atomic<int> right = 0;
    wait_group links;
    for (int i = 0; i != 100; ++i) {
      const channel<void> next(i == 99 ? 1 : 0);
      links.go([values, turn, next, i, &right]() -> task<> {
        co_await turn.recv();
        auto value = co_await values.recv();
        if (value == i) ++right;
        co_await next.send();
      });
      turn = next;
    }
    auto sending = go(send_numbers, values, 0, 100);
    co_await start.send();
    co_await links.wait();
    co_await sending;
    CHECK(right == 100);
    CHECK(turn.size() == 1);
  });
}

TEST_CASE("a value handed to a waiting receiver is that receiver's, although it has not run yet (semantics 6)") {
  on_every_scheduler([]() -> task<> {
    channel<int> ch;
    for (int i = 0; i != 50; ++i) {
      auto receiving = go([ch]() -> task<int> {
        auto value = co_await ch.recv();
        co_return value.value_or(-1);
      });
      while (!ch.try_send(i)) co_await yield();
      auto stolen = ch.try_recv();
      CHECK_FALSE(stolen);
      const int value = co_await receiving;
      CHECK(value == i);
    }
  });
}

TEST_CASE("a waiting receiver gets its value past the buffer, which stays empty (semantics 6, 9)") {
  on_simulated_schedulers([]() -> task<> {
    channel<int> ch(3);
    std::optional<int> value;
    std::atomic<int> received = 0;
    auto receiving = go(receive_one, ch, std::ref(value), std::ref(received));
    co_await testing::settle();
    CHECK(ch.try_send(4));
    CHECK(ch.size() == 0);
    auto stolen = ch.try_recv();
    CHECK_FALSE(stolen);
    co_await receiving;
    CHECK(value == 4);
  });
}

TEST_CASE(
    "a receive from a full channel takes the head and lets the first waiting sender in at the tail (semantics 7, 9)") {
  on_simulated_schedulers([]() -> task<> {
    channel<int> ch(2);
    co_await ch.send(1);
    co_await ch.send(2);
    std::atomic<int> third = 0, fourth = 0;
    auto sending_third = go(send_one, ch, 3, std::ref(third));
    co_await testing::settle();
    auto sending_fourth = go(send_one, ch, 4, std::ref(fourth));
    co_await testing::settle();

    auto head = ch.try_recv();
    CHECK(head == 1);
    CHECK(ch.size() == 2);
    CHECK_FALSE(ch.try_send(99));
    co_await testing::settle();
    CHECK(third == 1);
    CHECK(fourth == 0);

    for (int expected : {2, 3, 4}) {
      auto value = ch.try_recv();
      CHECK(value == expected);
    }
    co_await sending_third;
    co_await sending_fourth;
    CHECK(ch.size() == 0);
  });
}

TEST_CASE("a newcomer never overtakes a sender that waits already (semantics 8)") {
  on_simulated_schedulers([]() -> task<> {
    channel<int> ch(1);
    co_await ch.send(1);
    auto waiting = go(send_numbers, ch, 2, 3);
    co_await testing::settle();
    auto first = co_await ch.recv();
    CHECK(first == 1);
    // The place that the receive freed belongs to the one who waited.
    CHECK_FALSE(ch.try_send(3));
    auto newcomer = go(send_numbers, ch, 3, 4);
    co_await testing::settle();
    auto second = co_await ch.recv();
    auto third = co_await ch.recv();
    CHECK(second == 2);
    CHECK(third == 3);
    co_await waiting;
    co_await newcomer;
  });
}

TEST_CASE("a newcomer never overtakes a receiver that waits already (semantics 8)") {
  on_simulated_schedulers([]() -> task<> {
    channel<int> ch(1);
    std::optional<int> first, second;
    std::atomic<int> received = 0;
    auto waiting = go(receive_one, ch, std::ref(first), std::ref(received));
    co_await testing::settle();
    co_await ch.send(1);
    auto newcomer = go(receive_one, ch, std::ref(second), std::ref(received));
    co_await testing::settle();
    CHECK(first == 1);
    CHECK_FALSE(second);
    co_await ch.send(2);
    co_await waiting;
    co_await newcomer;
    CHECK(second == 2);
  });
}
