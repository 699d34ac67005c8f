// Primes by a growing row of filters, each a routine (semantics 50, 159). Main ends when it has enough; the row is torn
// down where it waits: some filters to send, some to receive.
#include <doctest/doctest.h>

#include <cstddef>
#include <deque>
#include <functional>
#include <optional>
#include <queue>
#include <ringo/ringo.hpp>
#include <utility>
#include <variant>
#include <vector>

#include "every_scheduler.hpp"

using namespace ringo;

namespace {

task<> count_from(int first, sender<int> out) {
  for (int i = first;; ++i) co_await out.send(i);
}

task<> drop_multiples(int of, receiver<int> in, sender<int> out) {
  while (auto value = co_await in.recv()) {
    if (*value % of != 0) co_await out.send(*value);
  }
}

task<std::vector<int>> primes(std::size_t count, std::size_t capacity) {
  channel<int> numbers(capacity);
  go(count_from, 2, numbers);
  std::vector<int> found;
  while (found.size() != count) {
    auto prime = co_await numbers.recv();
    found.push_back(prime.value());
    channel<int> remaining(capacity);
    go(drop_multiples, *prime, numbers, remaining);
    numbers = remaining;
  }
  co_return found;
}

std::vector<int> primes_by_division(std::size_t count) {
  std::vector<int> found;
  for (int candidate = 2; found.size() != count; ++candidate) {
    bool prime = true;
    for (int divisor : found) prime = prime && candidate % divisor != 0;
    if (prime) found.push_back(candidate);
  }
  return found;
}

// An unbounded queue between two channels: the case that cannot go on is switched off by nil.
task<> buffer_without_bound(receiver<int> in, sender<int> out) {
  std::deque<int> queued;
  for (;;) {
    const sender<int> ready = queued.empty() ? sender<int>() : out;
    const int next = queued.empty() ? 0 : queued.front();
    auto got = co_await select(in.recv(), ready.send(next));
    if (got.index() == 1) {
      queued.pop_front();
      continue;
    }
    const auto value = std::get<0>(got);
    if (!value) break;
    queued.push_back(*value);
  }
  for (int value : queued) co_await out.send(value);
  out.close();
}

task<> multiples_of(int prime, sender<int> out) {
  for (int i = prime * prime;; i += prime) co_await out.send(i);
}

// Merges the multiples of each prime as they come to be needed, by a heap of the streams' heads; the primes feed
// themselves back through a queue without bound, since the merger must never have to wait for its own consumer.
task<> composites_of(receiver<int> prime_source, sender<int> out) {
  struct stream {
    int head;
    receiver<int> rest;
    bool operator>(const stream& other) const { return head > other.head; }
  };
  std::priority_queue<stream, std::vector<stream>, std::greater<>> heads;
  const auto start = [](int prime) {
    channel<int> multiples;
    go(multiples_of, prime, multiples);
    return receiver<int>(multiples);
  };
  const auto push_next_of = [&heads](receiver<int> rest) -> task<> {
    auto head = co_await rest.recv();
    heads.push(stream{head.value(), std::move(rest)});
  };
  auto prime = co_await prime_source.recv();
  if (!prime) co_return;
  co_await push_next_of(start(*prime));
  prime = co_await prime_source.recv();
  int last = 0;
  while (prime) {
    stream least = heads.top();
    if (*prime * *prime <= least.head) {
      co_await push_next_of(start(*prime));
      prime = co_await prime_source.recv();
      continue;
    }
    heads.pop();
    if (least.head != last) {
      last = least.head;
      co_await out.send(last);
    }
    co_await push_next_of(std::move(least.rest));
  }
}

task<std::vector<int>> primes_by_merging(std::size_t count) {
  const channel<int> composites, feedback, queued;
  go(composites_of, queued, composites);
  go(buffer_without_bound, feedback, queued);
  std::vector<int> found{2, 3};
  co_await feedback.send(2);
  co_await feedback.send(3);
  int candidate = 4;
  while (found.size() < count) {
    auto composite = co_await composites.recv();
    for (; candidate < composite.value(); ++candidate) {
      found.push_back(candidate);
      co_await feedback.send(candidate);
    }
    ++candidate;
  }
  found.resize(count);
  co_return found;
}

}  // namespace

TEST_CASE("the prime sieve finds the primes and is torn down where it waits (semantics 50, 159)") {
  const std::size_t count = stressed(120);
  const auto expected = primes_by_division(count);
  for (std::size_t capacity : {0u, 1u, 10u}) {
    on_every_scheduler(
        [&]() -> task<> {
          const auto found = co_await primes(count, capacity);
          CHECK(found == expected);
        },
        2);
  }
}

TEST_CASE("two sieves in one program do not meet (semantics 50)") {
  const auto expected = primes_by_division(60);
  on_every_scheduler(
      [&]() -> task<> {
        auto other = go(primes, std::size_t{60}, std::size_t{0});
        const auto mine = co_await primes(60, 3);
        const auto theirs = co_await other;
        CHECK(mine == expected);
        CHECK(theirs == expected);
      },
      3);
}

TEST_CASE("a sieve that feeds itself back through a queue without bound, cases switched by nil (semantics 34, 50)") {
  const std::size_t count = stressed(150);
  const auto expected = primes_by_division(count);
  on_every_scheduler(
      [&]() -> task<> {
        const auto found = co_await primes_by_merging(count);
        CHECK(found == expected);
      },
      3);
}

TEST_CASE("a queue without bound keeps order, and what it holds survives the close of its input (semantics 19, 34)") {
  on_every_scheduler([]() -> task<> {
    const channel<int> in, out;
    go(buffer_without_bound, in, out);
    // Nobody receives yet, and still no send has to wait for long: there is no bound.
    for (int i = 0; i != 500; ++i) co_await in.send(i);
    in.close();
    int next = 0;
    while (auto value = co_await out.recv()) {
      CHECK(*value == next);
      ++next;
    }
    CHECK(next == 500);
  });
}
