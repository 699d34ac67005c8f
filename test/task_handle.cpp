// handle: what one may ask of a started routine.
#include <doctest/doctest.h>

#include <atomic>
#include <exception>
#include <memory>
#include <optional>
#include <ringo/ringo.hpp>
#include <source_location>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "every_scheduler.hpp"
#include "task_ending.hpp"

using namespace ringo;
using namespace std::chrono_literals;

namespace {

task<int> twice(int x) { co_return 2 * x; }

task<int> twice_after_a_while(int x) {
  for (int i = 0; i != 5; ++i) co_await yield();
  co_return 2 * x;
}

struct peculiar : std::runtime_error {
  explicit peculiar(int n) : std::runtime_error("peculiar"), number(n) {}
  int number;
};

task<int> fail_after_a_while(int n) {
  co_await yield();
  throw peculiar(n);
}

// Options whose on_unhandled counts the exceptions that are no cancellation.
runtime_options counting(std::atomic<int>& unhandled, unsigned workers) {
  runtime_options how;
  how.workers = workers;
  how.on_unhandled = [&unhandled](std::exception_ptr error, const std::source_location&) {
    try {
      std::rethrow_exception(error);
    } catch (const cancelled&) {
    } catch (...) {
      ++unhandled;
    }
  };
  return how;
}

}  // namespace

TEST_CASE("A join yields the routine's result, whether it has ended already or not") {
  on_every_scheduler([]() -> task<> {
    auto soon = go(twice, 21);
    const int first = co_await soon;
    CHECK(first == 42);
    auto later = go(twice_after_a_while, 4);
    const int second = co_await later.join();
    CHECK(second == 8);
    auto ended = go(twice, 5);
    co_await ended.wait();
    CHECK(ended.is_done());
    const int third = co_await ended;
    CHECK(third == 10);
  });
}

TEST_CASE("A join of a routine without a result only waits, and sees all that it did (44)") {
  on_every_scheduler([]() -> task<> {
    int plain = 0;
    auto routine = go([&plain]() -> task<> {
      co_await yield();
      plain = 7;
    });
    co_await routine;
    CHECK(plain == 7);
  });
}

TEST_CASE("A join yields a result that can only be moved") {
  on_every_scheduler([]() -> task<> {
    auto routine = go([]() -> task<std::unique_ptr<int>> {
      co_await yield();
      co_return std::make_unique<int>(3);
    });
    auto result = co_await routine;
    REQUIRE(result != nullptr);
    CHECK(*result == 3);
  });
}

TEST_CASE("A join rethrows what the routine threw, as it was (D12)") {
  on_every_scheduler([]() -> task<> {
    auto failing = go(fail_after_a_while, 11);
    int number = 0;
    try {
      co_await failing;
    } catch (const peculiar& e) {
      number = e.number;
    }
    CHECK(number == 11);

    auto at_once = go([]() -> task<int> { throw peculiar(12); });
    co_await at_once.wait();
    try {
      co_await at_once;
    } catch (const peculiar& e) {
      number = e.number;
    }
    CHECK(number == 12);
  });
}

TEST_CASE("A second join is a logic_error, after a result and after an exception (D12)") {
  on_every_scheduler([]() -> task<> {
    auto routine = go(twice, 1);
    co_await routine;
    bool threw = false;
    try {
      co_await routine;
    } catch (const std::logic_error&) {
      threw = true;
    }
    CHECK(threw);

    auto failing = go(fail_after_a_while, 1);
    const auto end = co_await ending_of(failing);
    CHECK(end == ending::failed);
    threw = false;
    try {
      co_await failing.join();
    } catch (const std::logic_error&) {
      threw = true;
    }
    CHECK(threw);
  });
}

TEST_CASE("A join of a handle that has no routine is a logic_error") {
  on_every_scheduler([]() -> task<> {
    handle<int> none;
    auto moved_from = go(twice, 1);
    auto taken = std::move(moved_from);
    int threw = 0;
    for (auto* each : {&none, &moved_from}) {
      try {
        co_await each->join();
      } catch (const std::logic_error&) {
        ++threw;
      }
    }
    CHECK(threw == 2);
    const int result = co_await taken;
    CHECK(result == 2);
  });
}

TEST_CASE("done is false while the routine runs, and true when it has ended, however it ended") {
  on_simulated_schedulers([]() -> task<> {
    channel<void> gate;
    auto returning = go([gate]() -> task<> { co_await gate.recv(); });
    auto failing = go([gate]() -> task<> {
      co_await gate.recv();
      throw peculiar(1);
    });
    auto ended_by_cancel = go([]() -> task<> { co_await never(); });
    co_await testing::settle();
    CHECK_FALSE(returning.is_done());
    CHECK_FALSE(failing.is_done());
    CHECK_FALSE(ended_by_cancel.is_done());
    gate.close();
    ended_by_cancel.cancel();
    co_await testing::settle();
    CHECK(returning.is_done());
    CHECK(failing.is_done());
    CHECK(ended_by_cancel.is_done());
    const auto first = co_await ending_of(returning);
    const auto second = co_await ending_of(failing);
    const auto third = co_await ending_of(ended_by_cancel);
    CHECK(first == ending::returned);
    CHECK(second == ending::failed);
    CHECK(third == ending::was_cancelled);
  });
}

TEST_CASE("finished waits for the end, however it comes, and takes nothing") {
  on_every_scheduler([]() -> task<> {
    auto returning = go(twice_after_a_while, 3);
    co_await returning.wait();
    co_await returning.wait();
    const int result = co_await returning;
    CHECK(result == 6);

    auto failing = go(fail_after_a_while, 4);
    co_await failing.wait();
    const auto end = co_await ending_of(failing);
    CHECK(end == ending::failed);

    auto waiting = go([]() -> task<> { co_await never(); });
    waiting.cancel();
    co_await waiting.wait();
    const auto cancelled_end = co_await ending_of(waiting);
    CHECK(cancelled_end == ending::was_cancelled);
  });
}

TEST_CASE("Several may wait for one routine to finish, and one of them takes the result") {
  on_every_scheduler([]() -> task<> {
    auto routine = go(twice_after_a_while, 3);
    wait_group watchers;
    std::atomic<int> saw_it_done = 0;
    for (int i = 0; i != 5; ++i) {
      watchers.go([&]() -> task<> {
        co_await routine.wait();
        saw_it_done += routine.is_done();
      });
    }
    const int result = co_await routine;
    CHECK(result == 6);
    co_await watchers.wait();
    CHECK(saw_it_done == 5);
  });
}

TEST_CASE("Of the routines that wait for one routine, any may be cancelled: the others go on") {
  on_simulated_schedulers([]() -> task<> {
    for (unsigned leave = 0; leave != 32; ++leave) {
      channel<> gate;
      const auto of = go([](channel<> until) -> task<> { (void)co_await until.recv(); }, gate);
      unsigned went_on = 0;
      const auto waits = [&of, &went_on](unsigned bit) -> task<> {
        try {
          co_await of.wait();
          went_on |= bit;
        } catch (const cancelled&) {
        }
      };
      std::vector<handle<>> waiters;
      for (unsigned i = 0; i != 5; ++i) waiters.push_back(go(std::cref(waits), 1U << i));
      co_await testing::settle();
      for (unsigned i = 0; i != 5; ++i) {
        if ((leave >> i & 1) != 0) waiters[i].cancel();
      }
      if (leave % 2 == 0) co_await testing::settle();  // else they leave after it has ended
      gate.close();
      for (auto& each : waiters) co_await each.wait();
      CHECK(went_on == (31U & ~leave));
    }
  });
}

TEST_CASE("A dropped handle detaches: the routine goes on") {
  on_every_scheduler([]() -> task<> {
    channel<int> out;
    {
      [[maybe_unused]] auto dropped = go([out]() -> task<> {
        for (int i = 0; i != 5; ++i) co_await yield();
        co_await out.send(1);
      });
    }
    go([out]() -> task<> { co_await out.send(2); });
    int sum = 0;
    for (int i = 0; i != 2; ++i) {
      const auto value = co_await out.recv();
      sum += value.value();
    }
    CHECK(sum == 3);
  });
}

TEST_CASE("Assigning to a handle detaches what it held") {
  on_every_scheduler([]() -> task<> {
    channel<int> out(2);
    auto routine = go([out]() -> task<int> {
      co_await out.send(1);
      co_return 1;
    });
    routine = go([out]() -> task<int> {
      co_await out.send(1);
      co_return 2;
    });
    const int result = co_await routine;
    CHECK(result == 2);
    for (int i = 0; i != 2; ++i) co_await out.recv();
  });
}

TEST_CASE("An exception that nobody can receive is unhandled, whether the handle is dropped before or after (163)") {
  for (unsigned workers : {1u, 2u, 4u}) {
    std::atomic<int> unhandled = 0;
    run(
        [&unhandled]() -> task<> {
          channel<void> gate;
          {
            [[maybe_unused]] auto dropped_before = go([gate]() -> task<> {
              co_await gate.recv();
              throw peculiar(1);
            });
          }
          gate.close();
          {
            auto dropped_after = go(fail_after_a_while, 2);
            co_await dropped_after.wait();
            auto received = go(fail_after_a_while, 3);
            co_await ending_of(received);
          }
          while (unhandled != 2) co_await yield();
        },
        counting(unhandled, workers));
    CHECK(unhandled == 2);
  }
}

TEST_CASE("cancel ends a routine's waiting with cancelled, which its join rethrows (D13)") {
  on_every_scheduler([]() -> task<> {
    std::atomic<bool> saw_it = false;
    auto routine = go([&saw_it]() -> task<> {
      try {
        co_await never();
      } catch (const cancelled& e) {
        saw_it = e.code() == std::errc::operation_canceled;
        throw;
      }
    });
    co_await yield();
    routine.cancel();
    const auto end = co_await ending_of(routine);
    CHECK(end == ending::was_cancelled);
    CHECK(saw_it);
  });
}

TEST_CASE("After a cancel each later await throws before it tries anything, ready or not (D13)") {
  on_simulated_schedulers([]() -> task<> {
    channel<int> ready(2);
    ready.try_send(1);
    auto routine = go([ready]() -> task<int> {
      int threw = 0;
      try {
        co_await never();
      } catch (const cancelled&) {
        ++threw;
      }
      try {
        co_await ready.recv();
      } catch (const cancelled&) {
        ++threw;
      }
      try {
        co_await ready.send(2);
      } catch (const cancelled&) {
        ++threw;
      }
      try {
        co_await yield();
      } catch (const cancelled&) {
        ++threw;
      }
      try {
        co_await sleep(0s);
      } catch (const cancelled&) {
        ++threw;
      }
      co_return threw;
    });
    co_await testing::settle();
    routine.cancel();
    const int threw = co_await routine;
    CHECK(threw == 5);
    CHECK(ready.size() == 1);
    CHECK(ready.try_recv() == 1);
  });
}

TEST_CASE("A cancelled routine may still return a result, and its join yields it") {
  on_every_scheduler([]() -> task<> {
    auto routine = go([]() -> task<int> {
      try {
        co_await never();
      } catch (const cancelled&) {
      }
      co_return 5;
    });
    co_await yield();
    routine.cancel();
    const int result = co_await routine;
    CHECK(result == 5);
  });
}

TEST_CASE("A cancelled routine can still await its own tasks, which await nothing that waits") {
  on_simulated_schedulers([]() -> task<> {
    auto routine = go([]() -> task<int> {
      try {
        co_await never();
      } catch (const cancelled&) {
      }
      const int result = co_await twice(4);
      co_return result;
    });
    co_await testing::settle();
    routine.cancel();
    const int result = co_await routine;
    CHECK(result == 8);
  });
}

TEST_CASE("cancel ends a loop whose operations are always ready (D13)") {
  on_every_scheduler([]() -> task<> {
    channel<int> closed;
    closed.close();
    handle<void> receiving = go([closed]() -> task<> {
      while (true) co_await closed.recv();
    });
    handle<void> yielding = go([]() -> task<> {
      while (true) co_await yield();
    });
    handle<void> selecting = go([closed]() -> task<> {
      while (true) co_await select(closed.recv(), never());
    });
    co_await yield();
    for (auto* each : {&receiving, &yielding, &selecting}) {
      each->cancel();
      const auto end = co_await ending_of(*each);
      CHECK(end == ending::was_cancelled);
    }
  });
}

TEST_CASE("cancel after the end, and a second cancel, do nothing (132)") {
  on_every_scheduler([]() -> task<> {
    auto ended = go(twice, 4);
    co_await ended.wait();
    ended.cancel();
    const int result = co_await ended;
    CHECK(result == 8);
    auto waiting = go([]() -> task<> { co_await never(); });
    waiting.cancel();
    waiting.cancel();
    const auto end = co_await ending_of(waiting);
    CHECK(end == ending::was_cancelled);
  });
}

TEST_CASE("A receive that has its value returns it, although its routine was cancelled before it ran (D13)") {
  on_simulated_schedulers([]() -> task<> {
    channel<int> c;
    auto receiving = go([c]() -> task<std::optional<int>> { co_return co_await c.recv(); });
    co_await testing::settle();
    CHECK(c.try_send(9));
    receiving.cancel();
    const auto received = co_await receiving;
    CHECK(received == 9);
  });
}

TEST_CASE("A send that was cancelled while it waited has sent nothing, and the value is whole (D1)") {
  on_simulated_schedulers([]() -> task<> {
    channel<std::unique_ptr<int>> c;
    auto sending = go([c]() -> task<int> {
      auto value = std::make_unique<int>(4);
      try {
        co_await c.send(std::move(value));
      } catch (const cancelled&) {
        co_return value ? *value : -1;
      }
      co_return -2;
    });
    co_await testing::settle();
    sending.cancel();
    const int kept = co_await sending;
    CHECK(kept == 4);
    CHECK(c.try_recv() == std::nullopt);
  });
}

TEST_CASE("A join that is cancelled leaves the result with its handle") {
  on_simulated_schedulers([]() -> task<> {
    channel<void> gate;
    auto routine = go([gate]() -> task<int> {
      co_await gate.recv();
      co_return 13;
    });
    auto joining = go([&routine]() -> task<int> { co_return co_await routine; });
    co_await testing::settle();
    joining.cancel();
    const auto end = co_await ending_of(joining);
    CHECK(end == ending::was_cancelled);
    CHECK_FALSE(routine.is_done());
    gate.close();
    const int result = co_await routine;
    CHECK(result == 13);
  });
}

TEST_CASE("Cancelling a routine does not cancel the one that it joins") {
  on_simulated_schedulers([]() -> task<> {
    channel<void> gate;
    bool finished = false;
    auto outer = go([gate, &finished]() -> task<> {
      auto inner = go([gate, &finished]() -> task<> {
        co_await gate.recv();
        finished = true;
      });
      co_await inner;
    });
    co_await testing::settle();
    outer.cancel();
    const auto end = co_await ending_of(outer);
    CHECK(end == ending::was_cancelled);
    gate.close();
    co_await testing::settle();
    CHECK(finished);
  });
}

TEST_CASE("A cancelled routine that races with the event either has it or has not, and nothing is lost (D13)") {
  const auto rounds = stressed(300);
  on_every_scheduler([rounds]() -> task<> {
    std::size_t lost = 0;
    for (std::size_t i = 0; i != rounds; ++i) {
      channel<int> c(1);
      auto receiving = go([c]() -> task<bool> {
        try {
          co_await c.recv();
        } catch (const cancelled&) {
          co_return false;
        }
        co_return true;
      });
      auto sending = go([c]() -> task<> { co_await c.send(1); });
      receiving.cancel();
      const bool has_it = co_await receiving;
      co_await sending;
      lost += (c.size() == 1) == has_it;
    }
    CHECK(lost == 0);
  });
}

TEST_CASE("A thread that is no worker waits for a routine's result") {
  for (unsigned workers : {1u, 2u, 4u}) {
    runtime rt({.workers = workers});
    channel<void> end;
    int result = 0, number = 0;
    std::thread foreign([&] {
      auto routine = rt.go(twice_after_a_while, 21);
      result = routine.join_blocking();
      auto failing = rt.go(fail_after_a_while, 8);
      try {
        failing.join_blocking();
      } catch (const peculiar& e) {
        number = e.number;
      }
      end.close();
    });
    rt.run([end]() -> task<> { co_await end.recv(); });
    foreign.join();
    CHECK(result == 42);
    CHECK(number == 8);
  }
}

TEST_CASE("A thread that is no worker may ask whether a routine is done, and cancel it") {
  for (unsigned workers : {1u, 4u}) {
    runtime rt({.workers = workers});
    channel<void> end;
    bool was_done_while_waiting = true, was_cancelled = false, is_done = false;
    std::thread foreign([&] {
      auto routine = rt.go([]() -> task<> { co_await never(); });
      was_done_while_waiting = routine.is_done();
      routine.cancel();
      try {
        routine.join_blocking();
      } catch (const cancelled&) {
        was_cancelled = true;
      }
      is_done = routine.is_done();
      end.close();
    });
    rt.run([end]() -> task<> { co_await end.recv(); });
    foreign.join();
    CHECK_FALSE(was_done_while_waiting);
    CHECK(was_cancelled);
    CHECK(is_done);
  }
}

TEST_CASE("A result outlives its runtime, in a handle") {
  handle<int> kept;
  run([&kept]() -> task<> {
    kept = go(twice, 21);
    co_await kept.wait();
  });
  CHECK(kept.is_done());
  CHECK(kept.join_blocking() == 42);
}

TEST_CASE("A handle that outlives its runtime with a routine that never ended says that it was cancelled (159)") {
  handle<int> kept;
  run([&kept]() -> task<> {
    kept = go([]() -> task<int> {
      co_await never();
      co_return 1;
    });
    co_await yield();
  });
  CHECK(kept.is_done());
  CHECK_THROWS_AS(kept.join_blocking(), cancelled);
}

TEST_CASE("A worker that waits as threads do is told not to: a logic_error") {
  on_every_scheduler([]() -> task<> {
    auto routine = go([]() -> task<> { co_await never(); });
    CHECK_THROWS_AS(routine.join_blocking(), std::logic_error);
    routine.cancel();
    const auto end = co_await ending_of(routine);
    CHECK(end == ending::was_cancelled);
  });
}

TEST_CASE("A handle can be moved and not copied") {
  CHECK_FALSE(std::is_copy_constructible_v<handle<int>>);
  CHECK_FALSE(std::is_copy_assignable_v<handle<int>>);
  CHECK(std::is_nothrow_move_constructible_v<handle<int>>);
  CHECK(std::is_nothrow_move_assignable_v<handle<int>>);
  CHECK(std::is_default_constructible_v<handle<int>>);
}
