// handle::cancel from several routines while values arrive: whatever was sent is received or still there, whatever
// was not sent is whole.
#include <doctest/doctest.h>

#include <atomic>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <ringo/ringo.hpp>
#include <utility>
#include <variant>
#include <vector>

#include "every_scheduler.hpp"

using namespace ringo;
using namespace std::chrono_literals;

namespace {

using value = std::unique_ptr<int>;

struct counts {
  std::atomic<std::size_t> sent = 0, received = 0, lost = 0, cancelled = 0;
};

task<> receive_until_cancelled(channel<value> a, channel<value> b, counts& all, std::size_t kind) {
  try {
    for (;;) {
      if (kind % 3 == 0) {
        auto v = co_await a.recv();
        if (!v || !*v) ++all.lost;
        ++all.received;
      } else if (kind % 3 == 1) {
        const auto chosen = co_await select(a.recv(), b.recv());
        (void)chosen;
        ++all.received;
      } else {
        const auto chosen = co_await select(b.recv(), sleep(50us), a.recv());
        if (chosen.index() != 1) ++all.received;
      }
    }
  } catch (const cancelled&) {
    ++all.cancelled;
  }
}

task<> send_until_cancelled(channel<value> a, channel<value> b, counts& all, std::size_t kind) {
  for (int n = 1;; ++n) {
    value v = std::make_unique<int>(n);
    bool sent = false;
    try {
      if (kind % 2 == 0) {
        co_await a.send(std::move(v));
        sent = true;
      } else {
        value w = std::make_unique<int>(n);
        const auto chosen = co_await select(a.send(std::move(v)), b.send(std::move(w)));
        sent = true;
        if ((chosen.index() == 0) == (v != nullptr) || (chosen.index() == 1) == (w != nullptr)) ++all.lost;
      }
    } catch (const cancelled&) {
    }
    if (sent) {
      ++all.sent;
      continue;
    }
    if (!v) ++all.lost;
    ++all.cancelled;
    co_return;
  }
}

task<> cancel_storm(std::size_t capacity, std::size_t rounds) {
  channel<value> a(capacity), b;
  counts all;
  constexpr std::size_t routines = 12;
  for (std::size_t round = 0; round != rounds; ++round) {
    std::vector<handle<>> victims;
    for (std::size_t i = 0; i != routines; ++i) {
      victims.push_back(i % 2 ? go(receive_until_cancelled, a, b, std::ref(all), i / 2)
                              : go(send_until_cancelled, a, b, std::ref(all), i / 2));
    }
    wait_group cancelling;
    for (std::size_t first = 0; first != 3; ++first) {
      // Each begins elsewhere, and all of them cancel each victim.
      cancelling.go([&victims, first, round]() -> task<> {
        for (std::size_t n = 0; n != round % 8; ++n) co_await yield();
        for (std::size_t i = 0; i != routines; ++i) {
          victims[(i + first * 4) % routines].cancel();
          if (i % 3 == first) co_await yield();
        }
      });
    }
    co_await cancelling.wait();
    for (handle<>& each : victims) co_await each;
    CHECK(all.cancelled == routines * (round + 1));
    while (a.try_recv()) ++all.received;
    CHECK(!b.try_recv());
    CHECK(all.received == all.sent);
  }
  CHECK(all.lost == 0);
  CHECK(!b.try_send(std::make_unique<int>(0)));
}

// Joins, wait_groups and sleeps, ended by their event or by a cancel at the same time.
task<> cancel_against_events(std::size_t rounds) {
  for (std::size_t round = 0; round != rounds; ++round) {
    channel<void> gate;
    wait_group opened;
    opened.add();
    std::atomic<int> ended = 0;
    auto opener = go([&]() -> task<> {
      co_await gate.recv();
      opened.done();
    });
    std::vector<handle<>> victims;
    const auto waits = [&ended](auto make_operation) -> task<> {
      try {
        co_await make_operation();
      } catch (const cancelled&) {
      }
      ++ended;
    };
    const auto finished = [&opener] { return opener.wait(); };
    const auto group = [&opened] { return opened.wait(); };
    const auto received = [&gate] { return gate.recv(); };
    const auto slept = [] { return sleep(20us); };
    for (int i = 0; i != 2; ++i) {
      victims.push_back(go(waits, finished));
      victims.push_back(go(waits, group));
      victims.push_back(go(waits, received));
      victims.push_back(go(waits, slept));
    }
    auto canceller = go([&victims, round]() -> task<> {
      for (std::size_t n = 0; n != round % 5; ++n) co_await yield();
      for (handle<>& each : victims) each.cancel();
    });
    for (std::size_t n = 0; n != round % 3; ++n) co_await yield();
    gate.close();
    for (handle<>& each : victims) co_await each;
    co_await canceller;
    co_await opener;
    CHECK(ended == 8);
  }
}

}  // namespace

TEST_CASE("cancel storms: no value is lost or doubled") {
  for (std::size_t capacity : {0u, 3u}) {
    on_several_workers([capacity]() -> task<> { co_await cancel_storm(capacity, stressed(60)); });
  }
}

TEST_CASE("a cancel that races with the event ends the wait once") {
  on_several_workers([]() -> task<> { co_await cancel_against_events(stressed(500)); });
}
