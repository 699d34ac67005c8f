// run and runtime: how a program starts and ends, and what it may be asked meanwhile.
#include <doctest/doctest.h>
#include <sched.h>

#include <atomic>
#include <chrono>
#include <exception>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <ringo/ringo.hpp>
#include <set>
#include <source_location>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "driver_sandbox.hpp"
#include "every_scheduler.hpp"
#include "process_counts.hpp"
#include "task_ending.hpp"

using namespace ringo;
using namespace std::chrono_literals;

namespace {

task<int> twice(int x) { co_return 2 * x; }

// Counts those of its kind that are alive.
class alive {
 public:
  explicit alive(std::atomic<int>& count) : count_(&count) { ++*count_; }
  alive(const alive&) = delete;
  alive& operator=(const alive&) = delete;
  ~alive() { --*count_; }

 private:
  std::atomic<int>* count_;
};

}  // namespace

TEST_CASE("run returns what main returns") {
  CHECK(run(twice(21)) == 42);
  CHECK(run([]() -> task<int> { co_return 7; }) == 7);
  CHECK(run([] { return twice(4); }, {.workers = 2}) == 8);
  auto pointer = run([]() -> task<std::unique_ptr<int>> {
    co_await yield();
    co_return std::make_unique<int>(3);
  });
  REQUIRE(pointer != nullptr);
  CHECK(*pointer == 3);
  run([]() -> task<> { co_return; });
}

TEST_CASE("run rethrows what main throws, and the others are gone by then (159)") {
  for (unsigned workers : {1u, 4u}) {
    std::atomic<int> count = 0;
    std::string caught;
    try {
      run(
          [&count]() -> task<> {
            for (int i = 0; i != 10; ++i) {
              go([&count]() -> task<> {
                const alive here(count);
                co_await never();
              });
            }
            while (count != 10) co_await yield();
            throw std::runtime_error("from main");
          },
          {.workers = workers});
    } catch (const std::runtime_error& e) {
      caught = e.what();
    }
    CHECK(caught == "from main");
    CHECK(count == 0);
  }
}

TEST_CASE("A runtime object runs main, and a callable with captures") {
  runtime rt({.workers = 2});
  const std::string text = "captured by value, and longer than a short string";
  const auto result = rt.run([text]() -> task<std::string> {
    const int two = co_await twice(1);
    co_return text + std::to_string(two);
  });
  CHECK(result == text + "2");
}

TEST_CASE("A runtime that never runs leaves nothing") {
  const auto before = testing::live();
  const auto descriptors = open_descriptors();
  {
    runtime rt({.workers = 4});
    [[maybe_unused]] auto queued = rt.go(twice, 1);
  }
  {
    runtime rt;
  }
  CHECK(open_descriptors() == descriptors);
  CHECK(testing::live().routines == before.routines);
  CHECK(testing::live().frames == before.frames);
}

TEST_CASE("When main ends, whatever still runs is cancelled, unwound and destroyed, whatever it waits for (159)") {
  struct sources {
    channel<int> empty, full{1};
    wait_group group;
    timer alarm{1h};
    ticker clock{1h};
  };
  on_each(every_scheduler(), [](const scheduler_under_test& scheduler) {
    std::atomic<int> started = 0, waiting = 0, unwound = 0;
    scheduler.run([&]() -> task<> {
      // Owned by the routines, as they outlive main.
      auto shared = std::make_shared<sources>();
      shared->full.try_send(1);
      shared->group.add();
      auto start = [&](auto wait) {
        ++started;
        go([&waiting, &unwound, shared, wait]() -> task<> {
          ++waiting;
          try {
            co_await wait(*shared);
          } catch (const cancelled&) {
            ++unwound;
            throw;
          }
        });
      };
      start([](sources& s) -> task<> { co_await s.empty.recv(); });
      start([](sources& s) -> task<> { co_await s.full.send(2); });
      start([](sources& s) -> task<> { co_await s.full.emplace(3); });
      start([](sources& s) -> task<> { co_await select(s.empty.recv(), s.full.send(4), sleep(1h)); });
      start([](sources& s) -> task<> {
        std::vector<decltype(s.empty.recv())> cases;
        for (int i = 0; i != 3; ++i) cases.push_back(s.empty.recv());
        co_await select_any(cases);
      });
      start([](sources&) -> task<> { co_await never(); });
      start([](sources&) -> task<> { co_await channel<int>::nil().recv(); });
      start([](sources&) -> task<> { co_await sleep(1h); });
      start([](sources&) -> task<> { co_await sleep_until(time_point::max()); });
      start([](sources& s) -> task<> { co_await s.alarm.wait(); });
      start([](sources& s) -> task<> { co_await s.clock.tick(); });
      start([](sources& s) -> task<> { co_await s.group.wait(); });
      start([](sources&) -> task<> {
        while (true) co_await yield();
      });
      start([](sources& s) -> task<> {
        while (true) co_await select(s.empty.recv(), sleep(0s));
      });
      start([](sources&) -> task<> {
        auto other = go([]() -> task<> { co_await never(); });
        co_await other;
      });
      start([](sources&) -> task<> {
        auto other = go([]() -> task<> { co_await never(); });
        co_await other.wait();
      });
      while (waiting != started) co_await yield();
    });
    CHECK(started == 16);
    CHECK(unwound == started);
  });
}

TEST_CASE(
    "Each routine that main leaves behind is unwound exactly once, and its locals and arguments are destroyed (159)") {
  for (unsigned workers : {1u, 2u, 4u, 8u}) {
    std::atomic<int> arguments = 0, locals = 0, unwound = 0;
    constexpr int routines = 100;
    run(
        [&]() -> task<> {
          channel<int> nobody_sends;
          for (int i = 0; i != routines; ++i) {
            auto argument = std::make_unique<alive>(arguments);
            go(
                [&locals, &unwound, nobody_sends](std::unique_ptr<alive>) -> task<> {
                  const alive local(locals);
                  try {
                    co_await nobody_sends.recv();
                  } catch (const cancelled&) {
                    ++unwound;
                    throw;
                  }
                },
                std::move(argument));
          }
          while (locals != routines) co_await yield();
        },
        {.workers = workers});
    CHECK(unwound == routines);
    CHECK(locals == 0);
    CHECK(arguments == 0);
  }
}

TEST_CASE("A routine that never got to run when main ends is destroyed with its arguments (159)") {
  for (unsigned workers : {1u, 4u}) {
    std::atomic<int> arguments = 0;
    run(
        [&arguments]() -> task<> {
          for (int i = 0; i != 50; ++i) {
            auto argument = std::make_unique<alive>(arguments);
            go([](std::unique_ptr<alive>) -> task<> { co_await never(); }, std::move(argument));
          }
          co_return;
        },
        {.workers = workers});
    CHECK(arguments == 0);
  }
}

TEST_CASE("Main's own locals are gone before the others are unwound (159)") {
  std::atomic<int> mains_locals = 0, seen = -1;
  run([&]() -> task<> {
    const alive local(mains_locals);
    channel<void> waiting;
    go([&, waiting]() -> task<> {
      co_await waiting.send();
      try {
        co_await never();
      } catch (const cancelled&) {
        seen = mains_locals.load();
        throw;
      }
    });
    co_await waiting.recv();
  });
  CHECK(seen == 0);
}

TEST_CASE("What is unwound may use its channels: close them, and try to send and receive (159)") {
  std::atomic<int> programs = 0, cleaned_up = 0;
  on_every_scheduler([&]() -> task<> {
    ++programs;
    channel<int> values(1);
    channel<void> ready;
    struct closes {
      closes(channel<int> c, std::atomic<int>& counter) : to_close(std::move(c)), count(counter) {}
      closes(const closes&) = delete;
      closes& operator=(const closes&) = delete;
      ~closes() {
        try {
          to_close.try_send(1);
        } catch (const channel_closed&) {
          // Another routine's clean-up came first.
        }
        to_close.try_recv();
        to_close.try_close();
        ++count;
      }
      channel<int> to_close;
      std::atomic<int>& count;
    };
    for (int i = 0; i != 3; ++i) {
      go([values, ready, &cleaned_up]() -> task<> {
        const closes at_the_end(values, cleaned_up);
        co_await ready.send();
        co_await never();
      });
      go([values, ready]() -> task<> {
        co_await ready.send();
        while (true) {
          const auto value = co_await values.recv();
          if (!value) co_await never();
        }
      });
    }
    for (int i = 0; i != 6; ++i) co_await ready.recv();
  });
  CHECK(cleaned_up == 3 * programs);
}

TEST_CASE("A routine's clean-up at the end may take several steps without awaiting (159)") {
  std::vector<std::string> steps;
  run(
      [&steps]() -> task<> {
        channel<void> ready;
        go([&steps, ready]() -> task<> {
          try {
            co_await ready.send();
            co_await never();
          } catch (const cancelled&) {
            steps.emplace_back("caught");
          }
          try {
            co_await sleep(1h);
          } catch (const cancelled&) {
            steps.emplace_back("no more awaits");
          }
          steps.emplace_back("returned");
        });
        co_await ready.recv();
      },
      {.workers = 1});
  CHECK(steps == std::vector<std::string>{"caught", "no more awaits", "returned"});
}

TEST_CASE("What is left when a runtime ends is destroyed by the thread that called run (D18)") {
  struct witness {
    std::thread::id& destroyed_by;
    ~witness() { destroyed_by = std::this_thread::get_id(); }
  };
  for (const unsigned workers : {1u, 2u, 4u}) {
    std::vector<std::thread::id> by(8);
    run(
        [&by]() -> task<> {
          std::atomic<std::size_t> waiting = 0;
          for (std::thread::id& each : by) {
            go([&each, &waiting]() -> task<> {
              const witness here{each};
              ++waiting;
              co_await shield(never());
            });
          }
          while (waiting != by.size()) co_await yield();
        },
        {.workers = workers, .shutdown_grace = 0s});
    for (const std::thread::id& each : by) CHECK(each == std::this_thread::get_id());
  }
}

TEST_CASE("run inside a routine is a logic_error") {
  on_every_scheduler([]() -> task<> {
    CHECK_THROWS_AS(run(twice(1)), std::logic_error);
    CHECK_THROWS_AS(run([] { return twice(1); }), std::logic_error);
    CHECK_THROWS_AS(testing::simulate({}, []() -> task<> { co_return; }), std::logic_error);
    CHECK_THROWS_AS(runtime({.workers = 1}).run(twice(1)), std::logic_error);
    co_await yield();
  });
}

TEST_CASE("go outside of a runtime, and on a thread that is no worker, is a logic_error that names runtime::go") {
  std::string outside;
  try {
    go(twice, 1);
  } catch (const std::logic_error& e) {
    outside = e.what();
  }
  CHECK(outside.find("go was called while no runtime runs") != std::string::npos);
  CHECK(outside.find("run(main)") != std::string::npos);
  CHECK(outside.find("runtime::go") != std::string::npos);
  CHECK(outside.find("thread") == std::string::npos);

  std::string on_a_thread;
  run([&on_a_thread]() -> task<> {
    std::thread foreign([&on_a_thread] {
      try {
        go(twice, 1);
      } catch (const std::logic_error& e) {
        on_a_thread = e.what();
      }
    });
    foreign.join();
    co_return;
  });
  CHECK(on_a_thread.find("runtime::go") != std::string::npos);
}

TEST_CASE("runtime::go queues before run, and what it started then runs") {
  for (unsigned workers : {1u, 4u}) {
    runtime rt({.workers = workers});
    std::atomic<int> sum = 0;
    std::vector<handle<int>> early;
    for (int i = 0; i != 10; ++i) early.push_back(rt.go(twice, i));
    rt.go([&sum] { sum += 100; });
    const int mains = rt.run([&]() -> task<int> {
      int total = 0;
      for (auto& each : early) total += co_await each;
      while (sum != 100) co_await yield();
      co_return total;
    });
    CHECK(mains == 90);
    CHECK(sum == 100);
  }
}

TEST_CASE("runtime::go takes routines from many threads while it runs") {
  for (unsigned workers : {1u, 2u, 4u}) {
    constexpr int threads = 4;
    constexpr int each_starts = 100;
    runtime rt({.workers = workers});
    channel<void> end;
    std::atomic<int> sum = 0, running = threads;
    std::vector<std::thread> foreign;
    for (int t = 0; t != threads; ++t) {
      foreign.emplace_back([&rt, &sum, &running, end] {
        std::vector<handle<int>> routines;
        for (int i = 0; i != each_starts; ++i) {
          routines.push_back(rt.go(
              [](int n) -> task<int> {
                co_await yield();
                co_return n;
              },
              i));
        }
        for (auto& each : routines) sum += each.join_blocking();
        if (--running == 0) end.close();
      });
    }
    rt.run([end]() -> task<> { co_await end.recv(); });
    for (auto& each : foreign) each.join();
    CHECK(sum == threads * each_starts * (each_starts - 1) / 2);
  }
}

TEST_CASE("runtime::go after the end of run throws") {
  runtime rt({.workers = 2});
  rt.run([]() -> task<> { co_return; });
  const auto before = testing::live();
  CHECK_THROWS_AS(rt.go(twice, 1), std::logic_error);
  CHECK(testing::live().frames == before.frames);
  CHECK(testing::live().routines == before.routines);
}

TEST_CASE("runtime::go keeps arguments as long as the routine lives, from any thread") {
  runtime rt({.workers = 2});
  channel<void> end;
  std::string result;
  std::thread foreign([&] {
    handle<std::string> routine;
    {
      std::string text = "a string that is longer than a short one";
      routine = rt.go(
          [](const std::string& kept, std::unique_ptr<int> number) -> task<std::string> {
            co_await yield();
            co_return kept + std::to_string(*number);
          },
          text, std::make_unique<int>(1));
      text.assign(100, 'x');
    }
    result = routine.join_blocking();
    end.close();
  });
  rt.run([end]() -> task<> { co_await end.recv(); });
  foreign.join();
  CHECK(result == "a string that is longer than a short one1");
}

TEST_CASE(
    "A routine of runtime::go that comes too late to begin, since main has ended, makes those who join it go on") {
  runtime rt({.workers = 1});
  bool went_on = false;
  const auto joins = [&went_on](handle<int> late) -> task<> {
    co_await shield(late.wait());
    went_on = true;
  };
  rt.run([&]() -> task<> {
    // The worker is here, so that the routine is only queued before main ends.
    handle<int> late;
    std::thread([&] { late = rt.go(twice, 1); }).join();
    go(joins, std::move(late));
    co_return;
  });
  CHECK(went_on);
}

TEST_CASE("stop, from a thread that is no worker, cancels main") {
  for (unsigned workers : {1u, 4u}) {
    runtime rt({.workers = workers});
    std::promise<void> waiting;
    std::thread foreign([&] {
      waiting.get_future().wait();
      rt.stop();
    });
    CHECK_THROWS_AS(rt.run([&waiting]() -> task<> {
      waiting.set_value();
      co_await never();
    }),
                    cancelled);
    foreign.join();
  }
}

TEST_CASE("stop, from a routine, cancels main, which may end as it likes") {
  runtime rt({.workers = 2});
  const int result = rt.run([&rt]() -> task<int> {
    go([&rt] { rt.stop(); });
    try {
      co_await never();
    } catch (const cancelled&) {
      co_return 5;
    }
    co_return 6;
  });
  CHECK(result == 5);
}

TEST_CASE("stop ends a main that is always ready") {
  runtime rt({.workers = 1});
  std::promise<void> running;
  std::thread foreign([&] {
    running.get_future().wait();
    rt.stop();
  });
  CHECK_THROWS_AS(rt.run([&running]() -> task<> {
    running.set_value();
    while (true) co_await yield();
  }),
                  cancelled);
  foreign.join();
}

TEST_CASE("runtime_options::workers is how many workers there are; none means one per usable CPU (168)") {
  for (unsigned workers : {1u, 3u, 8u}) {
    runtime rt({.workers = workers});
    CHECK(rt.workers() == workers);
    CHECK(rt.run([&rt]() -> task<unsigned> { co_return rt.workers(); }) == workers);
  }
  runtime by_default;
  cpu_set_t usable;
  CPU_ZERO(&usable);
  REQUIRE(::sched_getaffinity(0, sizeof usable, &usable) == 0);
  CHECK(by_default.workers() >= 1);
  CHECK(by_default.workers() <= static_cast<unsigned>(CPU_COUNT(&usable)));
}

TEST_CASE("The number of workers follows the affinity of the process (168)") {
  cpu_set_t before, one;
  REQUIRE(::sched_getaffinity(0, sizeof before, &before) == 0);
  int first = 0;
  while (!CPU_ISSET(first, &before)) ++first;
  CPU_ZERO(&one);
  CPU_SET(first, &one);
  REQUIRE(::sched_setaffinity(0, sizeof one, &one) == 0);
  unsigned workers = 0;
  {
    runtime rt;
    workers = rt.workers();
  }
  REQUIRE(::sched_setaffinity(0, sizeof before, &before) == 0);
  CHECK(workers == 1);
}

TEST_CASE("Without a thread for a worker, run throws, says which and what limits them, and leaves nothing") {
  const sandbox::ending child = sandbox::in_child([]() -> std::string {
    const auto before = open_descriptors();
    sandbox::filter_calls({SYS_clone, SYS_clone3}, SECCOMP_RET_ERRNO | EAGAIN);
    std::string told = "nothing";
    try {
      run([]() -> task<> { co_await sleep(1h); }, {.workers = 3, .on_unhandled = [](auto, auto&) { std::abort(); }});
    } catch (const std::system_error& e) {
      told = e.what();
    }
    return told + (open_descriptors() == before ? "; none open" : "; some still open");
  });
  CHECK(child.exit_status == 0);
  CHECK(child.text.find("worker 2 of 3") != std::string::npos);
  CHECK(child.text.find("RLIMIT_NPROC") != std::string::npos);
  CHECK(child.text.find("; none open") != std::string::npos);
}

TEST_CASE("When main begins, the threads of all workers are there") {
  // Else main could take the memory, or refuse the threads, that they need.
  for (std::size_t i = 0; i != stressed(20); ++i) {
    run(
        []() -> task<> {
          CHECK(threads_of_this_process() >= 8);
          co_return;
        },
        {.workers = 8});
  }
}

TEST_CASE("run uses the calling thread as its first worker, and with one worker no other") {
  const auto caller = std::this_thread::get_id();
  std::set<std::thread::id> threads;
  run(
      [&threads]() -> task<> {
        for (int i = 0; i != 20; ++i) {
          auto routine = go([&threads] { threads.insert(std::this_thread::get_id()); });
          co_await routine;
          threads.insert(std::this_thread::get_id());
        }
      },
      {.workers = 1});
  CHECK(threads == std::set<std::thread::id>{caller});
}

TEST_CASE("Runtimes run one after another, and leave no descriptor, thread or frame") {
  const auto before = testing::live();
  run([]() -> task<> { co_return; }, {.workers = 4});
  const auto descriptors = open_descriptors();
  const auto threads = threads_of_this_process();
  for (int i = 0; i != 50; ++i) {
    run(
        []() -> task<> {
          channel<int> c;
          go([c]() -> task<> { co_await c.send(1); });
          go([]() -> task<> { co_await sleep(1h); });
          co_await c.recv();
        },
        {.workers = 1 + static_cast<unsigned>(i) % 4});
  }
  CHECK(open_descriptors() == descriptors);
  // The kernel counts a thread for a moment after its join: before, too.
  while (threads_of_this_process() > threads) std::this_thread::yield();
  const auto after = testing::live();
  CHECK(after.frames == before.frames);
  CHECK(after.routines == before.routines);
  CHECK(after.timers == before.timers);
  CHECK(after.operations == before.operations);
}

TEST_CASE("A runtime can be made while another exists, and each runs when it is told to") {
  runtime first({.workers = 1}), second({.workers = 2});
  CHECK(second.run(twice(2)) == 4);
  CHECK(first.run(twice(1)) == 2);
}

TEST_CASE("Several runtimes run at once, each on its own threads") {
  std::vector<std::thread> threads;
  std::atomic<int> right = 0;
  for (int t = 0; t != 3; ++t) {
    threads.emplace_back([t, &right] {
      const int result = run(
          [t]() -> task<int> {
            channel<int> c;
            go([c, t]() -> task<> {
              for (int i = 0; i != 200; ++i) co_await c.send(t);
              c.close();
            });
            int sum = 0;
            while (auto value = co_await c.recv()) sum += *value;
            co_await sleep(1ms);
            co_return sum;
          },
          {.workers = 2});
      right += result == 200 * t;
    });
  }
  for (auto& each : threads) each.join();
  CHECK(right == 3);
}

TEST_CASE("A channel belongs to the runtime that uses it first, and to another when that has ended") {
  channel<int> shared(4);
  channel<void> end;
  std::promise<void> in_use;
  std::thread first([&] {
    run(
        [&shared, &in_use, end]() -> task<> {
          co_await shared.send(1);
          in_use.set_value();
          co_await end.recv();
        },
        {.workers = 1});
  });
  in_use.get_future().wait();
  run(
      [&shared]() -> task<> {
        std::string what;
        try {
          co_await shared.send(2);
        } catch (const channel_closed&) {
          what = "closed?";
        } catch (const std::logic_error& e) {
          what = e.what();
        }
        CHECK(what != "closed?");
        CHECK_FALSE(what.empty());
        CHECK_THROWS_AS(shared.try_recv(), std::logic_error);
      },
      {.workers = 1});
  end.close();
  first.join();
  run(
      [&shared]() -> task<> {
        const auto value = co_await shared.recv();
        CHECK(value == 1);
        CHECK(shared.size() == 0);
      },
      {.workers = 1});
}

TEST_CASE("A channel may be filled before run and read after it") {
  channel<int> in(3), out(3);
  for (int i = 1; i <= 3; ++i) CHECK(in.try_send(i));
  in.close();
  run([in, out]() -> task<> {
    while (auto value = co_await in.recv()) co_await out.send(*value * 10);
    out.close();
  });
  for (int i = 1; i <= 3; ++i) CHECK(out.try_recv() == i * 10);
  CHECK(out.is_drained());
}

TEST_CASE("metrics counts what has happened") {
  runtime rt({.workers = 1});
  rt.run([&rt]() -> task<> {
    const auto before = rt.metrics();
    CHECK(before.routines_live >= 1);
    std::vector<handle<void>> routines;
    for (int i = 0; i != 10; ++i) routines.push_back(go([]() -> task<> { co_await never(); }));
    for (int i = 0; i != 3; ++i) co_await yield();
    const auto during = rt.metrics();
    CHECK(during.routines_started == before.routines_started + 10);
    CHECK(during.routines_live == before.routines_live + 10);
    CHECK(during.resumes >= before.resumes + 10);
    for (auto& each : routines) {
      each.cancel();
      const auto end = co_await ending_of(each);
      CHECK(end == ending::was_cancelled);
    }
    const auto after = rt.metrics();
    CHECK(after.routines_started == during.routines_started);
    CHECK(after.resumes >= during.resumes + 10);
    // The last to end may have its record until its handle goes.
    routines.clear();
    co_await yield();
    CHECK(rt.metrics().routines_live == before.routines_live);
  });
}

TEST_CASE("metrics counts wake-ups sent, and how often there was nothing to steal") {
  runtime rt({.workers = 2});
  rt.run([&rt]() -> task<> {
    for (;;) {
      // The other worker has nothing to do: it is there to be woken, unless it has just woken by itself.
      metrics before;
      do before = (std::this_thread::yield(), rt.metrics());
      while (before.parks == before.wakes);
      CHECK(before.steals_failed >= 1);
      auto h = go([]() -> task<> { co_return; });
      while (!h.is_done()) std::this_thread::yield();
      const auto after = rt.metrics();
      CHECK(after.steals >= before.steals + 1);
      co_await h;
      if (after.wakes_sent > before.wakes_sent) break;
    }
  });
}

TEST_CASE("a routine that yields alone lets timers, completions and posts go before it goes on (167)") {
  runtime rt({.workers = 1});
  rt.run([&rt]() -> task<> {
    bool done = false;
    const auto compute_for = [](std::chrono::nanoseconds length) {
      const auto until = std::chrono::steady_clock::now() + length;
      while (std::chrono::steady_clock::now() < until) {
      }
    };

    auto sleeper = go([&done]() -> task<> {
      co_await sleep(1ms);
      done = true;
    });
    co_await yield();  // it sleeps
    co_await yield();  // its time runs
    compute_for(2ms);
    co_await yield();
    CHECK(done);

    done = false;
    rt.go([&done]() -> task<> {
      done = true;
      co_return;
    });
    co_await yield();
    CHECK(done);

    done = false;
    auto ends = unix_stream::pair();
    auto reader = go([&done, &from = ends.first]() -> task<> {
      co_await from.recv();
      done = true;
    });
    auto writer = go([&to = ends.second]() -> task<> { co_await to.send("x"); });
    // A few turns for the driver to begin both and to hear of their ends: fewer than the resumes of one turn.
    for (int i = 0; i != 8; ++i) co_await yield();
    CHECK(done);
    co_await sleeper;
    co_await reader;
    co_await writer;
  });
}

TEST_CASE("live counts routines, frames and timers while they exist, and none of them afterwards") {
  const auto start = testing::live();
  on_every_scheduler([]() -> task<> {
    const auto before = testing::live();
    std::vector<handle<void>> routines;
    channel<void> waiting;
    for (int i = 0; i != 5; ++i) {
      routines.push_back(go([waiting]() -> task<> {
        co_await waiting.send();
        co_await sleep(1h);
      }));
    }
    for (int i = 0; i != 5; ++i) co_await waiting.recv();
    const auto during = testing::live();
    CHECK(during.routines == before.routines + 5);
    CHECK(during.frames >= before.frames + 5);
    while (testing::live().timers < before.timers + 5) co_await yield();
    for (auto& each : routines) {
      each.cancel();
      co_await ending_of(each);
    }
    CHECK(testing::live().timers == before.timers);
  });
  const auto end = testing::live();
  CHECK(end.routines == start.routines);
  CHECK(end.frames == start.frames);
  CHECK(end.timers == start.timers);
  CHECK(end.operations == start.operations);
}

TEST_CASE("A thread may wait for what a program sends, and send to it, while the program runs") {
  for (unsigned workers : {1u, 2u, 4u}) {
    channel<int> questions, answers;
    int sum = 0;
    std::thread foreign([&] {
      for (int i = 0; i != 50; ++i) {
        questions.send_blocking(i);
        sum += answers.recv_blocking().value();
      }
      questions.close();
    });
    run(
        [questions, answers]() -> task<> {
          while (auto question = co_await questions.recv()) co_await answers.send(*question * 2);
        },
        {.workers = workers});
    foreign.join();
    CHECK(sum == 2450);
  }
}
