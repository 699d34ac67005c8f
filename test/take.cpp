// take: a stage that passes on the first values only.
#include <doctest/doctest.h>

#include <atomic>
#include <exception>
#include <optional>
#include <ranges>
#include <ringo/ringo.hpp>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "every_scheduler.hpp"
#include "leftovers.hpp"

using namespace ringo;
using namespace std::chrono_literals;

TEST_CASE("take passes on the first n values and closes") {
  on_every_scheduler([]() -> task<> {
    for (int n : {0, 1, 2, 7}) {
      auto out = take(generate(std::views::iota(0)), static_cast<std::size_t>(n));
      std::vector<int> values;
      while (auto value = co_await out.recv()) values.push_back(*value);
      CHECK(values.size() == static_cast<std::size_t>(n));
      bool in_order = true;
      for (int i = 0; i != n; ++i) in_order = in_order && values[static_cast<std::size_t>(i)] == i;
      CHECK(in_order);
      CHECK(out.is_drained());
    }
  });
}

TEST_CASE("take of more than there are values ends with them, and passes on an error") {
  on_every_scheduler([]() -> task<> {
    channel<int> in(2);
    in.try_send(1);
    in.try_send(2);
    in.close(std::make_exception_ptr(std::runtime_error("source")));
    auto out = take(in, 5);
    const auto first = co_await out.recv();
    const auto second = co_await out.recv();
    CHECK(first == 1);
    CHECK(second == 2);
    std::string error;
    try {
      co_await out.recv();
    } catch (const std::runtime_error& e) {
      error = e.what();
    }
    CHECK(error == "source");
    channel<int> empty;
    empty.close();
    auto nothing = take(empty, 5);
    const auto none = co_await nothing.recv();
    CHECK_FALSE(none);
  });
}

TEST_CASE("With the n-th value the input is let go, before anybody receives it (180)") {
  on_every_scheduler([]() -> task<> {
    const auto before = testing::live();
    auto out = take(generate(std::views::iota(0)), 1);
    while (testing::live().routines != before.routines + 1) co_await yield();  // take's own, which waits to send
    const auto value = co_await out.recv();
    CHECK(value == 0);
    const auto end = co_await out.recv();
    CHECK_FALSE(end);
  });
}

TEST_CASE("take of no value lets go of its input at once") {
  on_every_scheduler([]() -> task<> {
    const auto before = testing::live();
    auto out = take(generate(std::views::iota(0)), 0);
    CHECK(out.is_closed());
    while (!nothing_is_left_since(before)) co_await yield();
  });
}

TEST_CASE("take of signals") {
  on_every_scheduler([]() -> task<> {
    channel<void> in(3);
    for (int i = 0; i != 3; ++i) in.try_send();
    receiver<void> out = take(in, 2);
    int signals = 0;
    while (co_await out.recv()) ++signals;
    CHECK(signals == 2);
  });
}
