// Many pipelines and pools on several workers, stopped, cancelled and drained at any moment: every value that is taken
// is right, no job runs twice, and nothing is left.
#include <doctest/doctest.h>

#include <atomic>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <ranges>
#include <ringo/ringo.hpp>
#include <thread>
#include <utility>
#include <vector>

#include "every_scheduler.hpp"
#include "leftovers.hpp"
#include "reached.hpp"

using namespace ringo;
using namespace std::chrono_literals;

namespace {

task<std::unique_ptr<int>> boxed(int x) {
  if (x % 5 == 0) co_await yield();
  co_return std::make_unique<int>(x);
}

task<int> unboxed(std::unique_ptr<int> box) { co_return *box; }

task<> count(std::atomic<int>& ran) {
  ++ran;
  co_await yield();
}

}  // namespace

TEST_CASE("Pipelines are stopped by their last receiver, on a worker or a foreign thread, while they run") {
  on_several_workers([]() -> task<> {
    const auto before = testing::live();
    for (std::size_t round = 0; round != stressed(300); ++round) {
      auto out = map(map(generate(std::views::iota(0), round % 3), 3, boxed, {.ordered = true}), 2, unboxed,
                     {.buffer = round % 2, .ordered = true});
      int next = 0;
      for (std::size_t i = 0; i != round % 7; ++i) {
        const auto value = co_await out.recv();
        CHECK(value == next++);
      }
      if (round % 4 == 0) std::thread([end = std::move(out)]() mutable { end = {}; }).join();
    }
    while (!nothing_is_left_since(before)) co_await yield();
  });
}

TEST_CASE("A pipeline's last receiver goes at the moment at which the pipeline ends") {
  on_several_workers([]() -> task<> {
    const auto before = testing::live();
    for (std::size_t round = 0; round != stressed(500); ++round) {
      auto outputs = tee(take(generate(std::views::iota(0), 2), 2), 2);
      std::vector<handle<>> readers;
      for (auto& out : outputs) {
        readers.push_back(go(
            [](receiver<int> in) -> task<> {
              co_await in.recv();
              co_await in.recv();
            },
            std::move(out)));
      }
      for (auto& reader : readers) co_await reader;
    }
    while (!nothing_is_left_since(before)) co_await yield();
    reached("all stages have ended");
  });
}

TEST_CASE("Jobs are submitted from many routines while the pool grows, and is drained or cancelled") {
  on_several_workers([]() -> task<> {
    const auto before = testing::live();
    for (std::size_t round = 0; round != stressed(60); ++round) {
      std::atomic<int> accepted = 0, ran = 0, refused = 0, lost = 0;
      {
        worker_pool pool({.min = 1, .max = 1 + round % 5, .queue_capacity = round % 3, .idle = 0s});
        wait_group submitters;
        for (int i = 0; i != 8; ++i) {
          submitters.go([&, i]() -> task<> {
            for (int n = 0; n != 10; ++n) {
              // A task may be submitted, too.
              auto op = n % 2 == 0 ? pool.submit(count, std::ref(ran)) : pool.submit(count(ran));
              try {
                if (i % 2 == 0) {
                  co_await op;
                  ++accepted;
                } else {
                  const auto chosen = co_await select(op, yield());
                  ++(chosen.index() == 0 ? accepted : lost);
                }
              } catch (const channel_closed&) {
                ++refused;
              }
            }
          });
        }
        if (round % 2 == 0) {
          co_await submitters.wait();
          co_await pool.drain();
          CHECK(ran == accepted);
          CHECK(refused == 0);
        } else {
          while (ran < 10) co_await yield();
          pool.cancel();
          co_await submitters.wait();
          co_await pool.drain();
          CHECK(ran <= accepted);
        }
        CHECK(accepted + refused + lost == 80);
      }
    }
    while (!nothing_is_left_since(before)) co_await yield();
  });
}
