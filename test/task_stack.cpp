// The stack does not grow with the number of operations that complete in a row, in any build.
#include <doctest/doctest.h>

#include <optional>
#include <ringo/ringo.hpp>
#include <stdexcept>
#include <utility>
#include <variant>
#include <vector>

#include "every_scheduler.hpp"
#include "reached.hpp"
#include "task_ending.hpp"

using namespace ringo;
using namespace std::chrono_literals;

namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool instrumented = true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
constexpr bool instrumented = true;
#else
constexpr bool instrumented = false;
#endif
#else
constexpr bool instrumented = false;
#endif

// An unbounded stack of 8 MiB ends at 19,000 to 260,000 nested resumptions, depending on compiler and options.
constexpr int million = 1'000'000;
constexpr int awaits = instrumented ? million : 10 * million;

task<int> one() { co_return 1; }

task<long long> depth_of(int levels) {
  if (levels == 0) co_return 0;
  const auto below = co_await depth_of(levels - 1);
  co_return below + 1;
}

task<long long> depth_with_a_pause(int levels) {
  if (levels == 0) {
    co_await yield();
    co_return 0;
  }
  const auto below = co_await depth_with_a_pause(levels - 1);
  co_return below + 1;
}

task<> wait_below(int levels, channel<void> reached) {
  if (levels == 0) {
    co_await reached.send();
    co_await never();
    co_return;
  }
  co_await wait_below(levels - 1, reached);
}

task<> fail_below(int levels) {
  if (levels == 0) throw std::runtime_error("from the bottom");
  co_await fail_below(levels - 1);
}

// One worker gets the whole count, two workers and a simulation a tenth: what a stack holds has nothing to do with
// them.
template <class F>
void run_with_counts(int count, F program) {
  scheduler_under_test::real(1).run([&] { return program(count); });
  scheduler_under_test::real(2).run([&] { return program(count / 10); });
  scheduler_under_test::simulated(2, 1).run([&] { return program(count / 10); });
}

}  // namespace

TEST_CASE("Ten million children that complete at once, one after the other (D20)") {
  run_with_counts(awaits, [](int count) -> task<> {
    long long sum = 0;
    for (int i = 0; i != count; ++i) sum += co_await one();
    CHECK(sum == count);
  });
}

TEST_CASE("Half a million children inside each other") {
  run_with_counts(million / 2, [](int count) -> task<> {
    const auto depth = co_await depth_of(count);
    CHECK(depth == count);
  });
}

TEST_CASE("Half a million children inside each other, of which the innermost waits and is resumed") {
  run_with_counts(million / 2, [](int count) -> task<> {
    const auto depth = co_await depth_with_a_pause(count);
    CHECK(depth == count);
  });
}

TEST_CASE("An exception passes a hundred thousand children inside each other") {
  run_with_counts(100'000, [](int count) -> task<> {
    bool caught = false;
    try {
      co_await fail_below(count);
    } catch (const std::runtime_error&) {
      caught = true;
    }
    CHECK(caught);
  });
}

TEST_CASE("A routine that waits below a hundred thousand children is cancelled and unwound") {
  run_with_counts(100'000, [](int count) -> task<> {
    channel<void> at_the_bottom;
    auto deep = go(wait_below, count, at_the_bottom);
    co_await at_the_bottom.recv();
    deep.cancel();
    const auto end = co_await ending_of(deep);
    CHECK(end == ending::was_cancelled);
  });
}

TEST_CASE("A routine that waits below a hundred thousand children is unwound when main ends") {
  run_with_counts(100'000, [](int count) -> task<> {
    channel<void> at_the_bottom;
    const auto before = testing::live().frames;
    go(wait_below, count, at_the_bottom);
    co_await at_the_bottom.recv();
    CHECK(testing::live().frames >= before + static_cast<std::size_t>(count));
  });
}

TEST_CASE("A million hand-offs between two routines (D20)") {
  run_with_counts(million, [](int count) -> task<> {
    channel<int> there, back;
    go([there, back]() -> task<> {
      while (auto value = co_await there.recv()) co_await back.send(*value + 1);
    });
    int value = 0;
    for (int i = 0; 2 * i != count; ++i) {
      co_await there.send(value);
      const auto answer = co_await back.recv();
      value = answer.value();
    }
    CHECK(2 * value == count);
    there.close();
  });
}

TEST_CASE("A million operations that are ready at once") {
  run_with_counts(million, [](int count) -> task<> {
    channel<int> buffer(1);
    int right = 0;
    for (int i = 0; i != count / 2; ++i) {
      co_await buffer.send(i);
      const auto value = co_await buffer.recv();
      right += value == i;
    }
    CHECK(right == count / 2);
  });
}

TEST_CASE("A million selects that are ready at once") {
  run_with_counts(million, [](int count) -> task<> {
    channel<int> closed, quiet;
    closed.close();
    int ready = 0;
    for (int i = 0; i != count; ++i) {
      auto r = co_await select(closed.recv(), quiet.recv());
      ready += r.index() == 0;
    }
    CHECK(ready == count);
  });
}

TEST_CASE("Handlers of a million selects that complete at once") {
  run_with_counts(million, [](int count) -> task<> {
    channel<void> closed;
    closed.close();
    int handled = 0;
    for (int i = 0; i != count / 2; ++i) co_await select(on(closed.recv(), [&](bool) { ++handled; }));
    for (int i = 0; i != count / 2; ++i) {
      co_await select(on(closed.recv(), [&](bool) -> task<> {
        ++handled;
        co_return;
      }));
    }
    CHECK(handled == count);
  });
}

TEST_CASE("A million yields, alone and beside another") {
  run_with_counts(million, [](int count) -> task<> {
    auto yield_often = [](int times) -> task<> {
      for (int i = 0; i != times; ++i) co_await yield();
    };
    co_await yield_often(count / 2);
    auto other = go(yield_often, count / 4);
    co_await yield_often(count / 4);
    co_await other;
    reached("the stack has room for them");
  });
}

TEST_CASE("A hundred thousand routines that each wait for the one before, and end all at once") {
  run_with_counts(100'000, [](int count) -> task<> {
    channel<void> start;
    handle<int> last = go([start]() -> task<int> {
      co_await start.recv();
      co_return 0;
    });
    auto wait_for = [](handle<int> before) -> task<int> {
      const int n = co_await before;
      co_return n + 1;
    };
    for (int i = 0; i != count; ++i) last = go(wait_for, std::move(last));
    start.close();
    const int chained = co_await last;
    CHECK(chained == count);
  });
}

TEST_CASE("A hundred thousand routines, each started and joined by the one before") {
  struct chain {
    static task<int> start_below(int levels) {
      if (levels == 0) co_return 0;
      auto below = go(start_below, levels - 1);
      const int n = co_await below;
      co_return n + 1;
    }
  };
  run_with_counts(100'000, [](int count) -> task<> {
    const int chained = co_await chain::start_below(count);
    CHECK(chained == count);
  });
}
