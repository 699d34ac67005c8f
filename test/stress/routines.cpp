// Routines that start and join others on several workers, in storms and in trees that live from stealing, and timers
// that many of them set.
#include <doctest/doctest.h>

#include <atomic>
#include <cstddef>
#include <functional>
#include <memory>
#include <ringo/ringo.hpp>
#include <vector>

#include "every_scheduler.hpp"

using namespace ringo;
using namespace std::chrono_literals;

namespace {

task<std::size_t> fibonacci(unsigned n) {
  if (n < 2) co_return n;
  auto first = go(fibonacci, n - 1);
  auto second = go(fibonacci, n - 2);
  const std::size_t sum = co_await first;
  co_return sum + co_await second;
}

task<> leaf(channel<std::size_t> to, std::size_t first, std::size_t size) {
  if (size == 1) {
    co_await to.send(first);
    co_return;
  }
  channel<std::size_t> from;
  for (std::size_t i = 0; i != 4; ++i) go(leaf, from, first + i * (size / 4), size / 4);
  std::size_t sum = 0;
  for (std::size_t i = 0; i != 4; ++i) sum += (co_await from.recv()).value();
  co_await to.send(sum);
}

task<> spawn_storm(std::size_t count) {
  std::atomic<std::size_t> ran = 0;
  wait_group parents;
  for (int p = 0; p != 4; ++p) {
    parents.go([&ran, count]() -> task<> {
      wait_group children;
      std::vector<handle<std::size_t>> joined;
      for (std::size_t i = 0; i != count; ++i) {
        children.go([&ran] { ++ran; });
        joined.push_back(go([&ran, i]() -> task<std::size_t> {
          ++ran;
          co_await yield();
          co_return i;
        }));
        go([&ran, held = std::make_shared<int>(1)] { ran += static_cast<std::size_t>(*held); });
      }
      std::size_t sum = 0;
      for (auto& each : joined) sum += co_await each;
      CHECK(sum == count * (count - 1) / 2);
      co_await children.wait();
    });
  }
  co_await parents.wait();
  while (ran != 12 * count) co_await yield();  // the detached
}

// Eight timers that some reset and stop while others wait for them.
task<> timer_storm(std::size_t count) {
  std::vector<std::unique_ptr<timer>> timers;
  for (int i = 0; i != 8; ++i) timers.push_back(std::make_unique<timer>(1h));
  ticker clock(30us);
  channel<void> quit;
  std::atomic<std::size_t> early = 0, fired = 0, ticked = 0;
  wait_group waiting, setting;
  for (std::size_t i = 0; i != 12; ++i) {
    waiting.go([&, i]() -> task<> {
      for (;;) {
        const auto chosen = co_await select(timers[i % 8]->wait(), quit.recv(), clock.tick());
        if (chosen.index() == 1) co_return;
        const time_point due = chosen.index() == 0 ? std::get<0>(chosen) : std::get<2>(chosen);
        if (due > now()) ++early;
        ++(chosen.index() == 0 ? fired : ticked);
      }
    });
  }
  for (std::size_t i = 0; i != 4; ++i) {
    setting.go([&, i]() -> task<> {
      for (std::size_t n = 0; n != count; ++n) {
        timer& t = *timers[(n * 5 + i) % 8];
        if (n % 3 == 0) {
          t.stop();
        } else {
          t.reset(std::chrono::microseconds((n * 7 + i) % 60));
        }
        if (n % 16 == 0) clock.reset(std::chrono::microseconds(20 + n % 40));
        if (n % 4 == 0) co_await yield();
      }
    });
  }
  co_await setting.wait();
  timers[0]->reset(0s);  // one at least comes
  while (fired == 0) co_await yield();
  quit.close();
  co_await waiting.wait();
  CHECK(early == 0);
}

// Routines that sleep and are abandoned by a select, so that timers come and go on all workers. Each value that is sent
// is received.
task<> sleep_storm(std::size_t count) {
  channel<std::size_t> values;
  std::atomic<std::size_t> sent = 0, received = 0, late = 0;
  wait_group all;
  for (std::size_t i = 0; i != 8; ++i) {
    all.go([&, i]() -> task<> {
      for (std::size_t n = 0; n != count; ++n) {
        if (i % 2) {
          const auto chosen = co_await select(values.recv(), sleep(std::chrono::microseconds(n % 30)));
          ++(chosen.index() == 0 ? received : late);
        } else {
          const auto chosen = co_await select(values.send(n), sleep(std::chrono::microseconds(n % 20)));
          ++(chosen.index() == 0 ? sent : late);
        }
      }
    });
  }
  co_await all.wait();
  CHECK(sent == received);
  CHECK(sent + received + late == 8 * count);
  CHECK(sent > 0);
  CHECK(late > 0);
  CHECK(!values.try_send(1));
  CHECK(!values.try_recv());
}

}  // namespace

TEST_CASE("a tree of joins adds up, however it is stolen") {
  on_several_workers([]() -> task<> {
    const std::size_t result = co_await fibonacci(18);
    CHECK(result == 2584);
  });
}

TEST_CASE("a tree of channels adds up, however it is stolen") {
  on_several_workers([]() -> task<> {
    channel<std::size_t> result;
    go(leaf, result, std::size_t{0}, std::size_t{1024});
    const auto sum = co_await result.recv();
    CHECK(sum == 1024 * 1023 / 2);
  });
}

TEST_CASE("storms of routines that are started, joined, counted and let go") {
  on_several_workers([]() -> task<> { co_await spawn_storm(stressed(2000)); });
}

TEST_CASE("timers and a ticker that many reset and stop while others wait for them") {
  on_several_workers([]() -> task<> { co_await timer_storm(stressed(5000)); });
}

TEST_CASE("sleeps that lose and win against channels leave nothing") {
  on_several_workers([]() -> task<> { co_await sleep_storm(stressed(2000)); });
}

TEST_CASE("a time that comes while its worker is busy is one value, for the one who waited first") {
  scheduler_under_test::real(1).run([]() -> task<> {
    timer t(100us);
    channel<int> got(2);
    const auto waits = [&t, &got](int who) -> task<> {
      co_await t.wait();
      co_await got.send(who);
    };
    auto first = go(waits, 1);
    for (int i = 0; i != 100; ++i) co_await yield();
    const time_point due = now() + 100us;
    while (now() <= due) {
    }
    auto second = go(waits, 2);
    const auto who = co_await got.recv();
    CHECK(who == 1);
    for (int i = 0; i != 100; ++i) co_await yield();
    CHECK(got.size() == 0);
    CHECK(!second.is_done());
    co_await first;
    second.cancel();
    co_await second.wait();  // it refers to the timer
  });
}
