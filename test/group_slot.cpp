// group::slot(): no place stays free while a routine waits for one.
#include <doctest/doctest.h>

#include <atomic>
#include <cstddef>
#include <vector>

#include "every_scheduler.hpp"
#include "reached.hpp"
#include "simulated/owned_coroutine.hpp"

using namespace ringo;

namespace {

task<> until_closed(const channel<> gate) { (void)co_await gate.recv(); }

}  // namespace

TEST_CASE("A routine that is woken for a place and starts nothing passes it on to the next") {
  on_every_scheduler([]() -> task<> {
    for (const bool in_a_select : {false, true}) {
      group g;
      g.limit(1);
      channel<> gate;
      g.go(until_closed, gate);
      const auto only_waits = [&]() -> task<> {
        in_a_select ? void(co_await select(g.slot(), never())) : co_await g.slot();
      };
      std::vector<handle<void>> all;
      for (int i = 0; i != 5; ++i) all.push_back(go(only_waits));
      for (int i = 0; i != 3; ++i) co_await yield();
      gate.close();
      for (auto& each : all) co_await each;
      reached("all have been woken");
      co_await g.wait();
    }
  });
}

TEST_CASE("A place passes by a routine that is cancelled before it goes on") {
  on_every_scheduler([]() -> task<> {
    group g;
    g.limit(1);
    channel<> gate;
    g.go(until_closed, gate);
    const auto only_waits = [&]() -> task<> { co_await g.slot(); };
    const auto cancelled_one = go(only_waits);
    co_await yield();
    const auto next = go(only_waits);
    for (int i = 0; i != 3; ++i) co_await yield();
    const auto closes = [gate, &cancelled_one]() -> task<> {
      gate.close();
      co_await yield();
      cancelled_one.cancel();
    };
    co_await go(closes);
    co_await next;
    reached("the next has been woken");
    (void)co_await outcome(cancelled_one);
    co_await g.wait();
  });
}

TEST_CASE("A place passes by a coroutine that is destroyed before it goes on") {
  on_simulated_schedulers([]() -> task<> {
    for (int turns = 0; turns != 6; ++turns) {
      group g;
      g.limit(1);
      channel<> gate;
      g.go(until_closed, gate);
      const auto waits_in_a_foreign_type = [](group& of) -> owned_coroutine { co_await of.slot(); };
      const auto only_waits = [&]() -> task<> { co_await g.slot(); };
      handle<void> next;
      {
        const owned_coroutine first = waits_in_a_foreign_type(g);
        next = go(only_waits);
        for (int i = 0; i != 3; ++i) co_await yield();
        gate.close();
        for (int i = 0; i != turns; ++i) co_await yield();
      }
      co_await next;
      reached("the next has been woken");
      co_await g.wait();
    }
  });
}

TEST_CASE("A place wakes no more routines than can use it, in their order") {
  const auto main = []() -> task<> {
    group g;
    g.limit(2);
    constexpr int producers = 6, rounds = 4;
    std::vector<int> order;
    int refused = 0;
    const auto member = []() -> task<> { co_await yield(); };
    const auto makes_work = [&](int id) -> task<> {
      for (int i = 0; i != rounds; ++i) {
        co_await g.slot();
        order.push_back(id);
        refused += !g.try_go(member);
      }
    };
    std::vector<handle<void>> all;
    for (int id = 0; id != producers; ++id) all.push_back(go(makes_work, id));
    for (auto& each : all) co_await each;
    co_await g.wait();
    CHECK(refused == 0);
    CHECK(order.size() == producers * rounds);
  };
  scheduler_under_test::real(1).run(main);
  on_simulated_schedulers(main);
}

TEST_CASE("A limit that is raised wakes the routines that wait for a place") {
  on_every_scheduler([]() -> task<> {
    group g;
    g.limit(0);
    std::atomic<int> ran = 0;
    const auto counts = [&ran]() -> task<> {
      ++ran;
      co_return;
    };
    const auto makes_work = [&]() -> task<> {
      co_await g.slot();
      g.go(counts);
    };
    const auto first = go(makes_work);
    const auto second = go(makes_work);
    for (int i = 0; i != 3; ++i) co_await yield();
    g.limit(1);
    co_await first;
    co_await second;
    co_await g.wait();
    CHECK(ran == 2);
  });
}
