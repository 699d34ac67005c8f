// The channel that is never ready, and which handles are it.
#include <doctest/doctest.h>

#include <cstddef>
#include <optional>
#include <ringo/ringo.hpp>
#include <string>
#include <utility>
#include <variant>

#include "every_scheduler.hpp"

using namespace ringo;

namespace {

template <class Operation>
task<> wait_for(Operation make_operation) {
  co_await make_operation();
}

template <class Operation>
void waits_for_ever(Operation make_operation) {
  on_each(every_scheduler(2), [&](const scheduler_under_test& scheduler) {
    CHECK_THROWS_AS(scheduler.run([&] { return wait_for(make_operation); }), deadlock);
  });
}

}  // namespace

TEST_CASE(
    "a send to nil and a receive from nil wait for ever, which is a deadlock if nothing else runs (semantics 32, 35)") {
  const int value = 1;
  waits_for_ever([] { return channel<int>::nil().recv(); });
  waits_for_ever([&] { return channel<int>::nil().send(value); });
  waits_for_ever([] { return channel<int>::nil().emplace(1); });
  waits_for_ever([] { return channel<void>::nil().recv(); });
  waits_for_ever([] { return channel<void>::nil().send(); });
  waits_for_ever([] { return receiver<int>().recv(); });
  waits_for_ever([&] { return sender<int>().send(value); });
}

TEST_CASE("ranging over nil waits for ever (semantics 38)") {
  const auto main = []() -> task<> {
    const auto nil = channel<int>::nil();
    while (auto value = co_await nil.recv()) CHECK(false);
    CHECK(false);
  };
  on_each(every_scheduler(2),
          [&](const scheduler_under_test& scheduler) { CHECK_THROWS_AS(scheduler.run(main), deadlock); });
}

TEST_CASE("a routine that waits on nil can be cancelled, and is destroyed with the program (semantics 35)") {
  on_every_scheduler([]() -> task<> {
    auto receiving = go([]() -> task<> { co_await channel<int>::nil().recv(); });
    auto sending = go([]() -> task<> { co_await channel<int>::nil().send(1); });
    co_await yield();
    receiving.cancel();
    int ended = 0;
    try {
      co_await receiving;
    } catch (const cancelled&) {
      ++ended;
    }
    CHECK(ended == 1);
    CHECK_FALSE(sending.is_done());
    // main ends, and with it the one who still waits
  });
}

TEST_CASE("attempts on nil are never ready, and nil can be asked everything (semantics 17, 33)") {
  on_every_scheduler([]() -> task<> {
    auto nil = channel<int>::nil();
    for (int i = 0; i != 3; ++i) {
      CHECK_FALSE(nil.try_send(1));
      auto value = nil.try_recv();
      CHECK_FALSE(value);
    }
    CHECK_FALSE(channel<void>::nil().try_send());
    CHECK_FALSE(channel<void>::nil().try_recv());
    CHECK(nil.size() == 0);
    CHECK(nil.capacity() == 0);
    CHECK_FALSE(nil.is_closed());
    CHECK_FALSE(nil.is_drained());
    CHECK_FALSE(static_cast<bool>(nil));
    CHECK(static_cast<bool>(channel<int>{}));
    co_return;
  });
}

TEST_CASE("a select never chooses a case on nil (semantics 34, 58)") {
  on_every_scheduler([]() -> task<> {
    const auto nil = channel<int>::nil();
    channel<int> ch(1);
    for (int i = 0; i != 100; ++i) {
      co_await ch.send(i);
      auto got = co_await select(nil.recv(), ch.recv(), nil.send(1));
      CHECK(got.index() == 1);
      CHECK(std::get<1>(got) == i);
      auto tried = co_await select(nil.send(1), nil.recv(), otherwise);
      CHECK(tried.index() == 2);
    }
  });
}

TEST_CASE("a select of nothing but nil waits for ever (semantics 58)") {
  const auto main = []() -> task<> {
    const auto nil = channel<int>::nil();
    co_await select(nil.recv(), nil.send(1));
    CHECK(false);
  };
  on_each(every_scheduler(2),
          [&](const scheduler_under_test& scheduler) { CHECK_THROWS_AS(scheduler.run(main), deadlock); });
}

TEST_CASE("assigning nil to a channel variable switches its case off (semantics 34)") {
  on_every_scheduler([]() -> task<> {
    channel<int> left(2), right(2);
    const auto left_kept = left;
    for (auto& ch : {left, right}) {
      co_await ch.send(1);
      co_await ch.send(2);
      ch.close();
    }
    int sum = 0;
    while (left || right) {
      auto got = co_await select(left.recv(), right.recv());
      if (got.index() == 0) {
        if (auto value = std::get<0>(got)) {
          sum += *value;
        } else {
          left = channel<int>::nil();
        }
      } else {
        if (auto value = std::get<1>(got)) {
          sum += *value;
        } else {
          right = channel<int>::nil();
        }
      }
    }
    CHECK(sum == 6);
    // Only the variable changed, not the channel that it named.
    CHECK(left_kept.is_drained());
  });
}

TEST_CASE("a default-constructed channel is a rendezvous, a default-constructed end is nil (semantics 35)") {
  on_every_scheduler([]() -> task<> {
    channel<int> ch;
    CHECK(static_cast<bool>(ch));
    CHECK(ch != channel<int>::nil());
    CHECK(ch != channel<int>{});
    auto sending = go([ch]() -> task<> { co_await ch.send(3); });
    auto value = co_await ch.recv();
    CHECK(value == 3);
    co_await sending;

    CHECK_FALSE(static_cast<bool>(sender<int>()));
    CHECK_FALSE(static_cast<bool>(receiver<int>()));
    CHECK_FALSE(sender<int>().try_send(1));
    auto nothing = receiver<int>().try_recv();
    CHECK_FALSE(nothing);
    CHECK(sender<int>() == sender<int>(channel<int>::nil()));
    CHECK(receiver<int>() == receiver<int>(channel<int>::nil()));
  });
}

TEST_CASE("a handle that has been moved from is nil, and can be assigned again (semantics 35, D26)") {
  on_every_scheduler([]() -> task<> {
    channel<int> first(1);
    const auto copy = first;
    channel<int> second = std::move(first);
    CHECK(second == copy);
    CHECK(first == channel<int>::nil());
    CHECK_FALSE(first.try_send(1));

    channel<int> third(1);
    third = std::move(second);
    CHECK(third == copy);
    CHECK(second == channel<int>::nil());
    first = third;
    co_await first.send(1);
    CHECK(copy.size() == 1);

    sender<int> tx = copy;
    const sender<int> moved_tx = std::move(tx);
    CHECK_FALSE(static_cast<bool>(tx));
    CHECK(moved_tx == sender<int>(copy));
    receiver<int> rx = copy;
    const receiver<int> moved_rx = std::move(rx);
    CHECK_FALSE(static_cast<bool>(rx));
    CHECK(moved_rx == receiver<int>(copy));
  });
}

TEST_CASE("a handle survives being assigned to and moved into itself (D26)") {
  on_every_scheduler([]() -> task<> {
    channel<int> ch(1);
    const auto copy = ch;
    auto& same = ch;
    ch = same;
    CHECK(ch == copy);
    ch = std::move(same);
    // Whatever a self-move leaves, it is this channel or nil, and the channel itself is unharmed.
    CHECK((ch == copy || ch == channel<int>::nil()));
    co_await copy.send(1);
    auto value = co_await copy.recv();
    CHECK(value == 1);
  });
}

TEST_CASE("handles may be swapped and reassigned while routines wait on their channels (D26)") {
  on_every_scheduler([]() -> task<> {
    channel<int> first, second;
    const auto kept_first = first, kept_second = second;
    const auto receive = [](receiver<int> from) -> task<int> {
      auto value = co_await from.recv();
      co_return value.value_or(-1);
    };
    auto on_first = go(receive, first);
    auto on_second = go(receive, second);
    co_await yield();
    std::swap(first, second);
    CHECK(first == kept_second);
    CHECK(second == kept_first);
    co_await first.send(2);
    co_await second.send(1);
    first = channel<int>::nil();
    second = channel<int>();
    const int one = co_await on_first;
    const int two = co_await on_second;
    CHECK(one == 1);
    CHECK(two == 2);
  });
}
