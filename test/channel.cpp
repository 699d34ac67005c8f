// What a channel is: order, rendezvous, buffering, identity. Waiting in line, closing, nil, directions, payloads,
// memory order, lifetimes and foreign threads have files of their own beside this one.
#include <doctest/doctest.h>

#include <atomic>
#include <cstddef>
#include <functional>
#include <limits>
#include <optional>
#include <ringo/ringo.hpp>
#include <stdexcept>
#include <unordered_set>
#include <utility>
#include <variant>
#include <vector>

#include "every_scheduler.hpp"
#include "values.hpp"

using namespace ringo;

TEST_CASE("values arrive in the order in which a routine sent them, at every capacity from 0 to 199 (semantics 1)") {
  const auto main = []() -> task<> {
    for (std::size_t capacity = 0; capacity != 200; ++capacity) {
      channel<int> ch(capacity);
      auto sending = go(send_numbers, ch, 0, 100);
      int in_order = 0;
      for (int i = 0; i != 100; ++i) {
        auto value = co_await ch.recv();
        if (value == i) ++in_order;
      }
      co_await sending;
      CHECK(in_order == 100);
      CHECK(ch.size() == 0);
    }
  };
  on_every_scheduler(main, 2);
}

TEST_CASE("several senders each keep their own order (semantics 1, 11)") {
  on_every_scheduler([]() -> task<> {
    for (std::size_t capacity : {0u, 1u, 7u}) {
      channel<std::pair<int, int>> ch(capacity);
      wait_group senders;
      for (int id = 0; id != 4; ++id) {
        senders.go([ch, id]() -> task<> {
          for (int i = 0; i != 100; ++i) {
            const std::pair<int, int> value(id, i);
            co_await ch.send(value);
          }
        });
      }
      std::vector<int> next(4, 0);
      bool in_order = true;
      for (int i = 0; i != 400; ++i) {
        auto value = co_await ch.recv();
        in_order = in_order && value && value->second == next[static_cast<std::size_t>(value->first)]++;
      }
      co_await senders.wait();
      CHECK(in_order);
    }
  });
}

TEST_CASE("on a rendezvous channel a sender alone does not get through (semantics 2)") {
  on_simulated_schedulers([]() -> task<> {
    channel<int> ch;
    std::atomic<int> sent = 0;
    auto sending = go(send_one, ch, 5, std::ref(sent));
    co_await testing::settle();
    CHECK(sent == 0);
    CHECK(ch.size() == 0);
    auto value = co_await ch.recv();
    CHECK(value == 5);
    co_await sending;
    CHECK(sent == 1);
  });
}

TEST_CASE("on a rendezvous channel a receiver alone does not get through (semantics 2, 4)") {
  on_simulated_schedulers([]() -> task<> {
    channel<int> ch;
    std::atomic<int> received = 0;
    std::optional<int> value;
    auto receiving = go(receive_one, ch, std::ref(value), std::ref(received));
    co_await testing::settle();
    CHECK(received == 0);
    co_await ch.send(6);
    co_await receiving;
    CHECK(value == 6);
  });
}

TEST_CASE("a sender is never further ahead of the receiver than the capacity (semantics 2, 3)") {
  on_every_scheduler([]() -> task<> {
    for (int capacity : {0, 1, 2, 5}) {
      channel<int> ch(static_cast<std::size_t>(capacity));
      std::atomic<int> sent = 0;
      auto sending = go([&]() -> task<> {
        for (int i = 0; i != 300; ++i) {
          co_await ch.send(i);
          ++sent;
        }
      });
      bool ahead = false;
      for (int received = 0; received != 300; ++received) {
        if (sent > received + capacity) ahead = true;
        auto value = co_await ch.recv();
        CHECK(value == received);
        if (received % 7 == 0) co_await yield();
      }
      co_await sending;
      CHECK_FALSE(ahead);
    }
  });
}

TEST_CASE("a receive on an unbuffered channel is over no earlier than its value was offered (semantics 2, 4)") {
  on_every_scheduler([]() -> task<> {
    channel<int> ch;
    std::atomic<int> offered = 0;
    auto sending = go([&]() -> task<> {
      for (int i = 0; i != 300; ++i) {
        ++offered;
        co_await ch.send(i);
      }
    });
    for (int i = 0; i != 300; ++i) {
      co_await ch.recv();
      CHECK(offered > i);
    }
    co_await sending;
  });
}

TEST_CASE(
    "sends go through at once while there is room, and the channel refuses exactly at its capacity (semantics 3)") {
  on_every_scheduler([]() -> task<> {
    for (std::size_t capacity : {1u, 2u, 3u, 64u, 100u}) {
      channel<int> ch(capacity);
      for (std::size_t i = 0; i != capacity; ++i) {
        CHECK(ch.size() == i);
        // Nobody else is there: a send that waited would end the program as a deadlock.
        co_await ch.send(static_cast<int>(i));
      }
      CHECK(ch.size() == capacity);
      CHECK_FALSE(ch.try_send(-1));
      CHECK(ch.size() == capacity);
      for (std::size_t i = 0; i != capacity; ++i) {
        auto value = co_await ch.recv();
        CHECK(value == static_cast<int>(i));
      }
      auto nothing = ch.try_recv();
      CHECK_FALSE(nothing);
    }
  });
}

TEST_CASE("a full channel makes the sender wait until a value is taken (semantics 3)") {
  on_simulated_schedulers([]() -> task<> {
    channel<int> ch(2);
    co_await ch.send(1);
    co_await ch.send(2);
    std::atomic<int> sent = 0;
    auto sending = go(send_one, ch, 3, std::ref(sent));
    co_await testing::settle();
    CHECK(sent == 0);
    CHECK(ch.size() == 2);
    auto first = co_await ch.recv();
    co_await sending;
    CHECK(sent == 1);
    CHECK(first == 1);
    auto second = co_await ch.recv();
    auto third = co_await ch.recv();
    CHECK(second == 2);
    CHECK(third == 3);
  });
}

TEST_CASE("receiving from an empty open channel waits, buffered or not, also in a loop's condition (semantics 4)") {
  on_simulated_schedulers([]() -> task<> {
    for (std::size_t capacity : {0u, 3u}) {
      channel<int> ch(capacity);
      std::atomic<int> received = 0;
      std::optional<int> one;
      auto plain = go(receive_one, ch, std::ref(one), std::ref(received));
      co_await testing::settle();
      CHECK(received == 0);
      co_await ch.send(1);
      co_await plain;

      auto looping = go([&]() -> task<> {
        while (auto value = co_await ch.recv()) received += *value;
      });
      co_await testing::settle();
      CHECK(received == 1);
      co_await ch.send(10);
      co_await testing::settle();
      CHECK(received == 11);
      CHECK_FALSE(looping.is_done());
      ch.close();
      co_await looping;
    }
  });
}

TEST_CASE("with four senders and four receivers every value arrives exactly once (semantics 10)") {
  on_every_scheduler(
      []() -> task<> {
        const std::size_t count = stressed(1000);
        for (std::size_t capacity : {0u, 1u, 10u}) {
          channel<std::size_t> ch(capacity);
          wait_group senders, receivers;
          for (int id = 0; id != 4; ++id) {
            senders.go([ch, count]() -> task<> {
              for (std::size_t i = 0; i != count; ++i) co_await ch.send(i);
            });
          }
          std::vector<std::vector<int>> seen(4, std::vector<int>(count, 0));
          for (auto& mine : seen) {
            receivers.go([ch, &mine]() -> task<> {
              while (auto value = co_await ch.recv()) ++mine.at(*value);
            });
          }
          co_await senders.wait();
          ch.close();
          co_await receivers.wait();
          std::size_t wrong = 0;
          for (std::size_t i = 0; i != count; ++i) {
            if (seen[0][i] + seen[1][i] + seen[2][i] + seen[3][i] != 4) ++wrong;
          }
          CHECK(wrong == 0);
        }
      },
      3);
}

TEST_CASE("any routine may ask for size, capacity and state while others send and receive (semantics 11, 17)") {
  on_every_scheduler([]() -> task<> {
    channel<int> ch(3);
    std::atomic<bool> over = false;
    auto asking = go([&]() -> task<bool> {
      bool plausible = true;
      while (!over) {
        plausible = plausible && ch.size() <= 3 && ch.capacity() == 3 && !ch.is_closed() && !ch.is_drained();
        co_await yield();
      }
      co_return plausible;
    });
    wait_group others;
    for (int id = 0; id != 3; ++id) {
      others.go(send_numbers, ch, 0, 200);
      others.go([&]() -> task<> {
        for (int i = 0; i != 200; ++i) co_await ch.recv();
      });
    }
    co_await others.wait();
    over = true;
    const bool plausible = co_await asking;
    CHECK(plausible);
    CHECK(ch.size() == 0);
  });
}

TEST_CASE("a receive whose value is ignored is a receive all the same (semantics 12)") {
  on_every_scheduler([]() -> task<> {
    channel<int> ch(1);
    for (int shape = 0; shape != 4; ++shape) {
      co_await ch.send(1);
      auto waiting = go(send_numbers, ch, 2, 4);
      switch (shape) {
        case 0:
          co_await ch.recv();
          break;
        case 1:
          (void)ch.try_recv();
          break;
        case 2:
          co_await select(ch.recv());
          break;
        default:
          co_await select(ch.recv(), never());
          break;
      }
      auto second = co_await ch.recv();
      auto third = co_await ch.recv();
      CHECK(second == 2);
      CHECK(third == 3);
      co_await waiting;
      CHECK(ch.size() == 0);
    }
  });
}

namespace {

enum class shape { plain, attempt, single_select, select_with_other, select_with_default };
constexpr shape shapes[] = {shape::plain, shape::attempt, shape::single_select, shape::select_with_other,
                            shape::select_with_default};

task<> receive_as(shape how, receiver<int> from, int& into) {
  for (;;) {
    switch (how) {
      case shape::plain: {
        auto value = co_await from.recv();
        into = value.value();
        co_return;
      }
      case shape::attempt: {
        auto value = from.try_recv();
        if (value) {
          into = *value;
          co_return;
        }
        break;
      }
      case shape::single_select: {
        auto got = co_await select(from.recv());
        into = std::get<0>(got).value();
        co_return;
      }
      case shape::select_with_other: {
        auto got = co_await select(channel<int>::nil().recv(), from.recv());
        into = std::get<1>(got).value();
        co_return;
      }
      case shape::select_with_default: {
        auto got = co_await select(from.recv(), otherwise);
        if (got.index() == 0) {
          into = std::get<0>(got).value();
          co_return;
        }
        break;
      }
    }
    co_await yield();
  }
}

task<> send_as(shape how, sender<int> to, int value) {
  for (;;) {
    switch (how) {
      case shape::plain:
        co_await to.send(value);
        co_return;
      case shape::attempt:
        if (to.try_send(value)) co_return;
        break;
      case shape::single_select:
        co_await select(to.send(value));
        co_return;
      case shape::select_with_other:
        co_await select(channel<int>::nil().recv(), to.send(value));
        co_return;
      case shape::select_with_default: {
        auto got = co_await select(to.send(value), otherwise);
        if (got.index() == 0) co_return;
        break;
      }
    }
    co_await yield();
  }
}

bool tries_only(shape how) { return how == shape::attempt || how == shape::select_with_default; }

}  // namespace

TEST_CASE("every shape of send meets every shape of receive (semantics 12, 71)") {
  on_every_scheduler([]() -> task<> {
    for (shape sending : shapes) {
      for (shape receiving : shapes) {
        for (std::size_t capacity : {0u, 1u}) {
          // Two that only try never meet on an unbuffered channel: neither waits for the other.
          if (capacity == 0 && tries_only(sending) && tries_only(receiving)) continue;
          channel<int> ch(capacity);
          int value = 0;
          auto other = go(receive_as, receiving, ch, std::ref(value));
          co_await send_as(sending, ch, 7);
          co_await other;
          CHECK(value == 7);
          CHECK(ch.size() == 0);
        }
      }
    }
  });
}

TEST_CASE("when the expression of a value throws, nothing has been communicated (semantics 13)") {
  on_every_scheduler([]() -> task<> {
    channel<int> ch(1);
    const auto fails = [](bool really) -> int {
      if (really) throw std::runtime_error("no value");
      return 1;
    };
    bool threw = false;
    try {
      co_await ch.send(fails(true));
    } catch (const std::runtime_error&) {
      threw = true;
    }
    CHECK(threw);
    CHECK(ch.size() == 0);
    co_await ch.send(fails(false));
    CHECK(ch.size() == 1);
  });
}

TEST_CASE("channel and value are evaluated before the send waits, once each (semantics 13)") {
  on_every_scheduler([]() -> task<> {
    const channel<int> ch;
    std::atomic<int> channels = 0, values = 0;
    auto sending = go([&]() -> task<> {
      const auto which = [&] {
        ++channels;
        return ch;
      };
      const auto what = [&] { return ++values; };
      co_await which().send(what());
    });
    while (values == 0) co_await yield();
    CHECK(channels == 1);
    auto value = co_await ch.recv();
    co_await sending;
    CHECK(value == 1);
    CHECK(values == 1);
  });
}

TEST_CASE("channels are values: a reply channel travels in a channel (semantics 14)") {
  on_every_scheduler([]() -> task<> {
    using request = std::pair<int, channel<int>>;
    channel<request> requests;
    auto server = go([requests]() -> task<> {
      while (auto one = co_await requests.recv()) co_await one->second.send(one->first * one->first);
    });
    for (int i = 0; i != 20; ++i) {
      channel<int> reply;
      request question(i, reply);
      co_await requests.send(std::move(question));
      auto answer = co_await reply.recv();
      CHECK(answer == i * i);
    }
    requests.close();
    co_await server;

    channel<channel<channel<int>>> nested(1);
    channel<channel<int>> inner(1);
    co_await nested.send(inner);
    co_await inner.send(channel<int>(5));
    auto outer = co_await nested.recv();
    auto innermost = co_await outer->recv();
    CHECK(innermost->capacity() == 5);
  });
}

TEST_CASE("a capacity that no machine holds is a length_error (semantics 16)") {
  struct big {
    char bytes[100000];
  };
  constexpr auto most = std::numeric_limits<std::size_t>::max();
  CHECK_THROWS_AS(channel<int>{most}, std::length_error);
  CHECK_THROWS_AS(channel<int>{most / sizeof(int) + 1}, std::length_error);
  CHECK_THROWS_AS(channel<int>{static_cast<std::size_t>(-1)}, std::length_error);
  CHECK_THROWS_AS(channel<big>{most / 1000}, std::length_error);
  on_every_scheduler([]() -> task<> {
    CHECK_THROWS_AS(channel<int>{most}, std::length_error);
    co_return;
  });
}

TEST_CASE("size counts what is queued and capacity is what was asked for (semantics 17)") {
  on_every_scheduler([]() -> task<> {
    channel<int> unbuffered;
    CHECK(unbuffered.size() == 0);
    CHECK(unbuffered.capacity() == 0);
    CHECK(channel<int>::nil().size() == 0);
    CHECK(channel<int>::nil().capacity() == 0);

    channel<int> ch(10);
    CHECK(ch.capacity() == 10);
    for (std::size_t i = 0; i != 10; ++i) {
      CHECK(ch.size() == i);
      CHECK(ch.try_send(static_cast<int>(i)));
    }
    CHECK(ch.size() == 10);
    ch.close();
    CHECK(ch.size() == 10);
    for (std::size_t i = 10; i != 0; --i) {
      CHECK(ch.size() == i);
      (void)ch.try_recv();
    }
    CHECK(ch.size() == 0);
    CHECK(ch.capacity() == 10);
    co_return;
  });
}

TEST_CASE("size counts neither senders nor receivers that wait (semantics 9, 17)") {
  on_simulated_schedulers([]() -> task<> {
    channel<int> ch;
    auto sending = go(send_numbers, ch, 0, 3);
    co_await testing::settle();
    CHECK(ch.size() == 0);
    for (int i = 0; i != 3; ++i) co_await ch.recv();
    co_await sending;

    channel<int> buffered(2);
    auto receiving = go([buffered]() -> task<> {
      for (int i = 0; i != 2; ++i) co_await buffered.recv();
    });
    co_await testing::settle();
    CHECK(buffered.size() == 0);
    co_await buffered.send(1);
    co_await buffered.send(2);
    co_await receiving;
  });
}

TEST_CASE("a buffer goes round many times (semantics 1, 17)") {
  on_every_scheduler([]() -> task<> {
    for (std::size_t capacity : {1u, 2u, 3u, 5u, 8u}) {
      channel<int> ch(capacity);
      int next_in = 0, next_out = 0;
      for (int round = 0; round != 50; ++round) {
        while (ch.try_send(next_in)) ++next_in;
        CHECK(ch.size() == capacity);
        for (int taken = 0; taken <= round % static_cast<int>(capacity); ++taken) {
          auto value = ch.try_recv();
          CHECK(value == next_out++);
        }
      }
    }
    co_return;
  });
}

TEST_CASE("copies of a handle are the same channel, and only they are equal (semantics 18, D27)") {
  on_every_scheduler([]() -> task<> {
    channel<int> ch(2), other(2);
    const auto copy = ch;
    CHECK(copy == ch);
    CHECK(ch != other);
    CHECK(channel<int>::nil() == channel<int>::nil());
    CHECK(channel<int>::nil() != ch);

    co_await ch.send(1);
    CHECK(copy.size() == 1);
    auto value = co_await copy.recv();
    CHECK(value == 1);
    CHECK(ch.size() == 0);

    other = ch;
    CHECK(other == ch);
    other.close();
    CHECK(copy.is_closed());
  });
}

TEST_CASE("handles are keys of hashed containers (D27)") {
  channel<int> first(1), second(1);
  std::unordered_set<channel<int>> channels{first, second, first, channel<int>::nil(), channel<int>::nil()};
  CHECK(channels.size() == 3);
  CHECK(channels.contains(second));
  CHECK_FALSE(channels.contains(channel<int>{}));
  CHECK(std::hash<channel<int>>{}(first) == std::hash<channel<int>>{}(channel<int>(first)));

  std::unordered_set<sender<int>> senders{first, second, first};
  CHECK(senders.size() == 2);
  std::unordered_set<receiver<int>> receivers{first, second, second};
  CHECK(receivers.size() == 2);
  CHECK(sender<int>(first) == sender<int>(first));
  CHECK(sender<int>(first) != sender<int>(second));
  CHECK(receiver<int>(first) == receiver<int>(first));
  CHECK(receiver<int>(first) != receiver<int>(second));

  channel<void> signal;
  std::unordered_set<channel<void>> signals{signal, signal, channel<void>{}};
  CHECK(signals.size() == 2);
}
