// A group that is used again after a wait(): the next use is no business of a routine that waited for the last one.
#include <doctest/doctest.h>

#include <atomic>
#include <cstddef>
#include <functional>
#include <sstream>
#include <string>
#include <vector>

#include "error_told.hpp"
#include "every_scheduler.hpp"

using namespace ringo;

namespace {

// Counts the members that come to their end without being cancelled.
task<> runs_to_its_end(std::atomic<int>& whole) {
  for (int i = 0; i != 3; ++i) co_await yield();
  ++whole;
}

task<> waits_in_a_shield(const channel<> gate) {
  const auto waits = [&gate]() -> task<> { (void)co_await gate.recv(); };
  co_await shield(waits());
}

}  // namespace

TEST_CASE("A wait() that has nothing to wait for ends its use of the group all the same (150)") {
  on_every_scheduler([]() -> task<> {
    const context parent = context::with_cancel();
    group g(parent);
    const context first = g.ctx();
    co_await g.wait();
    CHECK(first.is_cancelled());
    co_await g.wait();
    CHECK(g.ctx() == first);

    std::atomic<int> whole = 0;
    g.go(runs_to_its_end, std::ref(whole));
    const context second = g.ctx();
    CHECK(second != first);
    co_await g.wait();
    CHECK(whole == 1);
    CHECK(second.is_cancelled());

    parent.cancel();
    const auto after = co_await outcome(g.wait());
    CHECK(told(after.error()) == "cancelled");
  });
}

TEST_CASE("A routine that wakes late from wait() leaves the next use of the group alone") {
  on_every_scheduler([]() -> task<> {
    for (int round = 0; round != 5; ++round) {
      group g;
      std::atomic<int> whole = 0, broken = 0;
      channel<> gate;
      g.go(waits_in_a_shield, gate);
      const auto uses_it_again = [&]() -> task<> {
        co_await g.wait();
        g.go(runs_to_its_end, std::ref(whole));
        const auto ended = co_await outcome(g.wait());
        broken += told(ended.error()) != "nothing";
      };
      const auto only_waits = [&]() -> task<> {
        const auto ended = co_await outcome(g.wait());
        broken += told(ended.error()) != "nothing";
      };
      std::vector<handle<void>> all;
      all.push_back(go(uses_it_again));
      for (int i = 0; i != 3; ++i) all.push_back(go(only_waits));
      for (int i = 0; i != 3; ++i) co_await yield();
      gate.close();
      for (auto& each : all) co_await each;
      CHECK(whole == 1);
      CHECK(broken == 0);
    }
  });
}

TEST_CASE("A wait() that is cancelled, and comes to that late, leaves the next use of the group alone") {
  const auto main = []() -> task<> {
    group g;
    std::atomic<int> whole = 0;
    channel<> gate;
    g.go(waits_in_a_shield, gate);
    int waiting = 0;
    const auto only_waits = [&]() -> task<> {
      ++waiting;
      (void)co_await outcome(g.wait());
    };
    const auto late = go(only_waits);
    std::string second;
    const auto uses_it_again = [&]() -> task<> {
      ++waiting;
      co_await g.wait();
      g.go(runs_to_its_end, std::ref(whole));
      const auto ended = co_await outcome(g.wait());
      second = told(ended.error());
    };
    const auto first = go(uses_it_again);
    while (waiting != 2) co_await yield();
    gate.close();
    co_await yield();
    late.cancel();
    (void)co_await outcome(late);
    co_await first;
    CHECK(whole == 1);
    CHECK(second == "nothing");
  };
  scheduler_under_test::real(1).run(main);
  on_simulated_schedulers(main, 50);
}

TEST_CASE("A member that another routine starts when the last has ended is of the next use, and not cancelled") {
  on_every_scheduler([]() -> task<> {
    group g;
    std::atomic<int> whole = 0;
    std::atomic<bool> has_ended = false;
    const auto last = [&has_ended]() -> task<> {
      co_await yield();
      has_ended = true;
    };
    g.go(last);
    const auto starts_one_more = [&]() -> task<> {
      while (!has_ended) co_await yield();
      g.go(runs_to_its_end, std::ref(whole));
    };
    const auto other = go(starts_one_more);
    co_await g.wait();
    co_await other;
    co_await g.wait();
    CHECK(whole == 1);
  });
}

TEST_CASE("Several routines that start members at once after a wait() begin one new use") {
  // On real workers it takes some rounds until two of them meet.
  std::size_t rounds = 0;
  const auto main = [&rounds]() -> task<> {
    group g;
    for (std::size_t round = 0; round != rounds; ++round) {
      std::atomic<int> whole = 0, ended_early = 0;
      channel<> start;
      std::vector<handle<void>> all;
      const auto background = [&ended_early]() -> task<> {
        const auto ended = co_await outcome(never());
        ended_early += told(ended.error()) != "cancelled";
      };
      for (int i = 0; i != 4; ++i) {
        all.push_back(go([&, i, start]() -> task<> {
          (void)co_await start.recv();
          if (i == 0) g.background(background);
          i % 2 == 0 ? g.go(runs_to_its_end, std::ref(whole)) : void(g.try_go(runs_to_its_end, std::ref(whole)));
          (void)g.ctx().is_cancelled();
        }));
      }
      co_await yield();
      start.close();
      for (auto& each : all) co_await each;
      CHECK_FALSE(g.ctx().is_cancelled());
      const context of_this_use = g.ctx();
      co_await g.wait();
      CHECK(of_this_use.is_cancelled());
      CHECK(whole == 4);
      CHECK(ended_early == 0);
    }
  };
  on_each(every_scheduler(), [&](const scheduler_under_test& scheduler) {
    rounds = scheduler.is_simulated() ? 20 : stressed(500);
    scheduler.run(main);
  });
}

TEST_CASE("However it interleaves, a member that is started after a wait() runs to its end") {
  const auto seen = testing::explore([]() -> task<> {
    group g;
    int whole = 0;
    const auto member = [&whole]() -> task<> {
      co_await yield();
      ++whole;
    };
    const auto uses_it_again = [&]() -> task<> {
      co_await g.wait();
      g.go(member);
      co_await g.wait();
    };
    const auto only_waits = [&]() -> task<> { co_await g.wait(); };
    g.go(member);
    const auto first = go(uses_it_again);
    const auto second = go(only_waits);
    co_await first;
    co_await second;
    CHECK(whole == 2);
  });
  CHECK(seen.complete);
}

TEST_CASE("A report may be made while members come and go on other workers") {
  for (const unsigned workers : {2u, 4u}) {
    runtime rt({.workers = workers});
    rt.run([&rt]() -> task<> {
      group g;
      g.limit(2);
      std::atomic<bool> stop = false;
      const auto member = []() -> task<> { co_await yield(); };
      const auto makes_work = [&]() -> task<> {
        while (!stop) {
          co_await g.slot();
          g.go(member);
        }
      };
      const auto keeps_it_open = [&]() -> task<> {
        while (!stop) co_await yield();
      };
      g.go(keeps_it_open);
      const auto waits = [&g]() -> task<> { co_await g.wait(); };
      const auto waiting = go(waits);
      const auto first = go(makes_work);
      const auto second = go(makes_work);
      bool each_has_main = true;
      for (std::size_t i = 0; i != stressed(2000); ++i) {
        std::ostringstream text;
        rt.dump(text);
        each_has_main = each_has_main && text.str().find("(main)") != std::string::npos;
        co_await yield();
      }
      CHECK(each_has_main);
      stop = true;
      co_await first;
      co_await second;
      co_await waiting;
      co_await g.wait();
    });
  }
}
