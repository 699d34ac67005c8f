// task: a coroutine that runs in its caller's place.
#include <doctest/doctest.h>

#include <atomic>
#include <functional>
#include <memory>
#include <ringo/ringo.hpp>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "every_scheduler.hpp"
#include "task_ending.hpp"

using namespace ringo;
using namespace std::chrono_literals;

namespace {

task<int> twice(int x) { co_return 2 * x; }

task<int> fibonacci(int n) {
  if (n < 2) co_return n;
  const int a = co_await fibonacci(n - 1);
  const int b = co_await fibonacci(n - 2);
  co_return a + b;
}

task<> fail_with(std::string message) {
  co_await yield();
  throw std::runtime_error(message);
}

// Appends its name when it is destroyed.
class obituary {
 public:
  obituary(std::vector<std::string>& log, std::string name) : log_(&log), name_(std::move(name)) {}
  obituary(const obituary&) = delete;
  obituary& operator=(const obituary&) = delete;
  ~obituary() { log_->push_back(name_); }

 private:
  std::vector<std::string>* log_;
  std::string name_;
};

}  // namespace

TEST_CASE("A task yields what its coroutine returns") {
  on_every_scheduler([]() -> task<> {
    const int y = co_await twice(21);
    CHECK(y == 42);
    const int f = co_await fibonacci(12);
    CHECK(f == 144);
  });
}

TEST_CASE("A task is not started before it is awaited, and never if it is not") {
  on_every_scheduler([]() -> task<> {
    bool ran = false;
    auto coroutine = [](bool& flag) -> task<> {
      flag = true;
      co_return;
    };
    {
      auto never_awaited = coroutine(ran);
      co_await yield();
    }
    CHECK_FALSE(ran);
    auto t = coroutine(ran);
    CHECK_FALSE(ran);
    co_await std::move(t);
    CHECK(ran);
  });
}

TEST_CASE("A task that is never awaited destroys its arguments") {
  on_every_scheduler([]() -> task<> {
    auto argument = std::make_shared<int>(1);
    auto coroutine = [](std::shared_ptr<int> p) -> task<int> { co_return *p; };
    const auto before = testing::live();
    {
      auto t = coroutine(argument);
      CHECK(argument.use_count() == 2);
    }
    CHECK(argument.use_count() == 1);
    CHECK(testing::live().frames == before.frames);
    co_return;
  });
}

TEST_CASE("A task runs in its caller's place, before what the caller does next") {
  on_every_scheduler([]() -> task<> {
    std::vector<int> order;
    auto child = [](std::vector<int>& log) -> task<> {
      log.push_back(1);
      co_await yield();
      log.push_back(2);
    };
    co_await child(order);
    order.push_back(3);
    co_await child(order);
    CHECK(order == std::vector<int>{1, 2, 3, 1, 2});
  });
}

TEST_CASE("A task's result may be movable only, and without a default constructor") {
  struct number {
    explicit number(int n) : value(std::make_unique<int>(n)) {}
    std::unique_ptr<int> value;
  };
  static_assert(!std::is_default_constructible_v<number>);
  on_every_scheduler([]() -> task<> {
    auto make = [](int n) -> task<number> {
      co_await yield();
      co_return number(n);
    };
    auto result = co_await make(5);
    CHECK(*result.value == 5);
  });
}

TEST_CASE("A task that throws rethrows where it is awaited, through every caller") {
  on_every_scheduler([]() -> task<> {
    auto middle = []() -> task<int> {
      co_await fail_with("from below");
      co_return 1;
    };
    std::string caught;
    try {
      co_await middle();
    } catch (const std::runtime_error& e) {
      caught = e.what();
    }
    CHECK(caught == "from below");
    const int still_works = co_await twice(1);
    CHECK(still_works == 2);
  });
}

TEST_CASE("A task may be moved before it is awaited") {
  on_every_scheduler([]() -> task<> {
    std::vector<task<int>> tasks;
    for (int i = 0; i != 10; ++i) tasks.push_back(twice(i));
    task<int> replaced = twice(100);
    replaced = twice(50);
    int sum = co_await std::move(replaced);
    for (auto& each : tasks) sum += co_await std::move(each);
    CHECK(sum == 190);
  });
}

TEST_CASE("A task that is awaited a second time is a logic_error") {
  on_every_scheduler([]() -> task<> {
    auto t = twice(1);
    const int first = co_await std::move(t);
    CHECK(first == 2);
    bool threw = false;
    try {
      co_await std::move(t);
    } catch (const std::logic_error&) {
      threw = true;
    }
    CHECK(threw);
  });
}

TEST_CASE("A task that was moved from cannot be awaited: a logic_error") {
  on_every_scheduler([]() -> task<> {
    auto t = twice(1);
    auto taken = std::move(t);
    bool threw = false;
    try {
      co_await std::move(t);
    } catch (const std::logic_error&) {
      threw = true;
    }
    CHECK(threw);
    const int result = co_await std::move(taken);
    CHECK(result == 2);
  });
}

TEST_CASE("A task can neither be copied nor dropped unnoticed") {
  CHECK_FALSE(std::is_copy_constructible_v<task<int>>);
  CHECK_FALSE(std::is_copy_assignable_v<task<int>>);
  CHECK(std::is_nothrow_move_constructible_v<task<int>>);
}

TEST_CASE("Locals of nested tasks are destroyed innermost first when their routine is cancelled") {
  on_simulated_schedulers([]() -> task<> {
    std::vector<std::string> log;
    auto inner = [](std::vector<std::string>& to) -> task<> {
      const obituary first(to, "inner first");
      const obituary second(to, "inner second");
      co_await never();
    };
    auto outer = [inner](std::vector<std::string>& to) -> task<> {
      const obituary local(to, "outer");
      co_await inner(to);
    };
    auto routine = go(outer, std::ref(log));
    co_await testing::settle();
    CHECK(log.empty());
    routine.cancel();
    const auto end = co_await ending_of(routine);
    CHECK(end == ending::was_cancelled);
    CHECK(log == std::vector<std::string>{"inner second", "inner first", "outer"});
  });
}

TEST_CASE("Frames of tasks are gone when they have been awaited") {
  on_every_scheduler([]() -> task<> {
    const auto before = testing::live();
    for (int i = 0; i != 100; ++i) {
      const int f = co_await fibonacci(5);
      CHECK(f == 5);
    }
    CHECK(testing::live().frames == before.frames);
  });
}

TEST_CASE("A member function may be a task") {
  struct counter {
    int value = 0;
    task<int> add(int n) {
      co_await yield();
      value += n;
      co_return value;
    }
  };
  on_every_scheduler([]() -> task<> {
    counter c;
    for (int i = 0; i != 5; ++i) co_await c.add(i);
    CHECK(c.value == 10);
  });
}

TEST_CASE("A routine moves between workers as it likes, and its task's state with it (44)") {
  on_real_schedulers([]() -> task<> {
    constexpr int routines = 64;
    wait_group all;
    std::atomic<int> wrong = 0;
    for (int r = 0; r != routines; ++r) {
      all.go([r, &wrong]() -> task<> {
        // Not atomic: a routine runs on one worker at a time, and each resumption sees the one before.
        int plain = r;
        auto bump = [](int& n) -> task<> {
          ++n;
          co_await yield();
          ++n;
        };
        for (int i = 0; i != 50; ++i) co_await bump(plain);
        wrong += plain != r + 100;
      });
    }
    co_await all.wait();
    CHECK(wrong == 0);
  });
}

// These tools of doctest's are the thread's, and a routine leaves its thread.
TEST_CASE("INFO in a routine fails the test" * doctest::should_fail()) {
  run([]() -> task<> {
    INFO("it would be another routine's after a wait");
    co_return;
  });
}
TEST_CASE("SUBCASE in a routine fails the test" * doctest::should_fail()) {
  run([]() -> task<> {
    SUBCASE("it would end on another thread") { co_await yield(); }
  });
}
