// Tasks that await what is not ringo's: coroutines and awaiters of other libraries, which resume the task as they like.
#include <doctest/doctest.h>

#include <atomic>
#include <coroutine>
#include <memory>
#include <ringo/ringo.hpp>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "every_scheduler.hpp"
#include "foreign_task.hpp"
#include "little_grace.hpp"
#include "reached.hpp"
#include "running_child.hpp"
#include "simulated/owned_coroutine.hpp"
#include "states.hpp"

using namespace ringo;
using namespace std::chrono_literals;

namespace {

foreign_task sleeps(duration length) { co_await sleep(length); }
foreign_task receives(channel<int> from, int& got) { got = *co_await from.recv(); }
foreign_task ends_at_once() { co_return; }
foreign_task fails_later() {
  co_await yield();
  throw std::runtime_error("failed");
}
task<> awaits(foreign_task of) { co_await std::move(of); }

// An awaiter that does with the handle what it is told, and what its await_suspend returns.
template <class Suspend>
class told {
 public:
  explicit told(Suspend suspend) : suspend_(std::move(suspend)) {}
  bool await_ready() const { return false; }
  auto await_suspend(std::coroutine_handle<> of) { return suspend_(of); }
  int await_resume() const { return 7; }

 private:
  Suspend suspend_;
};

}  // namespace

TEST_CASE("a task goes on in its own routine when another library's coroutine resumes it after a wait") {
  on_every_scheduler([]() -> task<> {
    channel<int> numbers(0);
    std::vector<handle<int>> all;
    for (int i = 0; i < 20; ++i) {
      const auto receives_some = [&]() -> task<int> {
        int sum = 0, got = 0;
        for (int n = 0; n < 5; ++n) {
          co_await receives(numbers, got);
          co_await yield();  // in the routine, which must be the current one
          sum += got;
        }
        co_return sum;
      };
      all.push_back(go(receives_some));
    }
    for (int n = 0; n < 100; ++n) co_await numbers.send(1);
    int sum = 0;
    for (auto& each : all) sum += co_await each;
    CHECK(sum == 100);
  });
}

TEST_CASE("what such a coroutine throws reaches the task, and the task's context and name are its routine's") {
  on_every_scheduler([]() -> task<> {
    auto fails = go([]() -> task<> { co_await fails_later(); });
    auto ended = co_await outcome(fails.join());
    CHECK_THROWS_WITH_AS(std::move(ended).value(), "failed", std::runtime_error);
    const auto waits_too_long = []() -> task<> {
      co_await sleeps(1us);
      co_await never();
    };
    bool in_time = true;
    try {
      co_await with_timeout(1ms, waits_too_long());
    } catch (const timed_out&) {
      in_time = false;
    }
    CHECK(!in_time);
  });
}

TEST_CASE("tasks and other libraries' coroutines may await each other in turn") {
  struct chain {
    static foreign_task foreign(int depth) {
      co_await yield();
      if (depth > 0) co_await own(depth - 1);
    }
    static task<> own(int depth) {
      co_await foreign(depth);
      co_await yield();
    }
  };
  on_every_scheduler([]() -> task<> {
    co_await chain::own(30);
    auto other = go(chain::own, 30);
    co_await other;
    reached("the outermost end");
  });
}

TEST_CASE("an awaiter may resume the task from another thread, whatever its await_suspend returns") {
  on_real_schedulers([]() -> task<> {
    for (int i = 0; i < 50; ++i) {
      std::vector<std::jthread> threads;
      const auto resume_there = [&threads](std::coroutine_handle<> of) { threads.emplace_back([of] { of.resume(); }); };
      told returns_nothing([&](std::coroutine_handle<> of) { resume_there(of); });
      told returns_true([&](std::coroutine_handle<> of) {
        resume_there(of);
        return true;
      });
      told returns_a_handle([&](std::coroutine_handle<> of) -> std::coroutine_handle<> {
        resume_there(of);
        return std::noop_coroutine();
      });
      int sum = co_await returns_nothing;
      sum += co_await returns_true;
      sum += co_await returns_a_handle;
      CHECK(sum == 21);
      co_await yield();  // throws on another thread
    }
  });
}

TEST_CASE("an awaiter may resume the task within its await_suspend, or not suspend it, and others get their turn") {
  on_every_scheduler(
      []() -> task<> {
        told resumes([](std::coroutine_handle<> of) { of.resume(); });
        told resumes_and_returns_true([](std::coroutine_handle<> of) {
          of.resume();
          return true;
        });
        told does_not_suspend([](std::coroutine_handle<>) { return false; });
        told returns_the_handle([](std::coroutine_handle<> of) { return of; });
        std::atomic<bool> over = false;
        auto other = go([&over]() -> task<> {
          co_await yield();
          over = true;
        });
        int rounds = 0;
        for (; !over || rounds < 10'000; ++rounds) {
          int sum = co_await resumes;
          sum += co_await resumes_and_returns_true;
          sum += co_await does_not_suspend;
          sum += co_await returns_the_handle;
          co_await ends_at_once();
          if (sum != 28) throw std::logic_error("a result is missing");
        }
        co_await other;
        CHECK(rounds >= 10'000);
      },
      2);
}

TEST_CASE("an awaiter that throws in await_suspend has not suspended the task") {
  on_two_schedulers([]() -> task<> {
    told throws([](std::coroutine_handle<>) { throw std::runtime_error("refused"); });
    std::string why;
    try {
      co_await throws;
    } catch (const std::runtime_error& e) {
      why = e.what();
    }
    CHECK(why == "refused");
    co_await yield();
  });
}

TEST_CASE("an awaiter that resumes the task twice ends the process, which says where the task awaits it") {
  const auto end = run_in_a_child([] {
    run([]() -> task<> {
      told twice([](std::coroutine_handle<> of) {
        of.resume();
        of.resume();
      });
      co_await twice;
    });
    return 0;
  });
  CHECK(!end.exited);
  CHECK(end.errors.find("has resumed the task twice") != std::string::npos);
  CHECK(end.errors.find("foreign_await.cpp:") != std::string::npos);
}

TEST_CASE("a cancellation does not end the wait for another library's coroutine; the next await ends") {
  on_every_scheduler([]() -> task<> {
    channel<int> numbers(0);
    int got = 0;
    bool came_back = false;
    auto waits = go([&]() -> task<> {
      co_await receives(numbers, got);
      came_back = true;
      co_await never();
    });
    co_await until_parked("coroutine of another library");
    waits.cancel();
    co_await yield();
    CHECK(!came_back);
    co_await numbers.send(5);
    auto ended = co_await outcome(waits.join());
    CHECK_THROWS_AS(std::move(ended).value(), cancelled);
    CHECK(came_back);
    CHECK(got == 5);
  });
}

TEST_CASE("a task that is never resumed waits until its runtime ends, and its frame is destroyed then") {
  const auto live = testing::live();
  const auto main = []() -> task<> {
    go([]() -> task<> {
      told nothing([](std::coroutine_handle<>) {});
      co_await nothing;
    });
    go(awaits, sleeps(1h));
    co_await until_parked("coroutine of another library", 2);
  };
  for (const unsigned workers : {1u, 2u, 4u}) run(main, with_little_grace(workers));
  testing::sim_options how;
  how.on_warning = [](std::string_view) {};
  testing::simulate(how, main);
  CHECK(testing::live() == live);
}

TEST_CASE("a coroutine that is destroyed takes with it the tasks and coroutines that it awaits in turn") {
  const auto main = []() -> task<> {
    const auto before = testing::live().frames;
    const auto owns = []() -> owned_coroutine {
      co_await awaits([]() -> foreign_task { co_await awaits(sleeps(1h)); }());
    };
    owned_coroutine one = owns();
    co_await yield();
    CHECK(testing::live().frames > before);
    one.destroy();
    co_await yield();
    CHECK(testing::live().frames == before);
  };
  // Where other workers are, it might run while it is destroyed.
  scheduler_under_test::real(1).run(main);
  scheduler_under_test::simulated(1, 0).run(main);
}

namespace {

// Adds something to an operation of ringo's, and passes on the task's handle, with its type or without.
template <class Operation, bool Typed>
class wrapped {
 public:
  explicit wrapped(Operation o) : of_(std::move(o)) {}
  bool await_ready() { return of_.await_ready(); }
  template <class P>
  auto await_suspend(std::coroutine_handle<P> coroutine) {
    using passed = std::conditional_t<Typed, std::coroutine_handle<P>, std::coroutine_handle<>>;
    return of_.await_suspend(passed(coroutine));
  }
  auto await_resume() { return of_.await_resume(); }

 private:
  Operation of_;
};
template <bool Typed>
auto wrap(channel<int> from) {
  auto operation = from.recv();
  return wrapped<decltype(operation), Typed>(std::move(operation));
}

// The same for a task of ringo's.
template <bool Typed>
class wrapped_task {
 public:
  explicit wrapped_task(task<int>&& of) : of_(std::move(of).operator co_await()) {}
  bool await_ready() { return of_.await_ready(); }
  template <class P>
  auto await_suspend(std::coroutine_handle<P> coroutine) {
    using passed = std::conditional_t<Typed, std::coroutine_handle<P>, std::coroutine_handle<>>;
    return of_.await_suspend(passed(coroutine));
  }
  int await_resume() { return of_.await_resume(); }

 private:
  decltype(std::declval<task<int>>().operator co_await()) of_;
};
task<int> receives_and_yields(channel<int> from) {
  const int got = *co_await from.recv();
  co_await yield();
  co_return got;
}

struct queue {
  channel<int> numbers;
  auto operator co_await() const { return numbers.recv(); }
};

}  // namespace

TEST_CASE("an awaiter may pass the task's handle on to an operation of ringo's") {
  on_every_scheduler([]() -> task<> {
    channel<int> numbers(1);
    const auto receive_twice = [&]() -> task<int> {
      auto typed = wrap<true>(numbers);
      auto untyped = wrap<false>(numbers);
      const int first = *co_await typed, second = *co_await untyped;
      co_return first + second;
    };
    auto sum = go(receive_twice);
    for (int i = 1; i <= 2; ++i) co_await numbers.send(i);
    const int got = co_await sum;
    CHECK(got == 3);
  });
}

TEST_CASE("an awaiter may pass the task's handle on to a task of ringo's") {
  on_every_scheduler([]() -> task<> {
    channel<int> numbers(0);
    const auto receive_twice = [&]() -> task<int> {
      wrapped_task<true> typed(receives_and_yields(numbers));
      const int first = co_await typed;
      wrapped_task<false> untyped(receives_and_yields(numbers));
      co_return first + co_await untyped;
    };
    std::vector<handle<int>> all;
    for (int i = 0; i < 10; ++i) all.push_back(go(receive_twice));
    for (int i = 0; i < 20; ++i) co_await numbers.send(1);
    int sum = 0;
    for (auto& each : all) sum += co_await each;
    CHECK(sum == 20);

    auto waits = go([&]() -> task<> {
      wrapped_task<true> typed(receives_and_yields(numbers));
      co_await typed;
    });
    co_await until_parked("receive on");
    waits.cancel();
    auto ended = co_await outcome(waits.join());
    CHECK_THROWS_AS(std::move(ended).value(), cancelled);
  });
}

TEST_CASE("the routine itself waits in an operation that got its typed handle, or that operator co_await returns") {
  on_every_scheduler([]() -> task<> {
    channel<int> numbers(0);
    auto typed = go([&]() -> task<> {
      auto receive = wrap<true>(numbers);
      co_await receive;
    });
    auto by_operator = go([&]() -> task<> { co_await queue{numbers}; });
    co_await until_parked("receive on", 2);
    typed.cancel();
    by_operator.cancel();
    auto first = co_await outcome(typed.join());
    auto second = co_await outcome(by_operator.join());
    CHECK_THROWS_AS(std::move(first).value(), cancelled);
    CHECK_THROWS_AS(std::move(second).value(), cancelled);
  });
}

TEST_CASE("a routine that waits so is destroyed with its frames") {
  const auto live = testing::live();
  const auto main = []() -> task<> {
    channel<int> numbers(0);
    go([numbers]() -> task<> {
      const auto receives_shielded = [numbers]() -> task<> {
        auto receive = wrap<true>(numbers);
        co_await receive;
      };
      co_await shield(receives_shielded());
    });
    co_await until_parked("receive on");
  };
  for (const unsigned workers : {1u, 2u}) run(main, with_little_grace(workers));
  CHECK(testing::live() == live);
}
