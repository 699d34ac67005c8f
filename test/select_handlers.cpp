// Select with handlers: on(operation, handler).
#include <doctest/doctest.h>

#include <memory>
#include <optional>
#include <ringo/ringo.hpp>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>

#include "every_scheduler.hpp"
#include "task_ending.hpp"

using namespace ringo;
using namespace std::chrono_literals;

TEST_CASE("Only the chosen case's handler runs, with what the operation yields (69)") {
  on_every_scheduler([]() -> task<> {
    channel<int> ready(1), quiet;
    ready.try_send(7);
    int from_ready = 0, from_quiet = 0;
    auto r = co_await select(on(quiet.recv(), [&](std::optional<int>) { ++from_quiet; }),
                             on(ready.recv(), [&](std::optional<int> v) { from_ready = v.value(); }));
    CHECK(r.index() == 1);
    CHECK(from_ready == 7);
    CHECK(from_quiet == 0);
  });
}

TEST_CASE("A case's result is its handler's") {
  on_every_scheduler([]() -> task<> {
    channel<int> numbers(1);
    channel<void> signal;
    numbers.try_send(20);
    auto r = co_await select(on(numbers.recv(), [](std::optional<int> v) { return std::to_string(v.value() + 1); }),
                             on(signal.recv(), [](bool open) { return open ? 1.5 : 0.5; }), sleep(1h));
    static_assert(std::is_same_v<decltype(r), std::variant<std::string, double, std::monostate>>);
    REQUIRE(r.index() == 0);
    CHECK(std::get<0>(r) == "21");
    signal.close();
    auto s = co_await select(on(numbers.recv(), [](std::optional<int> v) { return std::to_string(v.value()); }),
                             on(signal.recv(), [](bool open) { return open ? 1.5 : 0.5; }));
    REQUIRE(s.index() == 1);
    CHECK(std::get<1>(s) == 0.5);
  });
}

TEST_CASE("A handler that is a coroutine is awaited before select returns") {
  on_every_scheduler([]() -> task<> {
    channel<int> in(1), out;
    in.try_send(5);
    auto echo = go([out]() -> task<std::optional<int>> { co_return co_await out.recv(); });
    bool finished = false;
    auto r = co_await select(on(in.recv(),
                                [&](std::optional<int> v) -> task<int> {
                                  co_await yield();
                                  co_await out.send(v.value() * 2);
                                  finished = true;
                                  co_return v.value() * 3;
                                }),
                             on(out.recv(), [](std::optional<int>) -> task<int> { co_return -1; }));
    static_assert(std::is_same_v<decltype(r), std::variant<int, int>>);
    CHECK(finished);
    REQUIRE(r.index() == 0);
    CHECK(std::get<0>(r) == 15);
    const auto echoed = co_await echo;
    CHECK(echoed == 10);
  });
}

TEST_CASE("A handler of an operation without a result takes nothing") {
  on_every_scheduler([]() -> task<> {
    channel<int> c(1);
    int sent = 0, slept = 0;
    co_await select(on(c.send(1), [&] { ++sent; }), on(sleep(1h), [&] { ++slept; }));
    CHECK(sent == 1);
    co_await select(on(c.send(1), [&] { ++sent; }), on(sleep(1ms), [&] { ++slept; }));
    CHECK(sent == 1);
    CHECK(slept == 1);
  });
}

TEST_CASE("Otherwise may stand beside handlers, and runs none of them (56)") {
  on_every_scheduler([]() -> task<> {
    channel<int> c;
    bool ran = false;
    auto r = co_await select(on(c.recv(), [&](std::optional<int>) { ran = true; }), otherwise);
    CHECK(r.index() == 1);
    CHECK_FALSE(ran);
  });
}

TEST_CASE("What a handler throws comes out of the select, after its case has committed (13)") {
  on_every_scheduler([]() -> task<> {
    channel<int> c(1), quiet;
    c.try_send(1);
    bool threw = false;
    try {
      co_await select(on(c.recv(), [](std::optional<int>) { throw std::runtime_error("on purpose"); }),
                      on(quiet.recv(), [](std::optional<int>) {}));
    } catch (const std::runtime_error&) {
      threw = true;
    }
    CHECK(threw);
    CHECK(c.size() == 0);

    c.try_send(2);
    threw = false;
    try {
      co_await select(on(c.recv(), [](std::optional<int>) -> task<> {
        co_await yield();
        throw std::runtime_error("on purpose");
      }));
    } catch (const std::runtime_error&) {
      threw = true;
    }
    CHECK(threw);
    CHECK(c.size() == 0);
  });
}

TEST_CASE("A handler may use the channel that it was called for (D30)") {
  on_every_scheduler([]() -> task<> {
    channel<int> c(1);
    c.try_send(1);
    co_await select(on(c.recv(), [&](std::optional<int> v) { CHECK(c.try_send(v.value() + 1)); }));
    CHECK(c.try_recv() == 2);
    c.try_send(3);
    co_await select(on(c.recv(), [&](std::optional<int> v) -> task<> { co_await c.send(v.value() + 1); }));
    CHECK(c.try_recv() == 4);
  });
}

TEST_CASE("A handler takes a move-only value") {
  on_every_scheduler([]() -> task<> {
    channel<std::unique_ptr<int>> c(1);
    co_await c.emplace(new int(9));
    std::unique_ptr<int> kept;
    co_await select(on(c.recv(), [&](std::optional<std::unique_ptr<int>> v) { kept = std::move(v).value(); }));
    REQUIRE(kept != nullptr);
    CHECK(*kept == 9);
  });
}

TEST_CASE("A handler that is named first may capture anything (D21)") {
  on_every_scheduler([]() -> task<> {
    channel<int> c(1);
    c.try_send(1);
    const auto prefix = std::make_shared<std::string>("a string that is too long to be stored in place: ");
    auto handler = [prefix](std::optional<int> v) { return *prefix + std::to_string(v.value()); };
    CHECK(prefix.use_count() == 2);
    auto r = co_await select(on(c.recv(), handler));
    CHECK(std::get<0>(r) == "a string that is too long to be stored in place: 1");
    CHECK(prefix.use_count() == 2);
  });
}

TEST_CASE("A handler of a select in a loop may stop the loop (72)") {
  on_every_scheduler([]() -> task<> {
    channel<int> numbers;
    channel<void> quit;
    go([numbers, quit]() -> task<> {
      for (int i = 1; i <= 10; ++i) co_await numbers.send(i);
      co_await quit.send();
    });
    int sum = 0;
    for (bool running = true; running;) {
      co_await select(on(numbers.recv(), [&](std::optional<int> v) { sum += v.value(); }),
                      on(quit.recv(), [&](bool) { running = false; }));
    }
    CHECK(sum == 55);
  });
}

TEST_CASE("A handler's coroutine that waits is ended by cancelling its routine") {
  on_simulated_schedulers([]() -> task<> {
    channel<int> c(1);
    c.try_send(1);
    bool unwound = false;
    auto routine = go([c, &unwound]() -> task<> {
      co_await select(on(c.recv(), [&](std::optional<int>) -> task<> {
        try {
          co_await never();
        } catch (const cancelled&) {
          unwound = true;
          throw;
        }
      }));
    });
    co_await testing::settle();
    routine.cancel();
    const auto end = co_await ending_of(routine);
    CHECK(unwound);
    CHECK(end == ending::was_cancelled);
  });
}

TEST_CASE("A case with a handler may be kept, and used by several selects") {
  on_every_scheduler([]() -> task<> {
    channel<int> c(2), quiet;
    int calls = 0;
    auto kept = on(c.recv(), [&calls](std::optional<int> v) { return v.value() + 10 * ++calls; });
    for (int i = 1; i <= 3; ++i) {
      c.try_send(i);
      auto r = co_await select(kept, quiet.recv());
      REQUIRE(r.index() == 0);
      CHECK(std::get<0>(r) == 11 * i);
    }
    auto stored = select(kept, on(quiet.recv(), [&calls](std::optional<int> v) { return v.value() - ++calls; }));
    go([quiet]() -> task<> { co_await quiet.send(7); });
    auto r = co_await stored;
    REQUIRE(r.index() == 1);
    CHECK(std::get<1>(r) == 3);
    c.try_send(4);
    auto s = co_await stored;  // a second await of the same select
    REQUIRE(s.index() == 0);
    CHECK(std::get<0>(s) == 54);
  });
}

TEST_CASE("A handler may be given to a case that has one: it takes what that one returns") {
  on_every_scheduler([]() -> task<> {
    channel<int> c(1);
    channel<int> quiet;
    c.try_send(3);
    auto r = co_await select(on(on(c.recv(), [](std::optional<int> v) { return v.value() * 2; }),
                                [](int doubled) { return std::to_string(doubled); }),
                             quiet.recv());
    static_assert(std::is_same_v<decltype(r), std::variant<std::string, std::optional<int>>>);
    CHECK(std::get<0>(r) == "6");
    go([quiet]() -> task<> { co_await quiet.send(4); });
    std::string waited;
    co_await select(on(c.recv(), [](std::optional<int>) {}),
                    on(on(quiet.recv(), [](std::optional<int> v) { return v.value() * 2; }),
                       [&waited](int doubled) { waited = std::to_string(doubled); }));
    CHECK(waited == "8");
  });
}

struct adds_uses {
  std::unique_ptr<std::shared_ptr<int>> held;
  int operator()(std::optional<int> v) const { return v.value() + static_cast<int>(held->use_count()); }
};

TEST_CASE("A handler may hold what can only be moved, and is destroyed once") {
  on_every_scheduler([]() -> task<> {
    channel<int> c(1), quiet;
    const auto counted = std::make_shared<int>(0);
    {
      auto stored = select(on(c.recv(), adds_uses{std::make_unique<std::shared_ptr<int>>(counted)}), quiet.recv());
      c.try_send(5);
      auto r = co_await stored;
      REQUIRE(r.index() == 0);
      CHECK(std::get<0>(r) == 7);
      CHECK(counted.use_count() == 2);
    }
    CHECK(counted.use_count() == 1);
  });
}

TEST_CASE("A handler is told of the end of its channel, and what a closed channel throws does not reach it") {
  on_every_scheduler([]() -> task<> {
    channel<int> ended, broken, quiet;
    ended.close();
    broken.close(std::make_exception_ptr(std::runtime_error("on purpose")));
    bool was_end = false;
    auto r = co_await select(on(ended.recv(), [&](std::optional<int> v) { was_end = !v.has_value(); }), quiet.recv());
    CHECK(r.index() == 0);
    CHECK(was_end);
    int calls = 0;
    for (const bool waits : {false, true}) {
      channel<int> one;
      if (waits) {
        go([one]() -> task<> {
          co_await yield();
          one.close(std::make_exception_ptr(std::runtime_error("on purpose")));
        });
      }
      bool threw = false;
      try {
        co_await select(on(waits ? one.recv() : broken.recv(), [&](std::optional<int>) { ++calls; }), quiet.recv());
      } catch (const std::runtime_error&) {
        threw = true;
      }
      CHECK(threw);
    }
    CHECK(calls == 0);
    // A send that fails throws, too; the others are as they were.
    bool threw = false;
    try {
      co_await select(on(ended.send(1), [&] { ++calls; }), quiet.recv());
    } catch (const channel_closed&) {
      threw = true;
    }
    CHECK(threw);
    CHECK(calls == 0);
  });
}

TEST_CASE("Handlers of sends, sleeps, locks and receives stand in one select, ready or not") {
  on_every_scheduler([]() -> task<> {
    mutex m;
    channel<int> in, out(1);
    for (const bool free : {true, false}) {
      std::optional<mutex::guard> held;
      if (!free) held.emplace(co_await m.lock());
      std::string chosen;
      co_await select(on(in.recv(), [&](std::optional<int>) { chosen = "in"; }),
                      on(m.lock(), [&](mutex::guard) { chosen = "lock"; }), on(sleep(1ms), [&] { chosen = "sleep"; }));
      CHECK(chosen == (free ? "lock" : "sleep"));
      chosen.clear();
      co_await select(on(in.recv(), [&](std::optional<int>) { chosen = "in"; }),
                      on(out.send(1), [&] { chosen = "out"; }), on(sleep(1ms), [&] { chosen = "sleep"; }));
      CHECK(chosen == (free ? "out" : "sleep"));
    }
  });
}
