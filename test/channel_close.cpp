// Closing a channel: what is still delivered, who is woken and how, what fails.
#include <doctest/doctest.h>

#include <atomic>
#include <cstddef>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <ringo/ringo.hpp>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "every_scheduler.hpp"

using namespace ringo;

namespace {

task<bool> send_fails(sender<int> to, int value) {
  try {
    co_await to.send(value);
  } catch (const channel_closed&) {
    co_return true;
  }
  co_return false;
}

task<bool> finds_it_closed(receiver<int> from) {
  auto value = co_await from.recv();
  co_return !value.has_value();
}

template <class F>
std::string message_of(F f) {
  try {
    f();
  } catch (const std::exception& e) {
    return e.what();
  }
  return {};
}

}  // namespace

TEST_CASE("what was queued before the close is still delivered, in order (semantics 19)") {
  on_every_scheduler([]() -> task<> {
    for (int count : {0, 1, 2, 9}) {
      channel<int> ch(10);
      for (int i = 0; i != count; ++i) co_await ch.send(i);
      ch.close();
      CHECK(ch.is_closed());
      CHECK(ch.is_drained() == (count == 0));
      for (int i = 0; i != count; ++i) {
        CHECK_FALSE(ch.is_drained());
        auto value = co_await ch.recv();
        CHECK(value == i);
      }
      CHECK(ch.is_drained());
      auto end = co_await ch.recv();
      CHECK_FALSE(end);
    }
  });
}

TEST_CASE("a closed and drained channel answers every receive at once, for ever (semantics 20)") {
  on_every_scheduler([]() -> task<> {
    for (std::size_t capacity : {0u, 4u}) {
      channel<int> ch(capacity);
      ch.close();
      // Nobody else is there: a receive that waited would end the program as a deadlock.
      for (int i = 0; i != 1000; ++i) {
        auto value = co_await ch.recv();
        CHECK_FALSE(value);
      }
      auto tried = ch.try_recv();
      CHECK_FALSE(tried);
      auto chosen = co_await select(ch.recv(), otherwise);
      CHECK(chosen.index() == 0);
      CHECK_FALSE(std::get<0>(chosen));
      CHECK(ch.is_drained());
    }
  });
}

TEST_CASE("a zero that was sent is a value, not the end (semantics 21)") {
  on_every_scheduler([]() -> task<> {
    channel<int> ch(2);
    co_await ch.send(0);
    ch.close();
    auto zero = co_await ch.recv();
    CHECK(zero.has_value());
    CHECK(zero == 0);
    auto end = co_await ch.recv();
    CHECK_FALSE(end.has_value());

    channel<std::unique_ptr<int>> pointers(1);
    co_await pointers.send(std::unique_ptr<int>());
    pointers.close();
    auto null = co_await pointers.recv();
    CHECK(null.has_value());
    auto none = co_await pointers.recv();
    CHECK_FALSE(none.has_value());

    channel<std::optional<int>> optionals(1);
    co_await optionals.emplace();
    optionals.close();
    auto empty = co_await optionals.recv();
    CHECK(empty.has_value());
    CHECK_FALSE(empty->has_value());
  });
}

TEST_CASE("close wakes every waiting receiver, each with nothing (semantics 22, 31)") {
  const auto main = [](bool settled, std::size_t capacity) -> task<> {
    channel<int> ch(capacity);
    std::vector<handle<bool>> receivers;
    for (int i = 0; i != 100; ++i) receivers.push_back(go(finds_it_closed, ch));
    if (settled) co_await testing::settle();
    ch.close();
    int woken = 0;
    for (auto& receiver : receivers) {
      const bool ended = co_await receiver;
      if (ended) ++woken;
    }
    CHECK(woken == 100);
  };
  on_every_scheduler([&] { return main(false, 0); });
  on_every_scheduler([&] { return main(false, 3); });
  on_simulated_schedulers([&] { return main(true, 0); });
  on_simulated_schedulers([&] { return main(true, 3); });
}

TEST_CASE("close makes every waiting sender fail, and nothing of theirs is delivered (semantics 23)") {
  const auto main = [](bool settled, std::size_t capacity) -> task<> {
    channel<int> ch(capacity);
    for (std::size_t i = 0; i != capacity; ++i) co_await ch.send(1000);
    std::vector<handle<bool>> senders;
    for (int i = 0; i != 100; ++i) senders.push_back(go(send_fails, ch, i));
    if (settled) co_await testing::settle();
    ch.close();
    int failed = 0;
    for (auto& sender : senders) {
      const bool threw = co_await sender;
      if (threw) ++failed;
    }
    CHECK(failed == 100);
    CHECK(ch.size() == capacity);
    for (std::size_t i = 0; i != capacity; ++i) {
      auto value = co_await ch.recv();
      CHECK(value == 1000);
    }
    auto end = co_await ch.recv();
    CHECK_FALSE(end);
  };
  on_every_scheduler([&] { return main(false, 0); });
  on_every_scheduler([&] { return main(false, 3); });
  on_simulated_schedulers([&] { return main(true, 0); });
  on_simulated_schedulers([&] { return main(true, 3); });
}

TEST_CASE("a sender that close wakes keeps its value (semantics 23, D1)") {
  on_simulated_schedulers([]() -> task<> {
    channel<std::unique_ptr<int>> ch;
    auto waiting = go([ch]() -> task<int> {
      auto value = std::make_unique<int>(5);
      try {
        co_await ch.send(std::move(value));
      } catch (const channel_closed&) {
        co_return value ? *value : -1;
      }
      co_return -2;
    });
    co_await testing::settle();
    ch.close();
    const int kept = co_await waiting;
    CHECK(kept == 5);
  });
}

TEST_CASE("close returns before any routine that it woke has run (semantics 24)") {
  on_simulated_schedulers([]() -> task<> {
    channel<int> ch;
    std::atomic<int> woken = 0;
    wait_group receivers;
    for (int i = 0; i != 10; ++i) {
      receivers.go([&]() -> task<> {
        co_await ch.recv();
        ++woken;
      });
    }
    co_await testing::settle();
    ch.close();
    CHECK(woken == 0);
    co_await receivers.wait();
    CHECK(woken == 10);
  });
}

TEST_CASE("a send on a closed channel fails although there is room, tried or in a select (semantics 25, 61, D6)") {
  on_every_scheduler([]() -> task<> {
    for (std::size_t capacity : {0u, 4u}) {
      channel<int> ch(capacity);
      ch.close();
      const bool failed = co_await send_fails(ch, 1);
      CHECK(failed);
      CHECK_THROWS_AS(ch.try_send(1), channel_closed);
      const int two = 2;
      CHECK_THROWS_AS(ch.try_send(two), channel_closed);

      int threw = 0;
      try {
        co_await select(ch.send(1), otherwise);
      } catch (const channel_closed&) {
        ++threw;
      }
      try {
        co_await select(ch.send(1), never());
      } catch (const channel_closed&) {
        ++threw;
      }
      try {
        co_await select(prefer_first, ch.send(1), otherwise);
      } catch (const channel_closed&) {
        ++threw;
      }
      try {
        co_await ch.emplace(1);
      } catch (const channel_closed&) {
        ++threw;
      }
      CHECK(threw == 4);
      CHECK(ch.size() == 0);
    }
  });
}

TEST_CASE("a send case that waits in a select fails when its channel is closed (semantics 62)") {
  on_simulated_schedulers([]() -> task<> {
    channel<int> sending, receiving;
    auto waiting = go([=]() -> task<int> {
      try {
        co_await select(sending.send(1), receiving.recv());
      } catch (const channel_closed&) {
        co_return 1;
      }
      co_return 0;
    });
    co_await testing::settle();
    sending.close();
    const int failed = co_await waiting;
    CHECK(failed == 1);
    // The case that lost has left its channel.
    CHECK_FALSE(receiving.try_send(1));
  });
}

TEST_CASE("a receive case that waits in a select yields nothing when its channel is closed (semantics 62)") {
  on_simulated_schedulers([]() -> task<> {
    channel<int> sending, receiving;
    auto waiting = go([=]() -> task<std::size_t> {
      auto got = co_await select(sending.send(1), receiving.recv());
      co_return got.index() == 1 && !std::get<1>(got).has_value() ? 1u : 0u;
    });
    co_await testing::settle();
    receiving.close();
    const std::size_t ended = co_await waiting;
    CHECK(ended == 1);
    auto taken = sending.try_recv();
    CHECK_FALSE(taken);
  });
}

TEST_CASE("the value of a failed send is never received (semantics 26)") {
  on_every_scheduler([]() -> task<> {
    for (std::size_t capacity : {0u, 2u}) {
      channel<int> ch(capacity);
      ch.close();
      for (int i = 0; i != 3; ++i) {
        const bool failed = co_await send_fails(ch, i);
        CHECK(failed);
        auto value = co_await ch.recv();
        CHECK_FALSE(value);
      }
    }
  });
}

TEST_CASE("a second close fails, and so does the close of nil; neither harms (semantics 27, D7)") {
  on_every_scheduler([]() -> task<> {
    channel<int> ch(1);
    co_await ch.send(1);
    ch.close();
    CHECK_THROWS_AS(ch.close(), channel_closed);
    CHECK_THROWS_AS(sender<int>(ch).close(), channel_closed);
    CHECK_FALSE(ch.try_close());
    CHECK(ch.is_closed());
    auto value = co_await ch.recv();
    CHECK(value == 1);

    CHECK_THROWS_AS(channel<int>::nil().close(), channel_closed);
    CHECK_THROWS_AS(sender<int>().close(), channel_closed);
    CHECK_FALSE(channel<int>::nil().try_close());
    CHECK_FALSE(sender<int>().try_close());
  });
}

TEST_CASE("of those who race to close with try_close exactly one succeeds (semantics 27, D7)") {
  on_every_scheduler([]() -> task<> {
    for (int round = 0; round != 20; ++round) {
      channel<int> ch;
      std::vector<handle<bool>> closers;
      for (int i = 0; i != 8; ++i) {
        closers.push_back(go([ch]() -> task<bool> { co_return ch.try_close(); }));
      }
      int closed = 0;
      for (auto& closer : closers) {
        const bool mine = co_await closer;
        if (mine) ++closed;
      }
      CHECK(closed == 1);
      CHECK(ch.is_closed());
    }
  });
}

TEST_CASE("channel_closed is a logic_error that says which operation failed (semantics 27, D6)") {
  static_assert(std::is_base_of_v<std::logic_error, channel_closed>);
  on_every_scheduler([]() -> task<> {
    channel<int> ch(1);
    ch.close();
    const auto sending = message_of([&] { (void)ch.try_send(1); });
    const auto closing = message_of([&] { ch.close(); });
    const auto closing_nil = message_of([] { channel<int>::nil().close(); });
    CHECK(sending.find("send") != std::string::npos);
    CHECK(closing.find("close") != std::string::npos);
    CHECK(closing_nil.find("nil") != std::string::npos);
    CHECK(sending != closing);
    CHECK(closing != closing_nil);
    co_return;
  });
}

TEST_CASE("closed means closed for ever (semantics 28)") {
  on_every_scheduler([]() -> task<> {
    channel<int> ch(2);
    CHECK_FALSE(ch.is_closed());
    CHECK_FALSE(ch.is_drained());
    co_await ch.send(1);
    CHECK(ch.try_close());
    for (int i = 0; i != 3; ++i) {
      CHECK(ch.is_closed());
      CHECK(sender<int>(ch).is_closed());
      CHECK(receiver<int>(ch).is_closed());
      CHECK_THROWS_AS(ch.try_send(2), channel_closed);
      auto value = ch.try_recv();
      CHECK(value.has_value() == (i == 0));
      CHECK_FALSE(ch.try_close());
    }
    CHECK(receiver<int>(ch).is_drained());
  });
}

TEST_CASE("a channel that is never closed is no leak, nor are the values left in it (semantics 30)") {
  const auto value = std::make_shared<int>(1);
  on_every_scheduler([&]() -> task<> {
    {
      channel<std::shared_ptr<int>> ch(5);
      for (int i = 0; i != 3; ++i) co_await ch.send(value);
      CHECK(value.use_count() == 4);
    }
    CHECK(value.use_count() == 1);
    {
      channel<std::shared_ptr<int>> ch(3);
      for (int i = 0; i != 3; ++i) co_await ch.send(value);
      (void)ch.try_recv();
      CHECK(ch.try_send(value));
      ch.close();
    }
    CHECK(value.use_count() == 1);
  });
  CHECK(value.use_count() == 1);
}

TEST_CASE("a start gate releases everybody at once (semantics 31, 181)") {
  on_every_scheduler([]() -> task<> {
    channel<void> gate;
    std::atomic<int> through = 0;
    wait_group runners;
    for (int i = 0; i != 50; ++i) {
      runners.go([&, gate]() -> task<> {
        const bool signalled = co_await gate.recv();
        if (!signalled) ++through;
      });
    }
    co_await yield();
    CHECK(through == 0);
    gate.close();
    co_await runners.wait();
    CHECK(through == 50);
  });
}

TEST_CASE("close(error) lets the queued values through and then rethrows the error each time (semantics 19, 20)") {
  on_every_scheduler([]() -> task<> {
    channel<int> ch(2);
    co_await ch.send(1);
    ch.close(std::make_exception_ptr(std::runtime_error("broken pipe upstream")));
    CHECK(ch.is_closed());
    CHECK_FALSE(ch.is_drained());
    auto value = co_await ch.recv();
    CHECK(value == 1);
    CHECK(ch.is_drained());

    int rethrown = 0;
    for (int i = 0; i != 3; ++i) {
      try {
        co_await ch.recv();
      } catch (const std::runtime_error& e) {
        if (std::string(e.what()) == "broken pipe upstream") ++rethrown;
      }
    }
    CHECK(rethrown == 3);

    bool in_select = false;
    try {
      co_await select(ch.recv(), never());
    } catch (const std::runtime_error&) {
      in_select = true;
    }
    CHECK(in_select);
    CHECK_THROWS_AS(ch.try_send(2), channel_closed);
    CHECK_THROWS_AS(ch.close(), channel_closed);
    CHECK_FALSE(ch.try_close());
  });
}

TEST_CASE(
    "close(error) wakes waiting receivers with the error and waiting senders with channel_closed (semantics 22, 23)") {
  const auto main = [](bool settled) -> task<> {
    channel<int> empty, unread;
    const auto fails_with_the_error = [](receiver<int> from) -> task<bool> {
      try {
        co_await from.recv();
      } catch (const std::runtime_error&) {
        co_return true;
      }
      co_return false;
    };
    std::vector<handle<bool>> waiting;
    for (int i = 0; i != 10; ++i) {
      waiting.push_back(go(fails_with_the_error, empty));
      waiting.push_back(go(send_fails, unread, i));
    }
    if (settled) co_await testing::settle();
    const auto error = std::make_exception_ptr(std::runtime_error("upstream"));
    empty.close(error);
    sender<int>(unread).close(error);
    int right = 0;
    for (auto& one : waiting) {
      const bool failed = co_await one;
      if (failed) ++right;
    }
    CHECK(right == 20);
  };
  on_every_scheduler([&] { return main(false); });
  on_simulated_schedulers([&] { return main(true); });
}

TEST_CASE("a second close(error) fails and the first error stays (semantics 27, 28)") {
  on_every_scheduler([]() -> task<> {
    channel<int> ch;
    ch.close(std::make_exception_ptr(std::runtime_error("first")));
    const auto second = std::make_exception_ptr(std::runtime_error("second"));
    CHECK_THROWS_AS(ch.close(second), channel_closed);
    CHECK_THROWS_AS(channel<int>::nil().close(second), channel_closed);
    std::string told;
    try {
      co_await ch.recv();
    } catch (const std::runtime_error& e) {
      told = e.what();
    }
    CHECK(told == "first");

    channel<int> plain;
    plain.close();
    CHECK_THROWS_AS(plain.close(second), channel_closed);
    auto end = co_await plain.recv();
    CHECK_FALSE(end);
  });
}

TEST_CASE("values race with a close: what a send accepted is received, what it refused is not (semantics 10, 19, 23)") {
  on_every_scheduler([]() -> task<> {
    for (std::size_t capacity : {0u, 1u, 5u}) {
      for (int round = 0; round != 10; ++round) {
        channel<int> ch(capacity);
        std::atomic<int> accepted = 0, refused = 0, received = 0;
        wait_group senders, receivers;
        for (int id = 0; id != 4; ++id) {
          senders.go([&]() -> task<> {
            try {
              for (int i = 0; i != 25; ++i) {
                co_await ch.send(i);
                ++accepted;
              }
            } catch (const channel_closed&) {
              ++refused;
            }
          });
        }
        for (int id = 0; id != 2; ++id) {
          receivers.go([&]() -> task<> {
            while (auto value = co_await ch.recv()) ++received;
          });
        }
        for (int i = 0; i != round; ++i) co_await yield();
        ch.close();
        co_await senders.wait();
        co_await receivers.wait();
        CHECK(received == accepted);
        CHECK((refused == 0) == (accepted == 100));
        CHECK(ch.is_drained());
      }
    }
  });
}
