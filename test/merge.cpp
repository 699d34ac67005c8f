// merge: a stage that makes one of several (fan-in).
#include <doctest/doctest.h>

#include <algorithm>
#include <exception>
#include <memory>
#include <optional>
#include <ranges>
#include <ringo/ringo.hpp>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "every_scheduler.hpp"
#include "leftovers.hpp"
#include "reached.hpp"

using namespace ringo;
using namespace std::chrono_literals;

TEST_CASE("merge sends every value of every input once, each input's in order, and closes after the last (173)") {
  on_every_scheduler([]() -> task<> {
    std::vector<receiver<int>> inputs;
    for (int i = 0; i != 5; ++i) inputs.push_back(generate(std::views::iota(100 * i, 100 * i + 20)));
    auto out = merge(std::move(inputs));
    std::vector<int> last(5, -1);
    bool in_order = true;
    int count = 0;
    while (auto value = co_await out.recv()) {
      int& previous = last[static_cast<std::size_t>(*value / 100)];
      in_order = in_order && *value % 100 == previous + 1;
      previous = *value % 100;
      ++count;
    }
    CHECK(in_order);
    CHECK(count == 100);
    CHECK(out.is_drained());
  });
}

TEST_CASE("merge takes receivers and channels, and closes when all are closed") {
  on_every_scheduler([]() -> task<> {
    channel<std::unique_ptr<int>> a(1), b(1);
    a.try_send(std::make_unique<int>(1));
    b.try_send(std::make_unique<int>(2));
    auto out = merge(a, receiver<std::unique_ptr<int>>(b));
    auto one = co_await out.recv();
    auto other = co_await out.recv();
    CHECK(**one + **other == 3);
    a.close();
    const auto still_open = co_await select(out.recv(), yield());
    CHECK(still_open.index() == 1);
    b.close();
    const auto end = co_await out.recv();
    CHECK_FALSE(end);
    auto alone = merge(generate(std::vector{4}));
    const auto four = co_await alone.recv();
    CHECK(four == 4);
  });
}

TEST_CASE("merge of nothing is closed") {
  on_every_scheduler([]() -> task<> {
    auto out = merge(std::vector<receiver<int>>());
    const auto none = co_await out.recv();
    CHECK_FALSE(none);
  });
}

TEST_CASE("merge of signals") {
  on_every_scheduler([]() -> task<> {
    channel<void> a(2), b(1);
    a.try_send();
    a.try_send();
    b.try_send();
    a.close();
    b.close();
    receiver<void> out = merge(a, b);
    int signals = 0;
    while (co_await out.recv()) ++signals;
    CHECK(signals == 3);
  });
}

TEST_CASE("The first error of an input closes the output with it, and lets go of the other inputs (176)") {
  on_every_scheduler([]() -> task<> {
    const auto before = testing::live();
    channel<int> failing, silent;
    failing.close(std::make_exception_ptr(std::runtime_error("one of them")));
    auto out = merge(generate(std::views::iota(0)), failing, silent);
    std::string error;
    try {
      while (co_await out.recv()) {
      }
    } catch (const std::runtime_error& e) {
      error = e.what();
    }
    CHECK(error == "one of them");
    while (!nothing_is_left_since(before)) co_await yield();
  });
}

TEST_CASE("When nobody can receive any more all inputs are let go (180)") {
  on_every_scheduler([]() -> task<> {
    const auto before = testing::live();
    channel<int> silent;
    {
      auto out = merge(generate(std::views::iota(0)), generate(std::views::iota(0), 10), silent);
      for (int i = 0; i != 5; ++i) co_await out.recv();
    }
    while (!nothing_is_left_since(before)) co_await yield();
    reached("the generators and the merge have ended");
  });
}

TEST_CASE("An input that has much does not keep another from being heard") {
  const auto main = []() -> task<> {
    channel<int> rare(1);
    rare.try_send(-1);
    auto out = merge(generate(std::views::iota(0), 100), rare);
    int before = 0;
    while (auto value = co_await out.recv()) {
      if (*value == -1) break;
      ++before;
    }
    CHECK(before < 1000);
  };
  // With several real workers it is the system that says how long one of them sleeps.
  scheduler_under_test::real(1).run(main);
  on_simulated_schedulers(main);
}
