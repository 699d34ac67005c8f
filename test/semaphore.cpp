// semaphore: weighted, first come, first served.
#include <doctest/doctest.h>

#include <atomic>
#include <cstddef>
#include <memory>
#include <optional>
#include <ringo/ringo.hpp>
#include <stdexcept>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "every_scheduler.hpp"
#include "task_ending.hpp"

using namespace ringo;
using namespace std::chrono_literals;

namespace {

task<> acquires(semaphore& s, std::size_t n, std::vector<std::size_t>& served) {
  const auto held = co_await s.acquire(n);
  served.push_back(n);
}

}  // namespace

TEST_CASE("Never more permits are out than there are (TestWeighted)") {
  on_every_scheduler([]() -> task<> {
    constexpr std::size_t most = 5;
    semaphore s(most);
    wait_group all;
    std::atomic<std::size_t> out = 0, too_many = 0;
    for (std::size_t i = 0; i != 10; ++i) {
      all.go([&, n = i % most + 1]() -> task<> {
        for (int k = 0; k != 20; ++k) {
          const auto held = co_await s.acquire(n);
          if (out.fetch_add(n) + n > most) ++too_many;
          if (k % 3 == 0) co_await yield();
          out -= n;
        }
      });
    }
    co_await all.wait();
    CHECK(too_many == 0);
    CHECK(s.available() == most);
  });
}

TEST_CASE(
    "try_acquire takes what is there, and nothing if there is too little or somebody waits (124, "
    "TestWeightedTryAcquire)") {
  on_simulated_schedulers([]() -> task<> {
    semaphore s(2);
    auto one = s.try_acquire(1), two = s.try_acquire(1), three = s.try_acquire(1);
    CHECK((one && two && !three));
    one.release();
    two.release();
    CHECK(s.available() == 2);
    CHECK_FALSE(s.try_acquire(3));
    one = s.try_acquire();
    std::vector<std::size_t> served;
    auto waiting = go(acquires, std::ref(s), 2u, std::ref(served));
    co_await testing::settle();
    CHECK(s.available() == 1);
    CHECK_FALSE(s.try_acquire(1));  // there is one, and it is for who waits
    one.release();
    co_await waiting;
    CHECK(s.try_acquire(2));
  });
}

TEST_CASE("A large acquire in front holds up the small ones behind it (123, TestLargeAcquireDoesntStarve)") {
  on_every_scheduler(
      []() -> task<> {
        constexpr int n = 4;
        semaphore s(n);
        std::atomic<bool> running = true;
        std::vector<handle<>> small;
        channel<void> ready;
        for (int i = 0; i != n; ++i) {
          small.push_back(go([&]() -> task<> {
            auto held = co_await s.acquire(1);
            co_await ready.send();
            while (running) {
              co_await yield();
              held.release();
              held = co_await s.acquire(1);
            }
          }));
        }
        for (int i = 0; i != n; ++i) co_await ready.recv();
        auto all = co_await s.acquire(n);
        running = false;
        all.release();
        for (handle<>& each : small) co_await each;
        CHECK(s.available() == n);
      },
      5);
}

TEST_CASE("Who waits is served in order of arrival, whatever it asks for (123)") {
  on_simulated_schedulers([]() -> task<> {
    semaphore s(5);
    auto held = co_await s.acquire(5);
    std::vector<std::size_t> served;
    wait_group all;
    for (std::size_t n : {3u, 5u, 1u, 5u, 4u}) {
      all.go(acquires, std::ref(s), n, std::ref(served));
      co_await testing::settle();
    }
    held.release();
    co_await all.wait();
    CHECK(served == std::vector<std::size_t>{3, 5, 1, 5, 4});
  });
}

TEST_CASE(
    "A request for more than there are waits for its cancellation, and holds up nobody (128, "
    "TestWeightedDoesntBlockIfTooBig)") {
  on_simulated_schedulers([]() -> task<> {
    semaphore s(2);
    std::vector<std::size_t> served;
    auto too_big = go(acquires, std::ref(s), 3u, std::ref(served));
    co_await testing::settle();
    for (int i = 0; i != 3; ++i) {
      const auto held = co_await s.acquire(2);
      CHECK_FALSE(s.try_acquire(1));
    }
    auto r = co_await select(s.acquire(3), sleep(1s));
    CHECK(r.index() == 1);
    CHECK_FALSE(too_big.is_done());
    too_big.cancel();
    const auto end = co_await ending_of(too_big);
    CHECK(end == ending::was_cancelled);
    CHECK(s.available() == 2);
  });
}

TEST_CASE("When the first who waits gives up, those behind it are looked at again (127, TestAllocCancelDoesntStarve)") {
  for (const bool selects : {false, true}) {
    on_simulated_schedulers([selects]() -> task<> {
      semaphore s(10);
      channel<void> other;
      auto held = co_await s.acquire(1);
      auto first = go([&]() -> task<> {
        if (selects) {
          co_await select(s.acquire(10), other.recv());
        } else {
          const auto mine = co_await s.acquire(10);
        }
      });
      co_await testing::settle();
      std::vector<std::size_t> served;
      auto second = go(acquires, std::ref(s), 5u, std::ref(served));
      auto third = go(acquires, std::ref(s), 4u, std::ref(served));
      co_await testing::settle();
      CHECK(served.empty());
      if (selects) {
        CHECK(other.try_send());
      } else {
        first.cancel();
      }
      co_await second;  // with `held` held
      co_await third;
      (void)co_await ending_of(first);
      CHECK(s.available() == 9);
    });
  }
}

TEST_CASE("A cancelled routine does not acquire, though there are permits (125, TestWeightedAcquireCanceled)") {
  on_every_scheduler([]() -> task<> {
    semaphore s(2);
    std::vector<std::size_t> served;
    auto h = go([&]() -> task<> {
      try {
        co_await never();
      } catch (const cancelled&) {
      }
      co_await acquires(s, 1, served);
    });
    h.cancel();
    const auto end = co_await ending_of(h);
    CHECK(end == ending::was_cancelled);
    CHECK(served.empty());
    CHECK(s.available() == 2);
  });
}

TEST_CASE("A cancel and a grant at the same time: whichever was first, the permits are all there afterwards (126)") {
  for (const bool grant_first : {false, true}) {
    for (std::size_t victim : {0u, 1u, 2u}) {
      on_simulated_schedulers([=]() -> task<> {
        semaphore s(3);
        auto held = co_await s.acquire(3);
        std::vector<std::size_t> served;
        std::vector<handle<>> waiting;
        for (std::size_t n : {3u, 2u, 1u}) {
          waiting.push_back(go(acquires, std::ref(s), n, std::ref(served)));
          co_await testing::settle();
        }
        if (grant_first) held.release();
        waiting[victim].cancel();
        if (!grant_first) held.release();
        for (std::size_t i = 0; i != 3; ++i) {
          const auto end = co_await ending_of(waiting[i]);
          const bool kept = i != victim || (grant_first && victim == 0);
          CHECK(end == (kept ? ending::returned : ending::was_cancelled));
        }
        CHECK(s.available() == 3);
      });
    }
  }
}

TEST_CASE("acquire is a case: it takes if it wins, and nothing if it loses") {
  on_every_scheduler([]() -> task<> {
    semaphore s(2);
    channel<int> other(1);
    for (int i = 0; i != 100; ++i) {
      other.try_send(1);
      auto r = co_await select(s.acquire(2), other.recv());
      CHECK(s.available() == (r.index() == 0 ? 0 : 2));
    }
    {
      auto r = co_await select(s.acquire(1), s.acquire(2));
      CHECK(s.available() == (r.index() == 0 ? 1 : 0));
    }
    CHECK(s.available() == 2);
  });
}

TEST_CASE(
    "A parked select with several cases of one semaphore has one of them, and the rest goes on to others (52, 66)") {
  on_simulated_schedulers([]() -> task<> {
    semaphore s(3);
    auto held = co_await s.acquire(3);
    std::size_t had = 0;
    auto selecting = go([&]() -> task<> {
      auto r = co_await select(s.acquire(3), s.acquire(1), s.acquire(2));
      had = r.index() == 0 ? 3 : r.index();
      CHECK(s.available() <= 3 - had);
    });
    co_await testing::settle();
    std::vector<std::size_t> served;
    auto behind = go(acquires, std::ref(s), 1u, std::ref(served));
    co_await testing::settle();
    held.release();
    co_await selecting;
    co_await behind;
    CHECK(had != 0);
    CHECK(s.available() == 3);
  });
}

TEST_CASE("A release of an empty permit is a logic_error, and so is a number that was negative (129)") {
  on_every_scheduler([]() -> task<> {
    semaphore s(2);
    auto held = co_await s.acquire(2);
    held.release();
    CHECK_THROWS_AS(held.release(), std::logic_error);
    CHECK(s.available() == 2);
    semaphore::permit none;
    CHECK_FALSE(none);
    CHECK_THROWS_AS(none.release(), std::logic_error);
    const auto negative = static_cast<std::size_t>(-1);
    CHECK_THROWS_AS((void)s.acquire(negative), std::logic_error);
    CHECK_THROWS_AS((void)s.try_acquire(negative), std::logic_error);
    CHECK_THROWS_AS(semaphore{negative}, std::logic_error);
  });
}

TEST_CASE("A permit for nothing is had in its turn, and a semaphore of none gives no other") {
  on_simulated_schedulers([]() -> task<> {
    semaphore none(0);
    auto nothing = co_await none.acquire(0);
    CHECK(nothing);
    nothing.release();
    CHECK_FALSE(none.try_acquire(1));
    semaphore s(1);
    auto held = co_await s.acquire(1);
    std::vector<std::size_t> served;
    auto first = go(acquires, std::ref(s), 1u, std::ref(served));
    co_await testing::settle();
    auto second = go(acquires, std::ref(s), 0u, std::ref(served));
    co_await testing::settle();
    CHECK(served.empty());
    held.release();
    co_await first;
    co_await second;
    CHECK(served.size() == 2);
  });
}

TEST_CASE("An acquire that nobody can serve is a deadlock whose report says what it waits for (160)") {
  on_each(every_scheduler(2), [&](const scheduler_under_test& scheduler) {
    std::string report;
    try {
      scheduler.run([]() -> task<> {
        semaphore s(2);
        const auto held = co_await s.acquire(2);
        const auto more = co_await s.acquire(1);
      });
    } catch (const deadlock& e) {
      report = e.what();
    }
    CHECK(report.find("1 of the 2 permits of semaphore") != std::string::npos);
  });
}

TEST_CASE("A semaphore that is destroyed empties its permits and ends who waits with cancelled (D8)") {
  on_simulated_schedulers([]() -> task<> {
    auto s = std::make_unique<semaphore>(2);
    auto one = co_await s->acquire(1), other = co_await s->acquire(1);
    std::vector<std::size_t> served;
    auto waiting = go(acquires, std::ref(*s), 2u, std::ref(served));
    auto too_big = go(acquires, std::ref(*s), 3u, std::ref(served));
    co_await testing::settle();
    s.reset();
    CHECK_FALSE(one);
    CHECK_THROWS_AS(one.release(), std::logic_error);
    const auto end = co_await ending_of(waiting);
    CHECK(end == ending::was_cancelled);
    const auto end_of_too_big = co_await ending_of(too_big);
    CHECK(end_of_too_big == ending::was_cancelled);
    CHECK_FALSE(other);
    CHECK(served.empty());
  });
}

TEST_CASE("A bounded number of routines at a time: what semaphores are for (179)") {
  on_every_scheduler([]() -> task<> {
    semaphore slots(3);
    wait_group all;
    std::atomic<int> inside = 0, most = 0;
    for (int i = 0; i != 20; ++i) {
      auto slot = co_await slots.acquire();
      auto body = [&inside, &most](semaphore::permit) -> task<> {
        const int with_me = ++inside;
        if (with_me > most) most = with_me;
        co_await yield();
        --inside;
      };
      all.go(body, std::move(slot));
    }
    co_await all.wait();
    CHECK(most <= 3);
    CHECK(slots.available() == 3);
  });
}
