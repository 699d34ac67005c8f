// map: a stage that applies a function to each value, in several routines.
#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <exception>
#include <functional>
#include <memory>
#include <numeric>
#include <optional>
#include <ranges>
#include <ringo/ringo.hpp>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "every_scheduler.hpp"

using namespace ringo;
using namespace std::chrono_literals;

namespace {

task<std::vector<int>> all_of(receiver<int> in) {
  std::vector<int> values;
  while (auto value = co_await in.recv()) values.push_back(*value);
  co_return values;
}

std::vector<int> numbers(int count) {
  std::vector<int> values(static_cast<std::size_t>(count));
  std::iota(values.begin(), values.end(), 0);
  return values;
}

task<int> doubled(int x) {
  co_await yield();
  co_return 2 * x;
}

// Counts the calls that are in progress, and the most that ever were.
struct load {
  std::atomic<int> now = 0, most = 0, total = 0;
  void begin() {
    ++total;
    const int n = ++now;
    for (int seen = most; seen < n && !most.compare_exchange_weak(seen, n);) {
    }
  }
  void end() { --now; }
};

// An aggregate with something to destroy.
struct labelled {
  std::string label;
  int number;
};

}  // namespace

TEST_CASE("map applies a function to each value once, and closes when the input is drained (172)") {
  on_every_scheduler([]() -> task<> {
    for (std::size_t workers : {1, 2, 3, 8}) {
      auto values = co_await all_of(map(generate(numbers(40)), workers, doubled));
      std::sort(values.begin(), values.end());
      bool right = values.size() == 40;
      for (std::size_t i = 0; right && i != values.size(); ++i) right = values[i] == 2 * static_cast<int>(i);
      CHECK(right);
    }
  });
}

TEST_CASE("ordered, the results come in the order of their values, however long each takes") {
  on_every_scheduler([]() -> task<> {
    for (std::size_t workers : {1, 2, 3, 8}) {
      const auto dawdle = [](int x) -> task<int> {
        for (int i = (x * 7) % 5; i > 0; --i) co_await yield();
        co_return x;
      };
      const auto values = co_await all_of(map(generate(numbers(40)), workers, dawdle, {.ordered = true}));
      CHECK(values == numbers(40));
    }
  });
}

TEST_CASE("Unordered, a slow value holds up nobody; ordered, it holds up those behind it") {
  on_simulated_schedulers([]() -> task<> {
    const auto slow_first = [](int x) -> task<int> {
      co_await sleep(x == 0 ? 10s : 1s);
      co_return x;
    };
    const auto unordered = co_await all_of(map(generate(numbers(6)), 2, slow_first));
    CHECK(unordered == std::vector{1, 2, 3, 4, 5, 0});
    const auto began = now();
    const auto ordered = co_await all_of(map(generate(numbers(6)), 2, slow_first, {.ordered = true}));
    CHECK(ordered == numbers(6));
    CHECK(now() - began == 12s);  // 0 and 1 until 10s; 2 and 3 until 11s; 4 and 5
  });
}
