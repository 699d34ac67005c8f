// tee: a stage that passes each value on to several.
#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <exception>
#include <optional>
#include <ranges>
#include <ringo/ringo.hpp>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "every_scheduler.hpp"
#include "leftovers.hpp"

using namespace ringo;
using namespace std::chrono_literals;

namespace {

task<std::vector<std::string>> all_of(receiver<std::string> in) {
  std::vector<std::string> values;
  while (auto value = co_await in.recv()) values.push_back(*value);
  co_return values;
}

const std::vector<std::string> texts{"a", "a text that is too long for the string itself", "c", "d"};

}  // namespace

TEST_CASE("Every output gets every value, in order") {
  on_every_scheduler([]() -> task<> {
    for (std::size_t n : {1u, 2u, 3u, 20u}) {
      auto outputs = tee(generate(texts), n);
      CHECK(outputs.size() == n);
      std::vector<handle<std::vector<std::string>>> readers;
      for (auto& out : outputs) readers.push_back(go(all_of, std::move(out)));
      for (auto& reader : readers) {
        const auto values = co_await reader;
        CHECK(values == texts);
      }
    }
  });
}

TEST_CASE("The outputs may be read in any order") {
  on_every_scheduler([]() -> task<> {
    auto outputs = tee(generate(texts), 3);
    for (std::size_t round = 0; round != texts.size(); ++round) {
      for (std::size_t i : {2u, 0u, 1u}) {
        const auto value = co_await outputs[(i + round) % 3].recv();
        CHECK(value == texts[round]);
      }
    }
    for (auto& out : outputs) {
      const auto end = co_await out.recv();
      CHECK_FALSE(end);
    }
  });
}

TEST_CASE("The slowest output decides when the next value is received") {
  on_simulated_schedulers([]() -> task<> {
    channel<int> in(10);
    for (int x = 0; x != 10; ++x) in.try_send(x);
    auto outputs = tee(in, 2);
    co_await outputs[0].recv();
    auto ahead = go([out = outputs[0]]() -> task<int> {
      const auto value = co_await out.recv();
      co_return value.value_or(-1);
    });
    co_await testing::settle();
    CHECK_FALSE(ahead.is_done());
    CHECK(in.size() == 9);
    co_await outputs[1].recv();
    const int second = co_await ahead;
    CHECK(second == 1);
  });
}

TEST_CASE("An output that nobody receives from any more holds up nobody, waited for or not") {
  on_every_scheduler([]() -> task<> {
    auto outputs = tee(generate(texts), 3);
    outputs[1] = {};
    const auto first = co_await outputs[0].recv();
    CHECK(first == texts[0]);
    outputs[2] = {};  // it has been offered the first value
    for (std::size_t i = 1; i != texts.size(); ++i) {
      const auto value = co_await outputs[0].recv();
      CHECK(value == texts[i]);
    }
    const auto end = co_await outputs[0].recv();
    CHECK_FALSE(end);
  });
}

TEST_CASE("When the last output is let go the input is (180)") {
  on_every_scheduler([]() -> task<> {
    const auto before = testing::live();
    {
      auto outputs = tee(generate(std::views::iota(0)), 3);
      for (int i = 0; i != 3; ++i) {
        for (auto& out : outputs) co_await out.recv();
      }
      outputs[0] = {};
      CHECK_FALSE(outputs[1].is_closed());
    }
    while (!nothing_is_left_since(before)) co_await yield();
    const auto none = tee(generate(std::views::iota(0)), 0);
    CHECK(none.empty());
    while (!nothing_is_left_since(before)) co_await yield();
  });
}

TEST_CASE("An error of the input closes every output with it, after the values before it") {
  on_every_scheduler([]() -> task<> {
    channel<void> in(1);
    in.try_send();
    in.close(std::make_exception_ptr(std::runtime_error("source")));
    const std::vector<receiver<void>> outputs = tee(in, 2);
    for (int signals = 0; signals != 1; ++signals) {
      for (auto& out : outputs) {
        const bool signal = co_await out.recv();
        CHECK(signal);
      }
    }
    for (auto& out : outputs) {
      std::string error;
      try {
        co_await out.recv();
      } catch (const std::runtime_error& e) {
        error = e.what();
      }
      CHECK(error == "source");
    }
  });
}
