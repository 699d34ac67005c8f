// post: sends to a channel from any thread, without waiting.
#include <doctest/doctest.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <ringo/ringo.hpp>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "every_scheduler.hpp"

using namespace ringo;
using namespace std::chrono_literals;

TEST_CASE("What a routine posts is received in its order, with and without room") {
  on_every_scheduler([]() -> task<> {
    for (const std::size_t capacity : {0u, 1u, 5u}) {
      channel<int> ch(capacity);
      for (int i = 0; i != 20; ++i) {
        const bool taken = sender<int>(ch).post(i);
        CHECK(taken);
      }
      for (int i = 0; i != 20; ++i) {
        const auto got = co_await ch.recv();
        CHECK(got == i);
      }
    }
  });
}

TEST_CASE("What threads post is received, of each in its order") {
  on_real_schedulers([]() -> task<> {
    struct value {
      value(int by, int n) : thread(by), number(n) {}
      int thread, number;
    };
    constexpr int count = 300;
    channel<value> ch(2);
    std::vector<std::thread> threads;
    for (int id = 0; id != 4; ++id) {
      threads.emplace_back([to = sender<value>(ch), id] {
        for (int i = 0; i != count; ++i) to.post(value(id, i));
      });
    }
    std::vector<int> next(4);
    for (int i = 0; i != 4 * count; ++i) {
      const auto got = co_await ch.recv();
      CHECK(got->number == next[static_cast<std::size_t>(got->thread)]++);
    }
    for (std::thread& t : threads) t.join();
  });
}

TEST_CASE("Signals and what only moves are posted, too") {
  on_every_scheduler([]() -> task<> {
    channel<void> signals;
    channel<std::unique_ptr<int>> boxes;
    signals.post();
    boxes.post(std::make_unique<int>(3));
    const bool signalled = co_await signals.recv();
    CHECK(signalled);
    const auto box = co_await boxes.recv();
    CHECK(**box == 3);
  });
}

TEST_CASE("A post to a closed or nil channel is dropped, and says so") {
  on_every_scheduler([]() -> task<> {
    channel<std::shared_ptr<int>> ch;
    auto value = std::make_shared<int>(1);
    ch.close();
    CHECK_FALSE(ch.post(value));
    CHECK_FALSE(channel<std::shared_ptr<int>>::nil().post(value));
    CHECK(value.use_count() == 1);
    co_return;
  });
}

TEST_CASE("What is on its way when the channel is closed is dropped with a warning") {
  for (unsigned workers : {1u, 2u, 4u}) {
    std::mutex mutex;
    std::vector<std::string> warnings;
    runtime_options o;
    o.workers = workers;
    o.on_warning = [&](std::string_view text) {
      const std::lock_guard guard(mutex);
      warnings.emplace_back(text);
    };
    auto value = std::make_shared<int>(1);
    run(
        [&]() -> task<> {
          channel<std::shared_ptr<int>> ch(2);
          for (int i = 0; i != 5; ++i) ch.post(value);
          const auto told = [&] {
            const std::lock_guard guard(mutex);
            return !warnings.empty();
          };
          while (ch.size() != 2) co_await yield();
          ch.close();
          while (!told()) co_await yield();
          int received = 0;
          while (auto each = co_await ch.recv()) ++received;
          CHECK(received == 2);
        },
        o);
    REQUIRE(warnings.size() == 1);
    CHECK(warnings.front().find("3 values posted to a channel were dropped") != std::string::npos);
    CHECK(value.use_count() == 1);
  }
}

TEST_CASE("What nobody can receive any more goes with the last handle") {
  auto value = std::make_shared<int>(1);
  on_every_scheduler([&]() -> task<> {
    for (const bool lets_it_begin : {false, true}) {
      channel<std::shared_ptr<int>> ch;
      for (int i = 0; i != 3; ++i) ch.post(value);
      if (lets_it_begin) co_await sleep(1ms);
      ch = channel<std::shared_ptr<int>>::nil();
      while (value.use_count() != 1) co_await sleep(1ms);
    }
  });
  CHECK(value.use_count() == 1);
}

TEST_CASE("What is posted before a runtime uses the channel waits for one, in its order") {
  for (unsigned workers : {1u, 2u, 4u}) {
    channel<int> ch;
    for (int i = 0; i != 5; ++i) CHECK(ch.post(i));
    runtime_options o;
    o.workers = workers;
    run(
        [ch]() -> task<> {
          for (int i = 0; i != 5; ++i) {
            const auto got = co_await ch.recv();
            CHECK(got == i);
          }
        },
        o);
  }
}

TEST_CASE("What is posted to a channel that no runtime ever uses goes with it") {
  auto value = std::make_shared<int>(1);
  {
    channel<std::shared_ptr<int>> ch(4);
    for (int i = 0; i != 3; ++i) CHECK(ch.post(value));
    CHECK(value.use_count() == 4);
  }
  CHECK(value.use_count() == 1);
}

TEST_CASE("A post after the channel's runtime has ended is dropped, and says so; what was on its way is dropped") {
  auto value = std::make_shared<int>(1);
  channel<std::shared_ptr<int>> ch(1);
  run([&]() -> task<> {
    co_await ch.send(value);
    for (int i = 0; i != 4; ++i) CHECK(ch.post(value));
    co_await yield();
  });
  CHECK(value.use_count() == 2);
  CHECK_FALSE(ch.post(value));
  CHECK(value.use_count() == 2);
}

TEST_CASE("A post that cannot be received is in the deadlock report, with the place where it was made") {
  const auto program = []() -> task<> {
    channel<int> ch;
    ch.post(1);
    co_await channel<int>().recv();
  };
  for (const auto& scheduler :
       {scheduler_under_test::real(1), scheduler_under_test::real(4), scheduler_under_test::simulated(1, 0)}) {
    std::string report;
    try {
      scheduler.run(program);
    } catch (const deadlock& e) {
      report = e.what();
    }
    CHECK(report.find("waits for send on channel") != std::string::npos);
    CHECK(report.find("started at " __FILE__ ":") != std::string::npos);
  }
}

TEST_CASE("Threads post while the runtime ends, the channel is closed, or its handles go: nothing is left") {
  auto value = std::make_shared<int>(1);
  for (unsigned workers : {1u, 2u, 4u}) {
    for (std::size_t round = 0; round != stressed(30); ++round) {
      std::vector<std::thread> threads;
      std::atomic<int> begun = 0;
      {
        channel<std::shared_ptr<int>> ch(round % 3);
        for (int id = 0; id != 3; ++id) {
          threads.emplace_back([to = sender<std::shared_ptr<int>>(ch), value, &begun]() mutable {
            ++begun;
            for (int i = 0; i != 200; ++i) to.post(value);
            to = {};
          });
        }
        runtime_options o;
        o.workers = workers;
        o.on_warning = [](std::string_view) {};
        run(
            [&]() -> task<> {
              while (begun != 3) co_await yield();
              for (std::size_t i = 0; i != round; ++i) (void)co_await select(ch.recv(), sleep(1ms));
              if (round % 2 == 0) ch.close();
              if (round % 5 == 0) ch = channel<std::shared_ptr<int>>::nil();
            },
            o);
      }
      for (std::thread& t : threads) t.join();
      CHECK(value.use_count() == 1);
    }
  }
}
