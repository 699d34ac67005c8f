// Pipelines of several stages: they end as a whole, however they end, and leave nothing behind.
#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
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
#include "five_stages.hpp"
#include "leftovers.hpp"

using namespace ringo;
using namespace std::chrono_literals;

namespace {

// Nothing of it runs or is held any more.
#define RINGO_TEST_UNTIL_ALL_IS_GONE(before) \
  while (!nothing_is_left_since(before) || item::alive != 0) co_await yield()

}  // namespace

TEST_CASE("A pipeline of five stages that is stopped after k values ends upstream, for each k (180)") {
  for (bool ordered : {false, true}) {
    on_every_scheduler(
        [ordered]() -> task<> {
          const auto before = testing::live();
          for (int k = 0; k != 8; ++k) {
            {
              auto out = five_stages(100, ordered);
              for (int i = 0; i != k; ++i) {
                const auto value = co_await out.recv();
                CHECK((ordered ? value == 2 * i : value.has_value()));
              }
            }
            RINGO_TEST_UNTIL_ALL_IS_GONE(before);
          }
        },
        5);
  }
}

TEST_CASE("A pipeline that takes k values ends by itself, for each k") {
  on_every_scheduler(
      []() -> task<> {
        const auto before = testing::live();
        for (std::size_t k = 0; k != 6; ++k) {
          auto out = five_stages(k, true);
          std::size_t received = 0;
          while (co_await out.recv()) ++received;
          CHECK(received == k);
          out = {};
          RINGO_TEST_UNTIL_ALL_IS_GONE(before);
        }
      },
      5);
}

TEST_CASE("A pipeline whose source ends, ends after the last value") {
  on_every_scheduler([]() -> task<> {
    const auto before = testing::live();
    std::vector<int> values;
    {
      auto out = five_stages(100, true, 9);
      while (auto value = co_await out.recv()) values.push_back(*value);
    }
    CHECK(values == std::vector{0, 2, 4, 6, 8});
    RINGO_TEST_UNTIL_ALL_IS_GONE(before);
  });
}

TEST_CASE("Leaving the consumer's scope by an exception or by cancellation ends the pipeline") {
  on_every_scheduler([]() -> task<> {
    const auto before = testing::live();
    auto throws = go([]() -> task<> {
      auto out = five_stages(100, true);
      co_await out.recv();
      throw std::runtime_error("consumer");
    });
    bool thrown = false;
    try {
      co_await throws;
    } catch (const std::runtime_error&) {
      thrown = true;
    }
    CHECK(thrown);
    for (int way = 0; way != 2; ++way) {
      context ctx = context::with_cancel();
      channel<void> begun(1);
      auto waits = go(ctx, [begun]() -> task<> {
        auto out = five_stages(100, true);
        co_await out.recv();
        co_await begun.send();
        co_await never();
      });
      co_await begun.recv();
      way == 0 ? waits.cancel() : ctx.cancel();
      bool ended = false;
      try {
        co_await waits;
      } catch (const cancelled&) {
        ended = true;
      }
      CHECK(ended);
    }
    throws = {};
    RINGO_TEST_UNTIL_ALL_IS_GONE(before);
  });
}

TEST_CASE("An error in any stage reaches the consumer, and ends what is upstream of it (176)") {
  for (int failing = 0; failing != 3; ++failing) {
    on_every_scheduler(
        [failing]() -> task<> {
          const auto before = testing::live();
          const auto stage = [failing](int which) {
            return [=](int x) -> task<int> {
              co_await yield();
              if (which == failing && x == 5) throw std::runtime_error("stage " + std::to_string(which));
              co_return x;
            };
          };
          std::string error;
          {
            auto first = map(generate(std::views::iota(0)), 2, stage(0));
            auto second = map(std::move(first), 1, stage(1), {.buffer = 2});
            auto out = merge(map(std::move(second), 3, stage(2), {.ordered = true}));
            try {
              while (co_await out.recv()) {
              }
            } catch (const std::runtime_error& e) {
              error = e.what();
            }
          }
          CHECK(error == "stage " + std::to_string(failing));
          RINGO_TEST_UNTIL_ALL_IS_GONE(before);
        },
        5);
  }
}

TEST_CASE("A pipeline may part and join again") {
  on_every_scheduler(
      []() -> task<> {
        const auto before = testing::live();
        for (int stop_after : {1, 7, 40}) {
          {
            auto both = tee(generate(std::views::iota(0, 20)), 2);
            auto out = merge(map(std::move(both[0]), 2, [](int x) { return x; }),
                             map(std::move(both[1]), 2, [](int x) { return 100 + x; }));
            std::vector<int> values;
            for (int i = 0; i != stop_after; ++i) values.push_back((co_await out.recv()).value_or(-1));
            if (stop_after == 40) {
              std::sort(values.begin(), values.end());
              bool all = true;
              for (int i = 0; i != 40; ++i) all = all && values[static_cast<std::size_t>(i)] == i + (i < 20 ? 0 : 80);
              CHECK(all);
              const auto end = co_await out.recv();
              CHECK_FALSE(end);
            }
          }
          RINGO_TEST_UNTIL_ALL_IS_GONE(before);
        }
      },
      5);
}

TEST_CASE("A pipeline that outlives main ends with the runtime, and its items with it (159)") {
  receiver<int> kept;
  on_every_scheduler(
      [&kept]() -> task<> {
        auto dropped = five_stages(100, false);
        kept = five_stages(100, true);
        co_await kept.recv();
      },
      5);
  kept = {};
  CHECK(item::alive == 0);
}
