// event: a gate that is open or shut.
#include <doctest/doctest.h>

#include <atomic>
#include <memory>
#include <ringo/ringo.hpp>
#include <string>
#include <thread>
#include <variant>
#include <vector>

#include "every_scheduler.hpp"
#include "task_ending.hpp"

using namespace ringo;
using namespace std::chrono_literals;

TEST_CASE("set lets everybody go on who waits, and who comes later (181)") {
  on_every_scheduler([]() -> task<> {
    event start;
    wait_group all;
    std::atomic<int> ran = 0;
    int written_before = 0;
    for (int i = 0; i != 8; ++i) {
      all.go([&]() -> task<> {
        co_await start.wait();
        ran += written_before;
      });
    }
    co_await yield();
    CHECK(ran == 0);
    CHECK_FALSE(start.is_set());
    written_before = 1;
    start.set();
    CHECK(start.is_set());
    co_await all.wait();
    CHECK(ran == 8);
    co_await start.wait();
    start.set();
    auto r = co_await select(start.wait(), otherwise);
    CHECK(r.index() == 0);
  });
}

TEST_CASE("An event that is made set, or was set before the runtime ran, does not wait; reset shuts it") {
  event before;
  before.set();
  on_every_scheduler([&before]() -> task<> {
    event open(true);
    co_await open.wait();
    co_await before.wait();
    open.reset();
    CHECK_FALSE(open.is_set());
    auto r = co_await select(open.wait(), otherwise);
    CHECK(r.index() == 1);
  });
}

TEST_CASE("Whoever waited when it was set goes on, though it is reset before they run") {
  on_simulated_schedulers([]() -> task<> {
    event pulse;
    int woken = 0;
    std::vector<handle<>> waiting;
    for (int i = 0; i != 3; ++i) {
      waiting.push_back(go([&]() -> task<> {
        co_await pulse.wait();
        ++woken;
      }));
    }
    co_await testing::settle();
    pulse.set();
    pulse.reset();
    for (handle<>& each : waiting) co_await each;
    CHECK(woken == 3);
    auto late = co_await select(pulse.wait(), sleep(1s));
    CHECK(late.index() == 1);
  });
}

TEST_CASE("A wait that is cancelled or loses a select changes nothing (77)") {
  on_simulated_schedulers([]() -> task<> {
    event never_set;
    auto lost = co_await select(never_set.wait(), sleep(1s));
    CHECK(lost.index() == 1);
    auto impatient = go([&]() -> task<> { co_await never_set.wait(); });
    co_await testing::settle();
    impatient.cancel();
    const auto end = co_await ending_of(impatient);
    CHECK(end == ending::was_cancelled);
    never_set.set();
    co_await never_set.wait();
  });
}

TEST_CASE("Any thread may set and ask; the event may go when the waits have returned and the thread has ended") {
  for (unsigned workers : {1u, 2u, 4u}) {
    run(
        []() -> task<> {
          for (int round = 0; round != 20; ++round) {
            auto gate = std::make_unique<event>();
            int plain = 0;
            std::thread first([&] {
              plain = 1;
              gate->set();
            });
            co_await gate->wait();
            CHECK(plain == 1);
            std::thread second([&] {
              if (gate->is_set()) gate->set();
            });
            first.join();
            second.join();
            gate.reset();  // the second set may have to be done yet
          }
        },
        {.workers = workers});
  }
}

TEST_CASE("An event that nobody sets is a deadlock whose report names the wait (160)") {
  on_each(every_scheduler(2), [&](const scheduler_under_test& scheduler) {
    std::string report;
    try {
      scheduler.run([]() -> task<> {
        event e;
        co_await e.wait();
      });
    } catch (const deadlock& e) {
      report = e.what();
    }
    CHECK(report.find("waits for event") != std::string::npos);
  });
}
