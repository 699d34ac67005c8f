// An operation on a channel before it commits: what becomes of a value that does not get through, and what may be done
// with an operation that is not awaited yet.
#include <doctest/doctest.h>

#include <cstddef>
#include <memory>
#include <optional>
#include <ringo/ringo.hpp>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "every_scheduler.hpp"

using namespace ringo;

namespace {

// No default constructor, no copy, no assignment.
class ticket {
 public:
  explicit ticket(int number) : number_(std::make_unique<int>(number)) {}
  ticket(ticket&&) noexcept = default;
  ticket& operator=(ticket&&) = delete;
  bool whole() const { return number_ != nullptr; }
  int number() const { return number_ ? *number_ : -1; }

 private:
  std::unique_ptr<int> number_;
};

}  // namespace

TEST_CASE("a value in a case that loses stays with the caller, whole (semantics 70, D1)") {
  on_every_scheduler([]() -> task<> {
    const channel<ticket> full(1), nobody;
    const channel<int> ready(1);
    co_await full.emplace(0);
    for (int i = 1; i != 50; ++i) {
      ticket mine(i), also_mine(-i);
      co_await ready.send(i);
      auto got = co_await select(full.send(std::move(mine)), ready.recv(), nobody.send(std::move(also_mine)));
      CHECK(got.index() == 1);
      CHECK(mine.number() == i);
      CHECK(also_mine.number() == -i);
      auto tried = co_await select(full.send(std::move(mine)), otherwise);
      CHECK(tried.index() == 1);
      CHECK(mine.number() == i);
    }
    CHECK(full.size() == 1);
  });
}

TEST_CASE("a value in a case that waited and lost stays with the caller, whole (semantics 70, D1)") {
  on_simulated_schedulers([]() -> task<> {
    const channel<ticket> nobody;
    const channel<int> signal;
    auto waiting = go([nobody, signal]() -> task<int> {
      ticket mine(4);
      auto got = co_await select(nobody.send(std::move(mine)), signal.recv());
      co_return got.index() == 1 ? mine.number() : -2;
    });
    co_await testing::settle();
    co_await signal.send(1);
    const int number = co_await waiting;
    CHECK(number == 4);
    auto none = nobody.try_recv();
    CHECK_FALSE(none);
  });
}

TEST_CASE("a value whose send was cancelled stays with the caller, whole (D1, D13)") {
  on_simulated_schedulers([]() -> task<> {
    for (std::size_t capacity : {0u, 1u}) {
      const channel<ticket> ch(capacity);
      if (capacity != 0) co_await ch.emplace(0);
      auto waiting = go([ch]() -> task<int> {
        ticket mine(6);
        try {
          co_await ch.send(std::move(mine));
        } catch (const cancelled&) {
          co_return mine.number();
        }
        co_return -2;
      });
      co_await testing::settle();
      waiting.cancel();
      const int number = co_await waiting;
      CHECK(number == 6);
      CHECK(ch.size() == capacity);
      for (std::size_t i = 0; i != capacity; ++i) (void)ch.try_recv();
      auto none = ch.try_recv();
      CHECK_FALSE(none);
    }
  });
}

TEST_CASE("a value refused by a closed channel stays with the caller, whole (D1, D6)") {
  on_every_scheduler([]() -> task<> {
    for (std::size_t capacity : {0u, 2u}) {
      const channel<ticket> ch(capacity);
      ch.close();
      ticket mine(3);
      int threw = 0;
      try {
        co_await ch.send(std::move(mine));
      } catch (const channel_closed&) {
        ++threw;
      }
      try {
        co_await select(ch.send(std::move(mine)), never());
      } catch (const channel_closed&) {
        ++threw;
      }
      CHECK(threw == 2);
      CHECK(mine.number() == 3);
    }
  });
}

TEST_CASE("send of an lvalue leaves it as it was, and sends what it was at the call (D1)") {
  on_every_scheduler([]() -> task<> {
    const channel<std::string> ch(1);
    std::string text = "as it was when it was sent, and long enough for the heap";
    const std::string original = text;
    co_await ch.send(text);
    text[0] = 'X';
    auto value = co_await ch.recv();
    CHECK(value == original);
    CHECK(text.size() == original.size());

    auto later = ch.send(text);
    text[0] = 'Y';
    co_await later;
    value = co_await ch.recv();
    CHECK(value->front() == 'X');
  });
}

TEST_CASE("an operation that is never awaited has done nothing (D1, D28)") {
  on_every_scheduler([]() -> task<> {
    const auto value = std::make_shared<int>(1);
    const channel<std::shared_ptr<int>> ch(1);
    auto kept = std::make_shared<int>(2);
    {
      [[maybe_unused]] auto copied = ch.send(value);
      [[maybe_unused]] auto built = ch.emplace(value);
      [[maybe_unused]] auto referred = ch.send(std::move(kept));
      [[maybe_unused]] auto received = ch.recv();
      CHECK(ch.size() == 0);
      CHECK(value.use_count() == 3);
    }
    CHECK(value.use_count() == 1);
    CHECK(kept != nullptr);
    CHECK(ch.size() == 0);
    CHECK(ch.try_send(value));
    auto nothing_took_it = ch.try_recv();
    CHECK(nothing_took_it == value);
    co_return;
  });
}

TEST_CASE("operations may be moved about until they are awaited (D29)") {
  on_every_scheduler([]() -> task<> {
    const channel<std::string> ch(1), other(1);
    const std::string text = "a value that is carried inside the operation";
    auto sending = ch.send(text);
    auto moved = std::move(sending);
    auto built = other.emplace(text.begin(), text.end());
    auto moved_built = std::move(built);
    co_await moved;
    co_await moved_built;
    CHECK(ch.size() == 1);
    CHECK(other.size() == 1);

    std::vector<decltype(ch.recv())> receives;
    receives.push_back(other.recv());
    receives.push_back(ch.recv());
    auto from_other = co_await receives[0];
    receives[0] = std::move(receives[1]);
    auto from_ch = co_await receives[0];
    CHECK(from_other == text);
    CHECK(from_ch == text);
  });
}

TEST_CASE("an operation holds a small trivially copyable value, and may be kept though the value was a temporary") {
  on_every_scheduler([]() -> task<> {
    struct pair {
      void* first;
      std::size_t second;
    };
    const channel<int> numbers(2);
    const channel<pair> pairs(1);
    static_assert(std::is_move_constructible_v<decltype(numbers.send(1))>);
    static_assert(std::is_move_constructible_v<decltype(pairs.send(pair()))>);
    // What is larger, or not trivially copyable, is referred to, so that it stays whole where it does not get through.
    static_assert(!std::is_move_constructible_v<decltype(std::declval<channel<std::string>>().send(std::string()))>);
    auto one = numbers.send(1);
    auto two = numbers.send(2);
    auto last = pairs.send(pair{nullptr, 3});
    auto either = select(std::move(two), never());
    co_await one;
    co_await either;
    co_await last;
    const auto first = co_await numbers.recv();
    const auto second = co_await numbers.recv();
    const auto third = co_await pairs.recv();
    CHECK(first == 1);
    CHECK(second == 2);
    CHECK(third->second == 3);
  });
}

TEST_CASE("an await that was ready, and is resumed after other code has used the channel, throws") {
  // As a wrapper of another library may do, by mistake.
  run(
      []() -> task<> {
        channel<int> values(1);
        channel<int> others(1);
        co_await values.send(1);

        auto received = values.recv();
        auto selected = select(values.recv(), others.recv());
        CHECK(received.await_ready());
        CHECK(selected.await_ready());
        CHECK(values.try_recv() == 1);
        CHECK_THROWS_AS(received.await_resume(), std::logic_error);
        CHECK_THROWS_AS(selected.await_resume(), std::logic_error);

        co_await values.send(2);
        CHECK(co_await values.recv() == 2);
      },
      {.workers = 1});
}
