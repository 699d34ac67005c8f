// What ringo has besides what it has promised: contexts that are hashed, all() of tasks without results.
#include <doctest/doctest.h>

#include <atomic>
#include <exception>
#include <functional>
#include <ringo/ringo.hpp>
#include <stdexcept>
#include <unordered_map>
#include <utility>
#include <vector>

#include "every_scheduler.hpp"

using namespace ringo;
using namespace std::chrono_literals;

TEST_CASE("all awaits tasks without results too, and cancels and joins the rest at the first error") {
  on_two_schedulers([]() -> task<> {
    std::atomic<int> ended = 0;
    auto counts = [&ended]() -> task<> {
      co_await yield();
      ++ended;
    };
    std::vector<task<>> tasks;
    for (int i = 0; i != 5; ++i) tasks.push_back(counts());
    co_await all(std::move(tasks));
    CHECK(ended == 5);
    co_await all(std::vector<task<>>());
    std::vector<task<>> failing;
    failing.push_back([]() -> task<> { co_await never(); }());
    failing.push_back([]() -> task<> {
      co_await yield();
      throw std::runtime_error("first");
    }());
    auto failed = co_await outcome(all(std::move(failing)));
    CHECK_THROWS_AS(std::rethrow_exception(failed.error()), std::runtime_error);
  });
}

TEST_CASE("contexts can be keys: equal ones have one hash") {
  const std::hash<context> hash;
  const context one = context::with_cancel(), other = context::with_cancel();
  const context same = one;
  CHECK(hash(one) == hash(same));
  CHECK(hash(context()) == hash(context::background()));
  std::unordered_map<context, int> numbers;
  numbers[one] = 1;
  numbers[other] = 2;
  numbers[same] += 10;
  CHECK(numbers.size() == 2);
  CHECK(numbers[one] == 11);
}
