// go: what it takes, and how long that lives.
#include <doctest/doctest.h>

#include <array>
#include <atomic>
#include <exception>
#include <functional>
#include <memory>
#include <ringo/ringo.hpp>
#include <source_location>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "every_scheduler.hpp"
#include "task_ending.hpp"

using namespace ringo;
using namespace std::chrono_literals;

namespace {

task<std::string> decorate(const std::string& text) {
  co_await yield();
  co_return "<" + text + ">";
}

task<int> unbox(std::unique_ptr<int> box) {
  co_await yield();
  co_return *box;
}

task<int> unbox_reference(std::unique_ptr<int>&& box) {
  co_await yield();
  co_return *box;
}

task<int> sum_of(const std::vector<int>& numbers, int factor) {
  int sum = 0;
  for (int each : numbers) {
    co_await yield();
    sum += each * factor;
  }
  co_return sum;
}

task<> add_to(int& counter, int n) {
  co_await yield();
  counter += n;
}

int plain_function(int a, int b) { return a + b; }

// Counts how often it was copied and moved.
struct traveller {
  traveller() = default;
  traveller(const traveller& from) : copies(from.copies + 1), moves(from.moves) {}
  traveller(traveller&& from) noexcept : copies(from.copies), moves(from.moves + 1) {}
  traveller& operator=(const traveller&) = delete;
  int copies = 0, moves = 0;
};

}  // namespace

TEST_CASE("A literal that becomes a const std::string& lives as long as the routine") {
  on_two_schedulers([]() -> task<> {
    auto routine = go(decorate, "a literal that is longer than a short string");
    const auto text = co_await routine;
    CHECK(text == "<a literal that is longer than a short string>");
  });
}

TEST_CASE("An argument that is bound to a const reference is a copy, which the caller may forget") {
  on_two_schedulers([]() -> task<> {
    handle<int> routine;
    {
      std::vector<int> numbers = {1, 2, 3};
      routine = go(sum_of, numbers, 10);
      numbers.assign({100, 100, 100});
    }
    const int sum = co_await routine;
    CHECK(sum == 60);
  });
}

TEST_CASE("Arguments that can only be moved are moved, into values and into rvalue references") {
  on_two_schedulers([]() -> task<> {
    auto box = std::make_unique<int>(5);
    auto by_value = go(unbox, std::move(box));
    CHECK(box == nullptr);
    const int first = co_await by_value;
    CHECK(first == 5);
    auto other_box = std::make_unique<int>(6);
    auto by_reference = go(unbox_reference, std::move(other_box));
    const int second = co_await by_reference;
    CHECK(second == 6);
  });
}

TEST_CASE("A std::ref passes a reference") {
  on_two_schedulers([]() -> task<> {
    int counter = 1;
    auto routine = go(add_to, std::ref(counter), 4);
    co_await routine;
    CHECK(counter == 5);
  });
}

TEST_CASE("An rvalue argument is never copied, and an lvalue once") {
  on_two_schedulers([]() -> task<> {
    auto count_copies = [](const traveller& t) -> task<int> {
      co_await yield();
      co_return t.copies;
    };
    auto moved = go(count_copies, traveller());
    const int of_rvalue = co_await moved;
    CHECK(of_rvalue == 0);
    traveller here;
    auto copied = go(count_copies, here);
    const int of_lvalue = co_await copied;
    CHECK(of_lvalue == 1);
    CHECK(here.copies == 0);
  });
}

TEST_CASE("A closure lives as long as the routine that runs it") {
  on_two_schedulers([]() -> task<> {
    auto content = std::make_shared<std::string>("captured, and longer than a short string");
    channel<std::string> out;
    go([content, out]() -> task<> {
      for (int i = 0; i != 3; ++i) co_await yield();
      co_await out.send(*content);
    });
    const auto text = co_await out.recv();
    CHECK(text == *content);
  });
}

TEST_CASE("What was passed to a routine is destroyed when the routine has ended, though its handle lives") {
  on_simulated_schedulers([]() -> task<> {
    auto argument = std::make_shared<int>(1);
    auto captured = std::make_shared<int>(2);
    auto routine = go(
        [captured](std::shared_ptr<int> p) -> task<int> {
          co_await yield();
          co_return *p + *captured;
        },
        argument);
    CHECK(argument.use_count() >= 2);
    CHECK(captured.use_count() >= 2);
    co_await routine.wait();
    co_await testing::settle();
    CHECK(argument.use_count() == 1);
    CHECK(captured.use_count() == 1);
    const int result = co_await routine;
    CHECK(result == 3);
  });
}

TEST_CASE("What was passed to a routine that was cancelled is destroyed") {
  on_simulated_schedulers([]() -> task<> {
    auto argument = std::make_shared<int>(1);
    auto waiting = go([](std::shared_ptr<int>) -> task<> { co_await never(); }, argument);
    auto never_ran = go([](std::shared_ptr<int>) -> task<> { co_await never(); }, argument);
    never_ran.cancel();
    co_await testing::settle();
    waiting.cancel();
    const auto first = co_await ending_of(waiting);
    const auto second = co_await ending_of(never_ran);
    CHECK(first == ending::was_cancelled);
    CHECK(second == ending::was_cancelled);
    co_await testing::settle();
    CHECK(argument.use_count() == 1);
  });
}

TEST_CASE("A task may be started as it is") {
  on_two_schedulers([]() -> task<> {
    const std::string text = "outlives";
    auto routine = go(decorate(text));
    const auto result = co_await routine;
    CHECK(result == "<outlives>");
  });
}

TEST_CASE("A plain callable that is no coroutine may be started, with arguments and a result") {
  on_two_schedulers([]() -> task<> {
    auto of_function = go(plain_function, 2, 3);
    const int sum = co_await of_function;
    CHECK(sum == 5);
    auto of_closure = go([](std::string_view text) { return text.size(); }, "four");
    const auto length = co_await of_closure;
    CHECK(length == 4);
    std::atomic<bool> ran = false;
    auto without_result = go([&ran] { ran = true; });
    co_await without_result;
    CHECK(ran);
    auto of_function_object = go(std::plus<>(), 20, 22);
    const int total = co_await of_function_object;
    CHECK(total == 42);
  });
}

TEST_CASE("A callable with state may change it") {
  on_two_schedulers([]() -> task<> {
    struct generator {
      int next = 0;
      task<int> operator()(int times) {
        for (int i = 0; i != times; ++i) {
          co_await yield();
          next += i;
        }
        co_return next;
      }
    };
    generator mine;
    auto routine = go(mine, 4);
    const int result = co_await routine;
    CHECK(result == 6);
    CHECK(mine.next == 0);
  });
}

TEST_CASE("A std::function may be started") {
  on_two_schedulers([]() -> task<> {
    std::function<task<int>(int)> coroutine = [](int n) -> task<int> {
      co_await yield();
      co_return n + 1;
    };
    auto routine = go(coroutine, 1);
    coroutine = nullptr;
    const int result = co_await routine;
    CHECK(result == 2);
  });
}

TEST_CASE("An operation that a started callable returns is awaited") {
  on_two_schedulers([]() -> task<> {
    channel<int> c;
    auto sending = go([c] { return c.emplace(7); });
    const auto received = co_await c.recv();
    CHECK(received == 7);
    co_await sending.wait();
    auto waiting = go([c] { return c.recv(); });
    co_await c.send(8);
    co_await waiting.wait();
    CHECK(c.try_recv() == std::nullopt);
  });
}

TEST_CASE("What a callable throws when it is called reaches the join, not who called go") {
  on_two_schedulers([]() -> task<> {
    auto failing = go([]() -> int { throw std::runtime_error("when called"); });
    const auto end = co_await ending_of(failing);
    CHECK(end == ending::failed);
    auto before_its_coroutine = go([]() -> task<int> {
      throw std::runtime_error("when called");
      co_return 1;
    });
    const auto other_end = co_await ending_of(before_its_coroutine);
    CHECK(other_end == ending::failed);
  });
}

TEST_CASE("A conversion of an argument that throws reaches the join") {
  struct picky {
    picky(int) { throw std::runtime_error("no conversion"); }  // NOLINT: implicit on purpose
  };
  on_two_schedulers([]() -> task<> {
    auto coroutine = [](const picky&) -> task<> { co_return; };
    auto routine = go(coroutine, 1);
    const auto end = co_await ending_of(routine);
    CHECK(end == ending::failed);
  });
}

TEST_CASE("A copy of an argument that throws is thrown to who called go, and nothing was started (D16)") {
  struct uncopyable {
    uncopyable() = default;
    uncopyable(const uncopyable&) { throw std::runtime_error("no copy"); }
    uncopyable(uncopyable&&) noexcept = default;
  };
  on_two_schedulers([]() -> task<> {
    std::atomic<bool> ran = false;
    const auto before = testing::live();
    const uncopyable argument;
    auto coroutine = [](const uncopyable&, std::atomic<bool>& flag) -> task<> {
      flag = true;
      co_return;
    };
    CHECK_THROWS_AS((void)go(coroutine, argument, std::ref(ran)), std::runtime_error);
    for (int i = 0; i != 5; ++i) co_await yield();
    CHECK_FALSE(ran);
    CHECK(testing::live().routines == before.routines);
    CHECK(testing::live().frames == before.frames);
  });
}

TEST_CASE("To start an empty std::function fails, at once or at the join (169)") {
  on_two_schedulers([]() -> task<> {
    bool failed = false;
    std::function<task<>()> empty;
    try {
      auto routine = go(empty);
      co_await routine;
    } catch (const std::exception&) {
      failed = true;
    }
    CHECK(failed);
    failed = false;
    std::function<void()> empty_plain;
    try {
      auto routine = go(empty_plain);
      co_await routine;
    } catch (const std::exception&) {
      failed = true;
    }
    CHECK(failed);
  });
}

TEST_CASE("To start an empty std::function and not to join it is not lost either (163, 169)") {
  std::atomic<int> reported = 0;
  runtime_options how;
  how.workers = 1;
  how.on_unhandled = [&reported](std::exception_ptr, const std::source_location&) { ++reported; };
  run(
      [&reported]() -> task<> {
        std::function<void()> empty;
        try {
          go(empty);
        } catch (const std::exception&) {
          ++reported;
        }
        co_await yield();
      },
      how);
  CHECK(reported == 1);
}

TEST_CASE("Many arguments of many types arrive in their places") {
  on_two_schedulers([]() -> task<> {
    auto coroutine = [](int a, double b, std::string c, std::unique_ptr<int> d, const char* e,
                        std::array<int, 2> f) -> task<std::string> {
      co_await yield();
      co_return std::to_string(a) + std::to_string(static_cast<int>(b)) + c + std::to_string(*d) + e +
          std::to_string(f[0] + f[1]);
    };
    auto d = std::make_unique<int>(4);
    const std::array<int, 2> f = {2, 4};
    auto routine = go(coroutine, 1, 2.0, "3", std::move(d), "5", f);
    const auto text = co_await routine;
    CHECK(text == "123456");
  });
}
