// Nobody starves: routines whose operations are always ready, pairs that hand to each other, timers, and yields.
#include <doctest/doctest.h>
#include <sys/socket.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <deque>
#include <functional>
#include <optional>
#include <ringo/ringo.hpp>
#include <string>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

#include "every_scheduler.hpp"
#include "reached.hpp"
#include "task_ending.hpp"

using namespace ringo;
using namespace std::chrono_literals;

namespace {

// Programs that some routine never leaves off: real workers only, as virtual time stands still while anybody runs.
// Each of these tests fails by not ending.

task<> receive_for_ever(channel<int> closed, std::atomic<bool>& stop) {
  while (!stop) co_await closed.recv();
}

}  // namespace

TEST_CASE("A routine whose operations are always ready lets other routines run (166)") {
  on_every_scheduler([]() -> task<> {
    channel<int> closed;
    closed.close();
    std::atomic<bool> stop = false;
    auto hog = go(receive_for_ever, closed, std::ref(stop));
    for (int i = 0; i != 20; ++i) co_await yield();
    reached("main has its turns");
    stop = true;
    co_await hog;
  });
}

TEST_CASE("A routine whose operations are always ready lets timers run (75)") {
  on_real_schedulers([]() -> task<> {
    channel<int> closed;
    closed.close();
    std::atomic<bool> stop = false;
    std::vector<handle<void>> hogs;
    for (int i = 0; i != 10; ++i) hogs.push_back(go(receive_for_ever, closed, std::ref(stop)));
    for (int i = 0; i != 5; ++i) co_await sleep(200us);
    reached("sleeps end");
    stop = true;
    for (auto& each : hogs) co_await each;
  });
}

TEST_CASE("Every kind of operation that is always ready lets others run (166)") {
  on_every_scheduler(
      []() -> task<> {
        channel<int> buffer(1), quiet, closed;
        closed.close();
        std::atomic<bool> stop = false;
        wait_group hogs;
        hogs.go([buffer, &stop]() -> task<> {
          while (!stop) {
            co_await buffer.send(1);
            co_await buffer.recv();
          }
        });
        hogs.go([closed, quiet, &stop]() -> task<> {
          while (!stop) co_await select(closed.recv(), quiet.recv());
        });
        hogs.go([quiet, &stop]() -> task<> {
          while (!stop) co_await select(quiet.recv(), otherwise);
        });
        hogs.go([closed, &stop]() -> task<> {
          std::vector<decltype(closed.recv())> cases;
          while (!stop) {
            cases.clear();
            cases.push_back(closed.recv());
            co_await select_any(cases);
          }
        });
        hogs.go([&stop]() -> task<> {
          wait_group nobody;
          while (!stop) co_await nobody.wait();
        });
        hogs.go([&stop]() -> task<> {
          while (!stop) co_await sleep(0s);
        });
        hogs.go([&stop]() -> task<> {
          while (!stop) co_await select(sleep(0s), never());
        });
        hogs.go([&stop]() -> task<> {
          while (!stop) {
            timer t(0s);
            co_await t.wait();
          }
        });
        hogs.go([&stop]() -> task<> {
          auto ended = go([]() -> task<> { co_return; });
          while (!stop) co_await ended.wait();
        });
        hogs.go([&stop]() -> task<> {
          auto nothing = []() -> task<> { co_return; };
          while (!stop) {
            co_await nothing();
            co_await yield();
          }
        });
        for (int i = 0; i != 50; ++i) co_await yield();
        reached("main has its turns");
        stop = true;
        co_await hogs.wait();
      },
      3);
}

TEST_CASE("A routine that starts and joins others for ever lets the rest run (166)") {
  on_every_scheduler([]() -> task<> {
    std::atomic<bool> stop = false;
    auto hog = go([&stop]() -> task<> {
      while (!stop) {
        auto child = go([]() -> task<> { co_return; });
        co_await child;
      }
    });
    for (int i = 0; i != 50; ++i) co_await yield();
    reached("main has its turns");
    stop = true;
    co_await hog;
  });
}

TEST_CASE("Two routines that hand to each other for ever do not keep a third from running (166)") {
  on_every_scheduler([]() -> task<> {
    channel<int> there, back;
    std::atomic<bool> stop = false;
    auto first = go([there, back, &stop]() -> task<> {
      while (!stop) {
        co_await there.send(1);
        co_await back.recv();
      }
      there.close();
    });
    auto second = go([there, back]() -> task<> {
      while (auto value = co_await there.recv()) co_await back.send(*value);
    });
    for (int i = 0; i != 50; ++i) co_await yield();
    reached("the third has its turns");
    stop = true;
    co_await first;
    co_await second;
  });
}

TEST_CASE("Pairs that hand to each other share one worker about equally (166)") {
  // One worker, so that the counts are those of one queue; the pairs do the same, so they are to come about equally
  // far.
  const std::vector<scheduler_under_test> schedulers = {scheduler_under_test::real(1),
                                                        scheduler_under_test::simulated(1, 0)};
  on_each(schedulers, [](const scheduler_under_test& scheduler) {
    scheduler.run([]() -> task<> {
      constexpr int pairs = 3;
      constexpr int enough = 20'000;
      std::vector<int> rounds(pairs);
      bool stop = false;
      wait_group all;
      for (int p = 0; p != pairs; ++p) {
        channel<int> there, back;
        auto& count = rounds[static_cast<std::size_t>(p)];
        all.go([there, back, &count, &stop]() -> task<> {
          while (!stop) {
            co_await there.send(1);
            co_await back.recv();
            if (++count == enough) stop = true;
          }
          there.close();
        });
        all.go([there, back]() -> task<> {
          while (auto value = co_await there.recv()) co_await back.send(*value);
        });
      }
      co_await all.wait();
      const auto [fewest, most] = std::minmax_element(rounds.begin(), rounds.end());
      CHECK(*most >= enough);
      CHECK(*fewest >= *most / 2);
    });
  });
}

TEST_CASE(
    "A pair of routines that hand to each other does not starve one that yields, nor is starved by it (166, 167)") {
  const std::vector<scheduler_under_test> schedulers = {scheduler_under_test::real(1),
                                                        scheduler_under_test::simulated(1, 0)};
  on_each(schedulers, [](const scheduler_under_test& scheduler) {
    scheduler.run([]() -> task<> {
      channel<int> there, back;
      int rounds = 0, yields = 0;
      bool stop = false;
      auto first = go([there, back, &rounds, &stop]() -> task<> {
        while (!stop) {
          co_await there.send(1);
          co_await back.recv();
          ++rounds;
        }
        there.close();
      });
      auto second = go([there, back]() -> task<> {
        while (auto value = co_await there.recv()) co_await back.send(*value);
      });
      while (yields != 1000 || rounds < 100) {
        if (yields != 1000) ++yields;
        co_await yield();
      }
      stop = true;
      co_await first;
      co_await second;
      CHECK(yields == 1000);
      CHECK(rounds >= 100);
    });
  });
}

TEST_CASE("A timer beside two producers that are always ready is served (75)") {
  on_real_schedulers([]() -> task<> {
    channel<int> left, right;
    std::atomic<bool> stop = false;
    wait_group producers;
    for (const auto& out : {left, right}) {
      producers.go([out, &stop]() -> task<> {
        while (!stop) co_await select(out.send(1), sleep(1ms));
      });
    }
    co_await select(left.recv(), right.recv());  // both are at work now
    timer alarm(5ms);
    while ((co_await select(left.recv(), right.recv(), alarm.wait())).index() != 2) {
    }
    reached("the timer is heard");
    stop = true;
    co_await producers.wait();
  });
}

TEST_CASE("Timers of several routines beside producers that are always ready are all served (75)") {
  on_real_schedulers([]() -> task<> {
    channel<int> values;
    std::atomic<bool> stop = false;
    wait_group producers, consumers;
    for (int i = 0; i != 2; ++i) {
      producers.go([values, &stop]() -> task<> {
        while (!stop) co_await select(values.send(1), sleep(1ms));
      });
    }
    for (int i = 0; i != 4; ++i) {
      consumers.go([values]() -> task<> {
        timer alarm(3ms);
        while (true) {
          auto r = co_await select(values.recv(), alarm.wait());
          if (r.index() == 1) break;
        }
      });
    }
    co_await consumers.wait();
    reached("each consumer has heard its timer");
    stop = true;
    co_await producers.wait();
  });
}

TEST_CASE("Of two producers that are always ready neither is starved (53, 75)") {
  on_every_scheduler(
      []() -> task<> {
        channel<int> left, right;
        std::atomic<bool> stop = false;
        wait_group producers;
        for (const auto& out : {left, right}) {
          producers.go([out, &stop]() -> task<> {
            while (!stop) co_await select(out.send(1), sleep(1ms));
          });
        }
        int from_left = 0, from_right = 0;
        while (from_left < 100 || from_right < 100) {
          auto r = co_await select(left.recv(), right.recv());
          ++(r.index() == 0 ? from_left : from_right);
        }
        stop = true;
        co_await producers.wait();
        CHECK(from_left >= 100);
        CHECK(from_right >= 100);
      },
      3);
}

TEST_CASE("A routine that only yields makes progress, and lets others make it (167)") {
  on_every_scheduler([]() -> task<> {
    std::atomic<int> turn = 0;
    wait_group all;
    constexpr int routines = 4;
    for (int me = 0; me != routines; ++me) {
      all.go([me, &turn]() -> task<> {
        for (int i = 0; i != 25; ++i) {
          while (turn % routines != me) co_await yield();
          ++turn;
        }
      });
    }
    co_await all.wait();
    CHECK(turn == 100);
  });
}

TEST_CASE("N workers run N routines truly at once, though they never await (165, 168)") {
  for (unsigned workers : {2u, 4u}) {
    run(
        [workers]() -> task<> {
          // Each passes the turn on, and none awaits before it is over: all must be running at the same time.
          constexpr unsigned rounds = 10;
          std::atomic<unsigned> turn = 0;
          std::vector<handle<void>> all;
          for (unsigned me = 0; me != workers; ++me) {
            all.push_back(go([me, workers, &turn] {
              for (unsigned i = 0; i != rounds; ++i) {
                while (turn != i * workers + me) std::this_thread::yield();
                ++turn;
              }
            }));
          }
          for (auto& each : all) co_await each;
          CHECK(turn == rounds * workers);
        },
        {.workers = workers});
  }
}

TEST_CASE("At most N routines run at once on N workers (168)") {
  for (unsigned workers : {1u, 2u, 3u}) {
    run(
        [workers]() -> task<> {
          std::atomic<unsigned> running = 0, most = 0;
          wait_group all;
          for (int i = 0; i != 50; ++i) {
            all.go([&]() -> task<> {
              for (int k = 0; k != 20; ++k) {
                const unsigned now_running = ++running;
                unsigned seen = most;
                while (seen < now_running && !most.compare_exchange_weak(seen, now_running)) {
                }
                --running;
                co_await yield();
              }
            });
          }
          co_await all.wait();
          CHECK(most >= 1);
          CHECK(most <= workers);
        },
        {.workers = workers});
  }
}

TEST_CASE("A worker that is kept by one routine does not keep the ready ones behind it (165)") {
  run(
      []() -> task<> {
        std::atomic<bool> over = false;
        channel<int> c;
        std::vector<handle<void>> others;
        for (int i = 0; i != 10; ++i) {
          others.push_back(go([c, i]() -> task<> {
            co_await yield();
            co_await c.send(i);
          }));
        }
        auto watcher = go([c, &over]() -> task<> {
          for (int i = 0; i != 10; ++i) co_await c.recv();
          over = true;
        });
        auto hog = go([&over] {
          while (!over) std::this_thread::yield();
        });
        co_await hog;
        reached("the others have run beside the hog");
        co_await watcher;
        for (auto& each : others) co_await each;
      },
      {.workers = 2});
}

// Fails by not ending.
TEST_CASE("Whom a routine wakes and then computes on, again and again, runs on another worker meanwhile (165)") {
  run(
      []() -> task<> {
        channel<void> ticks;
        std::atomic<int> counted = 0;
        auto counter = go([ticks, &counted]() -> task<> {
          while (co_await ticks.recv()) ++counted;
        });
        for (int sent = 1, meanwhile = 0; meanwhile < 3; ++sent) {
          co_await ticks.send();
          if (counted == sent) continue;  // it has run before this one did
          const auto until = std::chrono::steady_clock::now() + 20ms;
          while (counted != sent && std::chrono::steady_clock::now() < until) std::this_thread::yield();
          if (counted == sent) ++meanwhile;
        }
        reached("the counter has run beside the routine that computes");
        ticks.close();
        co_await counter;
      },
      {.workers = 2});
}

TEST_CASE(
    "Beside two that hand to each other and compute, bytes and timers are served before a hundred hand-overs or so") {
  const auto compute = [](duration how_long) {
    for (const auto until = std::chrono::steady_clock::now() + how_long; std::chrono::steady_clock::now() < until;) {
    }
  };
  for (const bool is_timer : {true, false}) {
    run(
        [&]() -> task<> {
          auto ends = unix_stream::pair();
          channel<void> ticks;
          duration how_long{};
          auto counter = go([&]() -> task<> {
            while (co_await ticks.recv()) compute(how_long);
          });
          std::atomic<bool> served = false;
          auto waits = go([&]() -> task<> {
            is_timer ? co_await sleep(5ms) : void(co_await ends.second.recv());
            served = true;
          });
          // Until now each turn has been short.
          for (int i = 0; i < 5000; ++i) co_await ticks.send();
          how_long = 500us;
          CHECK(::write(ends.first.native_handle(), "bytes", 5) == 5);
          int sent = 0;
          for (; !served; ++sent) {
            compute(how_long);
            co_await ticks.send();
          }
          CHECK(sent < 300);
          ticks.close();
          co_await counter;
          co_await waits;
        },
        {.workers = 1});
  }
}

namespace {

// Five hundred routines that yield for ever, and others that something from outside wakes: in which order they run.
// With one worker, so that there is one order.
class beside_yields {
 public:
  beside_yields() {
    for (int i = 0; i != 500; ++i) {
      all_.go([this]() -> task<> {
        while (!stop_) {
          order_ += 'q';
          co_await yield();
        }
      });
    }
  }
  // From the next await on.
  void start_over() { order_.clear(); }
  void note_woken() { order_ += 'e'; }
  const std::string& order() const { return order_; }
  task<> end() {
    stop_ = true;
    co_await all_.wait();
  }

 private:
  wait_group all_;
  std::string order_;
  bool stop_ = false;
};

constexpr std::size_t a_turn = 64;  // what was begun before it is looked at what has come
constexpr std::size_t early = 16;   // in a row before the queue

}  // namespace

TEST_CASE("A routine that bytes, time or a thread wakes runs before those in the queue") {
  scheduler_under_test::real(1).run([]() -> task<> {
    auto ends = unix_stream::pair();
    event set;
    beside_yields beside;
    channel<int> woken(3);
    go([&]() -> task<> {
      co_await ends.second.recv();
      beside.note_woken();
      co_await woken.send(1);
    });
    go([&]() -> task<> {
      co_await set.wait();
      beside.note_woken();
      co_await woken.send(1);
    });
    timer time(1h);
    go([&]() -> task<> {
      co_await time.wait();
      beside.note_woken();
      co_await woken.send(1);
    });
    for (int i = 0; i != 3; ++i) co_await yield();
    time.reset(0ms);
    const auto sent = ::send(ends.first.native_handle(), "x", 1, 0);
    CHECK(sent == 1);
    std::thread([&set] { set.set(); }).join();
    beside.start_over();
    for (int i = 0; i != 3; ++i) co_await woken.recv();
    CHECK(std::count(beside.order().begin(), beside.order().end(), 'e') == 3);
    CHECK(beside.order().find_last_of('e') <= a_turn + early);
    co_await beside.end();
  });
}

TEST_CASE("Those whom time wakes run before the queue, but for one of the queue after each sixteen") {
  scheduler_under_test::real(1).run([]() -> task<> {
    beside_yields beside;
    wait_group sleepers;
    constexpr std::size_t number = 200;
    std::deque<timer> timers;
    for (std::size_t i = 0; i != number; ++i) {
      sleepers.go([&beside, &mine = timers.emplace_back(1h)]() -> task<> {
        co_await mine.wait();
        beside.note_woken();
      });
    }
    for (int i = 0; i != 3; ++i) co_await yield();
    for (timer& each : timers) each.reset(0ms);
    beside.start_over();
    co_await sleepers.wait();
    const std::string order = beside.order().substr(0, beside.order().find_last_of('e') + 1);
    CHECK(order.find(std::string(early + 1, 'e')) == std::string::npos);
    const auto of_the_queue = static_cast<std::size_t>(std::count(order.begin(), order.end(), 'q'));
    CHECK(of_the_queue >= number / early - 1);
    CHECK(of_the_queue <= a_turn + number / early + 1);
    co_await beside.end();
  });
}
