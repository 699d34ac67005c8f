// Pipelines in every order of events, and without memory.
#include <doctest/doctest.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <new>
#include <ranges>
#include <ringo/ringo.hpp>
#include <stdexcept>
#include <utility>
#include <vector>

#include "every_scheduler.hpp"
#include "five_stages.hpp"
#include "leftovers.hpp"

using namespace ringo;
using namespace std::chrono_literals;

TEST_CASE("Stopping at any moment of a short pipeline leaves nothing, in every order of events") {
  const auto main = []() -> task<> {
    const auto before = testing::live();
    {
      auto out = map(generate(std::views::iota(0, 2)), 1, [](int x) { return x; });
      const auto first = co_await out.recv();
      if (first != 0) throw std::logic_error("a value was lost");
    }
    co_await testing::settle();
    if (!nothing_is_left_since(before)) throw std::logic_error("something is left");
  };
  const auto explored = testing::explore(main, 20'000);
  CHECK(explored.runs > 1);
  const auto with_two = testing::explore(main, 20'000, 2);
  CHECK(with_two.runs > 1);
}

TEST_CASE("A stage without memory for its frames fails where it is made, or closes its output with that (100)") {
  std::uint64_t failures = 0;
  for (std::uint64_t n = 1; n != 40; ++n) {
    const auto before = testing::live();
    testing::sim_options how;
    how.seed = n;
    how.fail_allocation = n;
    bool failed = false;
    try {
      testing::simulate(how, [&failed]() -> task<> {
        const auto at_first = testing::live();
        for (int attempt = 0; attempt != 2; ++attempt) {
          try {
            auto out = five_stages(3, true);
            int values = 0;
            while (co_await out.recv()) ++values;
            CHECK(values == 3);
          } catch (const std::bad_alloc&) {
            CHECK_FALSE(failed);
            failed = true;
          }
        }
        while (!nothing_is_left_since(at_first) || item::alive != 0) co_await yield();
      });
    } catch (const std::bad_alloc&) {  // main's own frame
      failed = true;
    }
    failures += failed ? 1 : 0;
    CHECK(nothing_is_left_since(before));
    CHECK(item::alive == 0);
  }
  CHECK(failures > 5);
}
