// Small programs over locks, permits, conditions and barriers, run under every sequence of choices that the scheduler
// has.
#include <doctest/doctest.h>

#include <cstddef>
#include <memory>
#include <ringo/ringo.hpp>
#include <utility>
#include <vector>

#include "every_scheduler.hpp"
#include "task_ending.hpp"

using namespace ringo;

namespace {

task<> acquires(semaphore& s, std::size_t n, std::vector<std::size_t>& served) {
  const auto held = co_await s.acquire(n);
  served.push_back(n);
}

}  // namespace

TEST_CASE(
    "Every order in which three routines lock, try and cancel leaves the lock free, and nobody in it with another") {
  for (unsigned workers : {1u, 2u}) {
    std::size_t both = 0, cancelled_ones = 0, tries = 0;
    struct state {
      mutex m;
      int inside = 0;
      std::vector<handle<>> routines = std::vector<handle<>>(3);
    };
    std::shared_ptr<state> s;
    const auto locks = [&](std::shared_ptr<state> of) -> task<> {
      const auto held = co_await of->m.lock();
      both += ++of->inside != 1;
      co_await yield();
      --of->inside;
    };
    const auto tries_and_locks = [&](std::shared_ptr<state> of) -> task<> {
      if (const auto held = of->m.try_lock()) {
        ++tries;
        both += ++of->inside != 1;
        --of->inside;
      }
      const auto held = co_await of->m.lock();
      both += ++of->inside != 1;
      --of->inside;
    };
    const auto cancels = [&](std::shared_ptr<state> of) -> task<> {
      of->routines[0].cancel();
      co_await yield();
      of->routines[1].cancel();
    };
    const auto explored = testing::explore(
        [&]() -> task<> {
          s = std::make_shared<state>();
          s->routines[0] = go(locks, s);
          s->routines[1] = go(tries_and_locks, s);
          s->routines[2] = go(cancels, s);
          for (handle<>& each : s->routines) {
            const auto end = co_await ending_of(each);
            cancelled_ones += end == ending::was_cancelled;
          }
          CHECK(s->m.try_lock());
          s.reset();
        },
        1'000'000, workers);
    CHECK(explored.complete);
    CHECK(both == 0);
    CHECK(cancelled_ones > 0);
    CHECK(tries > 0);
  }
}

TEST_CASE("Every order in which routines acquire, try and are cancelled leaves all permits there") {
  for (unsigned workers : {1u, 2u}) {
    struct state {
      semaphore s{2};
      std::vector<std::size_t> served;
      std::vector<handle<>> routines = std::vector<handle<>>(3);
    };
    std::shared_ptr<state> now;
    std::size_t cancelled_ones = 0, refused = 0;
    const auto takes_two = [](std::shared_ptr<state> of) -> task<> { co_await acquires(of->s, 2, of->served); };
    const auto takes_one = [](std::shared_ptr<state> of) -> task<> {
      const auto held = co_await of->s.acquire(1);
      co_await yield();
    };
    const auto tries_and_cancels = [&](std::shared_ptr<state> of) -> task<> {
      {
        const auto held = of->s.try_acquire(1);
        refused += !held;
        co_await yield();
        of->routines[0].cancel();
      }
    };
    const auto explored = testing::explore(
        [&]() -> task<> {
          now = std::make_shared<state>();
          now->routines[0] = go(takes_two, now);
          now->routines[1] = go(takes_one, now);
          now->routines[2] = go(tries_and_cancels, now);
          for (handle<>& each : now->routines) {
            const auto end = co_await ending_of(each);
            cancelled_ones += end == ending::was_cancelled;
          }
          CHECK(now->s.available() == 2);
          now.reset();
        },
        1'000'000, workers);
    CHECK(explored.complete);
    CHECK(cancelled_ones > 0);
    CHECK(refused > 0);
  }
}

TEST_CASE("Every order in which one waits, one notifies under the lock and one cancels loses no change") {
  for (unsigned workers : {1u, 2u}) {
    struct state {
      mutex m;
      condition c;
      bool changed = false;
      handle<> waits, patient, notifies;
    };
    std::shared_ptr<state> s;
    std::size_t cancelled_ones = 0, returned = 0;
    const auto waits = [](std::shared_ptr<state> of) -> task<> {
      auto held = co_await of->m.lock();
      auto& changed = of->changed;
      co_await of->c.wait(held, [&changed] { return changed; });
    };
    const auto notifies = [](std::shared_ptr<state> of) -> task<> {
      const auto held = co_await of->m.lock();
      of->changed = true;
      of->c.notify_one();
      of->c.notify_one();
      of->waits.cancel();
    };
    const auto explored = testing::explore(
        [&]() -> task<> {
          s = std::make_shared<state>();
          s->waits = go(waits, s);
          s->notifies = go(notifies, s);
          s->patient = go(waits, s);
          co_await s->notifies;
          co_await s->patient;
          const auto end = co_await ending_of(s->waits);
          cancelled_ones += end == ending::was_cancelled;
          returned += end == ending::returned;
          CHECK(s->m.try_lock());
          s.reset();
        },
        1'000'000, workers);
    CHECK(explored.complete);
    CHECK(cancelled_ones > 0);
    CHECK(returned > 0);
  }
}

TEST_CASE("Every order in which three arrive at a barrier of two, and one is cancelled, pairs those who pass") {
  for (unsigned workers : {1u, 2u}) {
    struct state {
      barrier b{2};
      std::vector<handle<>> routines = std::vector<handle<>>(3);
      int passed = 0;
    };
    std::shared_ptr<state> s;
    std::size_t odd = 0, nobody = 0, two = 0;
    const auto arrives = [](std::shared_ptr<state> of) -> task<> {
      co_await of->b.arrive_and_wait();
      ++of->passed;
    };
    const auto explored = testing::explore(
        [&]() -> task<> {
          s = std::make_shared<state>();
          for (int i = 0; i != 2; ++i) s->routines[static_cast<std::size_t>(i)] = go(arrives, s);
          s->routines[2] = go([](std::shared_ptr<state> of) { of->routines[0].cancel(); }, s);
          co_await testing::settle();
          odd += s->passed % 2 != 0;
          nobody += s->passed == 0;
          two += s->passed == 2;
          s->routines[1].cancel();
          for (handle<>& each : s->routines) (void)co_await ending_of(each);
          s.reset();
        },
        1'000'000, workers);
    CHECK(explored.complete);
    CHECK(odd == 0);
    CHECK(nobody > 0);
    CHECK(two > 0);
  }
}
