// Plain tasks as cases of a select: the one that loses is cancelled and joined.
#include <doctest/doctest.h>

#include <atomic>
#include <memory>
#include <optional>
#include <ringo/ringo.hpp>
#include <stdexcept>
#include <utility>
#include <variant>

#include "every_scheduler.hpp"
#include "task_ending.hpp"

using namespace ringo;
using namespace std::chrono_literals;

namespace {

task<> never_ends() { co_await never(); }

task<int> answer_after(duration wait, int answer) {
  co_await sleep(wait);
  co_return answer;
}

task<int> fail_after(duration wait) {
  co_await sleep(wait);
  throw std::runtime_error("on purpose");
}

// Says in `ended` when it has been unwound.
task<int> wait_for_ever(bool& ended) {
  struct says_so {
    explicit says_so(bool& flag) : ended(flag) {}
    ~says_so() { ended = true; }
    says_so(const says_so&) = delete;
    says_so& operator=(const says_so&) = delete;
    bool& ended;
  } at_the_end(ended);
  co_await never();
  co_return 0;
}

}  // namespace

TEST_CASE("A task that wins a select gives its result (77)") {
  on_simulated_schedulers([]() -> task<> {
    const auto start = now();
    auto r = co_await select(answer_after(1s, 42), sleep(1h));
    REQUIRE(r.index() == 0);
    CHECK(std::get<0>(r) == 42);
    CHECK(now() == start + 1s);
  });
}

TEST_CASE("A task that loses a select has been cancelled and unwound before select returns (77)") {
  on_simulated_schedulers([]() -> task<> {
    const auto before = testing::live();
    bool ended = false;
    auto r = co_await select(wait_for_ever(ended), sleep(1s));
    CHECK(r.index() == 1);
    CHECK(ended);
    const auto after = testing::live();
    CHECK(after.frames == before.frames);
    CHECK(after.routines == before.routines);
    CHECK(after.timers == before.timers);
  });
}

TEST_CASE("Of two tasks the faster wins and the slower is cancelled (77)") {
  const auto report = testing::simulate({.seed = 3, .workers = 2}, []() -> task<> {
    auto r = co_await select(answer_after(2s, 2), answer_after(1s, 1));
    REQUIRE(r.index() == 1);
    CHECK(std::get<1>(r) == 1);
  });
  CHECK(report.elapsed == 1s);
}

TEST_CASE("What a winning task throws comes out of the select, and the loser is joined first (77)") {
  on_simulated_schedulers([]() -> task<> {
    bool ended = false;
    bool threw = false;
    try {
      co_await select(fail_after(1s), wait_for_ever(ended));
    } catch (const std::runtime_error&) {
      threw = true;
    }
    CHECK(threw);
    CHECK(ended);
  });
}

TEST_CASE("A routine that is cancelled inside a select over tasks has cancelled and joined them") {
  on_simulated_schedulers([]() -> task<> {
    bool first_ended = false, second_ended = false;
    auto routine = go([&]() -> task<> { co_await select(wait_for_ever(first_ended), wait_for_ever(second_ended)); });
    co_await testing::settle();
    routine.cancel();
    const auto end = co_await ending_of(routine);
    CHECK(end == ending::was_cancelled);
    CHECK(first_ended);
    CHECK(second_ended);
  });
}

TEST_CASE("A task is not started where another case is ready at once, or where there is an otherwise") {
  on_every_scheduler([]() -> task<> {
    std::atomic<int> started = 0;
    const auto counts = [](std::atomic<int>& runs) -> task<int> {
      ++runs;
      co_await never();
      co_return 1;
    };
    const channel<int> ready(1);
    for (int i = 0; i != 300; ++i) {  // beyond the end of a turn
      ready.try_send(i);
      const auto got = co_await select(counts(started), ready.recv(), with_timeout(1h, counts(started)));
      REQUIRE(got.index() == 1);
      CHECK(std::get<1>(got) == i);
    }
    const auto none = co_await select(counts(started), otherwise);
    CHECK(none.index() == 1);
    const auto neither = co_await select(counts(started), ready.recv(), otherwise);
    CHECK(neither.index() == 2);
    ready.try_send(5);
    const auto five = co_await select(prefer_first, counts(started), ready.recv(), otherwise);
    CHECK(five.index() == 1);
    const auto handled = co_await select(on(counts(started), [](int n) { return n; }), on(sleep(0s), [] { return 2; }));
    CHECK(handled.index() == 1);
    const channel<int> closed;
    closed.close();
    bool refused = false;
    try {
      (void)co_await select(closed.send(1), counts(started));
    } catch (const channel_closed&) {
      refused = true;
    }
    CHECK(refused);
    CHECK(started <= 1);  // by the sleep, which is not ready at once
  });
}

TEST_CASE(
    "A loop over a case that is always ready lets others run, and ends when it is cancelled, with a task beside it") {
  on_every_scheduler([]() -> task<> {
    const channel<int> closed;
    closed.close();
    std::atomic<bool> loops = false;
    const auto endless = [&]() -> task<> {
      for (;;) {
        (void)co_await select(closed.recv(), never_ends());
        loops = true;
      }
    };
    auto routine = go(endless);
    while (!loops) co_await yield();
    routine.cancel();
    const auto end = co_await ending_of(routine);
    CHECK(end == ending::was_cancelled);
  });
}
