// An operation that a combinator bounds or wraps stays an operation as a case of a select: what loses has had no
// effect.
#include <doctest/doctest.h>

#include <cstddef>
#include <memory>
#include <optional>
#include <ringo/ringo.hpp>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "error_told.hpp"
#include "every_scheduler.hpp"

using namespace ringo;
using namespace std::chrono_literals;

namespace {

using receive = decltype(std::declval<channel<int>&>().recv());

// The value in what a wrapped receive came to.
int value_in(std::optional<int> received) { return received.value(); }
int value_in(selected<std::optional<int>> s) { return s.result.value(); }
template <class T>
int value_in(outcome_of<T> o) {
  return value_in(std::move(o).value());
}
template <class... R>
int value_in(std::variant<R...> chosen) {
  return std::visit(
      [](auto& r) {
        if constexpr (std::is_same_v<decltype(r), std::monostate&>) {
          FAIL("what is never ready has won");
          return 0;
        } else {
          return value_in(std::move(r));
        }
      },
      chosen);
}

// use(wrap) with each way to wrap a receive.
template <class Use>
void each_wrapping(Use use) {
  const context ctx = context::background();
  use([](receive r) { return with_timeout(1h, std::move(r)); });
  use([](receive r) { return with_deadline(now() + 1h, std::move(r)); });
  use([ctx](receive r) { return with_context(ctx, std::move(r)); });
  use([](receive r) { return with_context(context::with_cancel(), std::move(r)); });
  use([](receive r) { return shield(std::move(r)); });
  use([](receive r) { return outcome(std::move(r)); });
  use([](receive r) { return outcome(with_timeout(1h, std::move(r))); });
  use([](receive r) { return with_timeout(1h, with_context(context::with_cancel(), shield(std::move(r)))); });
  use([](receive r) { return select(std::move(r), never()); });
  use([](receive r) { return with_timeout(1h, select(with_timeout(2h, std::move(r)), sleep(1h))); });
  use([](receive r) {
    std::vector<receive> one;
    one.push_back(std::move(r));
    return select_any(std::move(one));
  });
}

}  // namespace

TEST_CASE("parked: of two values that come at once one is received, and the other was not taken (52, 79)") {
  each_wrapping([](auto wrap) {
    on_simulated_schedulers(
        [&]() -> task<> {
          for (bool first_too : {false, true}) {
            channel<int> a, b;
            int got = 0;
            auto receives = [&]() -> task<> {
              if (first_too) {
                auto r = co_await select(wrap(a.recv()), wrap(b.recv()));
                got = value_in(std::move(r));
              } else {
                auto r = co_await select(a.recv(), wrap(b.recv()));
                got = value_in(std::move(r));
              }
            };
            auto h = go(receives);
            co_await testing::settle();
            const int taken = a.try_send(1) + b.try_send(1);
            co_await h;
            CHECK(taken == 1);
            CHECK(got == 1);
          }
        },
        5);
  });
}

TEST_CASE("racing: every value is received once, whichever case it comes by (10, 52, 64)") {
  const auto count = static_cast<int>(stressed(300));
  each_wrapping([count](auto wrap) {
    on_every_scheduler(
        [&]() -> task<> {
          for (std::size_t capacity : {0u, 3u}) {
            channel<int> a(capacity), b(capacity);
            auto sends = [count](channel<int> to, int first) -> task<> {
              for (int i = 0; i != count; ++i) co_await to.send(first + i);
            };
            auto one = go(sends, a, 0);
            auto other = go(sends, b, count);
            std::vector<int> times(static_cast<std::size_t>(2 * count));
            for (int i = 0; i != 2 * count; ++i) {
              auto r = co_await select(wrap(a.recv()), b.recv());
              ++times[static_cast<std::size_t>(value_in(std::move(r)))];
            }
            co_await one;
            co_await other;
            CHECK(times == std::vector<int>(static_cast<std::size_t>(2 * count), 1));
            const auto nothing = co_await select(wrap(a.recv()), otherwise);
            CHECK(nothing.index() == 1);
          }
        },
        3);
  });
}

TEST_CASE("racing with what ends it: a value is received, or stays with its sender (79)") {
  const auto count = static_cast<int>(stressed(200));
  on_every_scheduler(
      [count]() -> task<> {
        channel<int> a, b;
        auto sends = [count](channel<int> to) -> task<> {
          for (int i = 0; i != count; ++i) {
            co_await to.send(i);
            co_await sleep(1us);
          }
        };
        auto one = go(sends, a);
        auto other = go(sends, b);
        int next_of_a = 0, next_of_b = 0;
        for (int turn = 0; next_of_a + next_of_b != 2 * count; ++turn) {
          const context ctx = context::with_cancel();
          auto cancels = go([ctx, turn]() -> task<> {
            co_await yield();
            if (turn % 2 == 0) ctx.cancel();  // not always: in a simulation time passes only where all wait
          });
          try {
            auto r = co_await select(with_timeout(turn % 5 * 1us, a.recv()), with_context(ctx, b.recv()));
            if (r.index() == 0) {
              CHECK(std::get<0>(r) == next_of_a++);
            } else {
              CHECK(std::get<1>(r) == next_of_b++);
            }
          } catch (const timed_out&) {
          } catch (const cancelled&) {
          }
          co_await cancels;
        }
        co_await one;
        co_await other;
      },
      3);
}

TEST_CASE("the limit, or the context's end, wins the select for its case, by throwing; the rest has had no effect") {
  on_simulated_schedulers([]() -> task<> {
    const time_point start = now();
    channel<int> a, b;
    const auto limited = co_await outcome(select(with_timeout(1s, a.recv()), b.recv()));
    CHECK(told(limited) == "timed out");
    const auto by_then = co_await outcome(select(with_deadline(start + 2s, a.recv()), b.recv()));
    CHECK(told(by_then) == "timed out");
    CHECK(now() == start + 2s);
    const context ctx = context::with_timeout(1s);
    const auto ended = co_await outcome(select(with_context(ctx, a.recv()), b.recv()));
    CHECK(told(ended) == "cancelled");
    CHECK(now() == start + 3s);
    auto told_inside = co_await select(outcome(with_timeout(1s, a.recv())), b.recv());
    REQUIRE(told_inside.index() == 0);
    CHECK(told(std::get<0>(told_inside)) == "timed out");
    CHECK_FALSE(a.try_send(1));
    CHECK_FALSE(b.try_send(1));
  });
}

TEST_CASE("what has ended before the select is not tried, though it is ready") {
  on_every_scheduler([]() -> task<> {
    channel<int> ready(1);
    ready.try_send(1);
    const auto no_time = co_await outcome(select(with_timeout(0s, ready.recv()), never()));
    CHECK(told(no_time) == "timed out");
    const auto too_late = co_await outcome(select(with_deadline(now() - 1s, ready.recv()), never()));
    CHECK(told(too_late) == "timed out");
    const context ctx = context::with_cancel();
    ctx.cancel();
    const auto cancelled_before = co_await outcome(select(with_context(ctx, ready.recv()), never()));
    CHECK(told(cancelled_before) == "cancelled");
    CHECK(ready.size() == 1);
  });
}

TEST_CASE("a value that is sent by a losing case is whole (70, D1)") {
  on_every_scheduler([]() -> task<> {
    channel<std::unique_ptr<int>> p;
    channel<int> c(1);
    c.try_send(1);
    auto whole = std::make_unique<int>(9);
    const auto r = co_await select(with_timeout(1h, p.send(std::move(whole))), c.recv());
    CHECK(r.index() == 1);
    CHECK(whole != nullptr);
    const auto late = co_await select(with_timeout(1h, p.send(std::move(whole))), sleep(1us));
    CHECK(late.index() == 1);
    CHECK(whole != nullptr);
  });
}

TEST_CASE("a join that is bounded and loses leaves the result with its handle") {
  on_every_scheduler([]() -> task<> {
    channel<int> c;
    auto h = go([c]() -> task<int> { co_return *co_await c.recv(); });
    const auto lost = co_await select(with_timeout(1h, h), sleep(1us));
    CHECK(lost.index() == 1);
    co_await c.send(3);
    const auto won = co_await select(with_timeout(1h, h), never());
    CHECK(std::get<0>(won) == 3);
  });
}

TEST_CASE("cancelled or destroyed while it waits, it leaves nothing behind (D9)") {
  each_wrapping([](auto wrap) {
    on_every_scheduler(
        [&]() -> task<> {
          channel<int> a, b;
          auto waits = [&wrap](channel<int> first, channel<int> second) -> task<> {
            (void)co_await select(wrap(first.recv()), wrap(second.recv()));
          };
          auto h = go(waits, a, b);
          co_await yield();
          co_await sleep(1us);
          h.cancel();
          const auto o = co_await outcome(h);
          CHECK(told(o) == "cancelled");
          CHECK_FALSE(a.try_send(1));
          CHECK_FALSE(b.try_send(1));
          go(waits, channel<int>(), channel<int>());  // the program's end destroys it
          co_await sleep(1us);
        },
        3);
  });
}

TEST_CASE("a select as a case is one case, and its choice is as uniform as any (53)") {
  on_simulated_schedulers(
      []() -> task<> {
        channel<int> a(1), b(1), c(1);
        std::vector<int> times(3);
        for (int i = 0; i != 400; ++i) {
          a.try_send(0);
          b.try_send(1);
          c.try_send(2);
          auto r = co_await select(select(a.recv(), b.recv()), c.recv());
          ++times[static_cast<std::size_t>(value_in(std::move(r)))];
        }
        CHECK(times[0] > 40);
        CHECK(times[1] > 40);
        CHECK(times[2] > 100);
      },
      3);
}
