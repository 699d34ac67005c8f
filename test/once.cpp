// once: one run, whoever comes first.
#include <doctest/doctest.h>

#include <atomic>
#include <ringo/ringo.hpp>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

#include "every_scheduler.hpp"
#include "task_ending.hpp"

using namespace ringo;
using namespace std::chrono_literals;

TEST_CASE("The function runs once, and nobody's call returns before it is done (118, TestOnce)") {
  on_every_scheduler([]() -> task<> {
    once o;
    wait_group all;
    int runs = 0;
    bool finished = false;
    std::atomic<int> too_early = 0;
    for (int i = 0; i != 10; ++i) {
      all.go([&]() -> task<> {
        auto slow = [&]() -> task<> {
          ++runs;
          co_await yield();
          co_await yield();
          finished = true;
        };
        co_await o.call(slow);
        too_early += !finished;
      });
    }
    co_await all.wait();
    CHECK(runs == 1);
    CHECK(too_early == 0);
    CHECK(o.is_done());
  });
}

TEST_CASE("It takes a plain callable, one that returns a task or an operation, and a task") {
  on_every_scheduler([]() -> task<> {
    once plain, coroutine, operation, made;
    int sum = 0;
    co_await plain.call([&] { sum += 1; });
    co_await plain.call([&] { sum += 100; });
    auto body = [&]() -> task<int> {
      co_await yield();
      sum += 2;
      co_return 7;
    };
    co_await coroutine.call(body);
    channel<int> c(1);
    c.try_send(4);
    co_await operation.call([&] { return c.recv(); });
    CHECK(c.size() == 0);
    co_await made.call(body());
    CHECK(sum == 5);
    CHECK((plain.is_done() && coroutine.is_done() && operation.is_done() && made.is_done()));
  });
}

TEST_CASE("A function that throws has run: the first caller hears of it, and nobody else (119, TestOncePanic)") {
  on_every_scheduler([]() -> task<> {
    once o;
    std::atomic<int> runs = 0, threw = 0, returned = 0;
    wait_group all;
    for (int i = 0; i != 5; ++i) {
      all.go([&]() -> task<> {
        auto throws = [&]() -> task<> {
          ++runs;
          co_await yield();
          throw std::runtime_error("on purpose");
        };
        try {
          co_await o.call(throws);
          ++returned;
        } catch (const std::runtime_error&) {
          ++threw;
        }
      });
    }
    co_await all.wait();
    CHECK(runs == 1);
    CHECK(threw == 1);
    CHECK(returned == 4);
    CHECK(o.is_done());
    once p;
    CHECK_FALSE(p.is_done());
    try {
      co_await p.call([] { throw 1; });
    } catch (int) {
      ++threw;
    }
    CHECK(threw == 2);
    CHECK(p.is_done());
  });
}

TEST_CASE("A function whose routine is cancelled in it has not run: the next caller runs its own") {
  on_simulated_schedulers([]() -> task<> {
    once o;
    channel<void> never_sent;
    std::string ran;
    auto first = go([&]() -> task<> {
      auto waits = [&]() -> task<> {
        ran += "a";
        co_await never_sent.recv();
        ran += "b";
      };
      co_await o.call(waits);
    });
    co_await testing::settle();
    auto second = go([&]() -> task<> { co_await o.call([&] { ran += "c"; }); });
    co_await testing::settle();
    CHECK_FALSE(second.is_done());
    first.cancel();
    co_await second;
    const auto end = co_await ending_of(first);
    CHECK(end == ending::was_cancelled);
    CHECK(ran == "ac");
    CHECK(o.is_done());
  });
}

TEST_CASE("A caller that is cancelled while it waits leaves the run alone") {
  on_simulated_schedulers([]() -> task<> {
    once o;
    channel<void> gate;
    int runs = 0;
    const auto waits = [&]() -> task<> {
      co_await gate.recv();
      ++runs;
    };
    auto first = go([&]() -> task<> { co_await o.call(waits); });
    co_await testing::settle();
    auto second = go([&]() -> task<> { co_await o.call(waits); });
    auto third = go([&]() -> task<> { co_await o.call(waits); });
    co_await testing::settle();
    second.cancel();
    const auto end = co_await ending_of(second);
    CHECK(end == ending::was_cancelled);
    CHECK_FALSE(third.is_done());
    gate.close();
    co_await first;
    co_await third;
    CHECK(runs == 1);
  });
}

TEST_CASE("A cancelled routine's call ends with cancelled, though the run is done") {
  on_every_scheduler([]() -> task<> {
    once o;
    co_await o.call([] {});
    auto late = go([&]() -> task<> {
      for (;;) co_await o.call([] {});
    });
    late.cancel();
    const auto end = co_await ending_of(late);
    CHECK(end == ending::was_cancelled);
  });
}

TEST_CASE("A call is a case of a select: the loser has not run, or its run is cancelled") {
  on_simulated_schedulers([]() -> task<> {
    once o;
    const auto waits = []() -> task<> { co_await never(); };
    auto r = co_await select(o.call(waits), sleep(1s));
    CHECK(r.index() == 1);
    CHECK_FALSE(o.is_done());
    bool ran = false;
    co_await o.call([&] { ran = true; });
    CHECK(ran);
  });
}

TEST_CASE("A function that calls its own once is a deadlock that is reported (118, 160)") {
  on_each(every_scheduler(2), [&](const scheduler_under_test& scheduler) {
    bool reported = false;
    try {
      scheduler.run([]() -> task<> {
        once o;
        auto again = [&]() -> task<> { co_await o.call([] {}); };
        co_await o.call(again);
      });
    } catch (const deadlock&) {
      reported = true;
    }
    CHECK(reported);
  });
}

TEST_CASE("awaits that end at once make no task, but end their routine's turn as others do") {
  run(
      []() -> task<> {
        once o;
        co_await o.call([] {});
        channel<int> c(1);
        mutex m;
        condition changed;
        auto held = co_await m.lock();
        auto is_true = [frames = testing::live().frames] { return testing::live().frames == frames; };
        bool others_run = false;
        go([&others_run] { others_run = true; });
        int calls = 0;
        while (!others_run) {
          REQUIRE(++calls < 100'000);
          co_await o.call([] {});
          c.try_send(1);
          const auto within = co_await with_timeout(1h, c.recv());
          CHECK(within == 1);
          c.try_send(2);
          const auto of = co_await outcome(c.recv());
          CHECK(of.has_value());
          co_await shield(o.call([] {}));
        }
        co_await changed.wait(held, is_true);
      },
      {.workers = 1});
}

namespace {

struct text_sink {
  std::string got;
  task<> send(std::string_view more) {
    got += more;
    co_return;
  }
};

// Cancels a routine while it computes, and returns whether the await that it then comes to throws `cancelled`.
template <class F>
task<bool> is_cancelled_in(F awaits) {
  std::atomic<bool> computes = false, is_cancelled = false;
  bool threw = false;
  const auto body = [&]() -> task<> {
    computes = true;
    while (!is_cancelled) std::this_thread::yield();
    try {
      co_await awaits();
    } catch (const cancelled&) {
      threw = true;
    }
  };
  handle<> h = go(body);
  while (!computes) co_await yield();
  h.cancel();
  is_cancelled = true;
  co_await h.wait();
  co_return threw;
}

}  // namespace

TEST_CASE("awaits that end at once throw in a routine that another worker has cancelled while it computes (125)") {
  run(
      []() -> task<> {
        semaphore permits(8);
        mutex m, other;
        once o;
        channel<int> c(8);
        condition changed;
        text_sink sink;
        buffered_writer<text_sink&> out(sink), empty(sink);
        co_await o.call([] {});
        for (int i = 0; i < 8; ++i) co_await c.send(i);
        auto held = co_await other.lock();
        {
          const auto first_use = co_await permits.acquire();
          const auto first_lock = co_await m.lock();
        }
        const auto is_true = [] { return true; };
        const auto acquires = [&]() -> task<> { const auto permit = co_await permits.acquire(); };
        const auto locks = [&]() -> task<> { const auto guard = co_await m.lock(); };
        const auto within = [&]() -> task<> { const auto permit = co_await with_timeout(1h, permits.acquire()); };
        const auto receives = [&]() -> task<> { co_await with_timeout(1h, c.recv()); };
        const auto calls = [&]() -> task<> { co_await o.call([] {}); };
        const auto waits = [&]() -> task<> { co_await changed.wait(held, is_true); };
        const auto writes = [&]() -> task<> { co_await out.write("x"); };
        const auto flushes = [&]() -> task<> { co_await empty.flush(); };
        const auto takes = [&]() -> task<> {
          auto result = co_await outcome(c.recv());
          if (result.error()) std::rethrow_exception(result.error());
        };
        CHECK(co_await is_cancelled_in(acquires));
        CHECK(co_await is_cancelled_in(locks));
        CHECK(co_await is_cancelled_in(within));
        CHECK(co_await is_cancelled_in(receives));
        CHECK(co_await is_cancelled_in(calls));
        CHECK(co_await is_cancelled_in(waits));
        CHECK(co_await is_cancelled_in(writes));
        CHECK(co_await is_cancelled_in(flushes));
        CHECK(co_await is_cancelled_in(takes));
        CHECK(out.buffered().empty());
        CHECK(c.size() == 8);
      },
      {.workers = 2});
}

TEST_CASE("awaits that end at once are awaited once, whatever wraps them") {
  run([]() -> task<> {
    text_sink sink;
    buffered_writer<text_sink&> out(sink);
    auto one = out.write("one ");
    co_await with_timeout(1h, one);
    CHECK_THROWS_AS(co_await one, std::logic_error);
    auto two = out.write("two ");
    co_await two;
    CHECK_THROWS_AS(co_await with_timeout(1h, two), std::logic_error);
    CHECK(out.buffered() == "one two ");
  });
}

TEST_CASE("a condition's function is called under the context of the wait") {
  run([]() -> task<> {
    mutex m;
    condition changed;
    auto held = co_await m.lock();
    int calls = 0;
    const auto under_seven = [&calls] {
      ++calls;
      const int* number = context::current().value<int>();
      return number != nullptr && *number == 7;
    };
    co_await with_context(context::current().with_value(7), changed.wait(held, under_seven));
    CHECK(calls == 1);
    const auto has_deadline = [] { return context::current().deadline() != time_point::max(); };
    co_await with_timeout(1h, changed.wait(held, has_deadline));
  });
}

TEST_CASE("what writes and waits return may be awaited for a handler, named, started, and kept as a task") {
  run([]() -> task<> {
    text_sink sink;
    buffered_writer<text_sink&> out(sink);
    channel<int> c(1);
    co_await c.send(1);
    const auto writes = [&out](auto) { return out.write("handler "); };
    co_await select(on(c.recv(), writes), sleep(1h));
    co_await go(named("writer", out.write("routine "))).join();
    task<> kept = out.write("task ");
    co_await std::move(kept);
    CHECK(out.buffered() == "handler routine task ");

    mutex m;
    condition changed;
    auto held = co_await m.lock();
    const auto is_true = [text = std::string("a text that is long enough for memory of its own")] {
      return !text.empty();
    };
    co_await go(named("waiter", changed.wait(held, is_true))).join();
    task<> waiting = changed.wait(held, is_true);
    co_await std::move(waiting);
  });
}
