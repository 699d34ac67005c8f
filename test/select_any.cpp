// select_any and try_select_any: a select over a range of alike operations.
#include <doctest/doctest.h>

#include <list>
#include <memory>
#include <optional>
#include <ranges>
#include <ringo/ringo.hpp>
#include <span>
#include <stdexcept>
#include <utility>
#include <vector>

#include "every_scheduler.hpp"
#include "task_ending.hpp"

using namespace ringo;
using namespace std::chrono_literals;

namespace {

using receive = decltype(std::declval<channel<int>>().recv());
using transmit = decltype(std::declval<channel<int>>().send(std::declval<const int&>()));

std::vector<receive> receives_from(const std::vector<channel<int>>& channels) {
  std::vector<receive> cases;
  for (const auto& each : channels) cases.push_back(each.recv());
  return cases;
}

}  // namespace

TEST_CASE("select_any yields the index of the case that committed and its result (52)") {
  on_every_scheduler([]() -> task<> {
    std::vector<channel<int>> channels;
    for (int i = 0; i != 20; ++i) channels.emplace_back(std::size_t{1});
    channels[13].try_send(7);
    auto cases = receives_from(channels);
    auto won = co_await select_any(cases);
    CHECK(won.index == 13);
    CHECK(won.result == 7);
  });
}

TEST_CASE("The cases of select_any stay the caller's, and those that did not win may be used again (52)") {
  on_every_scheduler([]() -> task<> {
    constexpr std::size_t producers = 5;
    constexpr int each = 50;
    std::vector<channel<int>> channels(producers);
    for (const auto& c : channels) {
      go([c]() -> task<> {
        for (int i = 0; i != each; ++i) co_await c.send(i);
        c.close();
      });
    }
    auto cases = receives_from(channels);
    std::vector<int> next(producers);
    for (std::size_t open = producers; open != 0;) {
      auto won = co_await select_any(cases);
      if (won.result) {
        CHECK(*won.result == next[won.index]++);
        cases[won.index] = channels[won.index].recv();
      } else {
        cases[won.index] = channel<int>::nil().recv();
        --open;
      }
    }
    CHECK(next == std::vector<int>(producers, each));
  });
}

TEST_CASE("select_any over sends sends one value and keeps the others (52, 68)") {
  on_every_scheduler([]() -> task<> {
    std::vector<channel<int>> channels;
    for (int i = 0; i != 4; ++i) channels.emplace_back(std::size_t{1});
    std::vector<transmit> cases;
    for (int i = 0; i != 4; ++i) cases.push_back(channels[static_cast<std::size_t>(i)].send(std::as_const(i)));
    auto won = co_await select_any(cases);
    for (std::size_t i = 0; i != 4; ++i) {
      CHECK(channels[i].size() == (i == won.index ? 1 : 0));
      if (i == won.index) continue;
      co_await std::move(cases[i]);
      CHECK(channels[i].try_recv() == static_cast<int>(i));
    }
    CHECK(channels[won.index].try_recv() == static_cast<int>(won.index));
  });
}

TEST_CASE("select_any chooses uniformly among the ready cases (53)") {
  on_every_scheduler(
      []() -> task<> {
        constexpr int draws = 5000;
        constexpr std::size_t width = 5;
        std::vector<channel<int>> channels;
        for (std::size_t i = 0; i != 2 * width; ++i) channels.emplace_back(std::size_t{1});
        std::vector<int> taken(2 * width);
        for (int i = 0; i != draws; ++i) {
          for (std::size_t c = 0; c != width; ++c) channels[2 * c].try_send(i);
          auto cases = receives_from(channels);
          auto won = co_await select_any(cases);
          ++taken[won.index];
        }
        // 210 is more than seven standard deviations.
        for (std::size_t c = 0; c != 2 * width; ++c) {
          const int expected = c % 2 == 0 ? draws / static_cast<int>(width) : 0;
          CHECK(taken[c] > expected - (c % 2 == 0 ? 210 : 1));
          CHECK(taken[c] < expected + (c % 2 == 0 ? 210 : 1));
        }
      },
      2);
}

TEST_CASE("select_any of nothing waits for ever, and can be cancelled (58)") {
  on_each(every_scheduler(3), [&](const scheduler_under_test& scheduler) {
    auto program = []() -> task<> {
      std::vector<receive> none;
      co_await select_any(none);
    };
    CHECK_THROWS_AS(scheduler.run(program), deadlock);
  });
  on_simulated_schedulers([]() -> task<> {
    auto waiting = go([]() -> task<> {
      std::vector<receive> none;
      co_await select_any(none);
    });
    co_await testing::settle();
    waiting.cancel();
    const auto end = co_await ending_of(waiting);
    CHECK(end == ending::was_cancelled);
  });
}

TEST_CASE("select_any parks on ten thousand channels and is woken by one (71, 74)") {
  on_every_scheduler(
      []() -> task<> {
        std::vector<channel<int>> channels(10'000);
        auto wanted = channels[6'789];
        go([wanted]() -> task<> { co_await wanted.send(1); });
        auto cases = receives_from(channels);
        auto won = co_await select_any(cases);
        CHECK(won.index == 6'789);
        CHECK(won.result == 1);
        std::size_t residues = 0;
        for (const auto& each : channels) residues += each.try_send(1);
        CHECK(residues == 0);
      },
      1);
}

TEST_CASE("select_any takes any range: a list, a span, a part of a vector") {
  on_every_scheduler([]() -> task<> {
    std::vector<channel<int>> channels;
    for (int i = 0; i != 4; ++i) channels.emplace_back(std::size_t{1});
    for (int i = 0; i != 4; ++i) channels[static_cast<std::size_t>(i)].try_send(i);

    std::list<receive> listed;
    listed.push_back(channels[2].recv());
    auto from_list = co_await select_any(listed);
    CHECK(from_list.index == 0);
    CHECK(from_list.result == 2);

    auto cases = receives_from(channels);
    auto from_span = co_await select_any(std::span(cases).subspan(3));
    CHECK(from_span.index == 0);
    CHECK(from_span.result == 3);

    const auto receives = channels | std::views::take(2) | std::views::transform([](auto& c) { return c.recv(); });
    auto from_view = co_await select_any(receives);
    CHECK(from_view.result == static_cast<int>(from_view.index));
  });
}

TEST_CASE("select_any takes the same channel several times (65)") {
  on_simulated_schedulers([]() -> task<> {
    channel<int> c;
    auto selecting = go([c]() -> task<std::optional<int>> {
      std::vector<receive> cases;
      for (int i = 0; i != 3; ++i) cases.push_back(c.recv());
      auto won = co_await select_any(cases);
      co_return won.result;
    });
    co_await testing::settle();
    CHECK(c.try_send(1));
    CHECK_FALSE(c.try_send(2));
    const auto received = co_await selecting;
    CHECK(received == 1);
  });
}

TEST_CASE("select_any over routines yields them in the order in which they finish (77)") {
  on_simulated_schedulers([]() -> task<> {
    std::vector<handle<int>> running;
    for (int seconds : {3, 1, 4, 2, 5}) {
      running.push_back(go([seconds]() -> task<int> {
        co_await sleep(std::chrono::seconds(seconds));
        co_return seconds;
      }));
    }
    std::vector<int> finished;
    while (!running.empty()) {
      auto won = co_await select_any(running);
      finished.push_back(won.result);
      running.erase(running.begin() + static_cast<std::ptrdiff_t>(won.index));
    }
    CHECK(finished == std::vector<int>{1, 2, 3, 4, 5});
  });
}

TEST_CASE("select_any over signals says which came and whether it is still open (D5)") {
  on_every_scheduler([]() -> task<> {
    std::vector<channel<void>> signals_in;
    for (int i = 0; i != 3; ++i) signals_in.emplace_back(std::size_t{1});
    std::vector<decltype(signals_in[0].recv())> cases;
    for (const auto& each : signals_in) cases.push_back(each.recv());
    signals_in[1].try_send();
    auto won = co_await select_any(cases);
    CHECK(won.index == 1);
    CHECK(won.result == true);
    signals_in[2].close();
    cases[1] = signals_in[1].recv();
    auto closed = co_await select_any(cases);
    CHECK(closed.index == 2);
    CHECK(closed.result == false);
  });
}

TEST_CASE("try_select_any takes a ready case, or nothing, and never waits (56, 59)") {
  on_every_scheduler([]() -> task<> {
    std::vector<channel<int>> channels;
    for (int i = 0; i != 3; ++i) channels.emplace_back(std::size_t{1});
    auto cases = receives_from(channels);
    auto none = try_select_any(cases);
    CHECK_FALSE(none.has_value());
    channels[2].try_send(5);
    auto one = try_select_any(cases);
    REQUIRE(one.has_value());
    CHECK(one->index == 2);
    CHECK(one->result == 5);
    CHECK(channels[2].size() == 0);
    std::vector<receive> nothing;
    CHECK_FALSE(try_select_any(nothing).has_value());
    co_return;
  });
}

TEST_CASE("try_select_any leaves what did not win ready to be awaited (52)") {
  on_every_scheduler([]() -> task<> {
    channel<int> a(1), b(1);
    std::vector<receive> cases;
    cases.push_back(a.recv());
    cases.push_back(b.recv());
    CHECK_FALSE(try_select_any(cases).has_value());
    b.try_send(1);
    auto won = co_await select_any(cases);
    CHECK(won.index == 1);
    CHECK(won.result == 1);
  });
}

TEST_CASE("A send on a closed channel counts as ready for select_any and for try_select_any (61)") {
  on_every_scheduler([]() -> task<> {
    channel<int> closed;
    closed.close();
    const int value = 1;
    std::vector<transmit> cases;
    cases.push_back(closed.send(value));
    CHECK_THROWS_AS((void)try_select_any(cases), channel_closed);
    bool threw = false;
    try {
      std::vector<transmit> again;
      again.push_back(closed.send(value));
      co_await select_any(again);
    } catch (const channel_closed&) {
      threw = true;
    }
    CHECK(threw);
  });
}

TEST_CASE("Over two channels of which one is always ready, try_select_any never finds nothing (57)") {
  const auto rounds = stressed(1500);
  on_real_schedulers([rounds]() -> task<> {
    std::size_t missed = 0;
    for (std::size_t i = 0; i != rounds; ++i) {
      channel<int> first(1), second(1);
      channel<bool> found(1);
      first.try_send(1);
      go([first, second, found]() -> task<> {
        std::vector<receive> cases;
        cases.push_back(first.recv());
        cases.push_back(second.recv());
        found.try_send(try_select_any(cases).has_value());
        co_return;
      });
      second.try_send(1);
      first.try_recv();
      const auto saw = co_await found.recv();
      missed += saw != true;
    }
    CHECK(missed == 0);
  });
}

TEST_CASE("try_select_any takes handles as select_any does: the routine that has ended") {
  on_every_scheduler([]() -> task<> {
    channel<int> c;
    auto receives = [c]() -> task<int> { co_return *co_await c.recv(); };
    std::vector<handle<int>> started;
    started.push_back(go(receives));
    CHECK_FALSE(try_select_any(started).has_value());
    co_await c.send(7);
    co_await started[0].wait();
    const auto ended = try_select_any(started);
    REQUIRE(ended.has_value());
    CHECK(ended->index == 0);
    CHECK(ended->result == 7);
  });
}

TEST_CASE("Cases that await an operation in a way of their own may be used again if they did not win") {
  on_every_scheduler([]() -> task<> {
    channel<int> first(1), second(1);
    std::vector<decltype(shield(first.recv()))> cases;
    cases.push_back(shield(first.recv()));
    cases.push_back(shield(second.recv()));
    for (int i = 0; i != 3; ++i) {
      CHECK_FALSE(try_select_any(cases).has_value());
      second.try_send(i);
      const auto got = co_await select_any(cases);
      CHECK(got.index == 1);
      CHECK(got.result == i);
    }
    first.try_send(5);
    const auto got = co_await select_any(cases);
    CHECK(got.index == 0);
    CHECK(got.result == 5);
  });
}
