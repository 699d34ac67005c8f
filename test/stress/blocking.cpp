// Many calls at once: some return, some throw, some lose, some are cancelled; each is accounted for, and nothing is
// left.
#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <ringo/ringo.hpp>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

#include "every_scheduler.hpp"
#include "task_ending.hpp"

using namespace ringo;
using namespace std::chrono_literals;

TEST_CASE("calls that return, throw, lose and are cancelled, on few threads and many") {
  const auto before = testing::live();
  for (unsigned workers : {1u, 2u, 4u}) {
    for (unsigned threads : {1u, 4u, 64u}) {
      const std::size_t count = stressed(1000);
      std::atomic<std::size_t> ran = 0, returned = 0, threw = 0, lost = 0, cancelled_ones = 0;
      runtime_options o;
      o.workers = workers;
      o.blocking_threads = threads;
      o.blocking_idle = 50us;  // so that threads come and go
      run(
          [&]() -> task<> {
            std::vector<handle<>> all;
            const auto call = [&ran](std::size_t i) {
              ++ran;
              if (i % 5 == 0) throw std::runtime_error("on purpose");
              return i;
            };
            for (std::size_t i = 0; i != count; ++i) {
              auto h = go([&, i]() -> task<> {
                try {
                  if (i % 3 == 0) {
                    const auto first = co_await select(blocking(call, i), sleep(std::chrono::microseconds(i % 50)));
                    ++(first.index() == 0 ? returned : lost);
                  } else {
                    const auto result = co_await blocking(call, i);
                    returned += result == i ? 1 : 0;
                  }
                } catch (const cancelled&) {
                  ++cancelled_ones;
                } catch (const std::runtime_error&) {
                  ++threw;
                }
              });
              all.push_back(std::move(h));
              if (i % 16 == 0) co_await yield();
              if (i % 4 == 0) all[i / 2].cancel();
            }
            for (const auto& h : all) (void)co_await ending_of(const_cast<handle<>&>(h));
          },
          o);
      // A routine that was cancelled before it began has not counted itself at all.
      CHECK(returned + threw + lost + cancelled_ones <= count);
      CHECK(returned + threw + lost + cancelled_ones >= count - (count + 3) / 4);
      CHECK(ran >= returned + threw);
      CHECK(ran <= returned + threw + lost + cancelled_ones);
      CHECK(testing::live() == before);
    }
  }
}

TEST_CASE("runtimes that end while calls run and wait for a thread") {
  const auto before = testing::live();
  for (std::size_t round = stressed(50); round > 0; --round) {
    for (unsigned workers : {1u, 2u, 4u}) {
      std::atomic<int> begun = 0, running = 0;
      std::atomic<bool> stop = false;
      runtime_options o;
      o.workers = workers;
      o.blocking_threads = 3;
      o.shutdown_grace = round % 2 ? 0s : 1h;
      std::jthread ends([&] {
        while (begun == 0) std::this_thread::yield();
        stop = true;
      });
      run(
          [&]() -> task<> {
            for (int i = 0; i != 10; ++i) {
              go([&]() -> task<> {
                co_await blocking([&] {
                  ++running;
                  ++begun;
                  while (!stop) std::this_thread::yield();
                  --running;
                });
              });
            }
            while (begun == 0) co_await yield();
          },
          o);
      ends.join();
      while (testing::live() != before) std::this_thread::yield();
      CHECK(running == 0);
    }
  }
}

TEST_CASE("calls that use the program from their threads") {
  for (unsigned workers : {1u, 2u, 4u}) {
    runtime rt({.workers = workers});
    const std::size_t count = stressed(300);
    std::size_t sum = 0;
    rt.run([&]() -> task<> {
      channel<std::size_t> from_calls(2);
      wait_group calls;
      for (std::size_t i = 1; i <= count; ++i) {
        calls.go([&, i]() -> task<> {
          co_await blocking([&, i] {
            auto h = rt.go([i]() -> task<std::size_t> { co_return co_await blocking([i] { return i; }); });
            from_calls.send_blocking(h.join_blocking());
          });
        });
      }
      auto closes = go([&]() -> task<> {
        co_await calls.wait();
        from_calls.close();
      });
      while (auto n = co_await from_calls.recv()) sum += *n;
      co_await closes;
    });
    CHECK(sum == count * (count + 1) / 2);
  }
}
