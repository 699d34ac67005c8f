// shared_mutex: many readers or one writer; neither starves.
#include <doctest/doctest.h>

#include <atomic>
#include <cstddef>
#include <memory>
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

TEST_CASE("Readers hold it together, and a writer alone (115)") {
  on_every_scheduler([]() -> task<> {
    shared_mutex m;
    wait_group all;
    std::atomic<int> readers = 0, writers = 0, most_readers = 0;
    std::atomic<bool> exclusive = true;
    int plain = 0;
    for (int i = 0; i != 8; ++i) {
      all.go([&, i]() -> task<> {
        for (int k = 0; k != 20; ++k) {
          if (i < 6) {
            const auto held = co_await m.lock_shared();
            const int now_reading = ++readers;
            if (writers != 0 || plain < 0) exclusive = false;
            if (now_reading > most_readers) most_readers = now_reading;
            co_await yield();
            --readers;
          } else {
            const auto held = co_await m.lock();
            if (++writers != 1 || readers != 0) exclusive = false;
            ++plain;
            co_await yield();
            --writers;
          }
        }
      });
    }
    co_await all.wait();
    CHECK(exclusive);
    CHECK(plain == 40);
    CHECK(most_readers > 1);
    CHECK(m.try_lock());
  });
}

TEST_CASE("A writer that waits holds up new readers, and goes when the old ones have gone (115)") {
  on_simulated_schedulers([]() -> task<> {
    shared_mutex m;
    auto first = co_await m.lock_shared();
    auto second = m.try_lock_shared();
    CHECK(second);
    std::vector<std::string> order;
    auto writer = go([&]() -> task<> {
      const auto held = co_await m.lock();
      order.push_back("writer");
    });
    co_await testing::settle();
    CHECK_FALSE(m.try_lock_shared());
    auto reader = go([&]() -> task<> {
      const auto held = co_await m.lock_shared();
      order.push_back("reader");
    });
    co_await testing::settle();
    first.unlock();
    co_await testing::settle();
    CHECK(order.empty());
    second.unlock();
    co_await writer;
    co_await reader;
    CHECK(order == std::vector<std::string>{"writer", "reader"});
  });
}

TEST_CASE("When a writer is done the readers that wait go before the next writer (116)") {
  on_simulated_schedulers([]() -> task<> {
    shared_mutex m;
    auto held = co_await m.lock();
    std::string order;
    wait_group all;
    for (const char which : std::string("rwrwr")) {
      all.go([&, which]() -> task<> {
        shared_mutex::guard mine;  // g++ 12 destroys a guard too early that is the result of ?: with a co_await in it
        if (which == 'w') {
          mine = co_await m.lock();
        } else {
          mine = co_await m.lock_shared();
        }
        order += which;
        co_await yield();
      });
      co_await testing::settle();
    }
    held.unlock();
    co_await all.wait();
    CHECK(order == "rrrww");
  });
}

TEST_CASE("try_lock and try_lock_shared never wait (114)") {
  on_every_scheduler([]() -> task<> {
    shared_mutex m;
    auto reader = m.try_lock_shared();
    CHECK(reader);
    CHECK(m.try_lock_shared());
    CHECK_FALSE(m.try_lock());
    reader.unlock();
    auto writer = m.try_lock();
    CHECK(writer);
    CHECK_FALSE(m.try_lock());
    CHECK_FALSE(m.try_lock_shared());
    writer.unlock();
    CHECK(m.try_lock());
    co_return;
  });
}

TEST_CASE("An unlock too many, to read or to write, is a logic_error (117)") {
  on_every_scheduler([]() -> task<> {
    shared_mutex m;
    auto reader = co_await m.lock_shared();
    auto other = co_await m.lock_shared();
    reader.unlock();
    CHECK_THROWS_AS(reader.unlock(), std::logic_error);
    CHECK_FALSE(m.try_lock());
    other.unlock();
    auto writer = co_await m.lock();
    writer.unlock();
    CHECK_THROWS_AS(writer.unlock(), std::logic_error);
    CHECK(m.try_lock());
  });
}

TEST_CASE("A writer that gives up lets the readers behind it in: cancelled, or lost in a select") {
  for (const bool selects : {false, true}) {
    on_simulated_schedulers([selects]() -> task<> {
      shared_mutex m;
      channel<void> other;
      const auto held = co_await m.lock_shared();
      auto writer = go([&]() -> task<> {
        if (selects) {
          const auto r = co_await select(m.lock(), other.recv());
          CHECK(r.index() == 1);
        } else {
          const auto mine = co_await m.lock();
        }
      });
      co_await testing::settle();
      std::vector<handle<>> readers;
      for (int i = 0; i != 3; ++i) {
        readers.push_back(go([&]() -> task<> { const auto mine = co_await m.lock_shared(); }));
        co_await testing::settle();
      }
      for (const handle<>& each : readers) CHECK_FALSE(each.is_done());
      if (selects) {
        CHECK(other.try_send());
      } else {
        writer.cancel();
      }
      for (handle<>& each : readers) co_await each;  // while `held` is held
      const auto end = co_await ending_of(writer);
      CHECK(end == (selects ? ending::returned : ending::was_cancelled));
    });
  }
}

TEST_CASE("A routine that reads and locks to write is a deadlock whose report says what it waits for (160)") {
  on_each(every_scheduler(2), [&](const scheduler_under_test& scheduler) {
    std::string report;
    try {
      scheduler.run([]() -> task<> {
        shared_mutex m;
        const auto reading = co_await m.lock_shared();
        auto behind = go([&m]() -> task<> { const auto waits = co_await m.lock(); });
        while (m.try_lock_shared()) co_await yield();
        const auto again = co_await m.lock_shared();
      });
    } catch (const deadlock& e) {
      report = e.what();
    }
    CHECK(report.find("the lock of shared_mutex") != std::string::npos);
    CHECK(report.find("a shared lock of shared_mutex") != std::string::npos);
  });
}

TEST_CASE("A shared_mutex that is destroyed empties all guards and ends who waits with cancelled (D8)") {
  on_simulated_schedulers([]() -> task<> {
    auto m = std::make_unique<shared_mutex>();
    auto first = co_await m->lock_shared();
    auto second = co_await m->lock_shared();
    auto writer = go([&]() -> task<> { const auto mine = co_await m->lock(); });
    co_await testing::settle();
    auto reader = go([&]() -> task<> { const auto mine = co_await m->lock_shared(); });
    co_await testing::settle();
    m.reset();
    CHECK_FALSE(first);
    CHECK_FALSE(second);
    second = {};
    const auto end_of_writer = co_await ending_of(writer);
    const auto end_of_reader = co_await ending_of(reader);
    CHECK(end_of_writer == ending::was_cancelled);
    CHECK(end_of_reader == ending::was_cancelled);
  });
}
