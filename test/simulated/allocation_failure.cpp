// Each frame that a program allocates fails once: std::bad_alloc comes out of the call of the coroutine, of go(), or,
// where a routine calls what it was given, of its join; nothing is left half-started, nothing leaks, and a second
// attempt succeeds (semantics D16).
#include <doctest/doctest.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <new>
#include <ringo/ringo.hpp>
#include <utility>

#include "every_scheduler.hpp"

using namespace ringo;
using namespace std::chrono_literals;

namespace {

struct attempt {
  int failures = 0;  // attempts that ended with std::bad_alloc
  int sum = 0;
  int started = 0;  // routines that have run
};

task<int> twice(int n) { co_return 2 * n; }
task<int> nested(int depth) {
  if (depth == 0) co_return 1;
  co_return 1 + co_await nested(depth - 1);
}

task<> sends(attempt& o, channel<int> to, std::shared_ptr<int> held) {
  ++o.started;
  co_await to.send(*held);
}
task<> adds(attempt& o, std::shared_ptr<int> held) {
  ++o.started;
  o.sum += *held;
  co_return;
}

// Starts routines and awaits tasks in each way; what fails is attempted again.
task<> starts_in_every_way(attempt& o) {
  const auto held = std::make_shared<int>(1);
  const auto retried = [&o](auto start) {
    try {
      return start();
    } catch (const std::bad_alloc&) {
      ++o.failures;
    }
    return start();
  };
  channel<int> results;

  for (bool done = false; !done;) {
    try {
      auto h = go(
          [&o, held](int n) -> task<int> {
            ++o.started;
            co_return n + *held;
          },
          1);
      o.sum += co_await h;
      done = true;
    } catch (const std::bad_alloc&) {
      ++o.failures;
    }
  }

  for (bool done = false; !done;) {
    try {
      auto plain = go([&o, held] {
        ++o.started;
        return *held;
      });
      o.sum += co_await plain;
      done = true;
    } catch (const std::bad_alloc&) {
      ++o.failures;
    }
  }

  auto of_task = retried([&] { return go(twice(3)); });
  o.sum += co_await of_task;
  // Nobody joins these, so that a failure of theirs would be nobody's: their frames are made before they start.
  retried([&] { return go(sends(o, results, held)); });
  o.sum += (co_await results.recv()).value();
  wait_group all;
  retried([&] {
    all.go(adds(o, held));
    return true;
  });
  co_await all.wait();

  auto lazy = retried([] { return twice(5); });
  o.sum += co_await std::move(lazy);

  for (bool done = false; !done;) {
    try {
      o.sum += co_await nested(4);
      done = true;
    } catch (const std::bad_alloc&) {
      ++o.failures;
    }
  }
  for (bool done = false; !done;) {
    try {
      // A plain task as a case runs in a routine of its own.
      const auto chosen = co_await select(twice(7), results.recv());
      o.sum += std::get<0>(chosen);
      done = true;
    } catch (const std::bad_alloc&) {
      ++o.failures;
    }
  }
  for (bool done = false; !done;) {
    try {
      const auto handler = [](std::monostate = {}) -> task<int> { co_return 4; };
      const auto chosen = co_await select(on(sleep(1ms), handler), results.recv());
      o.sum += std::get<0>(chosen);
      done = true;
    } catch (const std::bad_alloc&) {
      ++o.failures;
    }
  }
  // What failed has left nobody behind on the channel.
  o.sum += results.try_send(1) ? 1000 : 0;
  o.sum += results.try_recv() ? 1000 : 0;
}

constexpr int sum_of_all = 2 + 6 + 1 + 1 + 1 + 10 + 5 + 14 + 4;

// A program that knows nothing of failures.
task<int> sums_a_tree(channel<int> leaves, int depth) {
  if (depth == 0) {
    co_await leaves.send(1);
    co_return 1;
  }
  auto left = go(sums_a_tree, leaves, depth - 1);
  auto right = go(sums_a_tree, leaves, depth - 1);
  const int sum = co_await left;
  co_return sum + co_await right;
}

task<> counts_leaves(int& sum) {
  channel<int> leaves(16);
  auto tree = go(sums_a_tree, leaves, 4);
  sum = co_await tree;
}

struct notes_the_end {
  bool& ended;
  ~notes_the_end() { ended = true; }
};
task<> takes_a_while(bool& began, bool& ended) {
  began = true;
  const notes_the_end at_the_end{ended};
  co_await sleep(1ms);
}

}  // namespace

TEST_CASE("every failure comes out of the call that needed the frame, and the second attempt succeeds (D15, D16)") {
  for (unsigned workers : {1u, 4u}) {
    bool all_tried = false;
    std::uint64_t n = 1;
    for (; !all_tried; ++n) {
      const auto before = testing::live();
      attempt o;
      testing::simulate({.seed = n, .workers = workers, .fail_allocation = n}, starts_in_every_way(o));
      all_tried = o.failures == 0;
      CHECK(o.failures <= 1);
      CHECK(o.sum == sum_of_all);
      CHECK(o.started == 4);
      CHECK(testing::live() == before);
    }
    CHECK(n > 20);
  }
}

TEST_CASE("a program that does not expect a failure ends with it, and leaves nothing") {
  for (unsigned workers : {1u, 4u}) {
    std::uint64_t failed = 0;
    for (std::uint64_t n = 1;; ++n) {
      const auto before = testing::live();
      int sum = 0;
      bool passed = false;
      try {
        testing::simulate({.seed = n, .workers = workers, .fail_allocation = n}, counts_leaves(sum));
        passed = true;
      } catch (const std::bad_alloc&) {
        ++failed;
      }
      CHECK(testing::live() == before);
      if (!passed) continue;
      CHECK(sum == 16);
      break;
    }
    CHECK(failed >= 31);
  }
}

TEST_CASE("whatever cannot be allocated, nothing outlives its scope, nor the all() that awaits it (D16)") {
  for (unsigned workers : {1u, 4u}) {
    std::uint64_t failures = 0;
    for (bool failed = true; failed; ++failures) {
      failed = false;
      const auto before = testing::live();
      const auto program = [&failed]() -> task<> {
        bool began = false, ended = false;
        auto members = [&](group& g) -> task<> {
          g.go(takes_a_while(began, ended));
          co_return;
        };
        try {
          co_await scope(members);
        } catch (const std::bad_alloc&) {
          failed = true;
        }
        CHECK(began == ended);
        began = ended = false;
        try {
          (void)co_await all(takes_a_while(began, ended), yield());
        } catch (const std::bad_alloc&) {
          failed = true;
        }
        CHECK(began == ended);
      };
      try {
        testing::simulate({.seed = failures, .workers = workers, .fail_allocation = failures + 1}, program);
      } catch (const std::bad_alloc&) {
        failed = true;
      }
      CHECK(testing::live() == before);
    }
    CHECK(failures > 12);
  }
}
