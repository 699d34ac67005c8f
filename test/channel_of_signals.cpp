// channel<void>: signals, which carry nothing but their number and order.
#include <doctest/doctest.h>

#include <atomic>
#include <cstddef>
#include <exception>
#include <ringo/ringo.hpp>
#include <stdexcept>
#include <type_traits>
#include <unordered_set>
#include <variant>

#include "every_scheduler.hpp"

using namespace ringo;

TEST_CASE("a signal channel counts what was sent and refuses at its capacity (semantics 3, 17, D5)") {
  on_every_scheduler([]() -> task<> {
    const channel<void> ch(2);
    CHECK(ch.capacity() == 2);
    CHECK_FALSE(ch.try_recv());
    co_await ch.send();
    CHECK(ch.try_send());
    CHECK_FALSE(ch.try_send());
    CHECK(ch.size() == 2);
    const bool first = co_await ch.recv();
    CHECK(first);
    CHECK(ch.try_recv());
    CHECK_FALSE(ch.try_recv());
    CHECK(ch.size() == 0);
  });
}

TEST_CASE("an unbuffered signal is a rendezvous (semantics 2, D5)") {
  on_every_scheduler([]() -> task<> {
    const channel<void> ch;
    std::atomic<int> sent = 0;
    auto sending = go([&sent, ch]() -> task<> {
      for (int i = 0; i != 200; ++i) {
        co_await ch.send();
        ++sent;
      }
    });
    bool ahead = false;
    for (int received = 0; received != 200; ++received) {
      ahead = ahead || sent > received;
      const bool signalled = co_await ch.recv();
      CHECK(signalled);
    }
    co_await sending;
    CHECK_FALSE(ahead);
    CHECK(ch.size() == 0);
  });
}

TEST_CASE("a closed signal channel yields what was queued, then false for ever (semantics 19, 20)") {
  on_every_scheduler([]() -> task<> {
    const channel<void> ch(3);
    co_await ch.send();
    co_await ch.send();
    ch.close();
    CHECK(ch.is_closed());
    CHECK_FALSE(ch.is_drained());
    int count = 0;
    while (co_await ch.recv()) ++count;
    CHECK(count == 2);
    CHECK(ch.is_drained());
    for (int i = 0; i != 10; ++i) {
      const bool signalled = co_await ch.recv();
      CHECK_FALSE(signalled);
    }
    CHECK_THROWS_AS(ch.try_send(), channel_closed);
    bool threw = false;
    try {
      co_await ch.send();
    } catch (const channel_closed&) {
      threw = true;
    }
    CHECK(threw);
    CHECK_THROWS_AS(ch.close(), channel_closed);
    CHECK_FALSE(ch.try_close());
  });
}

TEST_CASE("closing a signal channel wakes receivers with false and senders with channel_closed (semantics 22, 23)") {
  const auto main = [](bool settled) -> task<> {
    const channel<void> empty, unread;
    std::atomic<int> ended = 0, refused = 0;
    wait_group waiting;
    for (int i = 0; i != 10; ++i) {
      waiting.go([&ended, empty]() -> task<> {
        const bool signalled = co_await empty.recv();
        if (!signalled) ++ended;
      });
      waiting.go([&refused, unread]() -> task<> {
        try {
          co_await unread.send();
        } catch (const channel_closed&) {
          ++refused;
        }
      });
    }
    if (settled) co_await testing::settle();
    empty.close();
    CHECK(unread.try_close());
    co_await waiting.wait();
    CHECK(ended == 10);
    CHECK(refused == 10);
  };
  on_every_scheduler([&] { return main(false); });
  on_simulated_schedulers([&] { return main(true); });
}

TEST_CASE("a signal channel closed with an error rethrows it once drained") {
  on_every_scheduler([]() -> task<> {
    const channel<void> ch(1);
    co_await ch.send();
    ch.close(std::make_exception_ptr(std::runtime_error("why")));
    const bool queued = co_await ch.recv();
    CHECK(queued);
    int threw = 0;
    for (int i = 0; i != 2; ++i) {
      try {
        co_await ch.recv();
      } catch (const std::runtime_error&) {
        ++threw;
      }
    }
    CHECK(threw == 2);
  });
}

TEST_CASE("signals are cases of a select, in both directions (semantics 53, D5)") {
  on_every_scheduler([]() -> task<> {
    const channel<void> in(1), out(1);
    co_await in.send();
    int received = 0, sent = 0;
    for (int i = 0; i != 2; ++i) {
      auto got = co_await select(in.recv(), out.send());
      static_assert(std::is_same_v<decltype(got), std::variant<bool, std::monostate>>);
      if (got.index() == 0) {
        CHECK(std::get<0>(got));
        ++received;
      } else {
        ++sent;
      }
    }
    CHECK(received == 1);
    CHECK(sent == 1);
    auto neither = co_await select(in.recv(), out.send(), otherwise);
    CHECK(neither.index() == 2);
    in.close();
    auto closed = co_await select(in.recv(), out.send());
    REQUIRE(closed.index() == 0);
    CHECK_FALSE(std::get<0>(closed));
  });
}

TEST_CASE("signal channels have ends, nil and identity as others have (semantics 18, 32, 36, D27)") {
  on_every_scheduler([]() -> task<> {
    const channel<void> ch(1);
    const sender<void> tx = ch;
    const receiver<void> rx = ch;
    co_await tx.send();
    CHECK_FALSE(tx.try_send());
    const bool signalled = co_await rx.recv();
    CHECK(signalled);
    CHECK(tx.try_send());
    CHECK(rx.try_recv());
    CHECK_FALSE(rx.try_recv());
    tx.close();
    CHECK_FALSE(tx.try_close());
    CHECK(rx.is_closed());
    CHECK(rx.is_drained());

    const channel<void> copy = ch;
    CHECK(copy == ch);
    CHECK(ch != channel<void>());
    CHECK(channel<void>::nil() == channel<void>::nil());
    CHECK_FALSE(static_cast<bool>(channel<void>::nil()));
    CHECK_FALSE(channel<void>::nil().try_send());
    CHECK_FALSE(sender<void>().try_send());
    CHECK_FALSE(receiver<void>().try_recv());
    CHECK_THROWS_AS(channel<void>::nil().close(), channel_closed);
  });
}
