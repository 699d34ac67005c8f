// generate: the first stage of a pipeline, from a range.
#include <doctest/doctest.h>

#include <atomic>
#include <coroutine>
#include <exception>
#include <iterator>
#include <list>
#include <memory>
#include <optional>
#include <ranges>
#include <ringo/ringo.hpp>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "every_scheduler.hpp"
#include "leftovers.hpp"
#include "reached.hpp"
#include "values.hpp"

using namespace ringo;
using namespace std::chrono_literals;

namespace {

// What C++23's std::generator is: a coroutine that is an input range.
template <class T>
class sequence : public std::ranges::view_base {
 public:
  struct promise_type {
    sequence get_return_object() { return sequence(std::coroutine_handle<promise_type>::from_promise(*this)); }
    std::suspend_always initial_suspend() noexcept { return {}; }
    std::suspend_always final_suspend() noexcept { return {}; }
    std::suspend_always yield_value(T& value) noexcept {
      current = &value;
      return {};
    }
    std::suspend_always yield_value(T&& value) noexcept {
      current = &value;
      return {};
    }
    void return_void() noexcept {}
    void unhandled_exception() { throw; }
    T* current = nullptr;
  };
  class iterator {
   public:
    using value_type = T;
    using difference_type = std::ptrdiff_t;
    explicit iterator(std::coroutine_handle<promise_type> of = nullptr) : of_(of) {}
    T& operator*() const { return *of_.promise().current; }
    iterator& operator++() {
      of_.resume();
      return *this;
    }
    void operator++(int) { ++*this; }
    friend bool operator==(const iterator& i, std::default_sentinel_t) { return i.of_.done(); }

   private:
    std::coroutine_handle<promise_type> of_;
  };

  sequence(sequence&& from) noexcept : of_(std::exchange(from.of_, nullptr)) {}
  sequence& operator=(sequence&& from) noexcept {
    std::swap(of_, from.of_);
    return *this;
  }
  ~sequence() {
    if (of_) of_.destroy();
  }
  iterator begin() {
    of_.resume();
    return iterator(of_);
  }
  std::default_sentinel_t end() const { return {}; }

 private:
  explicit sequence(std::coroutine_handle<promise_type> of) : of_(of) {}
  std::coroutine_handle<promise_type> of_;
};

sequence<int> count_from(int first, std::atomic<int>& alive, std::atomic<int>& made) {
  const witness w(alive);
  for (int x = first;; ++x) {
    ++made;
    co_yield x;
  }
}

sequence<std::string> growing() {
  std::string text;
  while (text.size() < 4) {
    text += 'a';
    co_yield text;
  }
}

sequence<std::unique_ptr<int>> boxes() {
  for (int x = 0; x != 3; ++x) co_yield std::make_unique<int>(x);
}

sequence<int> fails_after(int count) {
  for (int x = 0; x != count; ++x) co_yield x;
  throw std::runtime_error("no more");
}

}  // namespace

TEST_CASE("generate sends a range's values in order, and closes") {
  on_every_scheduler([]() -> task<> {
    std::vector<std::string> texts;
    auto of_list = generate(std::list<std::string>{"a", "b", "c"});
    while (auto text = co_await of_list.recv()) texts.push_back(*text);
    CHECK(texts == std::vector<std::string>{"a", "b", "c"});
    int sum = 0;
    auto of_view = generate(std::views::iota(0, 5) | std::views::transform([](int x) { return x * x; }), 3);
    CHECK(of_view.capacity() == 3);
    while (auto value = co_await of_view.recv()) sum += *value;
    CHECK(sum == 30);
    auto of_nothing = generate(std::vector<int>());
    const auto none = co_await of_nothing.recv();
    CHECK_FALSE(none);
    std::vector<bool> bits;
    auto of_bits = generate(std::vector<bool>{true, false, true});
    while (auto bit = co_await of_bits.recv()) bits.push_back(*bit);
    CHECK(bits == std::vector<bool>{true, false, true});
  });
}

TEST_CASE("generate copies values, and moves those that can only be moved") {
  on_every_scheduler([]() -> task<> {
    std::vector<std::string> texts;
    auto out = generate(growing());  // goes on with the text that it has yielded
    while (auto text = co_await out.recv()) texts.push_back(*text);
    CHECK(texts == std::vector<std::string>{"a", "aa", "aaa", "aaaa"});
    int sum = 0;
    auto yielded = generate(boxes());
    while (auto box = co_await yielded.recv()) sum += **box;
    std::vector<std::unique_ptr<int>> kept;
    for (int x : {10, 20}) kept.push_back(std::make_unique<int>(x));
    auto contained = generate(std::move(kept));
    while (auto box = co_await contained.recv()) sum += **box;
    CHECK(sum == 33);
  });
}

TEST_CASE("A range is advanced as its values are received") {
  on_simulated_schedulers([]() -> task<> {
    std::atomic<int> alive = 0, made = 0;
    auto out = generate(count_from(5, alive, made), 2);
    co_await testing::settle();
    CHECK(made == 3);  // the buffer's, and the one that waits to be sent
    co_await out.recv();
    co_await testing::settle();
    CHECK(made == 4);
    CHECK(alive == 1);
    out = {};
    co_await testing::settle();
    CHECK(alive == 0);
  });
}

TEST_CASE("A generator coroutine is unwound when nobody receives from it any more (180)") {
  on_every_scheduler([]() -> task<> {
    const auto before = testing::live();
    std::atomic<int> alive = 0, made = 0;
    {
      auto out = generate(count_from(0, alive, made));
      for (int i = 0; i != 3; ++i) {
        const auto value = co_await out.recv();
        CHECK(value == i);
      }
    }
    while (!nothing_is_left_since(before)) co_await yield();
    CHECK(alive == 0);
  });
}

TEST_CASE("What a range throws comes after its values") {
  on_every_scheduler([]() -> task<> {
    auto out = generate(fails_after(3), 1);
    int values = 0;
    std::string error;
    try {
      while (co_await out.recv()) ++values;
    } catch (const std::runtime_error& e) {
      error = e.what();
    }
    CHECK(values == 3);
    CHECK(error == "no more");
  });
}

TEST_CASE("A stage that generates for ever lets the others run") {
  on_real_schedulers([]() -> task<> {
    std::atomic<int> received = 0;
    auto out = generate(std::views::iota(0), 1000);
    auto reader = go([&received, out]() -> task<> {
      while (co_await out.recv()) ++received;
    });
    co_await sleep(1ms);
    while (received < 10000) co_await yield();
    reached("the reader and main have their turns");
    reader.cancel();
    co_await reader.wait();
  });
}
