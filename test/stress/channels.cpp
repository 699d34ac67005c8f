// Channels that many routines select on. close_storm.cpp has closes.
#include <doctest/doctest.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <ringo/ringo.hpp>
#include <utility>
#include <variant>
#include <vector>

#include "every_scheduler.hpp"

using namespace ringo;

namespace {

struct tally {
  std::atomic<std::size_t> count = 0, sum = 0;
  void add(std::size_t n) {
    ++count;
    sum += n;
  }
};

// Go's TestSelectStress: on each of four channels one plain sender and one plain receiver, and over all of them one
// selecting sender and one selecting receiver, which switch off the channels that they are done with. A wake-up that is
// lost stops all of it.
using numbers = channel<std::uint64_t>;

constexpr std::array<std::size_t, 4> capacities = {0, 0, 2, 3};

std::vector<numbers> four_channels() {
  std::vector<numbers> channels;
  for (std::size_t capacity : capacities) channels.emplace_back(capacity);
  return channels;
}

// 1 to n on each of the four, in turns that the select decides; gives the sum of all.
task<std::uint64_t> send_by_select(std::vector<numbers> open, std::uint64_t n) {
  std::array<std::uint64_t, 4> sent = {};
  std::uint64_t sum = 0;
  for (std::uint64_t i = 0; i != 4 * n; ++i) {
    auto got = co_await select(open[0].send(sent[0] + 1), open[1].send(sent[1] + 1), open[2].send(sent[2] + 1),
                               open[3].send(sent[3] + 1));
    const std::size_t chosen = got.index();
    sum += ++sent[chosen];
    if (sent[chosen] == n) open[chosen] = numbers::nil();
  }
  co_return sum;
}

task<std::uint64_t> receive_by_select(std::vector<numbers> open, std::uint64_t n) {
  std::array<std::uint64_t, 4> received = {};
  std::uint64_t sum = 0;
  for (std::uint64_t i = 0; i != 4 * n; ++i) {
    auto got = co_await select(open[0].recv(), open[1].recv(), open[2].recv(), open[3].recv());
    sum += std::visit([](const auto& value) { return value.value(); }, got);
    const std::size_t chosen = got.index();
    if (++received[chosen] == n) open[chosen] = numbers::nil();
  }
  co_return sum;
}

task<std::uint64_t> send_plainly(numbers ch, std::uint64_t n) {
  std::uint64_t sum = 0;
  for (std::uint64_t i = 1; i <= n; ++i) {
    co_await ch.send(i);
    sum += i;
  }
  co_return sum;
}

task<std::uint64_t> receive_plainly(numbers ch, std::uint64_t n) {
  std::uint64_t sum = 0;
  for (std::uint64_t i = 0; i != n; ++i) {
    auto value = co_await ch.recv();
    sum += value.value();
  }
  co_return sum;
}

// Routines that each select between sending and receiving on one channel pair with one another (semantics 64).
task<> self_select_storm(std::size_t capacity, std::size_t count) {
  channel<std::size_t> c(capacity);
  tally sent, received;
  wait_group all;
  for (std::size_t i = 0; i != 6; ++i) {
    all.go([&, i]() -> task<> {
      for (std::size_t n = 0; n != count; ++n) {
        const std::size_t mine = i * count + n;
        for (bool done = false; !done;) {
          const auto chosen = co_await select(c.send(mine), c.recv());
          if (chosen.index() == 0) {
            sent.add(mine);
            done = true;
          } else {
            received.add(std::get<1>(chosen).value());
          }
        }
      }
    });
  }
  // Those who have sent all leave; this one takes what the last of them offers.
  all.go([&]() -> task<> {
    while (sent.count < 6 * count) {
      const auto got = co_await select(c.recv(), otherwise);
      if (got.index() == 0) received.add(std::get<0>(got).value());
      co_await yield();
    }
  });
  co_await all.wait();
  while (auto left = c.try_recv()) received.add(*left);
  CHECK(sent.count == 6 * count);
  CHECK(received.count == sent.count);
  CHECK(received.sum == sent.sum);
}

task<std::uint64_t> sum_of(std::vector<handle<std::uint64_t>>& counting) {
  std::uint64_t total = 0;
  for (auto& one : counting) {
    const std::uint64_t sum = co_await one;
    total += sum;
  }
  co_return total;
}

}  // namespace

TEST_CASE("ten routines on four channels, some by select: no wake-up is lost (semantics 49)") {
  on_every_scheduler(
      []() -> task<> {
        const std::uint64_t n = stressed(4000);
        const auto channels = four_channels();
        std::vector<handle<std::uint64_t>> sending, receiving;
        for (const auto& ch : channels) {
          sending.push_back(go(send_plainly, ch, n));
          receiving.push_back(go(receive_plainly, ch, n));
        }
        sending.push_back(go(send_by_select, channels, n));
        receiving.push_back(go(receive_by_select, channels, n));
        const std::uint64_t sent = co_await sum_of(sending);
        const std::uint64_t received = co_await sum_of(receiving);
        CHECK(sent == 8 * (n * (n + 1) / 2));
        CHECK(received == sent);
        for (const auto& ch : channels) CHECK(ch.size() == 0);
      },
      5);
}

TEST_CASE("several selecting senders and receivers on the same four channels (semantics 49, 65)") {
  on_every_scheduler(
      []() -> task<> {
        const std::uint64_t n = stressed(300);
        const auto channels = four_channels();
        std::vector<handle<std::uint64_t>> sending, receiving;
        for (int i = 0; i != 3; ++i) {
          sending.push_back(go(send_by_select, channels, n));
          receiving.push_back(go(receive_by_select, channels, n));
        }
        const std::uint64_t sent = co_await sum_of(sending);
        const std::uint64_t received = co_await sum_of(receiving);
        CHECK(sent == 12 * (n * (n + 1) / 2));
        CHECK(received == sent);
      },
      5);
}

TEST_CASE("routines that select between both ends of one channel pair with one another") {
  for (std::size_t capacity : {0u, 2u}) {
    on_several_workers([capacity]() -> task<> { co_await self_select_storm(capacity, stressed(500)); });
  }
}
