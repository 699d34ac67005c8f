// Threads that are no workers use a running program from all sides; runtimes that come and go.
#include <doctest/doctest.h>

#include <atomic>
#include <cstddef>
#include <filesystem>
#include <functional>
#include <iterator>
#include <memory>
#include <ringo/ringo.hpp>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "every_scheduler.hpp"
#include "process_counts.hpp"
#include "reached.hpp"

using namespace ringo;

namespace {

// Everything that a foreign thread may do, at once, to one runtime.
void besiege(unsigned workers, std::size_t count) {
  runtime rt({.workers = workers});
  channel<std::size_t> jobs(2), results;
  channel<void> threads_ended(4);
  std::atomic<std::size_t> sent = 0, received = 0, started = 0, cancelled_ones = 0;
  std::vector<std::jthread> threads;
  const auto thread = [&](auto body) {
    threads.emplace_back([&, body] {
      body();
      threads_ended.send_blocking();
    });
  };
  rt.run([&]() -> task<> {
    wait_group pool;
    for (int i = 0; i != 3; ++i) {
      pool.go([&]() -> task<> {
        while (auto job = co_await jobs.recv()) co_await results.send(*job * 2);
      });
    }
    thread([&] {
      for (std::size_t i = 1; i <= count; ++i) {
        jobs.send_blocking(i);
        sent += i;
      }
    });
    thread([&] {
      while (auto result = results.recv_blocking()) received += *result;
    });
    thread([&] {
      for (std::size_t i = 0; i != count; ++i) {
        auto h = rt.go(
            [](std::size_t n) -> task<std::size_t> {
              co_await yield();
              co_return n + 1;
            },
            i);
        started += h.join_blocking() == i + 1 ? 1 : 0;
      }
    });
    thread([&] {
      for (std::size_t i = 0; i != count; ++i) {
        auto h = rt.go([]() -> task<> { co_await never(); });
        h.cancel();
        try {
          h.join_blocking();
        } catch (const cancelled&) {
          cancelled_ones += h.is_done() ? 1 : 0;
        }
      }
    });
    thread([&] {
      for (std::size_t i = 0; i != count / 10 + 1; ++i) {
        std::ostringstream text;
        rt.dump(text);
        (void)rt.metrics();
      }
    });
    thread([&] {
      for (std::size_t i = 0; i != count; ++i) {
        channel<int> closed_elsewhere(1);
        auto h =
            rt.go([closed_elsewhere]() -> task<bool> { co_return (co_await closed_elsewhere.recv()).has_value(); });
        closed_elsewhere.close();
        if (h.join_blocking()) ++cancelled_ones;  // it would have received what nobody has sent
      }
    });
    // All but the receiver, which ends when the results are closed.
    for (int i = 0; i != 5; ++i) co_await threads_ended.recv();
    jobs.close();
    co_await pool.wait();
    results.close();
    co_await threads_ended.recv();
  });
  threads.clear();
  CHECK(sent == count * (count + 1) / 2);
  CHECK(received == 2 * sent);
  CHECK(started == count);
  CHECK(cancelled_ones == count);
}

}  // namespace

TEST_CASE("foreign threads send, receive, close, start, join, cancel and look, all at once") {
  const auto before = testing::live();
  for (unsigned workers : {2u, 4u, 8u}) besiege(workers, stressed(150));
  CHECK(testing::live() == before);
}

TEST_CASE("a wait_group that foreign threads are done with") {
  for (unsigned workers : {2u, 4u, 8u}) {
    runtime rt({.workers = workers});
    rt.run([]() -> task<> {
      for (std::size_t round = stressed(20); round > 0; --round) {
        auto all = std::make_shared<wait_group>();
        all->add(4);
        std::vector<std::jthread> threads;
        for (int i = 0; i != 4; ++i) threads.emplace_back([all] { all->done(); });
        co_await all->wait();
      }
      reached("each wait ends with the last thread's done");
    });
  }
}

TEST_CASE("foreign threads that are still at it when the program ends are answered") {
  for (unsigned workers : {2u, 4u, 8u}) {
    for (std::size_t round = stressed(10); round > 0; --round) {
      std::atomic<int> answered = 0;
      std::atomic<bool> begun = false;
      std::jthread sender, receiver, starter;
      {
        runtime rt({.workers = workers});
        channel<int> c, silent;
        rt.run([&]() -> task<> {
          silent.try_recv();
          sender = std::jthread([&, c] {
            try {
              for (;;) {
                c.send_blocking(1);
                begun = true;
              }
            } catch (const std::exception&) {
              ++answered;
            }
          });
          receiver = std::jthread([&, silent] {
            try {
              (void)silent.recv_blocking();
            } catch (const std::exception&) {
            }
            ++answered;
          });
          starter = std::jthread([&] {
            try {
              for (;;) {
                auto h = rt.go([]() -> task<> { co_await yield(); });
                try {
                  h.join_blocking();
                } catch (const cancelled&) {  // the program has ended first
                }
              }
            } catch (const std::logic_error&) {
              ++answered;
            }
          });
          while (!begun) co_await c.recv();
        });
        c.try_close();
        silent.try_close();
        starter.join();
        sender.join();
        receiver.join();
      }
      CHECK(answered == 3);
    }
  }
}

TEST_CASE("runtimes come and go, and no descriptor, frame or routine stays") {
  const auto cycle = [](unsigned workers) {
    run(
        []() -> task<> {
          channel<int> c;
          for (int i = 0; i != 8; ++i) go([c, i]() -> task<> { co_await c.send(i); });
          for (int i = 0; i != 4; ++i) co_await c.recv();
          go([]() -> task<> { co_await sleep(std::chrono::hours(1)); });
        },
        {.workers = workers});
  };
  cycle(4);
  const auto descriptors = open_descriptors();
  const auto before = testing::live();
  for (std::size_t round = stressed(40); round > 0; --round) {
    for (unsigned workers : {1u, 2u, 4u, 8u}) cycle(workers);
    CHECK(testing::live() == before);
  }
  CHECK(open_descriptors() == descriptors);
}
