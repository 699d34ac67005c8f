// The happens-before edges of a channel. What these tests share between routines is plain memory on purpose: a missing
// edge is a wrong value now and then, and a report from ThreadSanitizer every time.
#include <doctest/doctest.h>

#include <cstddef>
#include <memory>
#include <optional>
#include <ringo/ringo.hpp>
#include <utility>
#include <variant>
#include <vector>

#include "every_scheduler.hpp"

using namespace ringo;

TEST_CASE("what was written before a send is seen after its receive (semantics 40)") {
  on_every_scheduler([]() -> task<> {
    for (std::size_t capacity : {0u, 1u, 10u}) {
      channel<int> ch(capacity);
      std::vector<int> written(500, 0);
      auto sending = go([&]() -> task<> {
        for (int i = 0; i != 500; ++i) {
          written[static_cast<std::size_t>(i)] = i + 1;
          co_await ch.send(i);
        }
        ch.close();
      });
      int seen = 0;
      while (auto i = co_await ch.recv()) {
        if (written[static_cast<std::size_t>(*i)] == *i + 1) ++seen;
      }
      co_await sending;
      CHECK(seen == 500);
    }
  });
}

TEST_CASE("what a value points to travels with it through many hands (semantics 40)") {
  on_every_scheduler([]() -> task<> {
    const channel<std::unique_ptr<int>> first(2);
    channel<std::unique_ptr<int>> last = first;
    for (int stage = 0; stage != 10; ++stage) {
      const channel<std::unique_ptr<int>> next(stage % 3 == 0 ? 0 : 2);
      go([last, next]() -> task<> {
        while (auto value = co_await last.recv()) {
          **value += 1;
          co_await next.send(std::move(*value));
        }
        next.close();
      });
      last = next;
    }
    auto feeding = go([first]() -> task<> {
      for (int i = 0; i != 100; ++i) co_await first.send(std::make_unique<int>(i));
      first.close();
    });
    int right = 0, next = 0;
    while (auto value = co_await last.recv()) {
      if (**value == next + 10) ++right;
      ++next;
    }
    co_await feeding;
    CHECK(right == 100);
  });
}

TEST_CASE("what was written before a close is seen by every receive that ends because of it (semantics 41)") {
  on_every_scheduler([]() -> task<> {
    for (int round = 0; round != 20; ++round) {
      const channel<int> done;
      int written = 0;
      std::vector<handle<int>> readers;
      for (int i = 0; i != 5; ++i) {
        readers.push_back(go([&written, done]() -> task<int> {
          auto value = co_await done.recv();
          co_return value ? -1 : written;
        }));
      }
      auto closing = go([&written, done]() -> task<> {
        written = 17;
        done.close();
        co_return;
      });
      for (auto& reader : readers) {
        const int read = co_await reader;
        CHECK(read == 17);
      }
      co_await closing;
    }
  });
}

TEST_CASE("on an unbuffered channel what was written before a receive is seen after its send (semantics 42)") {
  on_every_scheduler([]() -> task<> {
    const channel<int> ch;
    std::vector<int> written(500, 0);
    auto receiving = go([&written, ch]() -> task<> {
      for (std::size_t i = 0; i != written.size(); ++i) {
        written[i] = 1;
        co_await ch.recv();
      }
    });
    int seen = 0;
    for (std::size_t i = 0; i != written.size(); ++i) {
      co_await ch.send(1);
      seen += written[i];
    }
    co_await receiving;
    CHECK(seen == 500);
  });
}

TEST_CASE("a buffered channel is a semaphore: capacity 1 is a lock (semantics 43, 179)") {
  on_every_scheduler([]() -> task<> {
    const channel<void> lock(1);
    long counter = 0;
    bool inside = false, overlapped = false;
    wait_group all;
    for (int i = 0; i != 8; ++i) {
      all.go([&, lock]() -> task<> {
        for (int round = 0; round != 100; ++round) {
          co_await lock.send();
          overlapped = overlapped || inside;
          inside = true;
          ++counter;
          if (round % 10 == 0) co_await yield();
          inside = false;
          co_await lock.recv();
        }
      });
    }
    co_await all.wait();
    CHECK(counter == 800);
    CHECK_FALSE(overlapped);
  });
}

TEST_CASE("the k-th receive happens before the send that is a capacity further on completes (semantics 43)") {
  on_every_scheduler([]() -> task<> {
    for (std::size_t capacity : {1u, 2u, 7u}) {
      const channel<std::size_t> ch(capacity);
      std::vector<int> written(500, 0);
      auto receiving = go([&written, ch]() -> task<> {
        for (std::size_t k = 0; k != written.size(); ++k) {
          written[k] = 1;
          co_await ch.recv();
        }
      });
      std::size_t seen = 0;
      for (std::size_t k = 0; k != written.size(); ++k) {
        co_await ch.send(k);
        if (k >= capacity && written[k - capacity] == 1) ++seen;
      }
      co_await receiving;
      CHECK(seen == written.size() - capacity);
    }
  });
}

TEST_CASE(
    "what was written before go is seen by the routine, and what it wrote is seen after its join (semantics 44)") {
  on_every_scheduler([]() -> task<> {
    for (int i = 0; i != 100; ++i) {
      int before = 0, after = 0;
      before = i;
      auto routine = go([&]() -> task<> {
        co_await yield();
        after = before + 1;
      });
      co_await routine;
      CHECK(after == i + 1);
    }
  });
}

TEST_CASE("the edges are the same when a select committed the operation (semantics 45)") {
  on_every_scheduler([]() -> task<> {
    const channel<int> left, right(1), back;
    std::vector<int> written(400, 0), answered(400, 0);
    auto other = go([&, left, right, back]() -> task<> {
      for (int i = 0; i != 400; ++i) {
        written[static_cast<std::size_t>(i)] = i + 1;
        co_await select(left.send(i), right.send(i));
        if (i % 2 == 0) {
          answered[static_cast<std::size_t>(i)] = 1;
          co_await select(back.recv(), never());
        }
      }
    });
    int seen = 0, acknowledged = 0;
    for (int n = 0; n != 400; ++n) {
      auto got = co_await select(left.recv(), right.recv());
      const int i = got.index() == 0 ? std::get<0>(got).value() : std::get<1>(got).value();
      if (written[static_cast<std::size_t>(i)] == i + 1) ++seen;
      if (i % 2 == 0) {
        co_await select(never(), back.send(i));
        acknowledged += answered[static_cast<std::size_t>(i)];
      }
    }
    co_await other;
    CHECK(seen == 400);
    CHECK(acknowledged == 200);
  });
}

TEST_CASE("attempts that succeed carry the same edges (semantics 40, 43)") {
  on_every_scheduler([]() -> task<> {
    const channel<int> ch(1);
    int shared = 0;
    auto other = go([&shared, ch]() -> task<> {
      for (int i = 0; i != 200; ++i) {
        while (!ch.try_send(i)) co_await yield();
        ++shared;
        while (!ch.try_recv()) co_await yield();
      }
    });
    for (int i = 0; i != 200; ++i) {
      while (!ch.try_send(i)) co_await yield();
      ++shared;
      while (!ch.try_recv()) co_await yield();
    }
    co_await other;
    CHECK(shared == 400);
  });
}
