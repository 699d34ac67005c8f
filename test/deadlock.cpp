// When nothing can ever run again, run throws deadlock with a report; and never otherwise.
#include <doctest/doctest.h>

#include <atomic>
#include <memory>
#include <optional>
#include <ringo/ringo.hpp>
#include <source_location>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "every_scheduler.hpp"
#include "reached.hpp"
#include "task_ending.hpp"

using namespace ringo;
using namespace std::chrono_literals;

namespace {

bool mentions(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

std::string here(unsigned line) { return "deadlock.cpp:" + std::to_string(line); }

// The report of the deadlock in which the program ends; empty if it does not.
template <class F>
std::string report_of(const scheduler_under_test& scheduler, F make_main) {
  try {
    scheduler.run(make_main);
  } catch (const deadlock& e) {
    return e.what();
  }
  return "";
}

// Where the program under test says that it waits; 0: it does not say.
unsigned waits_at = 0;

// Runs the program on every scheduler; each must end in a deadlock whose report mentions all of these, and the line at
// which the program waits.
template <class F>
void check_deadlock(F make_main, const std::vector<std::string>& parts = {}) {
  on_each(every_scheduler(3), [&](const scheduler_under_test& scheduler) {
    waits_at = 0;
    const auto report = report_of(scheduler, make_main);
    CHECK_FALSE(report.empty());
    if (waits_at != 0) CHECK(mentions(report, here(waits_at)));
    for (const auto& part : parts) {
      CAPTURE(part);
      CAPTURE(report);
      CHECK(mentions(report, part));
    }
  });
}

}  // namespace

TEST_CASE("A main that receives from a channel that nobody sends to is a deadlock (160)") {
  check_deadlock(
      []() -> task<> {
        channel<int> c;
        waits_at = std::source_location::current().line() + 1;
        co_await c.recv();
      },
      {"receive"});
  check_deadlock([]() -> task<> { co_await channel<int>().recv(); }, {"receive"});
}

TEST_CASE("A main that sends to a channel that nobody receives from is a deadlock (160)") {
  check_deadlock(
      []() -> task<> {
        channel<int> c;
        waits_at = std::source_location::current().line() + 1;
        co_await c.send(1);
      },
      {"send"});
}

TEST_CASE("A full buffer that nobody empties is a deadlock (160)") {
  check_deadlock(
      []() -> task<> {
        channel<int> c(3);
        for (int i = 0; i != 4; ++i) co_await c.send(i);
      },
      {"send"});
}

TEST_CASE("Waiting for ever is a deadlock (58, 160)") {
  check_deadlock([]() -> task<> { co_await never(); }, {"select"});
  check_deadlock([]() -> task<> { co_await channel<int>::nil().recv(); }, {"receive", "nil"});
  check_deadlock([]() -> task<> { co_await channel<int>::nil().send(1); }, {"send", "nil"});
}

TEST_CASE("What a group, a select or an all() waits for and has started is told of where the program calls it (160)") {
  const auto stuck = [](channel<int> c) -> task<int> { co_return *co_await c.recv(); };
  const auto times_told = [](const std::string& report, unsigned line) {
    int times = 0;
    for (auto at = report.find(here(line)); at != std::string::npos; at = report.find(here(line), at + 1)) ++times;
    return times;
  };
  static unsigned line;
  on_each(every_scheduler(3), [&](const scheduler_under_test& scheduler) {
    const auto of_group = report_of(scheduler, [&]() -> task<> {
      group g;
      g.go(stuck, channel<int>());
      line = std::source_location::current().line() + 1;
      co_await g.wait();
    });
    CHECK(times_told(of_group, line) == 1);
    const auto of_scope = report_of(scheduler, [&]() -> task<> {
      auto members = [&](group& g) -> task<> {
        g.go(stuck, channel<int>());
        co_return;
      };
      line = std::source_location::current().line() + 1;
      co_await scope(members);
    });
    CHECK(times_told(of_scope, line) == 1);
    // Where main waits, and where the task was started; the select names it, too.
    const auto of_select = report_of(scheduler, [&]() -> task<> {
      line = std::source_location::current().line() + 1;
      (void)co_await select(stuck(channel<int>()), never());
    });
    CHECK(times_told(of_select, line) == 3);
    const auto of_handler = report_of(scheduler, [&]() -> task<> {
      auto handler = [](auto) -> task<> { co_return; };
      line = std::source_location::current().line() + 1;
      (void)co_await select(on(channel<int>().recv(), handler), never());
    });
    CHECK(times_told(of_handler, line) == 1);
    // Main, where it waits; each of the two, where it was started; and what never() is awaited for.
    const auto of_all = report_of(scheduler, [&]() -> task<> {
      line = std::source_location::current().line() + 1;
      (void)co_await all(stuck(channel<int>()), never());
    });
    CHECK(times_told(of_all, line) == 4);
  });
}

TEST_CASE("The report lists every blocked routine: what it waits for, where, and where it was started (160)") {
  static unsigned started_sender, started_selecter, started_joiner, main_waits;
  on_each(every_scheduler(3), [](const scheduler_under_test& scheduler) {
    const auto report = report_of(scheduler, []() -> task<> {
      channel<int> nobody_receives, nobody_sends;
      started_sender = std::source_location::current().line() + 1;
      auto sender = go([nobody_receives]() -> task<> { co_await nobody_receives.send(1); });
      started_selecter = std::source_location::current().line() + 1;
      go([nobody_sends]() -> task<> { co_await select(nobody_sends.recv(), channel<int>::nil().recv()); });
      started_joiner = std::source_location::current().line() + 1;
      go([](handle<void> h) -> task<> { co_await h; }, std::move(sender));
      main_waits = std::source_location::current().line() + 1;
      co_await nobody_sends.recv();
    });
    CAPTURE(report);
    CHECK(mentions(report, "send"));
    CHECK(mentions(report, "receive"));
    CHECK(mentions(report, "select"));
    CHECK(mentions(report, "the end of"));
    CHECK(mentions(report, here(started_sender)));
    CHECK(mentions(report, here(started_selecter)));
    CHECK(mentions(report, here(started_joiner)));
    CHECK(mentions(report, here(main_waits)));
  });
}

TEST_CASE("A hundred blocked routines are all in the report (160)") {
  on_each(every_scheduler(1), [](const scheduler_under_test& scheduler) {
    const auto report = report_of(scheduler, []() -> task<> {
      channel<int> c;
      for (int i = 0; i != 100; ++i) go([c]() -> task<> { co_await c.recv(); });
      co_await c.recv();
    });
    CHECK(mentions(report, "101 routines on "));
    CHECK(mentions(report, "  100 routines ("));  // they wait at one place, and are one group
  });
}

TEST_CASE("To wait for the workers before draining their results is a deadlock that names both parties (174)") {
  static unsigned main_waits;
  static std::atomic<unsigned> worker_sends;  // of each of the workers' routines
  on_each(every_scheduler(3), [](const scheduler_under_test& scheduler) {
    const auto report = report_of(scheduler, []() -> task<> {
      // Counted by hand and owned by all, as the workers are unwound after main.
      auto workers = std::make_shared<wait_group>();
      channel<int> results;
      for (int i = 0; i != 3; ++i) {
        workers->add();
        go([workers, results, i]() -> task<> {
          worker_sends = std::source_location::current().line() + 1;
          co_await results.send(i);
          workers->done();
        });
      }
      main_waits = std::source_location::current().line() + 1;
      co_await workers->wait();
      results.close();
    });
    CAPTURE(report);
    CHECK(mentions(report, "wait_group"));
    CHECK(mentions(report, "send"));
    CHECK(mentions(report, here(main_waits)));
    CHECK(mentions(report, here(worker_sends)));
  });
}

TEST_CASE("Routines that wait for each other are a deadlock (160)") {
  check_deadlock(
      []() -> task<> {
        channel<int> a, b;
        auto first = go([a, b]() -> task<> {
          co_await a.recv();
          co_await b.send(1);
        });
        auto second = go([a, b]() -> task<> {
          co_await b.recv();
          co_await a.send(1);
        });
        co_await first;
        co_await second;
      },
      {"receive", "the end of"});
}

TEST_CASE("A deadlock that comes after a long life is found (160)") {
  check_deadlock(
      []() -> task<> {
        channel<int> c;
        go([c]() -> task<> {
          for (int i = 0; i != 100; ++i) co_await c.send(i);
        });
        co_await sleep(1ms);
        while (true) co_await c.recv();
      },
      {"receive"});
}

TEST_CASE("A deadlock that comes when the last sleeper has woken is found (160, 161)") {
  check_deadlock([]() -> task<> {
    for (int i = 0; i != 5; ++i) {
      go([i]() -> task<> { co_await sleep(std::chrono::microseconds(100 * i)); });
    }
    co_await never();
  });
}

TEST_CASE("At a deadlock everything is unwound as when main ends, and main last (159, 160)") {
  on_each(every_scheduler(3), [](const scheduler_under_test& scheduler) {
    struct says_when {
      says_when(std::atomic<int>& clock, std::atomic<int>& time) : clock_(clock), time_(time) {}
      says_when(const says_when&) = delete;
      says_when& operator=(const says_when&) = delete;
      ~says_when() { time_ = ++clock_; }
      std::atomic<int>& clock_;
      std::atomic<int>& time_;
    };
    std::atomic<int> clock = 0, main_time = 0, first_time = 0, second_time = 0;
    const auto report = report_of(scheduler, [&]() -> task<> {
      const says_when of_main(clock, main_time);
      channel<int> c;
      go([&, c]() -> task<> {
        const says_when of_first(clock, first_time);
        co_await c.recv();
      });
      go([&, c]() -> task<> {
        const says_when of_second(clock, second_time);
        co_await c.recv();
      });
      co_await never();
    });
    CHECK_FALSE(report.empty());
    CHECK(clock == 3);
    CHECK(main_time == 3);
    CHECK(first_time + second_time == 3);
  });
}

TEST_CASE("A deadlock thrown out of run leaves the process fit for another run (160)") {
  for (int i = 0; i != 5; ++i) {
    CHECK_THROWS_AS(run([]() -> task<> { co_await never(); }), deadlock);
    CHECK(run([]() -> task<int> { co_return 3; }) == 3);
  }
}

TEST_CASE("Routines that block for ever while main can go on are no deadlock (161)") {
  on_every_scheduler([]() -> task<> {
    channel<int> c;
    for (int i = 0; i != 5; ++i) go([c]() -> task<> { co_await c.recv(); });
    go([]() -> task<> { co_await never(); });
    for (int i = 0; i != 20; ++i) co_await yield();
    co_await sleep(1ms);
    reached("main goes on");
  });
}

TEST_CASE("While a timer is pending there is no deadlock (161)") {
  on_every_scheduler([]() -> task<> {
    channel<int> c;
    go([c]() -> task<> {
      co_await sleep(2ms);
      co_await c.send(1);
    });
    const auto value = co_await c.recv();
    CHECK(value == 1);

    timer alarm(2ms);
    co_await alarm.wait();
    ticker clock(1ms);
    for (int i = 0; i != 2; ++i) co_await clock.tick();
    auto r = co_await select(c.recv(), sleep(1ms));
    CHECK(r.index() == 1);
  });
}

TEST_CASE("While another thread might yet send, receive, close or start there is no deadlock (161)") {
  for (unsigned workers : {1u, 2u, 4u}) {
    channel<int> numbers;
    channel<void> over;
    std::atomic<bool> blocked = false;
    std::thread foreign([&] {
      while (!blocked) std::this_thread::yield();
      for (int i = 0; i != 10; ++i) numbers.send_blocking(i);
      numbers.close();
      over.close();
    });
    const int sum = run(
        [numbers, over, &blocked]() -> task<int> {
          blocked = true;
          int total = 0;
          while (auto value = co_await numbers.recv()) total += *value;
          co_await over.recv();
          co_return total;
        },
        {.workers = workers});
    foreign.join();
    CHECK(sum == 45);
  }
}

TEST_CASE("When the last foreign thread has ended there may be a deadlock again (160, 161)") {
  std::thread foreign([] {});
  foreign.join();
  CHECK_THROWS_AS(run([]() -> task<> { co_await never(); }, {.workers = 2}), deadlock);
}

TEST_CASE("A foreign thread that ends while main waits leaves main in a deadlock, which is found (160)") {
  static std::atomic<bool> blocked = false;  // the thread may have a last look at it when this function has returned
  std::thread foreign([] {
    while (!blocked) std::this_thread::yield();
  });
  foreign.detach();
  CHECK_THROWS_AS(run(
                      []() -> task<> {
                        blocked = true;
                        co_await never();
                      },
                      {.workers = 1}),
                  deadlock);
}

TEST_CASE("Many rounds in which every worker goes idle are never taken for a deadlock (161)") {
  const auto rounds = stressed(300);
  on_real_schedulers([rounds]() -> task<> {
    // All workers park, again and again, with nothing but a hand-off or a timer to wake them.
    for (std::size_t i = 0; i != rounds; ++i) {
      channel<int> there, back;
      auto other = go([there, back]() -> task<> {
        const auto value = co_await there.recv();
        if (value.value() % 10 == 0) co_await sleep(20us);
        co_await back.send(*value);
      });
      co_await there.send(static_cast<int>(i));
      const auto value = co_await back.recv();
      CHECK(value == static_cast<int>(i));
      co_await other;
    }
  });
}

TEST_CASE("a member that waits for a slot of its own full group is named by the report (157)") {
  std::string report;
  try {
    run(
        []() -> task<> {
          group g;
          g.limit(1);
          g.go([](group& of) -> task<> { co_await of.slot(); }, std::ref(g));
          co_await g.wait();
        },
        {.workers = 1});
  } catch (const deadlock& d) {
    report = d.what();
  }
  CHECK(report.find("(limit 1)") != std::string::npos);
  CHECK(report.find("the end of a group's members") != std::string::npos);
}
