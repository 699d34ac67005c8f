// A counter offered on several channels at once: a number that arrives twice was committed by two cases of one select,
// a number that is missing by none (semantics 52).
#include <doctest/doctest.h>

#include <cstddef>
#include <ringo/ringo.hpp>
#include <utility>
#include <variant>
#include <vector>

#include "every_scheduler.hpp"

using namespace ringo;

namespace {

task<> offer_numbers(std::vector<channel<int>> on, int count) {
  for (int i = 0; i != count; ++i) co_await select(on[0].send(i), on[1].send(i), on[2].send(i), on[3].send(i));
  for (const auto& ch : on) ch.close();
}

task<> forward(receiver<int> in, sender<int> out, channel<void> done) {
  while (auto value = co_await in.recv()) co_await out.send(*value);
  co_await done.send();
}

}  // namespace

TEST_CASE("what a select sends on one of four channels arrives once (semantics 52)") {
  on_every_scheduler(
      []() -> task<> {
        const int count = static_cast<int>(stressed(5000));
        for (std::size_t capacity : {0u, 1u}) {
          std::vector<channel<int>> channels;
          for (int i = 0; i != 4; ++i) channels.emplace_back(capacity);
          const channel<int> merged;
          const channel<void> done;
          go(offer_numbers, channels, count);
          for (const auto& ch : channels) go(forward, ch, merged, done);
          auto closing = go([merged, done]() -> task<> {
            for (int i = 0; i != 4; ++i) co_await done.recv();
            merged.close();
          });
          std::vector<int> times(static_cast<std::size_t>(count), 0);
          while (auto value = co_await merged.recv()) ++times.at(static_cast<std::size_t>(*value));
          co_await closing;
          CHECK(times == std::vector<int>(times.size(), 1));
        }
      },
      5);
}

TEST_CASE("what four senders offer to one select arrives once, and in each sender's order (semantics 1, 52)") {
  on_every_scheduler(
      []() -> task<> {
        const int count = static_cast<int>(stressed(250));
        for (std::size_t capacity : {0u, 2u}) {
          std::vector<channel<int>> channels;
          for (int i = 0; i != 4; ++i) channels.emplace_back(capacity);
          for (const auto& ch : channels) {
            go([ch, count]() -> task<> {
              for (int i = 0; i != count; ++i) co_await ch.send(i);
            });
          }
          std::vector<int> next(4, 0);
          bool in_order = true;
          for (int i = 0; i != 4 * count; ++i) {
            auto got = co_await select(channels[0].recv(), channels[1].recv(), channels[2].recv(), channels[3].recv());
            const auto value = std::visit([](const auto& one) { return one.value(); }, got);
            in_order = in_order && value == next[got.index()]++;
          }
          CHECK(in_order);
          CHECK(next == std::vector<int>(4, count));
        }
      },
      5);
}

TEST_CASE("selects that share their channels with plain operations double nothing (semantics 52, 66)") {
  on_every_scheduler([]() -> task<> {
    const int count = static_cast<int>(stressed(300));
    const channel<int> a, b;
    std::vector<int> times(static_cast<std::size_t>(3 * count), 0);
    wait_group senders;
    senders.go([=]() -> task<> {
      for (int i = 0; i != count; ++i) co_await select(a.send(i), b.send(i));
    });
    senders.go([=]() -> task<> {
      for (int i = count; i != 2 * count; ++i) co_await a.send(i);
    });
    senders.go([=]() -> task<> {
      for (int i = 2 * count; i != 3 * count; ++i) co_await b.send(i);
    });
    std::vector<std::vector<int>> taken(3);
    wait_group receivers;
    receivers.go([=, &mine = taken[0]]() -> task<> {
      while (auto value = co_await a.recv()) mine.push_back(*value);
    });
    receivers.go([=, &mine = taken[1]]() -> task<> {
      while (auto value = co_await b.recv()) mine.push_back(*value);
    });
    receivers.go([=, &mine = taken[2]]() -> task<> {
      for (;;) {
        auto got = co_await select(a.recv(), b.recv());
        const auto& value = got.index() == 0 ? std::get<0>(got) : std::get<1>(got);
        if (!value) break;
        mine.push_back(*value);
      }
    });
    co_await senders.wait();
    a.close();
    b.close();
    co_await receivers.wait();
    for (const auto& mine : taken) {
      for (int value : mine) ++times.at(static_cast<std::size_t>(value));
    }
    CHECK(times == std::vector<int>(times.size(), 1));
  });
}
