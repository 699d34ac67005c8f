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
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "every_scheduler.hpp"
#include "leftovers.hpp"
#include "reached.hpp"

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
  int twice() const { return 2 * number; }
  std::string label;
  int number;
};

}  // namespace

TEST_CASE("map applies a function to each value once, and closes when the input is drained (172)") {
  on_every_scheduler([]() -> task<> {
    for (std::size_t workers : {1u, 2u, 3u, 8u}) {
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
    for (std::size_t workers : {1u, 2u, 3u, 8u}) {
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

TEST_CASE("At most so many calls are in progress, and so many values in flight, as there are workers") {
  for (bool ordered : {false, true}) {
    for (std::size_t workers : {1u, 3u}) {
      for (std::size_t buffer : {0u, 2u}) {
        on_simulated_schedulers(
            [=]() -> task<> {
              load calls;
              const auto f = [&calls](int x) -> task<int> {
                calls.begin();
                co_await yield();
                calls.end();
                co_return x;
              };
              const auto count = static_cast<int>(workers + buffer);
              auto out = map(generate(numbers(100)), workers, f, {.buffer = buffer, .ordered = ordered});
              co_await testing::settle();
              CHECK(calls.most <= static_cast<int>(workers));
              CHECK(calls.total == count);  // nobody receives: each worker holds a result, and the buffer is full
              co_await out.recv();
              co_await testing::settle();
              CHECK(calls.total == count + 1);
              CHECK(calls.most <= static_cast<int>(workers));
            },
            3);
      }
    }
  }
}

TEST_CASE("What f returns is awaited, if it is a task or an operation, or is the result") {
  on_every_scheduler([]() -> task<> {
    auto plain = co_await all_of(map(generate(numbers(3)), 1, [](int x) { return x + 1; }));
    CHECK(plain == std::vector{1, 2, 3});
    channel<int> answers(3);
    for (int x : {7, 8, 9}) answers.try_send(x);
    auto received = map(generate(numbers(3)), 1, [answers](int) { return answers.recv(); });
    std::vector<int> of_operation;
    while (auto value = co_await received.recv()) of_operation.push_back(value->value());
    CHECK(of_operation == std::vector{7, 8, 9});
    auto members = map(generate(std::vector{labelled{"a", 1}, labelled{"b", 2}}), 1, &labelled::twice);
    const auto of_members = co_await all_of(std::move(members));
    CHECK(of_members == std::vector{2, 4});
  });
}

TEST_CASE("A function of no result makes a signal of each call that is done") {
  on_every_scheduler([]() -> task<> {
    std::atomic<int> sum = 0;
    const auto add = [&sum](int x) -> task<> {
      co_await yield();
      sum += x;
    };
    receiver<void> done = map(generate(numbers(10)), 3, add);
    int signals = 0;
    while (co_await done.recv()) ++signals;
    CHECK(signals == 10);
    CHECK(sum == 45);
    std::atomic<int> plain = 0;
    receiver<void> counted = map(generate(numbers(10)), 2, [&plain](int) { ++plain; });
    while (co_await counted.recv()) {
    }
    CHECK(plain == 10);
  });
}

TEST_CASE("Values and results may be move-only, or aggregates with something to destroy") {
  on_every_scheduler([]() -> task<> {
    const auto boxed = [](int x) { return std::make_unique<int>(x); };
    const auto unboxed = [](std::unique_ptr<int> p) -> task<labelled> {
      co_await yield();
      co_return labelled{std::string(100, 'x'), *p};
    };
    auto out = map(map(generate(numbers(20)), 2, boxed), 2, unboxed);
    int sum = 0;
    bool whole = true;
    while (auto value = co_await out.recv()) {
      sum += value->number;
      whole = whole && value->label == std::string(100, 'x');
    }
    CHECK(sum == 190);
    CHECK(whole);
  });
}

TEST_CASE("A converted argument lives as long as the call that refers to it") {
  on_every_scheduler([]() -> task<> {
    const auto length = [](const std::string& s) -> task<std::size_t> {
      co_await yield();
      co_return s.size();
    };
    auto out = map(generate(std::vector<const char*>{"a", "a text that is too long for the string itself"}), 1, length,
                   {.ordered = true});
    const auto first = co_await out.recv();
    const auto second = co_await out.recv();
    CHECK(first == 1u);
    CHECK(second == 45u);
  });
}

TEST_CASE("A channel is an input as its receiving end is") {
  on_every_scheduler([]() -> task<> {
    channel<int> in(3);
    for (int x : {1, 2, 3}) in.try_send(x);
    in.close();
    const auto values = co_await all_of(map(in, 2, doubled, {.ordered = true}));
    CHECK(values == std::vector{2, 4, 6});
  });
}

TEST_CASE("An error of f cancels the other calls, and closes the output with it (176)") {
  for (bool ordered : {false, true}) {
    on_every_scheduler([ordered]() -> task<> {
      const auto before = testing::live();
      std::atomic<int> was_cancelled = 0;
      const auto fails_at_3 = [&was_cancelled](int x) -> task<int> {
        if (x == 3) throw std::runtime_error("three");
        try {
          co_await sleep(1h);
        } catch (const cancelled&) {
          ++was_cancelled;
          throw;
        }
        co_return x;
      };
      {
        auto out = map(generate(std::views::iota(0)), 4, fails_at_3, {.ordered = ordered});
        for (int twice = 0; twice != 2; ++twice) {
          std::string error;
          try {
            co_await out.recv();
          } catch (const std::runtime_error& e) {
            error = e.what();
          }
          CHECK(error == "three");
        }
        CHECK(out.is_closed());
        CHECK(was_cancelled <= 3);
      }
      while (!nothing_is_left_since(before)) co_await yield();
    });
  }
}

TEST_CASE("What f throws before it is a coroutine closes the output as well, whatever it is") {
  on_every_scheduler([]() -> task<> {
    auto out = map(generate(numbers(5)), 2, [](int x) -> int { throw x < 5 ? 7 : 8; });
    int thrown = 0;
    try {
      co_await out.recv();
    } catch (int x) {
      thrown = x;
    }
    CHECK(thrown == 7);
  });
}

TEST_CASE("An error that the input was closed with comes after the results of what came before it") {
  for (bool ordered : {false, true}) {
    for (std::size_t workers : {1u, 2u, 5u}) {
      on_every_scheduler(
          [=]() -> task<> {
            channel<int> in(4);
            for (int x : {0, 1, 2, 3}) in.try_send(x);
            in.close(std::make_exception_ptr(std::runtime_error("source")));
            const auto slow = [](int x) -> task<int> {
              for (int i = 0; i != 4 - x; ++i) co_await yield();
              co_return x;
            };
            auto out = map(in, workers, slow, {.ordered = ordered});
            std::vector<int> values;
            std::string error;
            try {
              while (auto value = co_await out.recv()) values.push_back(*value);
            } catch (const std::runtime_error& e) {
              error = e.what();
            }
            if (!ordered) std::sort(values.begin(), values.end());
            CHECK(values == numbers(4));
            CHECK(error == "source");
          },
          5);
    }
  }
}

TEST_CASE("When nobody can receive any more the calls are cancelled, and the input is let go, quietly (180)") {
  for (bool ordered : {false, true}) {
    on_every_scheduler([ordered]() -> task<> {
      const auto before = testing::live();
      channel<void> begun(8);
      const auto stuck = [begun](int) -> task<int> {
        co_await begun.send();
        co_await sleep(1h);
        co_return 0;
      };
      {
        auto out = map(generate(std::views::iota(0)), 3, stuck, {.ordered = ordered});
        auto copy = out;
        co_await begun.recv();
        out = {};
        CHECK_FALSE(copy.is_closed());  // a handle is left
      }
      while (!nothing_is_left_since(before)) co_await yield();
    });
  }
}

TEST_CASE("What a call has started ends with the stage") {
  on_every_scheduler([]() -> task<> {
    const auto before = testing::live();
    channel<void> begun(1);
    std::atomic<bool> was_cancelled = false;
    const auto sleeps = [&was_cancelled, begun]() -> task<> {
      co_await begun.send();
      try {
        co_await sleep(1h);
      } catch (const cancelled&) {
        was_cancelled = true;
        throw;
      }
    };
    {
      auto out = map(generate(numbers(1)), 1, [&sleeps](int) -> task<> {
        auto child = go(sleeps);
        co_await child;
      });
      co_await begun.recv();
    }
    while (!nothing_is_left_since(before)) co_await yield();
    CHECK(was_cancelled);
  });
}

TEST_CASE("The end of the maker's context ends the stage, and closes its output with cancelled (177)") {
  on_every_scheduler([]() -> task<> {
    context ctx = context::with_cancel();
    channel<receiver<int>> made(1);
    channel<void> begun(8);
    auto maker = go(ctx, [=]() -> task<> {
      auto stage = map(generate(std::views::iota(0)), 2, [begun](int) -> task<int> {
        co_await begun.send();
        co_await sleep(1h);
        co_return 0;
      });
      co_await made.send(std::move(stage));
    });
    co_await maker;
    auto out = co_await made.recv();
    co_await begun.recv();
    ctx.cancel();
    bool ended = false;
    try {
      co_await out->recv();
    } catch (const cancelled&) {
      ended = true;
    }
    CHECK(ended);
    CHECK(out->is_closed());
  });
}

TEST_CASE("A stage ends with the last receiver wherever that goes: on a thread that is no worker too") {
  on_real_schedulers([]() -> task<> {
    const auto before = testing::live();
    for (int round = 0; round != 20; ++round) {
      auto out = map(generate(std::views::iota(0)), 2, doubled);
      std::thread([end = std::move(out)]() mutable { end = {}; }).join();
    }
    while (!nothing_is_left_since(before)) co_await yield();
    reached("the stages have ended");
  });
}

TEST_CASE("A stage's output may be received after its runtime has ended, and then ends in an error") {
  receiver<int> out;
  run([&out]() -> task<> {
    out = map(generate(numbers(10)), 1, doubled, {.buffer = 2});
    while (out.size() != 2) co_await yield();
  });
  CHECK(out.try_recv() == 0);
  CHECK(out.try_recv() == 2);
  CHECK_THROWS_AS(out.try_recv(), cancelled);
}

TEST_CASE("map with no workers is an invalid_argument, and outside a runtime a logic_error") {
  on_every_scheduler([]() -> task<> {
    CHECK_THROWS_AS((void)map(receiver<int>(), 0, doubled), std::invalid_argument);
    co_return;
  });
  CHECK_THROWS_AS((void)map(channel<int>(1), 1, doubled), std::logic_error);
}
