// A hundred thousand selects, each of which waits also on a channel where nothing ever happens: none may leave a trace
// there (semantics 73, 74).
#include <doctest/doctest.h>
#include <malloc.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <ringo/ringo.hpp>
#include <variant>

#include "every_scheduler.hpp"

using namespace ringo;

namespace {

task<> offer_some(channel<int> busy, channel<int> quiet, std::size_t count) {
  for (std::size_t i = 0; i != count; ++i) co_await select(busy.send(1), quiet.recv());
}

task<> take_some(channel<int> busy, channel<int> quiet, std::size_t count) {
  for (std::size_t i = 0; i != count; ++i) co_await select(quiet.recv(), busy.recv());
}

// 0 where the allocator is not glibc's, as under a sanitizer.
std::size_t heap_in_use() { return mallinfo2().uordblks; }

}  // namespace

TEST_CASE("100,000 selects beside a quiet channel leave nothing behind (semantics 73, 74)") {
  on_every_scheduler(
      []() -> task<> {
        const channel<int> busy, quiet;
        const auto run_both = [&](std::size_t count) -> task<> {
          auto offering = go(offer_some, busy, quiet, count);
          auto taking = go(take_some, busy, quiet, count);
          co_await offering;
          co_await taking;
        };
        co_await run_both(1000);
        const auto live_before = testing::live();
        const std::size_t heap_before = heap_in_use();
        co_await run_both(stressed(50000));
        const auto live_after = testing::live();
        const std::size_t heap_after = heap_in_use();
        // A routine that has just been joined may still be on its way out on another worker.
        CHECK(live_after.frames <= live_before.frames + 10);
        CHECK(live_after.routines <= live_before.routines + 10);
        CHECK(live_after.timers <= live_before.timers + 10);
        CHECK(live_after.operations <= live_before.operations + 10);
        // Two words for each select would be 1.6 MB.
        CHECK(heap_after <= heap_before + 110000);
        CHECK_FALSE(quiet.try_send(1));
      },
      1);
}

TEST_CASE("selects with a timeout that never comes leave no timer behind (semantics 74, 91)") {
  on_every_scheduler(
      []() -> task<> {
        const channel<int> busy, quiet;
        const std::size_t count = stressed(5000);
        const auto before = testing::live();
        auto offering = go([busy, count]() -> task<> {
          for (std::size_t i = 0; i != count; ++i) co_await busy.send(1);
        });
        std::size_t most_timers = 0;
        for (std::size_t i = 0; i != count; ++i) {
          auto got = co_await select(busy.recv(), quiet.recv(), sleep(std::chrono::hours(1)));
          CHECK(got.index() == 0);
          most_timers = std::max(most_timers, testing::live().timers);
        }
        co_await offering;
        // Main may have moved to another worker since the timer was started, which is then told to forget it.
        CHECK(most_timers <= before.timers + 100);
        const auto after = testing::live();
        CHECK(after.timers <= before.timers + 100);
        CHECK(after.operations <= before.operations + 100);
        CHECK_FALSE(quiet.try_send(1));
      },
      2);
}
