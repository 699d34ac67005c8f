// Channels under many hands: closes that race with senders and receivers, selects that share channels.
#include <doctest/doctest.h>

#include <atomic>
#include <cstddef>
#include <functional>
#include <memory>
#include <ringo/ringo.hpp>
#include <utility>
#include <variant>
#include <vector>

#include "every_scheduler.hpp"

using namespace ringo;

namespace {

using value = std::unique_ptr<std::size_t>;

struct tally {
  std::atomic<std::size_t> count = 0, sum = 0;
  void add(std::size_t n) {
    ++count;
    sum += n;
  }
};

// One channel that four send to, four receive from and three close.
task<> close_storm(std::size_t capacity) {
  channel<value> c(capacity);
  tally sent, received;
  std::atomic<int> closes = 0, lost = 0;
  wait_group all;
  for (std::size_t i = 0; i != 4; ++i) {
    all.go([&, c, i]() -> task<> {
      for (std::size_t n = 1;; ++n) {
        value v = std::make_unique<std::size_t>(4 * n + i);
        bool open = true;
        try {
          co_await c.send(std::move(v));
          sent.add(4 * n + i);
        } catch (const channel_closed&) {
          open = false;
        }
        if (!open) {
          if (!v || *v != 4 * n + i) ++lost;
          co_return;
        }
      }
    });
    all.go([&, c]() -> task<> {
      while (auto v = co_await c.recv()) received.add(**v);
    });
  }
  for (int i = 0; i != 3; ++i) {
    all.go([&, c, i]() -> task<> {
      for (int n = 0; n != 20 + i; ++n) co_await yield();
      if (c.try_close()) ++closes;
    });
  }
  co_await all.wait();
  CHECK(closes == 1);
  CHECK(lost == 0);
  CHECK(sent.count == received.count);
  CHECK(sent.sum == received.sum);
}

// Go's TestSelectStress: to each channel one routine sends and another selects, and so for receiving (semantics 49).
task<> select_storm(std::size_t count) {
  std::vector<channel<std::size_t>> c;
  for (std::size_t capacity : {0u, 0u, 2u, 3u}) c.emplace_back(capacity);
  tally received;
  wait_group all;
  for (std::size_t k = 0; k != 4; ++k) {
    all.go([c = c[k], count]() -> task<> {
      for (std::size_t i = 0; i != count; ++i) co_await c.send(i);
    });
    all.go([&received, c = c[k], count]() -> task<> {
      for (std::size_t i = 0; i != count; ++i) received.add((co_await c.recv()).value());
    });
  }
  all.go([c, count]() mutable -> task<> {
    std::vector<std::size_t> done(4, 0);
    for (std::size_t i = 0; i != 4 * count; ++i) {
      const auto chosen =
          co_await select(c[3].send(done[3]), c[2].send(done[2]), c[0].send(done[0]), c[1].send(done[1]));
      const std::size_t of[] = {3, 2, 0, 1};
      const std::size_t k = of[chosen.index()];
      if (++done[k] == count) c[k] = channel<std::size_t>::nil();
    }
  });
  all.go([&received, c, count]() mutable -> task<> {
    std::vector<std::size_t> done(4, 0);
    for (std::size_t i = 0; i != 4 * count; ++i) {
      const auto got = co_await select(c[0].recv(), c[1].recv(), c[2].recv(), c[3].recv());
      received.add(std::visit([](const auto& v) { return v.value(); }, got));
      if (++done[got.index()] == count) c[got.index()] = channel<std::size_t>::nil();
    }
  });
  co_await all.wait();
  CHECK(received.count == 8 * count);
  CHECK(received.sum == 8 * (count * (count - 1) / 2));
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

void on_workers(const std::function<task<>()>& make_main) {
  for (unsigned workers : {2u, 4u, 8u}) scheduler_under_test::real(workers).run(make_main);
}

}  // namespace

TEST_CASE("close storms: every value that was sent is received, and one close wins") {
  for (std::size_t capacity : {0u, 1u, 5u}) {
    on_workers([capacity]() -> task<> {
      for (std::size_t round = stressed(30); round > 0; --round) co_await close_storm(capacity);
    });
  }
}

TEST_CASE("select storms over shared channels lose no wake-up and no value") {
  on_workers([]() -> task<> { co_await select_storm(stressed(4000)); });
}

TEST_CASE("routines that select between both ends of one channel pair with one another") {
  for (std::size_t capacity : {0u, 2u}) {
    on_workers([capacity]() -> task<> { co_await self_select_storm(capacity, stressed(500)); });
  }
}
