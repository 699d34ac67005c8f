// A pool of 23 workers that range over one queue and answer on another, with a checksum over everything (semantics 10,
// 37, 39).
#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <ringo/ringo.hpp>
#include <utility>
#include <vector>

#include "every_scheduler.hpp"

using namespace ringo;

namespace {

constexpr int workers = 23;
constexpr std::uint64_t primes[] = {2, 3, 7, 11, 13, 17, 19, 23, 27, 31};

task<> consume(receiver<std::uint64_t> queue, sender<std::uint64_t> answers) {
  std::uint64_t turn = 0;
  while (auto value = co_await queue.recv()) {
    // Now and then one lets the others pass.
    if (primes[turn++ % std::size(primes)] % 7 == *value % 7) co_await yield();
    co_await answers.send(*value);
  }
}

}  // namespace

TEST_CASE(
    "23 workers take every value from a queue once, and the pool closes its output once (semantics 10, 37, 39, 173)") {
  on_every_scheduler(
      []() -> task<> {
        const std::size_t count = stressed(30000);
        const channel<std::uint64_t> queue(workers + 2), answers(workers);
        auto pool = go([=]() -> task<> {
          wait_group all;
          for (int i = 0; i != workers; ++i) all.go(consume, queue, answers);
          co_await all.wait();
          answers.close();
        });
        auto filling = go([=]() -> task<std::uint64_t> {
          std::uint64_t expected = 0;
          for (std::size_t i = 0; i != count; ++i) {
            const std::uint64_t value = primes[i % std::size(primes)] * 1000 + i % 7;
            expected += value * value;
            co_await queue.send(value);
          }
          queue.close();
          co_return expected;
        });
        std::uint64_t sum = 0;
        std::size_t received = 0;
        while (auto value = co_await answers.recv()) {
          sum += *value * *value;
          ++received;
        }
        const std::uint64_t expected = co_await filling;
        co_await pool;
        CHECK(received == count);
        CHECK(sum == expected);
        CHECK(queue.is_drained());
        CHECK(answers.is_drained());
      },
      3);
}

TEST_CASE("the same pool without buffers is torn down while its workers wait to answer (semantics 159)") {
  on_every_scheduler(
      []() -> task<> {
        const channel<std::uint64_t> queue, answers;
        for (int i = 0; i != workers; ++i) go(consume, queue, answers);
        for (std::uint64_t i = 0; i != workers; ++i) co_await queue.send(i);
        auto first = co_await answers.recv();
        CHECK(first.value() < workers);
      },
      5);
}
