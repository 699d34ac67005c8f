// Waiting routines that are cancelled or destroyed, and channels that go while somebody waits.
#include <doctest/doctest.h>

#include <atomic>
#include <cstddef>
#include <memory>
#include <optional>
#include <ringo/ringo.hpp>
#include <utility>
#include <variant>
#include <vector>

#include "every_scheduler.hpp"

using namespace ringo;

namespace {

task<int> receive_number(receiver<int> from) {
  auto value = co_await from.recv();
  co_return value.value_or(-1);
}

task<> send_number(sender<int> to, int value) { co_await to.send(value); }

}  // namespace

TEST_CASE("when the last handle goes, the receivers that wait are woken as by a close (D8)") {
  on_simulated_schedulers([]() -> task<> {
    for (std::size_t capacity : {0u, 2u}) {
      auto only = std::make_unique<channel<int>>(capacity);
      std::vector<handle<bool>> waiting;
      for (int i = 0; i != 5; ++i) {
        waiting.push_back(go([ch = only.get()]() -> task<bool> {
          auto value = co_await ch->recv();
          co_return !value.has_value();
        }));
      }
      co_await testing::settle();
      only.reset();
      for (auto& one : waiting) {
        const bool ended = co_await one;
        CHECK(ended);
      }
    }
  });
}

TEST_CASE("when the last handle goes, the senders that wait fail as by a close, their values whole (D1, D8)") {
  on_simulated_schedulers([]() -> task<> {
    auto only = std::make_unique<channel<std::unique_ptr<int>>>();
    std::vector<handle<int>> waiting;
    for (int i = 0; i != 5; ++i) {
      waiting.push_back(go([ch = only.get(), i]() -> task<int> {
        auto value = std::make_unique<int>(i);
        try {
          co_await ch->send(std::move(value));
        } catch (const channel_closed&) {
          co_return value ? *value : -1;
        }
        co_return -2;
      }));
    }
    co_await testing::settle();
    only.reset();
    for (int i = 0; i != 5; ++i) {
      const int kept = co_await waiting[static_cast<std::size_t>(i)];
      CHECK(kept == i);
    }
  });
}

TEST_CASE("when the last handle goes, a select that waits there is woken and leaves its other channels (D8)") {
  on_simulated_schedulers([]() -> task<> {
    auto only = std::make_unique<channel<int>>();
    const channel<int> other;
    auto waiting = go([ch = only.get(), other]() -> task<std::size_t> {
      auto got = co_await select(other.recv(), ch->recv(), other.send(1));
      co_return got.index();
    });
    co_await testing::settle();
    only.reset();
    const std::size_t chosen = co_await waiting;
    CHECK(chosen == 1);
    CHECK_FALSE(other.try_send(1));
    auto none = other.try_recv();
    CHECK_FALSE(none);
  });
}

TEST_CASE("a select that lost on a channel may outlive it (D8)") {
  on_simulated_schedulers([]() -> task<> {
    auto only = std::make_unique<channel<int>>();
    const channel<int> other;
    auto waiting = go([ch = only.get(), other]() -> task<std::size_t> {
      auto got = co_await select(other.recv(), ch->recv());
      co_return got.index();
    });
    co_await testing::settle();
    // Both happen before the one who waits runs again: it is told of the first.
    CHECK(other.try_send(1));
    only.reset();
    const std::size_t chosen = co_await waiting;
    CHECK(chosen == 0);
  });
}

TEST_CASE("a waiting routine that holds a handle itself keeps its channel open (D8)") {
  const auto main = []() -> task<> {
    auto ch = channel<int>();
    auto waiting = go(receive_number, ch);
    ch = channel<int>::nil();
    co_await waiting;
    CHECK(false);
  };
  on_each(every_scheduler(2),
          [&](const scheduler_under_test& scheduler) { CHECK_THROWS_AS(scheduler.run(main), deadlock); });
}

TEST_CASE("the last handle may go at the very moment at which a routine receives or sends by another (D8)") {
  on_every_scheduler([]() -> task<> {
    for (int round = 0; round != 100; ++round) {
      auto ch = std::make_unique<channel<std::shared_ptr<int>>>(1);
      auto receiving = go([rx = receiver<std::shared_ptr<int>>(*ch)]() -> task<int> {
        auto value = co_await rx.recv();
        co_return value ? **value : -1;
      });
      auto sending = go([tx = sender<std::shared_ptr<int>>(*ch), round]() -> task<> {
        co_await tx.send(std::make_shared<int>(round));
      });
      ch.reset();
      const int value = co_await receiving;
      co_await sending;
      CHECK(value == round);
    }
  });
}

TEST_CASE("cancelling a waiting receiver from the middle of the queue leaves the others in order (semantics 66, D9)") {
  on_simulated_schedulers([]() -> task<> {
    for (std::size_t gone : {0u, 2u, 4u}) {
      const channel<int> ch;
      std::vector<handle<int>> waiting;
      for (int i = 0; i != 5; ++i) {
        waiting.push_back(go(receive_number, ch));
        co_await testing::settle();
      }
      waiting[gone].cancel();
      bool was_cancelled = false;
      try {
        co_await waiting[gone];
      } catch (const cancelled&) {
        was_cancelled = true;
      }
      CHECK(was_cancelled);
      int next = 0;
      for (std::size_t i = 0; i != 5; ++i) {
        if (i == gone) continue;
        CHECK(ch.try_send(next));
        const int value = co_await waiting[i];
        CHECK(value == next);
        ++next;
      }
      CHECK_FALSE(ch.try_send(99));
    }
  });
}

TEST_CASE("cancelling a waiting sender from the middle of the queue leaves the others in order (semantics 66, D9)") {
  on_simulated_schedulers([]() -> task<> {
    for (int gone : {0, 2, 4}) {
      const channel<int> ch(1);
      co_await ch.send(-1);
      std::vector<handle<>> waiting;
      for (int i = 0; i != 5; ++i) {
        waiting.push_back(go(send_number, ch, i));
        co_await testing::settle();
      }
      waiting[static_cast<std::size_t>(gone)].cancel();
      co_await testing::settle();
      CHECK(waiting[static_cast<std::size_t>(gone)].is_done());
      for (int i = -1; i != 5; ++i) {
        if (i == gone) continue;
        auto value = co_await ch.recv();
        CHECK(value == i);
      }
      CHECK(ch.size() == 0);
    }
  });
}

TEST_CASE("a receive that has its value returns it although it is cancelled before it runs (D13)") {
  on_simulated_schedulers([]() -> task<> {
    const channel<int> ch;
    auto waiting = go(receive_number, ch);
    co_await testing::settle();
    CHECK(ch.try_send(5));
    waiting.cancel();
    const int value = co_await waiting;
    CHECK(value == 5);
  });
}

TEST_CASE("a receive that is cancelled before a value comes leaves the value to the next (D9, D13)") {
  on_simulated_schedulers([]() -> task<> {
    const channel<int> ch;
    auto first = go(receive_number, ch);
    co_await testing::settle();
    auto second = go(receive_number, ch);
    co_await testing::settle();
    first.cancel();
    CHECK(ch.try_send(5));
    const int value = co_await second;
    CHECK(value == 5);
    CHECK_FALSE(ch.try_send(6));
    bool was_cancelled = false;
    try {
      co_await first;
    } catch (const cancelled&) {
      was_cancelled = true;
    }
    CHECK(was_cancelled);
  });
}

TEST_CASE("a send whose value was taken is done although it is cancelled before it runs (D13)") {
  on_simulated_schedulers([]() -> task<> {
    const channel<int> ch;
    auto waiting = go([ch]() -> task<bool> {
      co_await ch.send(5);
      co_return true;
    });
    co_await testing::settle();
    auto value = ch.try_recv();
    CHECK(value == 5);
    waiting.cancel();
    const bool sent = co_await waiting;
    CHECK(sent);
  });
}

TEST_CASE("when a cancel races with the value, the receiver has it or it stays in the channel (D9, D14)") {
  on_every_scheduler([]() -> task<> {
    for (std::size_t capacity : {0u, 1u}) {
      for (int round = 0; round != static_cast<int>(stressed(50)); ++round) {
        const channel<int> ch(capacity);
        auto receiving = go([ch]() -> task<int> {
          try {
            auto value = co_await ch.recv();
            co_return value.value_or(-2);
          } catch (const cancelled&) {
            co_return -1;
          }
        });
        auto sending = go(send_number, ch, round);
        if (round % 2 == 0) co_await yield();
        receiving.cancel();
        const int got = co_await receiving;
        if (got == -1) {
          auto left = co_await ch.recv();
          CHECK(left == round);
        } else {
          CHECK(got == round);
        }
        co_await sending;
        CHECK(ch.size() == 0);
      }
    }
  });
}

TEST_CASE("when a cancel races with the receiver, the value is received or whole with its sender (D1, D9, D14)") {
  on_every_scheduler([]() -> task<> {
    for (std::size_t capacity : {0u, 1u}) {
      for (int round = 0; round != static_cast<int>(stressed(50)); ++round) {
        const channel<std::unique_ptr<int>> ch(capacity);
        auto sending = go([ch, round]() -> task<bool> {
          auto mine = std::make_unique<int>(round);
          bool whole = true;
          try {
            co_await ch.send(std::move(mine));
          } catch (const cancelled&) {
            whole = mine != nullptr && *mine == round;
            CHECK(whole);
            co_return false;
          }
          co_return true;
        });
        auto receiving = go([ch]() -> task<int> {
          auto value = co_await ch.recv();
          co_return value ? **value : -1;
        });
        if (round % 2 == 0) co_await yield();
        sending.cancel();
        const bool sent = co_await sending;
        ch.close();
        const int received = co_await receiving;
        CHECK(received == (sent ? round : -1));
      }
    }
  });
}

TEST_CASE("a storm of cancels among senders and receivers loses and doubles nothing (D9, D14)") {
  on_every_scheduler([]() -> task<> {
    for (std::size_t capacity : {0u, 3u}) {
      const channel<std::unique_ptr<int>> ch(capacity);
      constexpr int count = 100;
      std::vector<std::atomic<int>> sent(count), received(count);
      std::vector<handle<>> all;
      for (int i = 0; i != count; ++i) {
        all.push_back(go([ch, i, &sent]() -> task<> {
          auto mine = std::make_unique<int>(i);
          try {
            co_await ch.send(std::move(mine));
            ++sent[static_cast<std::size_t>(i)];
          } catch (const cancelled&) {
            CHECK(mine != nullptr);
          }
        }));
        all.push_back(go([ch, &received]() -> task<> {
          try {
            auto value = co_await ch.recv();
            ++received[static_cast<std::size_t>(**value)];
          } catch (const cancelled&) {
          }
        }));
        if (i % 10 == 0) co_await yield();
        if (i % 3 == 0) all[static_cast<std::size_t>(i)].cancel();
      }
      for (std::size_t i = 1; i < all.size(); i += 2) all[i].cancel();
      for (auto& one : all) one.cancel();
      for (auto& one : all) co_await one;
      while (auto value = ch.try_recv()) ++received[static_cast<std::size_t>(**value)];
      int wrong = 0;
      for (std::size_t i = 0; i != count; ++i) {
        if (sent[i] != received[i] || sent[i] > 1) ++wrong;
      }
      CHECK(wrong == 0);
    }
  });
}

TEST_CASE("routines that wait when main ends are gone: the channel has no trace of them (semantics 159, D9)") {
  on_each(every_scheduler(), [](const scheduler_under_test& scheduler) {
    const channel<int> empty, full(1), other;
    CHECK(full.try_send(0));
    scheduler.run([&]() -> task<> {
      for (int i = 0; i != 20; ++i) {
        go(receive_number, empty);
        go(send_number, full, i);
        go([empty, full, other]() -> task<> { co_await select(empty.recv(), full.send(7), other.recv()); });
      }
      for (int i = 0; i != 5; ++i) co_await yield();
    });
    CHECK_FALSE(empty.try_send(1));
    CHECK_FALSE(other.try_send(1));
    auto queued = full.try_recv();
    CHECK(queued == 0);
    CHECK(full.size() == 0);

    // And the next program finds all of them in order.
    scheduler.run([&]() -> task<> {
      auto receiving = go(receive_number, empty);
      co_await empty.send(3);
      const int value = co_await receiving;
      CHECK(value == 3);
      co_await full.send(4);
      auto back = co_await full.recv();
      CHECK(back == 4);
    });
  });
}

TEST_CASE("what a routine holds is destroyed with it, whatever it waited for on a channel (D9)") {
  on_each(every_scheduler(), [](const scheduler_under_test& scheduler) {
    const auto held = std::make_shared<int>(0);
    scheduler.run([&]() -> task<> {
      const channel<std::shared_ptr<int>> ch;
      go([held, ch]() -> task<> { co_await ch.recv(); });
      const channel<std::shared_ptr<int>> unread;
      for (int i = 0; i != 3; ++i) {
        go([held, unread]() -> task<> { co_await unread.send(held); });
        go([held, unread]() -> task<> {
          auto mine = held;
          co_await unread.send(std::move(mine));
        });
        go([held, ch, unread]() -> task<> { co_await select(ch.recv(), unread.send(held)); });
      }
      co_await yield();
    });
    CHECK(held.use_count() == 1);
  });
}

TEST_CASE("destructors of routines that are torn down may use the channels that they waited on (D4, D9)") {
  struct farewell {
    channel<int> to;
    explicit farewell(channel<int> ch) : to(std::move(ch)) {}
    farewell(const farewell&) = delete;
    farewell& operator=(const farewell&) = delete;
    ~farewell() { (void)to.try_send(1); }
  };
  on_each(every_scheduler(), [](const scheduler_under_test& scheduler) {
    const channel<int> ch(10), never_sent;
    std::atomic<int> begun = 0;
    scheduler.run([&]() -> task<> {
      for (int i = 0; i != 10; ++i) {
        go(
            [&begun](channel<int> told, channel<int> awaited) -> task<> {
              farewell last_words(told);
              ++begun;
              co_await awaited.recv();
            },
            ch, never_sent);
      }
      while (begun != 10) co_await yield();
    });
    CHECK(ch.size() == 10);
    CHECK_FALSE(never_sent.try_send(1));
  });
}
