// batch: a stage that gathers values.
#include <doctest/doctest.h>

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
#include "leftovers.hpp"

using namespace ringo;
using namespace std::chrono_literals;

TEST_CASE("batch gathers n values at a time, and the rest at the end") {
  on_every_scheduler([]() -> task<> {
    for (int count : {0, 1, 4, 5, 6, 10, 11}) {
      auto out = batch(generate(std::views::iota(0, count)), 5, 1h);
      int next = 0;
      bool in_order = true, full = true;
      while (auto values = co_await out.recv()) {
        full = full && values->size() == static_cast<std::size_t>(std::min(5, count - next));
        for (int value : *values) in_order = in_order && value == next++;
      }
      CHECK(next == count);
      CHECK(in_order);
      CHECK(full);
    }
  });
}

TEST_CASE("A batch is sent when its first value has waited so long, full or not") {
  on_simulated_schedulers([]() -> task<> {
    channel<int> in;
    auto source = go([in]() -> task<> {
      co_await sleep(10s);  // no batch of no values meanwhile
      for (int x : {1, 2, 3}) {
        co_await in.send(x);
        co_await sleep(2s);
      }
      co_await sleep(10s);
      co_await in.send(4);
      in.close();
    });
    const auto began = now();
    auto out = batch(in, 100, 3s);
    const auto first = co_await out.recv();
    CHECK(now() - began == 13s);
    CHECK(first == std::vector{1, 2});
    const auto second = co_await out.recv();
    CHECK(now() - began == 17s);
    CHECK(second == std::vector{3});
    const auto third = co_await out.recv();
    CHECK(now() - began == 26s);
    CHECK(third == std::vector{4});
    const auto end = co_await out.recv();
    CHECK_FALSE(end);
    co_await source;
  });
}

TEST_CASE("Without time to wait, a batch is what is there at once") {
  on_simulated_schedulers([]() -> task<> {
    channel<int> in(10);
    for (int x : {1, 2, 3}) in.try_send(x);
    auto out = batch(in, 100, 0s);
    const auto first = co_await out.recv();
    CHECK(first == std::vector{1, 2, 3});
    in.try_send(4);
    const auto second = co_await out.recv();
    CHECK(second == std::vector{4});
  });
}

TEST_CASE("A batch that may wait for ever is sent when it is full") {
  on_every_scheduler([]() -> task<> {
    auto out = batch(generate(std::views::iota(0)), 2, std::chrono::hours::max());
    const auto first = co_await out.recv();
    CHECK(first == std::vector{0, 1});
  });
}

TEST_CASE("Values may be move-only, and a channel is an input too") {
  on_every_scheduler([]() -> task<> {
    channel<std::unique_ptr<int>> in(3);
    for (int x : {1, 2, 3}) in.try_send(std::make_unique<int>(x));
    in.close();
    auto out = batch(in, 2, 1h);
    const auto first = co_await out.recv();
    const auto second = co_await out.recv();
    CHECK(first->size() == 2);
    CHECK(second->size() == 1);
    CHECK(*second->front() == 3);
  });
}

TEST_CASE("An error of the input comes after the values before it") {
  on_every_scheduler([]() -> task<> {
    for (int count : {0, 1, 2, 3}) {
      channel<int> in(3);
      for (int x = 0; x != count; ++x) in.try_send(x);
      in.close(std::make_exception_ptr(std::runtime_error("source")));
      auto out = batch(in, 2, 1h);
      std::size_t values = 0;
      std::string error;
      try {
        while (auto some = co_await out.recv()) values += some->size();
      } catch (const std::runtime_error& e) {
        error = e.what();
      }
      CHECK(values == static_cast<std::size_t>(count));
      CHECK(error == "source");
    }
  });
}

TEST_CASE("A batch that is gathered when nobody can receive it any more is dropped with the input (180)") {
  on_every_scheduler([]() -> task<> {
    const auto before = testing::live();
    {
      auto out = batch(generate(std::views::iota(0)), 3, 1h);
      co_await out.recv();
    }
    const auto value = std::make_shared<int>(1);
    channel<std::shared_ptr<int>> in(1);
    in.try_send(value);
    {
      auto out = batch(in, 3, 1h);
      while (in.size() != 0) co_await yield();
    }
    while (!nothing_is_left_since(before)) co_await yield();
    CHECK(value.use_count() == 1);
  });
}

TEST_CASE("Batches of no values are an invalid_argument") {
  on_every_scheduler([]() -> task<> {
    CHECK_THROWS_AS((void)batch(receiver<int>(), 0, 1s), std::invalid_argument);
    co_return;
  });
}
