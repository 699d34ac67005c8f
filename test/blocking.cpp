// blocking: calls on a pool of threads, which come back with what they came to; the waits for them can be given up.
#include <doctest/doctest.h>

#include <pthread.h>
#include <signal.h>

#include <atomic>
#include <barrier>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <future>
#include <iterator>
#include <memory>
#include <mutex>
#include <ringo/ringo.hpp>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "every_scheduler.hpp"
#include "process_counts.hpp"
#include "simulated/owned_coroutine.hpp"
#include "task_ending.hpp"
#include "values.hpp"

using namespace ringo;
using namespace std::chrono_literals;

namespace {

// What a call waits at until the test opens it.
class gate {
 public:
  void open() { promise_.set_value(); }
  void pass() {
    waits_ = true;
    future_.wait();
  }
  // Until a call waits at it.
  task<> reached() {
    while (!waits_) co_await yield();
  }

 private:
  std::promise<void> promise_;
  std::shared_future<void> future_ = promise_.get_future().share();
  std::atomic<bool> waits_ = false;
};

runtime_options with_threads(unsigned threads, unsigned workers = 2) {
  runtime_options o;
  o.workers = workers;
  o.blocking_threads = threads;
  return o;
}

int negative(int n) { return -n; }

}  // namespace

TEST_CASE("A call yields what the function returns: values, nothing, what only moves, what has no default (164)") {
  struct number {
    explicit number(int n) : value(n) {}
    int value;
    int plus(int n) const { return value + n; }
  };
  on_every_scheduler([]() -> task<> {
    const int plain = co_await blocking(negative, 5);
    CHECK(plain == -5);

    bool called = false;
    co_await blocking([&called] { called = true; });
    CHECK(called);

    const auto moved = co_await blocking([] { return std::make_unique<int>(7); });
    CHECK(*moved == 7);

    const number made = co_await blocking([] { return number(8); });
    CHECK(made.value == 8);

    const int member = co_await blocking(&number::plus, number(1), 2);
    CHECK(member == 3);
  });
}

TEST_CASE("A result that is a reference decays") {
  on_every_scheduler([]() -> task<> {
    std::string text = "as it was";
    const auto name = [&text]() -> const std::string& { return text; };
    static_assert(std::is_same_v<decltype(blocking(name))::result_type, std::string>);
    const auto copy = co_await blocking(name);
    text.clear();
    CHECK(copy == "as it was");
  });
}

TEST_CASE("The function and its arguments are the call's own, whatever becomes of the caller's") {
  on_every_scheduler([]() -> task<> {
    const auto join = [](const std::string& first, std::string second, std::unique_ptr<int> third, int& counted) {
      ++counted;
      return first + second + std::to_string(*third);
    };
    int counted = 0;
    auto box = std::make_unique<int>(3);
    std::string given = "a text that is too long to be kept in place, ";
    auto call = blocking(join, "a literal, ", given, std::move(box), std::ref(counted));
    given.assign("something else");
    const auto joined = co_await call;
    CHECK(joined == "a literal, a text that is too long to be kept in place, 3");
    CHECK(counted == 1);
  });
}

TEST_CASE("A closure that owns something is made a call of in a statement of its own") {
  on_every_scheduler([]() -> task<> {
    auto box = std::make_unique<int>(3);
    auto call = blocking([box = std::move(box)] { return *box; });
    const int value = co_await call;
    CHECK(value == 3);
    const std::string text = "named";
    const auto size = [text] { return text.size(); };
    const auto named = co_await blocking(size);
    CHECK(named == 5);
  });
}

TEST_CASE("What the function throws reaches the caller") {
  on_every_scheduler([]() -> task<> {
    std::string seen;
    try {
      co_await blocking([]() -> int { throw std::runtime_error("on purpose"); });
    } catch (const std::runtime_error& e) {
      seen = e.what();
    }
    CHECK(seen == "on purpose");
    int number = 0;
    try {
      co_await blocking([] { throw 7; });
    } catch (int n) {
      number = n;
    }
    CHECK(number == 7);
  });
}

TEST_CASE("A result can be taken once") {
  on_every_scheduler([]() -> task<> {
    auto call = blocking([] { return 1; });
    co_await call;
    bool refused = false;
    try {
      co_await call;
    } catch (const std::logic_error&) {
      refused = true;
    }
    CHECK(refused);
  });
}

TEST_CASE("A call runs on a thread that is no worker, and that the program's signals do not reach") {
  on_real_schedulers([]() -> task<> {
    const auto worker_thread = std::this_thread::get_id();
    bool on_worker = true, asynchronous_blocked = false, own_blocked = true;
    auto look = [&] {
      on_worker = std::this_thread::get_id() == worker_thread;
      sigset_t blocked;
      pthread_sigmask(SIG_BLOCK, nullptr, &blocked);
      asynchronous_blocked = sigismember(&blocked, SIGINT) == 1 && sigismember(&blocked, SIGTERM) == 1;
      own_blocked = sigismember(&blocked, SIGSEGV) == 1;
      CHECK_THROWS_AS(channel<int>(1).try_send(1), std::logic_error);
    };
    co_await blocking(look);
    CHECK_FALSE(on_worker);
    CHECK(asynchronous_blocked);
    CHECK_FALSE(own_blocked);
  });
}

TEST_CASE("Others run while a call blocks, on one worker too (164)") {
  on_real_schedulers([]() -> task<> {
    gate opened_by_another;
    std::atomic<bool> has_returned = false, ran_meanwhile = false;
    auto other = go([&]() -> task<> {
      co_await opened_by_another.reached();
      ran_meanwhile = !has_returned;
      opened_by_another.open();
    });
    co_await blocking([&] { opened_by_another.pass(); });
    has_returned = true;
    co_await other;
    CHECK(ran_meanwhile);
  });
}

TEST_CASE("As many calls as wait have a thread each, up to the bound") {
  on_real_schedulers([]() -> task<> {
    constexpr int calls = 16;
    std::barrier together(calls);  // a call returns when all have begun
    std::mutex guards_threads;
    std::set<std::thread::id> threads;
    wait_group all;
    for (int i = 0; i != calls; ++i) {
      all.go([&]() -> task<> {
        co_await blocking([&] {
          {
            const std::lock_guard guard(guards_threads);
            threads.insert(std::this_thread::get_id());
          }
          together.arrive_and_wait();
        });
      });
    }
    co_await all.wait();
    CHECK(threads.size() == calls);
  });
}

TEST_CASE("Calls beyond the bound wait in a queue for a thread, and each runs once") {
  for (unsigned threads : {1u, 3u}) {
    for (unsigned workers : {1u, 4u}) {
      std::atomic<unsigned> now_running = 0, most_running = 0;
      std::atomic<int> ran = 0;
      const auto call = [&] {
        const unsigned running = ++now_running;
        for (unsigned most = most_running; most < running && !most_running.compare_exchange_weak(most, running);) {
        }
        ++ran;
        --now_running;
      };
      run(
          [&]() -> task<> {
            wait_group all;
            for (int i = 0; i != 200; ++i) all.go([&]() -> task<> { co_await blocking(call); });
            co_await all.wait();
          },
          with_threads(threads, workers));
      CHECK(ran == 200);
      CHECK(most_running >= 1);
      CHECK(most_running <= threads);
    }
  }
}

TEST_CASE("Queued calls get their threads in the order in which they were awaited") {
  run(
      []() -> task<> {
        gate first;
        std::vector<int> order;  // of one thread
        auto holds = go([&]() -> task<> { co_await blocking([&] { first.pass(); }); });
        co_await first.reached();
        wait_group all;
        for (int i = 0; i != 10; ++i) {
          all.go([&order, i]() -> task<> { co_await blocking([&order, i] { order.push_back(i); }); });
          co_await yield();  // with one worker it has run until it waits
        }
        first.open();
        co_await all.wait();
        co_await holds;
        CHECK(order == std::vector{0, 1, 2, 3, 4, 5, 6, 7, 8, 9});
      },
      with_threads(1, 1));
}

TEST_CASE("Threads that have been idle for long enough end, and come again when there are calls") {
  runtime_options o = with_threads(8);
  o.blocking_idle = 0s;
  run(
      []() -> task<> {
        const auto without = threads_of_this_process();
        for (int round = 0; round != 3; ++round) {
          constexpr int calls = 4;
          std::barrier together(calls);
          std::atomic<std::ptrdiff_t> at_work = 0;
          wait_group all;
          for (int i = 0; i != calls; ++i) {
            all.go([&]() -> task<> {
              co_await blocking([&] {
                together.arrive_and_wait();
                at_work = threads_of_this_process();
                together.arrive_and_wait();
              });
            });
          }
          co_await all.wait();
          CHECK(at_work >= 2 + calls);  // the workers, too
          while (threads_of_this_process() > without) co_await yield();
        }
      },
      o);
}

TEST_CASE("A call may last as long as it likes: no deadlock is reported while it is pending (161)") {
  for (unsigned workers : {1u, 2u, 4u}) {
    runtime rt({.workers = workers});
    rt.run([&]() -> task<> {
      // A worker looks for a deadlock each time before it parks.
      co_await blocking([&] {
        while (rt.metrics().parks < rt.workers()) std::this_thread::yield();
      });
      // A call whose caller has gone may yet bring something, too.
      channel<int> from_call;
      gate lost;
      std::uint64_t parks = 0;
      auto call = blocking([from_call, &lost, &rt, &parks] {
        lost.pass();
        while (rt.metrics().parks == parks) std::this_thread::yield();
        from_call.send_blocking(7);
      });
      auto loses = go([&]() -> task<> { co_await call; });
      co_await lost.reached();
      loses.cancel();
      co_await loses.wait();
      parks = rt.metrics().parks;
      lost.open();
      const auto value = co_await from_call.recv();
      CHECK(value == 7);
    });
  }
}

TEST_CASE("Idle threads of the pool do not keep a deadlock from being found (160)") {
  const auto blocks_for_ever = []() -> task<> {
    co_await blocking([] {});
    co_await channel<int>().recv();
  };
  for (unsigned workers : {1u, 2u, 4u}) {
    CHECK_THROWS_AS(run(blocks_for_ever, {.workers = workers, .blocking_idle = 1h}), deadlock);
  }
  on_each(simulated_schedulers(3),
          [&](const scheduler_under_test& scheduler) { CHECK_THROWS_AS(scheduler.run(blocks_for_ever), deadlock); });
}

TEST_CASE("When a call that nobody waits for ends, a deadlock that is left is found (160, 161)") {
  for (unsigned workers : {1u, 2u, 4u}) {
    std::atomic<bool> ended = false;
    runtime rt({.workers = workers});
    CHECK_THROWS_AS(rt.run([&]() -> task<> {
      auto lost_gate = std::make_shared<gate>();  // the call may outlast main
      gate& lost = *lost_gate;
      auto parks = std::make_shared<std::uint64_t>();
      auto loses = go([&]() -> task<> {
        auto call = blocking([lost_gate, parks, &rt, &ended] {
          lost_gate->pass();
          // Until a worker has gone to sleep.
          while (rt.metrics().parks == *parks) std::this_thread::yield();
          ended = true;
        });
        co_await call;
      });
      co_await lost.reached();
      loses.cancel();
      co_await loses.wait();
      *parks = rt.metrics().parks;
      lost.open();
      co_await never();
    }),
                    deadlock);
    CHECK(ended);
  }
}

TEST_CASE("A wait that is cancelled while its call is queued: the call never runs, and what it holds goes at once") {
  for (unsigned workers : {1u, 2u, 4u}) {
    run(
        []() -> task<> {
          const auto before = testing::live();
          gate busy;
          std::atomic<int> held = 0;
          std::atomic<bool> ran = false;
          auto holds = go([&]() -> task<> { co_await blocking([&] { busy.pass(); }); });
          co_await busy.reached();
          std::atomic<bool> awaits = false;
          auto queued = go([&]() -> task<> {
            auto call = blocking([&ran](const witness<>&) { ran = true; }, witness(held));
            awaits = true;
            co_await call;
          });
          while (!awaits) co_await yield();
          while (testing::live().operations != before.operations + 2) co_await yield();
          queued.cancel();
          const auto end = co_await ending_of(queued);
          CHECK(end == ending::was_cancelled);
          CHECK(held == 0);
          CHECK(testing::live().operations == before.operations + 1);
          busy.open();
          co_await holds;
          co_await blocking([] {});  // the one thread has come past where the call was
          CHECK_FALSE(ran);
          CHECK(testing::live().operations == before.operations);
        },
        with_threads(1, workers));
  }
}

TEST_CASE("A wait that is cancelled while its call runs: the call goes on, and its result is destroyed") {
  on_real_schedulers([]() -> task<> {
    const auto before = testing::live();
    gate running;
    std::atomic<int> alive = 0;
    std::atomic<bool> ended = false;
    auto loses = go([&]() -> task<> {
      const auto slow = [&running, &ended, &alive](const std::string& text, const witness<>&) {
        running.pass();
        ended = text == "a text that is too long to be kept in place";
        return witness(alive);
      };
      co_await blocking(slow, std::string("a text that is too long to be kept in place"), witness(alive));
    });
    co_await running.reached();
    loses.cancel();
    const auto end = co_await ending_of(loses);
    CHECK(end == ending::was_cancelled);
    CHECK_FALSE(ended);
    CHECK(testing::live().operations == before.operations + 1);
    CHECK(alive == 1);
    running.open();
    while (testing::live().operations != before.operations || alive != 0) co_await yield();
    CHECK(ended);
  });
}

TEST_CASE("A routine that has been cancelled starts no call") {
  on_every_scheduler([]() -> task<> {
    bool ran = false;
    auto r = go([&ran]() -> task<> { co_await blocking([&ran] { ran = true; }); });
    r.cancel();
    const auto end = co_await ending_of(r);
    if (end == ending::was_cancelled) co_await blocking([] {});
    CHECK((end == ending::was_cancelled || ran));
  });
  run(
      []() -> task<> {
        bool ran = false;
        auto r = go([&ran]() -> task<> { co_await blocking([&ran] { ran = true; }); });
        r.cancel();  // with one worker it has not begun
        const auto end = co_await ending_of(r);
        CHECK(end == ending::was_cancelled);
        co_await blocking([] {});
        CHECK_FALSE(ran);
      },
      with_threads(1, 1));
}

TEST_CASE("A call wins a select, with its result, its handler, or its exception") {
  on_every_scheduler([]() -> task<> {
    channel<int> silent;
    auto value = co_await select(blocking(negative, 3), silent.recv());
    REQUIRE(value.index() == 0);
    CHECK(std::get<0>(value) == -3);
    auto nothing = co_await select(silent.recv(), blocking([] {}));
    CHECK(nothing.index() == 1);
    auto handled = co_await select(on(blocking(negative, 3), [](int n) { return 2 * n; }), silent.recv());
    REQUIRE(handled.index() == 0);
    CHECK(std::get<0>(handled) == -6);
    bool thrown = false;
    try {
      co_await select(silent.recv(), blocking([] { throw std::runtime_error("on purpose"); }));
    } catch (const std::runtime_error&) {
      thrown = true;
    }
    CHECK(thrown);
  });
}

TEST_CASE("A call that loses a select before it has a thread never runs; one that runs goes on") {
  for (unsigned workers : {1u, 2u, 4u}) {
    run(
        []() -> task<> {
          gate busy;
          std::atomic<bool> ran = false, ended = false;
          channel<void> reached;
          auto tells = go([&]() -> task<> {
            co_await busy.reached();
            co_await reached.send();
          });
          const auto slow = [&] {
            busy.pass();
            ended = true;
          };
          auto running = co_await select(blocking(slow), reached.recv());
          CHECK(running.index() == 1);
          auto queued = co_await select(blocking([&ran] { ran = true; }), sleep(1ms));
          CHECK(queued.index() == 1);
          CHECK_FALSE(ended);
          busy.open();
          co_await blocking([] {});
          CHECK(ended);
          CHECK_FALSE(ran);
          co_await tells;
        },
        with_threads(1, workers));
  }
}

TEST_CASE("A call beside otherwise, or beside a case that is ready, is not started (77)") {
  on_every_scheduler([]() -> task<> {
    const auto before = testing::live();
    channel<int> ready(1);
    ready.try_send(1);
    int runs = 0;
    auto call = blocking([&runs] { return ++runs; });
    auto none = co_await select(call, otherwise);
    CHECK(none.index() == 1);
    auto other = co_await select(call, ready.recv());
    CHECK(other.index() == 1);
    CHECK(testing::live().operations == before.operations);
    const int result = co_await call;
    CHECK(result == 1);
    CHECK(runs == 1);
  });
}

TEST_CASE("An operation that is kept when it has lost can be awaited again, for the same call") {
  on_real_schedulers([]() -> task<> {
    gate running;
    int runs = 0;
    auto slow = [&] {
      running.pass();
      return ++runs;
    };
    auto call = blocking(slow);
    for (int i = 0; i != 3; ++i) {
      auto lost = co_await select(call, sleep(1us));
      CHECK(lost.index() == 1);
    }
    auto moved = std::move(call);
    auto waits = go([&]() -> task<int> { co_return co_await moved; });
    co_await running.reached();
    running.open();
    const int result = co_await waits;
    CHECK(result == 1);
    CHECK(runs == 1);
    bool refused = false;
    try {
      co_await call;
    } catch (const std::logic_error&) {
      refused = true;
    }
    CHECK(refused);
  });
}

TEST_CASE("select_any takes the first of many calls to end, and then the others") {
  on_every_scheduler([]() -> task<> {
    std::vector<decltype(blocking(negative, 1))> calls;
    for (int i = 1; i <= 5; ++i) calls.push_back(blocking(negative, i));
    int sum = 0;
    while (!calls.empty()) {
      const auto first = co_await select_any(calls);
      sum += first.result;
      calls.erase(calls.begin() + static_cast<std::ptrdiff_t>(first.index));
    }
    CHECK(sum == -15);
  });
}

TEST_CASE("Whichever comes first, the call or the cancellation: the result is had, or the wait is cancelled") {
  int had = 0, cancelled_before = 0, cancelled_after = 0;
  const auto before = testing::live();
  const auto seen = testing::explore([&]() -> task<> {
    int runs = 0;
    auto caller = go([&runs]() -> task<int> { co_return co_await blocking([&runs] { return ++runs; }); });
    auto canceller = go([&caller]() -> task<> {
      for (int i = 0; i != 2; ++i) co_await yield();
      caller.cancel();
    });
    co_await canceller;
    const auto end = co_await ending_of(caller);
    if (end == ending::returned) {
      CHECK(runs == 1);
      ++had;
    } else {
      CHECK(end == ending::was_cancelled);
      ++(runs == 0 ? cancelled_before : cancelled_after);
    }
  });
  CHECK(seen.complete);
  CHECK(had > 0);
  CHECK(cancelled_before > 0);
  CHECK(cancelled_after > 0);
  CHECK(testing::live() == before);
}

TEST_CASE("A coroutine that is no routine is destroyed while it waits for a call, whatever the call has come to (D9)") {
  const auto waits = [](int& runs, bool& had) -> owned_coroutine {
    const int result = co_await blocking([&runs] { return ++runs; });
    had = result == 1;
  };
  on_simulated_schedulers(
      [&waits]() -> task<> {
        for (int steps = 0; steps != 6; ++steps) {
          int runs = 0;
          bool had = false;
          auto owned = waits(runs, had);
          for (int i = 0; i != steps; ++i) co_await yield();
          CHECK(owned.done() == had);
          owned.destroy();
          const int before = runs;
          co_await testing::settle();
          CHECK(runs == before);
        }
      },
      20);
  run(
      []() -> task<> {
        const auto before = testing::live();
        gate running;
        const auto waits_long = [](gate& at) -> owned_coroutine { co_await blocking([&at] { at.pass(); }); };
        auto owned = waits_long(running);
        co_await running.reached();
        owned.destroy();
        CHECK(testing::live().operations == before.operations + 1);
        running.open();
        while (testing::live() != before) co_await yield();
      },
      {.workers = 1});
}

TEST_CASE("The end of a program waits for a call that runs, within the grace") {
  for (unsigned workers : {1u, 2u, 4u}) {
    const auto before = testing::live();
    std::atomic<int> mains = 0;
    std::atomic<bool> ended = false;
    gate running;
    run(
        [&]() -> task<> {
          const witness of_main(mains);
          go([&]() -> task<> {
            co_await blocking([&] {
              running.pass();
              while (mains != 0) std::this_thread::yield();
              ended = true;
            });
          });
          co_await running.reached();
          running.open();
        },
        {.workers = workers, .shutdown_grace = 1h});
    CHECK(ended);
    CHECK(testing::live() == before);
  }
}

TEST_CASE("A call that outlasts the grace is abandoned, with the memory it uses (164)") {
  for (unsigned workers : {1u, 2u, 4u}) {
    const auto before = testing::live();
    gate running;
    std::atomic<int> alive = 0;
    std::atomic<bool> ended = false;
    const auto slow = [&](const std::vector<int>& numbers, const witness<>&) {
      running.pass();
      ended = numbers == std::vector{1, 2, 3};
      return witness(alive);
    };
    run(
        [&]() -> task<> {
          for (int i = 0; i != 2; ++i) {  // the second has no thread
            go([&]() -> task<> {
              const std::vector numbers{1, 2, 3};
              co_await blocking(slow, numbers, witness(alive));
            });
          }
          co_await running.reached();
        },
        {.workers = workers, .shutdown_grace = 1ms, .blocking_threads = 1});
    CHECK_FALSE(ended);
    CHECK(alive == 1);
    CHECK(testing::live().operations == before.operations + 1);
    running.open();
    while (testing::live() != before || alive != 0) std::this_thread::yield();
    CHECK(ended);
  }
}

TEST_CASE("A call that waits for a routine is answered when the program ends") {
  for (unsigned workers : {1u, 2u}) {
    std::atomic<bool> answered = false;
    gate running;
    run(
        [&]() -> task<> {
          auto patient = go([]() -> task<> { co_await never(); });
          auto call = go([&, patient = std::move(patient)]() mutable -> task<> {
            const auto joins = [&running, &answered](handle<> h) {
              running.pass();
              try {
                h.join_blocking();
              } catch (const cancelled&) {
                answered = true;
              }
            };
            co_await blocking(joins, std::move(patient));
          });
          co_await running.reached();
          running.open();
        },
        {.workers = workers, .shutdown_grace = 1h});
    CHECK(answered);
  }
}

TEST_CASE("An operation outlives its runtime: a call that has not begun is free for another, one that has is refused") {
  const auto before = testing::live();
  gate running;
  auto begun = blocking([&running] { running.pass(); });
  auto queued = blocking(negative, 1);
  run(
      [&]() -> task<> {
        go([&]() -> task<> { co_await begun; });
        co_await running.reached();
        go([&]() -> task<> { co_await queued; });
        while (testing::live().operations != before.operations + 2) co_await yield();
      },
      // Who awaits is cancelled and runs once more; the call that has begun is waited for as long.
      {.workers = 1, .shutdown_grace = 1s, .blocking_threads = 1});
  CHECK(testing::live().operations == before.operations + 1);
  run(
      [&]() -> task<> {
        const int result = co_await queued;
        CHECK(result == -1);
        bool refused = false;
        try {
          co_await begun;
        } catch (const std::logic_error&) {
          refused = true;
        }
        CHECK(refused);
      },
      {.workers = 1});
  running.open();
  while (testing::live() != before) std::this_thread::yield();
}

TEST_CASE("A runtime that has never run has nothing to wait for") {
  const runtime never_run({.workers = 2});
  CHECK(never_run.workers() == 2);
}

TEST_CASE("A call that is awaited on no worker is a logic_error that names it") {
  auto call = blocking(negative, 1);
  std::string message;
  try {
    call.await_ready();
  } catch (const std::logic_error& e) {
    message = e.what();
  }
  CHECK(message.find("blocking") != std::string::npos);
}

TEST_CASE("A pool without threads is refused") {
  CHECK_THROWS_AS(runtime({.blocking_threads = 0}), std::invalid_argument);
}

TEST_CASE("Where no thread can be started the call fails, saying so; where there is one, it waits for that (171)") {
  // No address space has room for such a stack.
  class no_more_threads {
   public:
    no_more_threads() {
      pthread_getattr_default_np(&before_);
      pthread_attr_t huge;
      pthread_attr_init(&huge);
      pthread_attr_setstacksize(&huge, std::size_t{1} << 52);
      REQUIRE(pthread_setattr_default_np(&huge) == 0);
      pthread_attr_destroy(&huge);
    }
    ~no_more_threads() {
      pthread_setattr_default_np(&before_);
      pthread_attr_destroy(&before_);
    }

   private:
    pthread_attr_t before_;
  };
  run(
      []() -> task<> {
        const auto before = testing::live();
        {
          const no_more_threads limit;
          std::error_code why;
          std::string message;
          try {
            co_await blocking([] {});
          } catch (const std::system_error& e) {
            why = e.code();
            message = e.what();
          }
          CHECK(why == std::errc::resource_unavailable_try_again);
          CHECK(message.find("thread") != std::string::npos);
          CHECK(testing::live().operations == before.operations);
        }
        gate busy;
        auto holds = go([&]() -> task<> { co_await blocking([&] { busy.pass(); }); });
        co_await busy.reached();
        const no_more_threads limit;
        bool ran = false;
        auto waits = go([&]() -> task<> { co_await blocking([&ran] { ran = true; }); });
        while (testing::live().operations != before.operations + 2) co_await yield();
        busy.open();
        co_await waits;
        CHECK(ran);
        co_await holds;
      },
      {.workers = 1});
}

TEST_CASE("A report says of a routine that it waits for a call, or for a thread for it") {
  runtime rt(with_threads(1, 1));
  rt.run([&]() -> task<> {
    gate busy;
    wait_group all;
    all.go([&]() -> task<> { co_await blocking([&] { busy.pass(); }); });
    co_await busy.reached();
    all.go([]() -> task<> { co_await blocking([] {}); });
    co_await yield();
    std::ostringstream text;
    rt.dump(text);
    CHECK(text.str().find("the end of a blocking call") != std::string::npos);
    CHECK(text.str().find("a thread for a blocking call") != std::string::npos);
    busy.open();
    co_await all.wait();
  });
}

TEST_CASE("In a simulation calls take no virtual time, and equal seeds run them in equal order") {
  const auto order_of = [](std::uint64_t seed) {
    std::vector<int> order;
    const auto report = testing::simulate({.seed = seed, .workers = 2}, [&order]() -> task<> {
      wait_group all;
      for (int i = 0; i != 6; ++i) {
        all.go([&order, i]() -> task<> { co_await blocking([&order, i] { order.push_back(i); }); });
      }
      co_await all.wait();
    });
    CHECK(report.elapsed == 0ns);
    return std::pair(order, report.trace_hash);
  };
  bool orders_differ = false;
  for (std::uint64_t seed = 0; seed != 20; ++seed) {
    const auto first = order_of(seed);
    CHECK(first.first.size() == 6);
    CHECK(first == order_of(seed));
    orders_differ = orders_differ || first.first != order_of(seed + 1).first;
  }
  CHECK(orders_differ);
}

TEST_CASE("In a simulation a call may cancel a routine, but that it waits for one is refused") {
  on_simulated_schedulers([]() -> task<> {
    channel<int> c;
    auto patient = go([c]() -> task<> { co_await c.recv(); });
    bool refused = false;
    try {
      co_await blocking([&patient] { patient.join_blocking(); });
    } catch (const std::logic_error&) {
      refused = true;
    }
    CHECK(refused);
    co_await blocking([&patient] { patient.cancel(); });
    const auto end = co_await ending_of(patient);
    CHECK(end == ending::was_cancelled);
  });
}

TEST_CASE("A call that waits for a channel which no routine has used ends with the runtime, and not with its grace") {
  const channel<int> unused, nil = channel<int>::nil();
  for (const auto& ch : {unused, nil}) {
    for (const bool sends : {false, true}) {
      for (unsigned workers : {1u, 2u, 4u}) {
        std::atomic<bool> runs = false;
        std::atomic<int> refusals = 0;
        runtime_options o;
        o.workers = workers;
        o.shutdown_grace = 1h;
        run(
            [&]() -> task<> {
              go([&]() -> task<> {
                const auto call = [&] {
                  runs = true;
                  for (int i = 0; i != 3; ++i) {  // each time, and when the runtime has ended, too
                    try {
                      sends ? ch.send_blocking(1) : void(ch.recv_blocking());
                    } catch (const std::system_error&) {
                      ++refusals;
                    }
                  }
                };
                auto waits = blocking(call);
                co_await waits;
              });
              while (!runs) co_await yield();
            },
            o);
        CHECK(refusals == 3);
      }
    }
  }
}

TEST_CASE("A call that uses a channel which no routine has used yet meets a routine of its runtime there") {
  const channel<int> ch;
  run([&]() -> task<> {
    auto sum = go([&]() -> task<int> {
      const auto receive = [&] { return ch.recv_blocking().value(); };
      auto waits = blocking(receive);
      const int got = co_await waits;
      co_return got + 1;
    });
    co_await ch.send(41);
    const int got = co_await sum;
    CHECK(got == 42);
  });
}
