// What is in main's frame and is used when main has ended says so, as does what is in any frame in a simulation; and
// what outlives main is told.
#include <doctest/doctest.h>

#include <signal.h>

#include <atomic>
#include <functional>
#include <memory>
#include <ringo/ringo.hpp>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include "every_scheduler.hpp"
#include "running_child.hpp"

using namespace ringo;
using namespace std::chrono_literals;

namespace {

bool says(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

// Uses the object when main has ended: then the routine is cancelled, and its sleep ends.
template <class T, class Use>
task<> use_late(T& object, Use use, std::string& told) {
  try {
    co_await sleep(1h);
  } catch (const cancelled&) {
  }
  const detail::cancellation_held_back here;
  try {
    co_await use(object);
  } catch (const std::logic_error& e) {
    told = e.what();
  } catch (...) {
    told = "something else";
  }
}

struct use_in_frame {
  const scheduler_under_test& scheduler;

  // Make: makes it, in main's frame. Use: a task that uses it.
  template <class Make, class Use>
  void operator()(const char* name, Make make, Use use) const {
    INFO(std::string(name) << " on " << scheduler.name());
    std::string told;
    scheduler.run([&]() -> task<> {
      auto object = make();
      go(use_late<decltype(object), Use>, std::ref(object), use, std::ref(told));
      co_await yield();
    });
    CHECK(says(told, "used after it was destroyed, by the routine started at "));
    CHECK(says(told, "used_after_end.cpp:"));
  }
};

}  // namespace

TEST_CASE("Each kind of object in main's frame, used when main has ended, says so, and by which routine") {
  for (const auto& scheduler : every_scheduler(2)) {
    const use_in_frame check{scheduler};
    check("mutex", [] { return mutex(); }, [](mutex& m) -> task<> { const auto held = co_await m.lock(); });
    check(
        "mutex::try_lock", [] { return mutex(); },
        [](mutex& m) -> task<> {
          (void)m.try_lock();
          co_return;
        });
    check(
        "shared_mutex", [] { return shared_mutex(); },
        [](shared_mutex& m) -> task<> { const auto held = co_await m.lock_shared(); });
    check(
        "semaphore", [] { return semaphore(1); },
        [](semaphore& s) -> task<> { const auto held = co_await s.acquire(); });
    check(
        "semaphore::available", [] { return semaphore(1); },
        [](semaphore& s) -> task<> {
          (void)s.available();
          co_return;
        });
    check(
        "select", [] { return semaphore(1); },
        [](semaphore& s) -> task<> { (void)co_await select(s.acquire(), sleep(1h)); });
    check(
        "condition", [] { return condition(); },
        [](condition& c) -> task<> {
          mutex mine;
          auto held = co_await mine.lock();
          co_await c.wait(held);
        });
    check(
        "condition::notify_all", [] { return condition(); },
        [](condition& c) -> task<> {
          c.notify_all();
          co_return;
        });
    check("event", [] { return event(true); }, [](event& e) -> task<> { co_await e.wait(); });
    check(
        "event::set", [] { return event(); },
        [](event& e) -> task<> {
          e.set();
          co_return;
        });
    check("latch", [] { return latch(0); }, [](latch& l) -> task<> { co_await l.wait(); });
    check(
        "latch::count_down", [] { return latch(1); },
        [](latch& l) -> task<> {
          l.count_down();
          co_return;
        });
    check("barrier", [] { return barrier(1); }, [](barrier& b) -> task<> { co_await b.arrive_and_wait(); });
    check("timer", [] { return timer(1h); }, [](timer& t) -> task<> { (void)co_await t.wait(); });
    check(
        "timer::reset", [] { return timer(1h); },
        [](timer& t) -> task<> {
          t.reset(1s);
          co_return;
        });
    check("ticker", [] { return ticker(1h); }, [](ticker& t) -> task<> { (void)co_await t.tick(); });
    check(
        "ticker::stop", [] { return ticker(1h); },
        [](ticker& t) -> task<> {
          t.stop();
          co_return;
        });
    check(
        "once", [] { return once(); },
        [](once& o) -> task<> {
          auto called = o.call([] {});
          co_await called;
        });
    check(
        "group::go", [] { return group(); },
        [](group& g) -> task<> {
          g.go([]() -> task<> { co_return; });
          co_return;
        });
    check("group::wait", [] { return group(); }, [](group& g) -> task<> { co_await g.wait(); });
    check("wait_group", [] { return wait_group(); }, [](wait_group& w) -> task<> { co_await w.wait(); });
    check(
        "wait_group::go", [] { return wait_group(); },
        [](wait_group& w) -> task<> {
          w.go([]() -> task<> { co_return; });
          co_return;
        });
    check(
        "worker_pool", [] { return worker_pool(); },
        [](worker_pool& p) -> task<> {
          auto submitted = p.submit([]() -> task<> { co_return; });
          (void)co_await submitted;
        });
    check(
        "completion", [] { return completion<int>(); },
        [](completion<int>& c) -> task<> {
          (void)c.setter();
          co_return;
        });
  }
}

TEST_CASE("So do sockets and signals") {
  for (const auto& scheduler : real_schedulers()) {
    const use_in_frame check{scheduler};
    check(
        "tcp_listener", [] { return tcp_listener::bind("127.0.0.1:0"); },
        [](tcp_listener& l) -> task<> { (void)co_await l.accept(); });
    check(
        "udp_socket", [] { return udp_socket::bind("127.0.0.1:0"); },
        [](udp_socket& u) -> task<> { (void)co_await u.recv(); });
    check(
        "unix_stream", [] { return std::move(unix_stream::pair().first); },
        [](unix_stream& s) -> task<> { (void)co_await s.recv(); });
    check(
        "unix_stream::send", [] { return std::move(unix_stream::pair().first); },
        [](unix_stream& s) -> task<> { co_await s.send("text"); });
    check("signals", [] { return signals({SIGUSR1}); }, [](signals& s) -> task<> { (void)co_await s.recv(); });
  }
}

TEST_CASE("In a simulation every frame is kept: what was in a task that has returned says so, too") {
  on_simulated_schedulers([]() -> task<> {
    std::string told;
    const auto inner = [&told]() -> task<> {
      mutex mu;
      const auto use = [](mutex& m, std::string& to) -> task<> {
        co_await sleep(1ms);
        try {
          const auto held = co_await m.lock();
        } catch (const std::logic_error& e) {
          to = e.what();
        }
      };
      go(use, std::ref(mu), std::ref(told));
      co_await yield();
    };
    co_await inner();
    co_await sleep(2ms);
    CHECK(says(told, "used after it was destroyed, by the routine started at "));
  });
}

TEST_CASE("The server with its state in main's frame ends with a message at the end of main, and does not crash") {
  for (unsigned workers : {1u, 2u, 4u}) {
    const child_end end = run_in_a_child([workers] {
      runtime_options o;
      o.workers = workers;
      struct state {
        mutex mu;
        std::atomic<int> clients = 0;  // main reads it without the lock
      };
      run(
          []() -> task<> {
            state s;
            const auto serve = [](state& of) -> task<> {
              {
                const auto held = co_await of.mu.lock();
                ++of.clients;
              }
              try {
                co_await sleep(1h);
              } catch (const cancelled&) {
              }
              const detail::cancellation_held_back leaves;
              const auto held = co_await of.mu.lock();
              --of.clients;
            };
            for (int i = 0; i != 3; ++i) go(serve, std::ref(s));
            while (s.clients != 3) co_await yield();
          },
          o);
      return 0;
    });
    CHECK_FALSE(end.exited);
    CHECK(end.status == SIGABRT);
    CHECK(says(end.errors, "used after it was destroyed, by the routine started at "));
  }
}

TEST_CASE("A wait_group that is destroyed while its members run ends the process, and says where they were started") {
  const auto leaves = [](unsigned workers, bool simulated) {
    return run_in_a_child([=] {
      const auto program = []() -> task<> {
        wait_group wg;
        wg.go([]() -> task<> { co_await sleep(1h); });
        wg.go([]() -> task<> { co_await sleep(2h); });
        co_return;
      };
      scheduler_under_test::real(1);
      simulated ? scheduler_under_test::simulated(workers, 0).run(program)
                : scheduler_under_test::real(workers).run(program);
      return 0;
    });
  };
  for (const bool simulated : {false, true}) {
    for (unsigned workers : {1u, 2u, 4u}) {
      const child_end end = leaves(workers, simulated);
      CHECK_FALSE(end.exited);
      CHECK(end.status == SIGABRT);
      CHECK(says(end.errors, "a wait_group is destroyed, by the main routine, while 2 of the routines"));
      CHECK(says(end.errors, "started at " __FILE__ ":"));
    }
  }
}

TEST_CASE("A wait_group may go before its members where one cancellation ends both") {
  on_every_scheduler([]() -> task<> {
    const auto waits_for_members = []() -> task<> {
      wait_group wg;
      for (int i = 0; i != 3; ++i) wg.go([]() -> task<> { co_await shield(sleep(1ms)); });
      wg.go([]() -> task<> { co_await sleep(1h); });
      co_await wg.wait();
    };
    auto by_time = co_await outcome(with_timeout(10us, waits_for_members()));
    CHECK_FALSE(by_time.has_value());
    const context under = context::with_cancel();
    auto below = go(under, waits_for_members);
    co_await yield();
    under.cancel();
    auto by_context = co_await outcome(below.join());
    CHECK_FALSE(by_context.has_value());
  });
}

TEST_CASE("At the end of the program, and where main is cancelled, a wait_group may go before its members") {
  on_every_scheduler([]() -> task<> {
    for (int i = 0; i != 5; ++i) {
      go([]() -> task<> {
        wait_group wg;
        for (int k = 0; k != 3; ++k) wg.go([]() -> task<> { co_await sleep(1h); });
        co_await wg.wait();
      });
    }
    for (int i = 0; i != 20; ++i) co_await yield();
  });
  for (unsigned workers : {1u, 2u, 4u}) {
    runtime rt({.workers = workers});
    CHECK_THROWS_AS(rt.run([&rt]() -> task<> {
      wait_group wg;
      for (int k = 0; k != 3; ++k) wg.go([]() -> task<> { co_await sleep(1h); });
      go([&rt]() -> task<> {
        rt.stop();
        co_return;
      });
      co_await wg.wait();
    }),
                    cancelled);
  }
}

TEST_CASE("A wait_group whose members are destroyed at the end of the grace may go before them") {
  for (unsigned workers : {1u, 2u}) {
    runtime_options o;
    o.workers = workers;
    o.shutdown_grace = 0s;
    o.on_warning = [](std::string_view) {};
    const auto counted = std::make_shared<int>();
    run(
        [&counted]() -> task<> {
          for (int i = 0; i != 3; ++i) {
            go([counted]() -> task<> {
              wait_group wg;
              const auto holds_out = [](std::shared_ptr<int>) -> task<> {
                const detail::cancellation_held_back here;
                co_await channel<int>().recv();
              };
              wg.go(holds_out, counted);
              wg.go(holds_out, counted);
              const detail::cancellation_held_back here;
              co_await wg.wait();
            });
          }
          for (int i = 0; i != 10; ++i) co_await yield();
        },
        o);
    CHECK(counted.use_count() == 1);
  }
}

TEST_CASE("A simulation reports who outlived main: what it waited for, and where it was started") {
  const auto report = testing::simulate({.seed = 1, .workers = 2}, []() -> task<> {
    go([]() -> task<> { co_await channel<int>().recv(); });
    go([]() -> task<> { co_await sleep(1h); });
    auto ends = go([]() -> task<> { co_return; });
    co_await ends;
    co_await testing::settle();
  });
  REQUIRE(report.outlived_main.size() == 2);
  const std::string all = report.outlived_main[0] + "; " + report.outlived_main[1];
  CHECK(says(all, "waits for receive on channel"));
  CHECK(says(all, "waits for sleep"));
  CHECK(says(report.outlived_main[0], "started at " __FILE__ ":"));
  CHECK(testing::simulate({}, []() -> task<> { co_return; }).outlived_main.empty());
}

TEST_CASE("Kept frames are no leak: main's is no live one") {
  const auto before = testing::live();
  run([&]() -> task<> {
    co_await sleep(1ms);
    const auto inner = []() -> task<> { co_await yield(); };
    const auto meanwhile = testing::live();
    co_await inner();
    CHECK(testing::live() == meanwhile);
  });
  CHECK(testing::live() == before);
}
