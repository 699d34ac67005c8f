// Locks, permits, conditions and barriers on several workers while routines are cancelled, selects lose and objects are
// destroyed: nobody is in a lock with another, no permit is lost, and nobody waits for ever.
#include <doctest/doctest.h>

#include <atomic>
#include <cstddef>
#include <functional>
#include <memory>
#include <ringo/ringo.hpp>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

#include "every_scheduler.hpp"
#include "task_ending.hpp"

using namespace ringo;
using namespace std::chrono_literals;

namespace {

// Cancels each, from three routines that begin elsewhere, and joins all.
task<> cancel_all(std::vector<handle<>>& victims, std::size_t round) {
  wait_group cancelling;
  for (std::size_t first = 0; first != 3; ++first) {
    cancelling.go([&victims, first, round]() -> task<> {
      for (std::size_t n = 0; n != round * 7 % 64; ++n) co_await yield();
      for (std::size_t i = 0; i != victims.size(); ++i) {
        victims[(i + first * 4) % victims.size()].cancel();
        if (i % 3 == first) co_await yield();
      }
    });
  }
  co_await cancelling.wait();
  for (handle<>& each : victims) (void)co_await ending_of(each);
}

struct locked_things {
  mutex m, n;
  shared_mutex rw;
  semaphore s{4};
  condition changed;
  barrier two{2};
  int in_m = 0, in_rw = 0;  // plain: guarded by m, and by rw
  std::atomic<int> readers = 0, writers = 0, broken = 0, passed = 0;
  std::atomic<std::size_t> out = 0;

  void write() {
    if (++writers != 1 || readers != 0) ++broken;
    ++in_rw;
    --writers;
  }
  void read() {
    ++readers;
    if (writers != 0 || in_rw < 0) ++broken;
    --readers;
  }
  void use(std::size_t n_permits) {
    if (out.fetch_add(n_permits) + n_permits > 4) ++broken;
    out -= n_permits;
  }
};

task<> use_until_cancelled(locked_things& t, std::size_t kind) {
  try {
    for (std::size_t i = 0;; ++i) {
      switch ((kind + i) % 8) {
        case 0: {
          const auto held = co_await t.m.lock();
          ++t.in_m;
          if (i % 3 == 0) co_await yield();
          break;
        }
        case 1: {
          auto r = co_await select(t.n.lock(), t.m.lock(), t.s.acquire(3));
          if (r.index() == 1) ++t.in_m;
          if (r.index() == 2) t.use(3);
          break;
        }
        case 2: {
          const auto held = co_await t.rw.lock_shared();
          t.read();
          break;
        }
        case 3: {
          auto r = co_await select(t.rw.lock(), t.s.acquire(4), sleep(20us));
          if (r.index() == 0) t.write();
          if (r.index() == 1) t.use(4);
          break;
        }
        case 4: {
          const auto held = co_await t.s.acquire(1 + i % 4);
          t.use(1 + i % 4);
          if (i % 5 == 0) co_await yield();
          break;
        }
        case 5: {
          auto held = co_await t.m.lock();
          t.changed.notify_one();
          co_await t.changed.wait(held);
          ++t.in_m;
          break;
        }
        case 6: {
          auto r = co_await select(t.two.arrive_and_wait(), t.n.lock());
          if (r.index() == 0) ++t.passed;
          t.changed.notify_all();
          break;
        }
        default: {
          if (const auto held = t.m.try_lock()) ++t.in_m;
          if (const auto held = t.s.try_acquire(2)) t.use(2);
          const auto held = co_await t.rw.lock();
          t.write();
        }
      }
    }
  } catch (const cancelled&) {
  }
}

}  // namespace

TEST_CASE("routines that use everything are cancelled: all is free afterwards") {
  on_several_workers([]() -> task<> {
    for (std::size_t round = 0; round != stressed(60); ++round) {
      locked_things t;
      std::vector<handle<>> victims;
      for (std::size_t i = 0; i != 12; ++i) victims.push_back(go(use_until_cancelled, std::ref(t), i));
      co_await cancel_all(victims, round);
      CHECK(t.broken == 0);
      CHECK(t.passed % 2 == 0);  // of those at the barrier both pass, or neither
      CHECK(t.m.try_lock());
      CHECK(t.n.try_lock());
      CHECK(t.rw.try_lock());
      CHECK(t.s.available() == 4);
    }
  });
}

TEST_CASE("a lock and a semaphore are destroyed while those who lost there are still to take their cases out") {
  on_several_workers([]() -> task<> {
    for (std::size_t round = 0; round != stressed(300); ++round) {
      auto m = std::make_unique<mutex>();
      auto s = std::make_unique<semaphore>(2);
      channel<int> other;
      auto guard = co_await m->lock();
      auto permit = co_await s->acquire(2);
      std::vector<handle<>> routines;
      for (int i = 0; i != 4; ++i) {
        routines.push_back(go([&m = *m, &s = *s, other]() -> task<> {
          const auto r = co_await select(m.lock(), s.acquire(1), other.recv());
          CHECK(r.index() == 2);
        }));
      }
      for (int i = 0; i != 4; ++i) co_await other.send(i);
      m.reset();
      s.reset();
      CHECK_FALSE(guard);
      CHECK_FALSE(permit);
      if (round % 2) guard = {};
      for (handle<>& each : routines) co_await each;
    }
  });
}

TEST_CASE("a lock goes from hand to hand while who had it destroys it") {
  on_several_workers([]() -> task<> {
    for (std::size_t round = 0; round != stressed(300); ++round) {
      auto m = std::make_shared<mutex>();
      wait_group all;
      int plain = 0;
      for (int i = 0; i != 4; ++i) {
        all.go(
            [&plain](std::shared_ptr<mutex> mine) -> task<> {
              auto held = co_await mine->lock();
              ++plain;
              held.unlock();
            },
            m);
      }
      m.reset();  // the last to let go of it destroys it
      co_await all.wait();
      CHECK(plain == 4);
    }
  });
}

TEST_CASE("guards go and events are set on threads that are no workers, while workers lock and wait") {
  on_several_workers([]() -> task<> {
    for (std::size_t round = 0; round != stressed(15); ++round) {
      mutex m;
      auto gate = std::make_unique<event>();
      int plain = 0;
      std::vector<std::jthread> threads(6);
      wait_group all;
      for (std::size_t i = 0; i != 6; ++i) {
        all.go([&, i]() -> task<> {
          for (int k = 0; k != 10; ++k) {
            auto held = co_await m.lock();
            ++plain;
            if (k == 5 && i % 2) {
              threads[i] = std::jthread([g = std::move(held), &gate = *gate]() mutable {
                auto moved = std::move(g);
                gate.set();
              });
            }
          }
          co_await gate->wait();
        });
      }
      co_await all.wait();
      CHECK(plain == 60);
      threads.clear();
      gate.reset();
      const auto held = co_await m.lock();
      CHECK(held);
    }
  });
}
