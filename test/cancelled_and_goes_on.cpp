// A cancelled routine that catches `cancelled` and goes on: it holds up nobody, and the runtime ends without it.
#include <doctest/doctest.h>

#include <atomic>
#include <coroutine>
#include <cstdlib>
#include <exception>
#include <functional>
#include <memory>
#include <ringo/ringo.hpp>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "every_scheduler.hpp"
#include "foreign_task.hpp"

using namespace ringo;
using namespace std::chrono_literals;

namespace {

// Whatever an await ends with, `cancelled` included, whatever that is derived from.
template <class Await>
task<> once_more(Await await) {
  for (;;) {
    try {
      (void)co_await await();
    } catch (...) {
    }
  }
}

// What such a routine awaits, again and again, and what that needs.
struct things {
  channel<int> none = channel<int>(0);
  channel<int> some = channel<int>(1);
  int value = 1;
  channel<int> nil = channel<int>::nil();
  mutex held;
  mutex::guard held_by;
  semaphore permits{1};
  condition changed;
  event never_set;
  latch closed{1};
  wait_group busy;
  ticker slow{1h};
  handle<> sleeper;
  handle<> empty;
  context background;
  once first;
};

task<> nothing() { co_return; }
task<> sleeps_long() { co_await sleep(1h); }
task<> sleeps_long_in_a_task() { co_await sleeps_long(); }
task<> fails() {
  co_await sleep(1h);
  throw std::runtime_error("fails");
}

foreign_task in_a_foreign_coroutine(things& t) { co_await t.none.recv(); }

struct form {
  std::string name;
  std::function<task<>(things&)> loop;
};

std::vector<form> forms() {
  const auto of = [](auto await) {
    return [await](things& t) -> task<> { return once_more([&t, await] { return await(t); }); };
  };
  return {
      {"sleep", of([](things&) { return sleep(1ms); })},
      {"recv", of([](things& t) { return t.none.recv(); })},
      {"recv of what is there", of([](things& t) { return t.some.recv(); })},
      {"recv on a nil channel", of([](things& t) { return t.nil.recv(); })},
      {"send", of([](things& t) { return t.none.send(t.value); })},
      {"select", of([](things& t) { return select(t.none.recv(), sleep(1ms)); })},
      {"select with a priority", of([](things& t) { return select(prefer_first, t.none.recv(), sleep(1ms)); })},
      {"select or otherwise", of([](things& t) { return select(t.none.recv(), otherwise); })},
      {"select of two or otherwise", of([](things& t) { return select(t.none.recv(), t.some.recv(), otherwise); })},
      {"select of tasks", of([](things& t) { return select(t.none.recv(), sleeps_long()); })},
      {"select_any",
       [](things& t) -> task<> {
         for (;;) {
           try {
             std::vector<decltype(t.none.recv())> all;
             all.push_back(t.none.recv());
             all.push_back(t.none.recv());
             co_await select_any(all);
           } catch (...) {
           }
         }
       }},
      {"with_timeout", of([](things& t) { return with_timeout(1ms, t.none.recv()); })},
      {"yield", of([](things&) { return yield(); })},
      {"join", of([](things& t) { return t.sleeper.join(); })},
      {"join of an empty handle", of([](things& t) { return t.empty.join(); })},
      {"finished", of([](things& t) { return t.sleeper.wait(); })},
      {"lock", of([](things& t) { return t.held.lock(); })},
      {"acquire", of([](things& t) { return t.permits.acquire(); })},
      {"event", of([](things& t) { return t.never_set.wait(); })},
      {"latch", of([](things& t) { return t.closed.wait(); })},
      {"wait_group", of([](things& t) { return t.busy.wait(); })},
      {"ticker", of([](things& t) { return t.slow.tick(); })},
      {"the end of a context", of([](things& t) { return t.background.wait(); })},
      {"task", of([](things&) { return sleeps_long(); })},
      {"task that awaits nothing", of([](things&) { return nothing(); })},
      {"task in tasks", of([](things&) { return sleeps_long_in_a_task(); })},
      {"task that fails", of([](things&) { return fails(); })},
      {"outcome", of([](things& t) { return outcome(t.none.recv()); })},
      {"once", of([](things& t) { return t.first.call([] { return sleep(1ms); }); })},
      {"scope", of([](things&) {
         return scope([](group& g) -> task<> {
           g.go(sleeps_long);
           co_return;
         });
       })},
      {"empty scope", of([](things&) { return scope([](group&) -> task<> { co_return; }); })},
      {"all", of([](things& t) { return all(t.none.recv(), sleep(1ms)); })},
      {"blocking", of([](things&) { return blocking([] {}); })},
      {"foreign coroutine", of([](things& t) { return in_a_foreign_coroutine(t); })},
      {"condition",
       [](things& t) -> task<> {
         for (;;) {
           mutex m;
           mutex::guard g = m.try_lock();
           try {
             co_await t.changed.wait(g);
           } catch (...) {
           }
         }
       }},
  };
}

// Runs it with so many workers and little grace, or in a simulation (no workers), and yields the warnings.
template <class Main>
std::vector<std::string> warnings_of(unsigned workers, Main main, duration grace = 5ms) {
  std::vector<std::string> warnings;
  const auto keep = [&warnings](std::string_view text) {
    if (text.find("would not end") != std::string_view::npos) warnings.emplace_back(text);
  };
  if (workers == 0) {
    testing::sim_options how;
    how.workers = 2;
    how.on_warning = keep;
    testing::simulate(how, main);
  } else {
    runtime_options how;
    how.workers = workers;
    how.shutdown_grace = grace;
    how.on_warning = keep;
    run(main, how);
  }
  return warnings;
}

// Numbers of workers, of which 0 is a simulation: the slowest here. It is one thread, so ThreadSanitizer gains nothing
// by it.
std::vector<unsigned> all_workers() {
  if (RINGO_THREAD_SANITIZER || std::getenv("RINGO_ONLY_REAL")) return {1, 2, 4};
  return {0, 1, 2, 4};
}

void check_named(const std::vector<std::string>& warnings) {
  CHECK(warnings.size() == 1);
  for (const std::string& text : warnings) {
    CAPTURE(text);
    CHECK(text.find("cancelled_and_goes_on.cpp:") != std::string::npos);
    CHECK(text.find("ended with `cancelled`") != std::string::npos);
  }
}

// That timers, other routines and their starts go on.
task<> the_rest_goes_on() {
  for (int i = 0; i < 3; ++i) co_await sleep(1ms);
  channel<int> answer(0);
  go([](channel<int> to) -> task<> { co_await to.send(7); }, answer);
  const auto got = co_await answer.recv();
  CHECK(got == 7);
}

}  // namespace

TEST_CASE("a routine that goes on after its cancellation, whatever it awaits, keeps nothing else from going on") {
  int simulated = 0;
  for (const form& f : forms()) {
    for (const unsigned workers : all_workers()) {
      // A simulation of it takes seconds under AddressSanitizer.
      if (RINGO_ADDRESS_SANITIZER && workers == 0 && simulated++ % 6 != 0) continue;
      CAPTURE(f.name);
      CAPTURE(workers);
      const auto live = testing::live();
      {
        things t;
        t.busy.add();
        const auto warnings = warnings_of(workers, [&]() -> task<> {
          t.sleeper = go(sleeps_long);
          t.held_by = co_await t.held.lock();
          auto looping = [&]() -> task<> { return f.loop(t); };
          auto h = go(looping);
          co_await yield();
          h.cancel();
          co_await the_rest_goes_on();
          CHECK(!h.is_done());
        });
        if (f.name == "join of an empty handle" || f.name == "task that awaits nothing") {
          CHECK(warnings.size() == 1);  // none of its awaits ends with `cancelled`
        } else if (f.name == "foreign coroutine") {
          CHECK(warnings.size() <= 1);  // it waits outside of the routine
        } else {
          check_named(warnings);
        }
      }
      CHECK(testing::live() == live);
    }
  }
}

TEST_CASE("whatever has cancelled it: main's end, the end of a group, a limit") {
  const auto loop = []() -> task<> { return once_more([] { return sleep(1ms); }); };
  for (const unsigned workers : all_workers()) {
    CAPTURE(workers);
    SUBCASE("main's end") {
      // It is cancelled when the grace begins, and must run in it.
      check_named(warnings_of(
          workers,
          [&]() -> task<> {
            go(loop);
            co_await sleep(1ms);
          },
          500ms));
    }
    SUBCASE("a sibling's error") {
      check_named(warnings_of(workers, [&]() -> task<> {
        auto whole = [&]() -> task<> {
          auto body = [&](group& g) -> task<> {
            g.go(loop);
            co_await yield();
            throw std::runtime_error("body");
          };
          co_await scope(body);
        };
        auto h = go(whole);
        co_await sleep(2ms);
        co_await the_rest_goes_on();
        CHECK(!h.is_done());
        h.cancel();
      }));
    }
    SUBCASE("with_timeout") {
      check_named(warnings_of(workers, [&]() -> task<> {
        auto limited = [&]() -> task<> { co_await with_timeout(1ms, loop()); };
        auto h = go(limited);
        co_await sleep(3ms);
        co_await the_rest_goes_on();
        CHECK(!h.is_done());
      }));
    }
    SUBCASE("a context") {
      check_named(warnings_of(workers, [&]() -> task<> {
        const context ctx = context::with_cancel();
        auto h = go(ctx, loop);
        co_await yield();
        ctx.cancel();
        co_await the_rest_goes_on();
        CHECK(!h.is_done());
      }));
    }
  }
}

TEST_CASE("the warning says where it was started, and how many of its awaits have ended with cancelled") {
  const auto stubborn = []() -> task<> {
    for (int i = 0; i < 3; ++i) {
      try {
        co_await never();
      } catch (...) {
      }
    }
    co_await shield(sleep(1h));
  };
  int line = 0;
  const auto warnings = warnings_of(1, [&]() -> task<> {
    line = __LINE__ + 1;
    go(stubborn);
    co_await yield();
  });
  REQUIRE(warnings.size() == 1);
  CHECK(warnings[0].find("cancelled_and_goes_on.cpp:" + std::to_string(line)) != std::string::npos);
  CHECK(warnings[0].find("waits for sleep") != std::string::npos);
  CHECK(warnings[0].find("3 awaits have ended with `cancelled`") != std::string::npos);
}

TEST_CASE("where many would not end, ten are named") {
  const auto warnings = warnings_of(1, []() -> task<> {
    for (int i = 0; i < 25; ++i) go([]() -> task<> { co_await shield(never()); });
    go([]() -> task<> { co_await shield(sleep(1h)); });  // else nothing would be waited for
    co_await yield();
  });
  REQUIRE(warnings.size() == 11);
  CHECK(warnings.back().find("16 more") != std::string::npos);
}

TEST_CASE("what is cancelled and goes on for a while ends in peace") {
  on_every_scheduler([]() -> task<> {
    int rounds = 0;
    auto stubborn = [&rounds]() -> task<> {
      while (rounds < 1000) {
        try {
          co_await sleep(1h);
        } catch (...) {
          ++rounds;
        }
      }
    };
    auto h = go(stubborn);
    co_await yield();
    h.cancel();
    co_await h;
    CHECK(rounds == 1000);
  });
}

TEST_CASE("a simulation in which main waits for one that never ends is a deadlock") {
  testing::sim_options how;
  CHECK_THROWS_AS(testing::simulate(how,
                                    []() -> task<> {
                                      auto h = go([] { return once_more([] { return sleep(1h); }); });
                                      co_await yield();
                                      h.cancel();
                                      co_await h;
                                    }),
                  deadlock);
}

TEST_CASE("a lock is not had by a routine that is cancelled while it waits for its next turn") {
  for (int taken = 0; taken < 84; ++taken) {
    on_every_scheduler(
        [taken]() -> task<> {
          mutex m;
          int inside = 0;
          auto locks = [&]() -> task<> {
            for (;;) {
              const auto held = co_await m.lock();
              CHECK(++inside == 1);
              --inside;
            }
          };
          auto h = go(locks);
          for (int i = 0; i < taken % 7; ++i) co_await yield();
          h.cancel();
          const auto ended = co_await outcome(h.join());
          CHECK(!ended);
          CHECK(m.try_lock());
          auto again = m.try_lock();
          CHECK(again);
          CHECK(!m.try_lock());
        },
        1);
  }
}

TEST_CASE("awaits that fail at once, again and again, leave others their turns") {
  const auto fails_in_a_loop = [](auto await) {
    for (const unsigned workers : all_workers()) {
      CAPTURE(workers);
      bool stop = false;
      (void)warnings_of(workers, [&]() -> task<> {
        auto loop = [&]() -> task<> {
          while (!std::atomic_ref(stop).load()) {
            try {
              (void)co_await await();
            } catch (const std::exception&) {
            }
          }
        };
        auto h = go(loop);
        co_await yield();
        co_await the_rest_goes_on();
        std::atomic_ref(stop).store(true);
        co_await h;
      });
    }
  };
  handle<> empty;
  task<> none = [] { return nothing(); }();
  task<> given = std::move(none);
  fails_in_a_loop([&] { return empty.join(); });
  fails_in_a_loop([&] { return select(empty.join(), sleep(1h)); });
  fails_in_a_loop([&] { return std::move(none); });
}
