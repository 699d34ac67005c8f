// context: trees of cancellation, deadlines, values, after_func, and the routines that run under them.
#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <random>
#include <ringo/ringo.hpp>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <system_error>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include "error_told.hpp"
#include "every_scheduler.hpp"
#include "reached.hpp"
#include "simulated/owned_coroutine.hpp"
#include "values.hpp"

using namespace ringo;
using namespace std::chrono_literals;

namespace {

std::exception_ptr error(const char* text) { return std::make_exception_ptr(std::runtime_error(text)); }

task<> waits_for_ever() { co_await never(); }

// Whether done() is ready at this instant.
task<bool> is_done(const context& c) {
  const auto chosen = co_await select(c.wait(), otherwise);
  co_return chosen.index() == 0;
}

// Until it is: for what happens soon after a call.
task<> until(std::function<bool()> what) {
  while (!what()) co_await yield();
}

task<> throws_its_cause(context c) {
  co_await c.wait();
  std::rethrow_exception(c.cause());
}

}  // namespace

// ---- the tree

TEST_CASE("cancelling a parent cancels all descendants before it returns (130, 131)") {
  on_every_scheduler([]() -> task<> {
    const context parent = context::with_cancel();
    const context child = context::with_cancel(parent);
    const context valued = parent.with_value(7);
    const context grandchild = context::with_timeout(valued, 1h);
    for (const context& c : {parent, child, valued, grandchild}) {
      CHECK_FALSE(c.is_cancelled());
      const bool done = co_await is_done(c);
      CHECK_FALSE(done);
    }
    parent.cancel();
    for (const context& c : {parent, child, valued, grandchild}) {
      CHECK(c.is_cancelled());
      const bool done = co_await is_done(c);
      CHECK(done);
      CHECK(told(c.cause()) == "cancelled");
    }
  });
}

TEST_CASE("cancelling a child leaves its parent and its siblings alone (130)") {
  on_every_scheduler([]() -> task<> {
    const context parent = context::with_cancel();
    const context first = context::with_cancel(parent);
    const context second = context::with_cancel(parent);
    const context third = context::with_cancel(parent);
    second.cancel();
    CHECK(second.is_cancelled());
    CHECK_FALSE(parent.is_cancelled());
    CHECK_FALSE(first.is_cancelled());
    CHECK_FALSE(third.is_cancelled());
    first.cancel();
    CHECK_FALSE(third.is_cancelled());
    parent.cancel();
    CHECK(third.is_cancelled());
    co_return;
  });
}

TEST_CASE("a second cancel changes nothing (132, 133)") {
  on_every_scheduler([]() -> task<> {
    const context c = context::with_cancel();
    c.cancel(error("first"));
    c.cancel(error("second"));
    c.cancel();
    CHECK(told(c.cause()) == "first");
    co_return;
  });
}

TEST_CASE("cancel does not wait for what runs under the context (132)") {
  on_simulated_schedulers([]() -> task<> {
    const context c = context::with_cancel();
    bool ended = false;
    auto slow = [&ended]() -> task<> {
      co_await shield(sleep(1h));
      ended = true;
    };
    auto h = go(c, slow);
    co_await testing::settle();
    c.cancel();
    CHECK_FALSE(ended);
    co_await h;
    CHECK(ended);
  });
}

TEST_CASE("a child of a cancelled parent is cancelled from the start, with its parent's cause (134)") {
  on_every_scheduler([]() -> task<> {
    const context parent = context::with_cancel();
    parent.cancel(error("why"));
    for (const context& child : {context::with_cancel(parent), context::with_timeout(parent, 1h), parent.with_value(1),
                                 context::from(std::stop_token(), parent)}) {
      CHECK(child.is_cancelled());
      CHECK(told(child.cause()) == "why");
      const bool done = co_await is_done(child);
      CHECK(done);
    }
  });
}

TEST_CASE("an earlier cancelled child keeps its own cause; the rest have the parent's (140)") {
  on_every_scheduler([]() -> task<> {
    const context parent = context::with_cancel();
    const context early = context::with_cancel(parent);
    const context below = context::with_cancel(early);
    const context late = context::with_cancel(parent);
    for (const context& c : {parent, early, below, late}) CHECK(c.cause() == nullptr);
    early.cancel(error("child"));
    CHECK(parent.cause() == nullptr);
    parent.cancel(error("parent"));
    late.cancel(error("too late"));
    CHECK(told(parent.cause()) == "parent");
    CHECK(told(early.cause()) == "child");
    CHECK(told(below.cause()) == "child");
    CHECK(told(late.cause()) == "parent");
    co_return;
  });
}

TEST_CASE("without an explicit cause it is cancelled or timed_out, each with its code (140, 141, 146)") {
  on_simulated_schedulers([]() -> task<> {
    const context c = context::with_cancel();
    const context t = context::with_timeout(1s);
    c.cancel();
    co_await t.wait();
    const auto code_of = [](const std::exception_ptr& e) {
      try {
        std::rethrow_exception(e);
      } catch (const cancelled& known) {
        return known.code();
      } catch (const timed_out& known) {
        return known.code();
      }
    };
    CHECK(code_of(c.cause()) == std::errc::operation_canceled);
    CHECK(code_of(t.cause()) == std::errc::timed_out);
  });
}

TEST_CASE("the cause is there as soon as the context is done, and is one of those who raced for it (133, 140)") {
  on_real_schedulers([]() -> task<> {
    for (std::size_t round = stressed(50); round > 0; --round) {
      const context c = context::with_cancel();
      wait_group all;
      const auto cancels = [c](const char* why) -> task<> {
        c.cancel(error(why));
        co_return;
      };
      const auto looks = [c]() -> task<> {
        while (!c.is_cancelled()) co_await yield();
        const std::string cause = told(c.cause());
        CHECK((cause == "a" || cause == "b"));
        CHECK(told(c.cause()) == cause);
      };
      all.go(looks);
      all.go(cancels, "a");
      all.go(cancels, "b");
      all.go(looks);
      co_await all.wait();
    }
  });
}

TEST_CASE("100 contexts of one tree cancelled by as many routines at once: all are done (139)") {
  on_every_scheduler([]() -> task<> {
    std::mt19937 random(7);
    std::vector<context> tree = {context::with_cancel()};
    while (tree.size() != 100) tree.push_back(context::with_cancel(tree[random() % tree.size()]));
    std::vector<context> order = tree;
    std::shuffle(order.begin(), order.end(), random);
    wait_group all;
    const auto cancels = [](context c) -> task<> {
      co_await yield();
      c.cancel();
    };
    for (const context& each : order) all.go(cancels, each);
    for (const context& each : tree) co_await each.wait();
    co_await all.wait();
    for (const context& each : tree) CHECK(each.is_cancelled());
  });
}

TEST_CASE("a parent and a child that cancel each other, from after_func: both are done (139)") {
  on_every_scheduler([]() -> task<> {
    for (const bool parent_first : {true, false}) {
      const context parent = context::with_cancel();
      const context child = context::with_cancel(parent);
      parent.after_func([child] { child.cancel(); });
      child.after_func([parent] { parent.cancel(); });
      (parent_first ? parent : child).cancel();
      co_await parent.wait();
      co_await child.wait();
      CHECK(parent.is_cancelled());
      CHECK(child.is_cancelled());
      co_await yield();
    }
  });
}

TEST_CASE("100,000 levels: cancelled at the root, found from the leaf, and freed, without recursion") {
  on_each({scheduler_under_test::real(1), scheduler_under_test::real(4), scheduler_under_test::simulated(1, 1)},
          [](const scheduler_under_test& scheduler) {
            scheduler.run([]() -> task<> {
              const context root = context::with_cancel().with_value(std::string("root"));
              context leaf = root;
              for (int level = 0; level != 100'000; ++level) leaf = context::with_cancel(leaf);
              CHECK(*leaf.value<std::string>() == "root");
              auto h = go(leaf, waits_for_ever);
              co_await yield();
              root.cancel();
              const auto ended = co_await outcome(h);
              CHECK(told(ended.error()) == "cancelled");
              CHECK(leaf.is_cancelled());
              // From here on the leaf alone keeps the tree.
              leaf = context();
            });
          });
}

TEST_CASE("a context that is dropped leaves its parent: children do not pile up (138)") {
  on_every_scheduler([]() -> task<> {
    int alive = 0;
    const context parent = context::with_cancel();
    for (int i = 0; i != 100; ++i) {
      const context child = parent.with_value(witness(alive));
      const context grandchild = context::with_cancel(child);
      CHECK(alive == 1);
      if (i % 2) child.cancel();
    }
    CHECK(alive == 0);
    CHECK_FALSE(parent.is_cancelled());
    co_return;
  });
}

TEST_CASE("a value whose move throws leaves nothing behind (145)") {
  struct throws_when_moved {
    explicit throws_when_moved(int after) : moves_left(after) {}
    throws_when_moved(throws_when_moved&& from) : moves_left(from.moves_left - 1) {
      if (moves_left < 0) throw std::runtime_error("moved");
    }
    int moves_left;
  };
  struct last_breath {
    explicit last_breath(bool& g) : gone(&g) {}
    last_breath(last_breath&& from) noexcept : gone(std::exchange(from.gone, nullptr)) {}
    last_breath& operator=(last_breath&&) = delete;
    ~last_breath() {
      if (gone) *gone = true;
    }
    bool* gone;
  };
  run([]() -> task<> {
    bool parent_gone = false;
    int thrown = 0;
    {
      const context parent = context::with_cancel().with_value(last_breath(parent_gone));
      for (int after = 0; after != 3; ++after) {
        try {
          const context child = parent.with_value(throws_when_moved(after));
        } catch (const std::runtime_error&) {
          ++thrown;
        }
      }
    }
    CHECK(thrown > 0);
    CHECK(parent_gone);
    co_return;
  });
}

// ---- the background, values

TEST_CASE("the background is never done, has no deadline, cause or value, and refuses to be cancelled (144)") {
  on_every_scheduler([]() -> task<> {
    const context c = context::background();
    CHECK(c == context());
    CHECK(c == current_context());
    CHECK_FALSE(c.is_cancelled());
    CHECK_FALSE(c.deadline().has_value());
    CHECK(c.cause() == nullptr);
    CHECK(c.value<int>() == nullptr);
    CHECK_FALSE(c.stop_token().stop_possible());
    CHECK_THROWS_AS(c.cancel(), std::logic_error);
    CHECK_THROWS_AS((void)cancel_guard(context::background()), std::logic_error);
    const bool done = co_await is_done(c);
    CHECK_FALSE(done);
    const auto timed = co_await select(c.wait(), sleep(1ms));
    CHECK(timed.index() == 1);
  });
}

TEST_CASE("a routine that waits for the end of the background is told of in a deadlock, and cancellable (35, 144)") {
  CHECK_THROWS_AS(run([]() -> task<> { co_await context::background().wait(); }, {.workers = 1}), deadlock);
  on_every_scheduler([]() -> task<> {
    auto h = go([]() -> task<> { co_await context::background().wait(); });
    co_await yield();
    h.cancel();
    const auto ended = co_await outcome(h);
    CHECK(told(ended.error()) == "cancelled");
  });
}

TEST_CASE("values: the nearest binding of the type counts, whatever it holds (145)") {
  struct user {
    std::string name;
  };
  struct request {
    int id;
  };
  on_every_scheduler([]() -> task<> {
    const context first = context::with_cancel().with_value(user{"ann"});
    const context second = first.with_value(request{7});
    const context third = context::with_timeout(second, 1h).with_value(user{"bob"});
    const context shadowed = third.with_value(static_cast<const char*>(nullptr));
    CHECK(first.value<request>() == nullptr);
    CHECK(first.value<user>()->name == "ann");
    CHECK(second.value<user>()->name == "ann");
    CHECK(second.value<request>()->id == 7);
    CHECK(third.value<user>()->name == "bob");
    CHECK(third.value<request>()->id == 7);
    CHECK(*shadowed.value<const char*>() == nullptr);
    CHECK(shadowed.value<int>() == nullptr);
    co_return;
  });
}

TEST_CASE("without_cancel has its parent's values, and nothing else of it (143)") {
  on_simulated_schedulers([]() -> task<> {
    const context parent = context::with_timeout(context::with_cancel().with_value(7), 1s);
    const context apart = context::without_cancel(parent);
    const context below = context::with_cancel(apart);
    CHECK(*below.value<int>() == 7);
    CHECK_FALSE(apart.deadline().has_value());
    parent.cancel();
    co_await sleep(2s);
    CHECK_FALSE(apart.is_cancelled());
    CHECK(apart.cause() == nullptr);
    CHECK_FALSE(below.is_cancelled());
    apart.cancel();
    CHECK(below.is_cancelled());
  });
}

// ---- deadlines

TEST_CASE("a deadline ends the context when it comes, and not before (136)") {
  on_simulated_schedulers([]() -> task<> {
    const time_point start = now();
    const context c = context::with_timeout(1h);
    const context d = context::with_deadline(start + 2h);
    CHECK(c.deadline() == start + 1h);
    CHECK(d.deadline() == start + 2h);
    co_await sleep(1h - 1ns);
    CHECK_FALSE(c.is_cancelled());
    co_await c.wait();
    CHECK(now() == start + 1h);
    CHECK(told(c.cause()) == "timed out");
    CHECK_FALSE(d.is_cancelled());
    co_await d.wait();
    CHECK(now() == start + 2h);
  });
}

TEST_CASE("a deadline that is now or past ends the context at once (136)") {
  on_every_scheduler([]() -> task<> {
    for (const context& c : {context::with_timeout(0s), context::with_timeout(-1h), context::with_deadline(now()),
                             context::with_deadline(now() - 1h), context::with_deadline(time_point::min()),
                             context::with_timeout(std::chrono::hours::min())}) {
      CHECK(c.is_cancelled());
      CHECK(told(c.cause()) == "timed out");
      const bool done = co_await is_done(c);
      CHECK(done);
    }
  });
}

TEST_CASE("a length of time beyond the clock's end is no deadline (85)") {
  on_every_scheduler([]() -> task<> {
    const context c = context::with_timeout(std::chrono::hours::max());
    CHECK_FALSE(c.is_cancelled());
    c.cancel();
    CHECK(told(c.cause()) == "cancelled");
    co_return;
  });
}

TEST_CASE("a child's later deadline does not extend its parent's, whose end it is told with (135)") {
  on_simulated_schedulers([]() -> task<> {
    const time_point start = now();
    const context parent = context::with_timeout(1h);
    const context later = context::with_timeout(parent, 2h);
    const context earlier = context::with_timeout(parent, 30min);
    const context inherits = context::with_cancel(later);
    CHECK(later.deadline() == start + 1h);
    CHECK(earlier.deadline() == start + 30min);
    CHECK(inherits.deadline() == start + 1h);
    co_await earlier.wait();
    CHECK(now() == start + 30min);
    CHECK_FALSE(parent.is_cancelled());
    co_await inherits.wait();
    CHECK(now() == start + 1h);
    CHECK(told(inherits.cause()) == "timed out");
    CHECK(parent.is_cancelled());
  });
}

TEST_CASE("a routine that computes sees a deadline pass, though its worker's timers do not run (136)") {
  run(
      []() -> task<> {
        const context parent = context::with_timeout(1ms);
        const context child = context::with_cancel(parent);
        while (!child.is_cancelled()) {
        }
        CHECK(told(child.cause()) == "timed out");
        CHECK(parent.is_cancelled());
        co_return;
      },
      {.workers = 1});
}

TEST_CASE("a child that is made when its parent's deadline has passed is done, whether a timer has run or not (134)") {
  run(
      []() -> task<> {
        const context parent = context::with_timeout(1ms);
        while (now() < *parent.deadline()) {
        }
        CHECK(context::with_cancel(parent).is_cancelled());
        co_return;
      },
      {.workers = 1});
}

TEST_CASE("cancelling before the deadline gives cancelled, and stops the timer (137)") {
  on_every_scheduler([]() -> task<> {
    const auto before = testing::live().timers;
    const context c = context::with_timeout(1h);
    CHECK(testing::live().timers == before + 1);
    c.cancel();
    CHECK(testing::live().timers == before);
    CHECK(told(c.cause()) == "cancelled");
    {
      const context dropped = context::with_timeout(1h);
      CHECK(testing::live().timers == before + 1);
    }
    CHECK(testing::live().timers == before);
    co_return;
  });
}

TEST_CASE("a deadline and a cancel at the same instant: the first to come stays (133, 137)") {
  int expired = 0, cancelled_first = 0;
  const auto schedulers = simulated_schedulers(20);
  for (const auto& scheduler : schedulers) {
    scheduler.run([&]() -> task<> {
      const context c = context::with_timeout(1s);
      auto h = go([c]() -> task<> {
        co_await sleep(1s);
        c.cancel(error("by hand"));
      });
      co_await c.wait();
      ++(told(c.cause()) == "timed out" ? expired : cancelled_first);
      co_await h;
    });
  }
  CHECK(expired + cancelled_first == static_cast<int>(schedulers.size()));
  CHECK(expired > 0);
}

// ---- routines under a context

TEST_CASE("a routine inherits its starter's context, and ends with cancelled when that is cancelled (130, 131)") {
  on_every_scheduler([]() -> task<> {
    const context ctx = context::with_cancel();
    channel<int> never_sent;
    auto waits = [never_sent]() -> task<> { co_await never_sent.recv(); };
    auto starts = [&waits]() -> task<handle<void>> { co_return go(waits); };
    auto starter = go(ctx, starts);
    handle<void> child = co_await starter;
    co_await yield();
    CHECK_FALSE(ctx.is_cancelled());
    ctx.cancel();
    CHECK(ctx.is_cancelled());
    CHECK(told(ctx.cause()) == "cancelled");
    auto ended = co_await outcome(child);
    CHECK(told(ended.error()) == "cancelled");
  });
}

TEST_CASE(
    "the current context is that of go(ctx), go, wait_group::go, a task case and with_context; runtime::go has none") {
  for (unsigned workers : {1u, 2u, 4u}) {
    runtime rt({.workers = workers});
    rt.run([&rt]() -> task<> {
      const context ctx = context::with_cancel();
      const auto tells = [](context& into) -> task<> {
        into = current_context();
        co_return;
      };
      context by_go, by_task, by_group, by_case, in_place, from_runtime, inherited = ctx;
      auto program = [&]() -> task<> {
        auto h = go(tells, std::ref(by_go));
        co_await h;
        co_await tells(by_task);
        wait_group all;
        all.go(tells, std::ref(by_group));
        co_await all.wait();
        co_await select(tells(by_case), never());
        co_await with_context(context::background(), tells(inherited));
        auto outside = rt.go(tells, std::ref(from_runtime));
        co_await outside;
        CHECK(current_context() == ctx);
      };
      auto h = go(ctx, program);
      co_await h;
      co_await with_context(ctx, tells(in_place));
      for (const context& c : {by_go, by_task, by_group, by_case, in_place}) CHECK(c == ctx);
      CHECK(inherited == context::background());
      CHECK(from_runtime == context::background());
      CHECK(current_context() == context::background());
    });
  }
}

TEST_CASE("go(ctx) takes a task, and a callable with arguments") {
  on_every_scheduler([]() -> task<> {
    const context ctx = context::with_cancel().with_value(5);
    const auto adds = [](int a, int b) -> task<int> { co_return a + b + *current_context().value<int>(); };
    auto h = go(ctx, adds, 1, 2);
    auto i = go(ctx, adds(3, 4));
    const int first = co_await h;
    const int second = co_await i;
    CHECK(first == 8);
    CHECK(second == 12);
  });
}

TEST_CASE("a routine that starts under a cancelled context ends at its first await, ready or not (125)") {
  on_every_scheduler([]() -> task<> {
    const context ctx = context::with_cancel();
    ctx.cancel();
    channel<int> ready(1);
    ready.try_send(1);
    semaphore free(1);
    mutex unlocked;
    bool begun = false;
    auto h = go(ctx, [&]() -> task<> {
      begun = true;
      co_await ready.recv();
    });
    auto i = go(ctx, [&]() -> task<> { (void)co_await free.acquire(); });
    auto j = go(ctx, [&]() -> task<> { (void)co_await unlocked.lock(); });
    for (handle<>* each : {&h, &i, &j}) {
      const auto ended = co_await outcome(*each);
      CHECK(told(ended.error()) == "cancelled");
    }
    CHECK(begun);
    CHECK(ready.size() == 1);
    CHECK(free.available() == 1);
    CHECK(unlocked.try_lock());
  });
}

TEST_CASE("what had committed keeps its result; the next await ends with cancelled (147)") {
  on_simulated_schedulers([]() -> task<> {
    const context ctx = context::with_cancel();
    channel<int> c;
    int got = 0;
    auto h = go(ctx, [&]() -> task<> {
      got = *co_await c.recv();
      co_await yield();
    });
    co_await testing::settle();
    CHECK(c.try_send(7));
    ctx.cancel();
    const auto ended = co_await outcome(h);
    CHECK(told(ended.error()) == "cancelled");
    CHECK(got == 7);
  });
}

TEST_CASE("of a context's end and a value that are both ready, select takes either; by priority the first (76, 147)") {
  int ended = 0, received = 0;
  for (const auto& scheduler : simulated_schedulers(20)) {
    scheduler.run([&]() -> task<> {
      const context c = context::with_cancel();
      c.cancel();
      channel<int> jobs(1);
      jobs.try_send(1);
      const auto either = co_await select(c.wait(), jobs.recv());
      ++(either.index() == 0 ? ended : received);
      jobs.try_send(1);
      const auto first = co_await select(prefer_first, c.wait(), jobs.recv());
      CHECK(first.index() == 0);
    });
  }
  CHECK(ended > 0);
  CHECK(received > 0);
}

TEST_CASE("with_context is in place and back: each context ends only what is awaited under it") {
  on_every_scheduler([]() -> task<> {
    const context outer = context::with_cancel();
    const context other = context::with_cancel();
    channel<int> c;
    std::vector<std::string> ends;
    auto program = [&]() -> task<> {
      auto inside = [&]() -> task<int> {
        CHECK(current_context() == other);
        co_return *co_await c.recv();
      };
      const auto first = co_await outcome(with_context(other, inside()));
      ends.push_back(first ? "value" : told(first.error()));
      CHECK(current_context() == outer);
      const auto second = co_await outcome(c.recv());
      ends.push_back(second ? "value" : told(second.error()));
    };
    auto h = go(outer, program);
    co_await yield();
    outer.cancel();  // while it is under the other one, which is no descendant
    co_await c.send(1);
    co_await h;
    CHECK(ends == std::vector<std::string>{"value", "cancelled"});
  });
}

TEST_CASE("a cancelled context ends what with_context awaits under it, and not the routine") {
  on_every_scheduler([]() -> task<> {
    const context other = context::with_cancel();
    channel<int> c;
    auto program = [&]() -> task<int> {
      const auto ended = co_await outcome(with_context(other, c.recv()));
      CHECK(told(ended.error()) == "cancelled");
      co_return *co_await c.recv();
    };
    auto h = go(program);
    co_await yield();
    other.cancel();
    co_await c.send(3);
    const int got = co_await h;
    CHECK(got == 3);
  });
}

TEST_CASE("handle::cancel ends a routine under whichever context it is (162)") {
  on_every_scheduler([]() -> task<> {
    const context a = context::with_cancel(), b = context::with_cancel();
    auto program = [&]() -> task<> { co_await with_context(a, with_context(b, waits_for_ever())); };
    for (int steps : {0, 1, 2, 4}) {
      auto h = go(program);
      for (int i = 0; i != steps; ++i) co_await yield();
      h.cancel();
      const auto ended = co_await outcome(h);
      CHECK(told(ended.error()) == "cancelled");
    }
    CHECK_FALSE(a.is_cancelled());
    CHECK_FALSE(b.is_cancelled());
  });
}

TEST_CASE("cancel_guard cancels when its block is left, by whichever way") {
  on_every_scheduler([]() -> task<> {
    const context c = context::with_cancel(), d = context::with_cancel();
    {
      const cancel_guard guard(c);
      CHECK_FALSE(c.is_cancelled());
    }
    CHECK(c.is_cancelled());
    auto throws = [d]() -> task<> {
      const cancel_guard guard(d);
      throw std::runtime_error("left");
      co_return;
    };
    const auto ended = co_await outcome(throws());
    CHECK(told(ended.error()) == "left");
    CHECK(d.is_cancelled());
  });
}

TEST_CASE("dropping the last handle of a context does not cancel what runs under it") {
  on_simulated_schedulers([]() -> task<> {
    auto sleeps = []() -> task<> { co_await sleep(2s); };
    auto h = go(context::with_cancel(), sleeps);
    auto i = go(context::with_timeout(1s), sleeps);
    co_await h;
    const auto ended = co_await outcome(i);  // the routine keeps its context, deadline and all
    CHECK(told(ended.error()) == "cancelled");
  });
}

TEST_CASE("who waits for a context's end keeps it, and an operation may be used again for another") {
  on_every_scheduler([]() -> task<> {
    context a = context::with_cancel(), b = context::with_cancel();
    auto operation = a.wait();
    a.cancel();
    co_await operation;
    operation = b.wait();
    auto waits = [b]() -> task<> { co_await b.wait(); };
    auto h = go(waits);
    auto cancels = [b]() -> task<> {
      co_await yield();
      b.cancel();
    };
    auto i = go(cancels);
    co_await operation;  // parked on the second, when it had waited for the first
    CHECK(b.is_cancelled());
    operation = a.wait();
    co_await operation;
    co_await h;
    co_await i;
  });
}

TEST_CASE("an operation that has waited for one context, and is then assigned another's, keeps neither too long") {
  on_every_scheduler([]() -> task<> {
    int alive = 0;
    {
      const context a = context::with_cancel().with_value(witness(alive));
      const context b = context::with_cancel().with_value(witness(alive));
      auto operation = a.wait();
      auto cancels = [a]() -> task<> {
        co_await yield();
        a.cancel();
      };
      auto h = go(cancels);
      co_await operation;
      operation = b.wait();
      co_await h;
    }
    CHECK(alive == 0);
  });
}

// ---- after_func

TEST_CASE("after_func runs its function once, in a routine of its own, after the end of the context (92, 142)") {
  on_every_scheduler([]() -> task<> {
    const context c = context::with_cancel().with_value(3);
    std::atomic<int> ran = 0;
    bool under_background = false;
    channel<void> waited;
    c.after_func([&] { ++ran; });
    c.after_func([&]() -> task<> {
      under_background = current_context() == context::background();
      co_await waited.recv();  // it may wait, and is not cancelled by what it comes after
      ++ran;
    });
    co_await yield();
    CHECK(ran == 0);
    c.cancel();
    co_await waited.send();
    co_await until([&] { return ran == 2; });
    c.cancel();
    co_await yield();
    CHECK(ran == 2);
    CHECK(under_background);
  });
}

TEST_CASE("after_func of a context that is done runs at once, and for a parent's end (142)") {
  on_every_scheduler([]() -> task<> {
    const context parent = context::with_cancel();
    const context child = context::with_cancel(parent);
    std::atomic<int> ran = 0;
    child.after_func([&ran] { ++ran; });
    parent.cancel();
    child.after_func([&ran] { ++ran; });
    co_await until([&ran] { return ran >= 2; });
    CHECK(ran == 2);
  });
}

TEST_CASE("after_func runs at the deadline (142)") {
  on_simulated_schedulers([]() -> task<> {
    const time_point start = now();
    time_point at;
    const context c = context::with_timeout(1h);
    c.after_func([&at] { at = now(); });
    co_await sleep(2h);
    CHECK(at == start + 1h);
  });
}

TEST_CASE("the stop function is true once if it has kept the function from running, of any number (142)") {
  on_every_scheduler([]() -> task<> {
    const context c = context::with_cancel();
    std::atomic<int> ran = 0;
    auto stop_first = c.after_func([&ran] { ran += 1; });
    auto stop_second = c.after_func([&ran] { ran += 10; });
    CHECK(stop_first());
    CHECK_FALSE(stop_first());
    c.cancel();
    CHECK_FALSE(stop_second());
    co_await until([&ran] { return ran == 10; });
    auto stop_late = c.after_func([&ran] { ran += 100; });
    CHECK_FALSE(stop_late());
    co_await until([&ran] { return ran == 110; });
  });
}

TEST_CASE("stop does not wait for a function that runs (142)") {
  on_every_scheduler([]() -> task<> {
    const context c = context::with_cancel();
    channel<void> begun, goes_on;
    bool ended = false;
    auto stop = c.after_func([&]() -> task<> {
      co_await begun.send();
      co_await goes_on.recv();
      ended = true;
      co_await begun.send();
    });
    c.cancel();
    co_await begun.recv();
    CHECK_FALSE(stop());
    CHECK_FALSE(ended);
    co_await goes_on.send();
    co_await begun.recv();
    CHECK(ended);
  });
}

TEST_CASE("a cancel and a stop at once: the function runs if and only if stop was false (142)") {
  on_every_scheduler([]() -> task<> {
    for (std::size_t round = stressed(30); round > 0; --round) {
      const context c = context::with_cancel();
      std::atomic<int> ran = 0;
      auto stop = c.after_func([&ran] { ++ran; });
      auto canceller = go([c]() -> task<> {
        c.cancel();
        co_return;
      });
      std::atomic<int> stopped = 0;
      auto stopper = go([&]() -> task<> {
        stopped += stop();
        co_return;
      });
      stopped += stop();
      co_await canceller;
      co_await stopper;
      CHECK(stopped <= 1);
      if (stopped == 0) co_await until([&ran] { return ran == 1; });
      co_await yield();
      CHECK(ran == 1 - stopped);
    }
  });
}

TEST_CASE("an after_func of the background never runs, and is freed when stopped or dropped (144)") {
  on_every_scheduler([]() -> task<> {
    auto held = std::make_shared<int>(0);
    auto stop = context::background().after_func([held] { ++*held; });
    CHECK(held.use_count() == 2);
    CHECK(stop());
    CHECK_FALSE(stop());
    CHECK(held.use_count() == 1);
    context::background().after_func([held] { ++*held; });
    CHECK(held.use_count() == 1);
    co_return;
  });
}

TEST_CASE("a context that is dropped with an after_func frees it, and does not run it") {
  on_every_scheduler([]() -> task<> {
    auto held = std::make_shared<int>(0);
    context::with_cancel().after_func([held] { ++*held; });
    CHECK(held.use_count() == 1);
    co_await yield();
    CHECK(*held == 0);
  });
}

TEST_CASE("what an after_func throws is unhandled, and told with the place where it was left") {
  std::atomic<int> told_of = 0;
  std::atomic<unsigned> line = 0, here = 1;
  runtime_options how;
  how.on_unhandled = [&](std::exception_ptr e, const std::source_location& at) {
    line = at.line();
    if (told(e) == "after") ++told_of;
  };
  run(
      [&]() -> task<> {
        const context c = context::with_cancel();
        const auto fails = [] { throw std::runtime_error("after"); };
        here = __LINE__ + 1;
        c.after_func(fails);
        c.cancel();
        co_await until([&] { return told_of == 1; });
      },
      how);
  CHECK(line == here);
}

// ---- stop tokens

TEST_CASE("stop is requested of a context's stop_token when it is cancelled, before or after the token was had (148)") {
  on_every_scheduler([]() -> task<> {
    const context parent = context::with_cancel();
    const context child = context::with_cancel(parent);
    const std::stop_token token = child.stop_token();
    CHECK(token.stop_possible());
    CHECK_FALSE(token.stop_requested());
    CHECK(child.stop_token() == token);
    bool called = false;
    const std::stop_callback callback(token, [&called] { called = true; });
    parent.cancel();
    CHECK(token.stop_requested());
    CHECK(called);
    CHECK(parent.stop_token().stop_requested());
    co_return;
  });
}

TEST_CASE("a context from a stop_token ends with it, or with its parent (148)") {
  on_every_scheduler([]() -> task<> {
    std::stop_source source;
    const context parent = context::with_cancel();
    const context by_stop = context::from(source.get_token(), parent);
    const context by_parent = context::from(std::stop_source().get_token(), parent);
    auto h = go(by_stop, waits_for_ever);
    co_await yield();
    source.request_stop();
    CHECK(by_stop.is_cancelled());
    CHECK(told(by_stop.cause()) == "cancelled");
    CHECK_FALSE(parent.is_cancelled());
    CHECK(context::from(source.get_token()).is_cancelled());
    const auto ended = co_await outcome(h);
    CHECK(told(ended.error()) == "cancelled");
    parent.cancel();
    CHECK(by_parent.is_cancelled());
  });
}

TEST_CASE("stop requested on a thread that is no worker ends the context soon after (148)") {
  on_real_schedulers([]() -> task<> {
    for (std::size_t round = stressed(10); round > 0; --round) {
      std::stop_source source;
      const context c = context::from(source.get_token());
      auto h = go(c, waits_for_ever);
      std::jthread foreign([source]() mutable { source.request_stop(); });
      co_await c.wait();
      const auto ended = co_await outcome(h);
      CHECK(told(ended.error()) == "cancelled");
    }
  });
}

TEST_CASE("a context from a token that goes away while stop is requested elsewhere (148)") {
  on_real_schedulers([]() -> task<> {
    for (std::size_t round = stressed(30); round > 0; --round) {
      std::stop_source source;
      std::atomic<bool> begun = false;
      std::optional<context> c = context::from(source.get_token());
      std::jthread foreign([source, &begun]() mutable {
        begun = true;
        source.request_stop();
      });
      while (!begun) co_await yield();
      c.reset();
      foreign.join();
      CHECK(source.stop_requested());
    }
  });
}

TEST_CASE("contexts and tokens in a chain, where no runtime runs: a cancel goes all the way (148)") {
  const context first = context::with_cancel();
  const context second = context::from(first.stop_token());
  const context third = context::from(second.stop_token());
  bool called = false;
  const std::stop_callback callback(third.stop_token(), [&called] { called = true; });
  first.cancel(error("why"));
  CHECK(second.is_cancelled());
  CHECK(third.is_cancelled());
  CHECK(called);
  CHECK(told(first.cause()) == "why");
  CHECK(told(third.cause()) == "cancelled");
}

TEST_CASE("stop requested on a worker of another runtime is handed to the one that uses the context (148)") {
  std::stop_source source;
  std::atomic<bool> ready = false, ended = false;
  std::jthread other([&] {
    while (!ready) std::this_thread::yield();
    run(
        [&]() -> task<> {
          source.request_stop();
          co_return;
        },
        {.workers = 1});
  });
  run(
      [&]() -> task<> {
        const context c = context::from(source.get_token());
        auto h = go(c, waits_for_ever);
        ready = true;
        const auto e = co_await outcome(h);
        CHECK(told(e.error()) == "cancelled");
        ended = true;
      },
      {.workers = 1});
  CHECK(ended);
}

// ---- threads and runtimes

TEST_CASE("a cancel from a thread that is no worker has happened soon after (132)") {
  on_real_schedulers([]() -> task<> {
    for (std::size_t round = stressed(10); round > 0; --round) {
      const context c = context::with_cancel();
      const context child = context::with_timeout(c, 1h);
      auto h = go(child, waits_for_ever);
      std::jthread foreign([c] { c.cancel(error("from outside")); });
      co_await child.wait();
      CHECK(told(child.cause()) == "from outside");
      const auto ended = co_await outcome(h);
      CHECK(told(ended.error()) == "cancelled");
    }
  });
}

TEST_CASE("what is for workers is refused on other threads while a runtime runs") {
  run([]() -> task<> {
    const context c = context::with_cancel();
    auto stop = c.after_func([] {});
    int refused = 0;
    std::jthread([&] {
      const std::function<void()> calls[] = {[&] { (void)context::with_cancel(c); }, [&] { (void)c.with_value(1); },
                                             [&] { c.after_func([] {}); },           [&] { stop(); },
                                             [&] { (void)c.stop_token(); },          [&] { context::from({}, c); }};
      for (const auto& call : calls) {
        try {
          call();
        } catch (const std::logic_error&) {
          ++refused;
        }
      }
      CHECK_FALSE(c.is_cancelled());
      CHECK(c.cause() == nullptr);
      CHECK(context::current() == context::background());
    }).join();
    CHECK(refused == 6);
    co_return;
  });
}

TEST_CASE("the last handle of a context, timer and all, is dropped by a thread that is no worker") {
  on_real_schedulers([]() -> task<> {
    const auto before = testing::live().timers;
    for (int i = 0; i != 20; ++i) {
      context c = context::with_timeout(1h);
      context child = context::with_cancel(c);
      std::jthread([child = std::move(child), c = std::move(c)]() mutable {
        c = context();
        child = context();
      }).join();
    }
    co_await until([before] { return testing::live().timers == before; });
    reached("the timer of a dropped context goes");
  });
}

TEST_CASE("a context that outlives its runtime is dropped, cancelled or asked after it, and serves another") {
  for (const bool cancelled_inside : {false, true}) {
    for (unsigned workers : {1u, 4u}) {
      context timed, child, done;
      run(
          [&]() -> task<> {
            timed = context::with_timeout(1h);
            child = context::with_cancel(timed);
            done = context::with_timeout(0s);
            if (cancelled_inside) timed.cancel();
            co_return;
          },
          {.workers = workers});
      CHECK(timed.is_cancelled() == cancelled_inside);
      CHECK(done.is_cancelled());
      CHECK_FALSE(std::exchange(done, context()).cause() == nullptr);
      run(
          [&]() -> task<> {
            const context below = context::with_timeout(child, 30min);
            auto h = go(below, waits_for_ever);
            co_await yield();
            timed.cancel();
            const auto ended = co_await outcome(h);
            CHECK(told(ended.error()) == "cancelled");
            CHECK(below.is_cancelled());
          },
          {.workers = workers});
      timed.cancel();
      CHECK(child.is_cancelled());
    }
  }
}

TEST_CASE("a deadline that no runtime watches any more ends the context when it is asked, or in the next runtime") {
  context asked, used;
  run([&]() -> task<> {
    asked = context::with_timeout(1ms);
    used = context::with_cancel(context::with_timeout(2ms));
    co_return;
  });
  while (!asked.is_cancelled()) std::this_thread::yield();
  CHECK(told(asked.cause()) == "timed out");
  run([&]() -> task<> {
    auto h = go(used, waits_for_ever);
    const auto ended = co_await outcome(h);
    CHECK(told(ended.error()) == "cancelled");
    CHECK(told(used.cause()) == "timed out");
  });
}

TEST_CASE("contexts made before any runtime: their deadlines count, their ends reach the routines, also from outside") {
  for (unsigned workers : {1u, 4u}) {
    const context root = context::with_cancel();
    const context timed = context::with_timeout(root, 2ms);
    const context below = context::with_cancel(timed);  // nobody uses the one with the deadline itself
    const context sibling = context::with_cancel(root);
    std::atomic<int> ran = 0;
    const context cancelled_before = context::with_cancel();
    cancelled_before.after_func([&ran] { ++ran; });
    cancelled_before.cancel();
    CHECK(cancelled_before.is_cancelled());
    run(
        [&]() -> task<> {
          auto h = go(below, waits_for_ever);
          auto ended = co_await outcome(h);
          CHECK(told(ended.error()) == "cancelled");
          CHECK(told(below.cause()) == "timed out");
          auto i = go(root, waits_for_ever);
          auto j = go(sibling, waits_for_ever);
          std::jthread([sibling] { sibling.cancel(); }).join();
          ended = co_await outcome(j);
          CHECK(told(ended.error()) == "cancelled");
          CHECK_FALSE(root.is_cancelled());
          std::jthread([root] { root.cancel(); }).join();
          ended = co_await outcome(i);
          CHECK(told(ended.error()) == "cancelled");
          auto k = go(cancelled_before, waits_for_ever);
          ended = co_await outcome(k);
          CHECK(told(ended.error()) == "cancelled");
          co_await until([&ran] { return ran == 1; });
        },
        {.workers = workers});
    CHECK(root.is_cancelled());
  }
}

TEST_CASE("a tree that one runtime uses is refused by another that runs at the same time") {
  const context root = context::with_cancel();
  const context left = context::with_cancel(root), right = context::with_cancel(root);
  std::atomic<bool> used = false, asked = false;
  std::string refused;
  std::jthread other([&] {
    while (!used) std::this_thread::yield();
    run(
        [&]() -> task<> {
          try {
            auto h = go(right, waits_for_ever);
          } catch (const std::logic_error& e) {
            refused = e.what();
          }
          asked = true;
          co_return;
        },
        {.workers = 1});
  });
  run(
      [&]() -> task<> {
        auto h = go(left, waits_for_ever);
        used = true;
        while (!asked) co_await yield();
        left.cancel();
        (void)co_await outcome(h);
      },
      {.workers = 1});
  other.join();
  CHECK(refused.find("another runtime") != std::string::npos);
  // It has ended.
  run([&]() -> task<> {
    auto h = go(right, waits_for_ever);
    root.cancel();
    (void)co_await outcome(h);
  });
}

TEST_CASE("handles copied, dropped and cancelled by many threads and workers at once") {
  const auto before = testing::live();
  for (unsigned workers : {1u, 2u, 4u}) {
    for (std::size_t round = stressed(5); round > 0; --round) {
      context kept;
      std::vector<std::jthread> threads;
      {
        const context root = context::with_timeout(1h);
        for (int t = 0; t != 3; ++t) {
          threads.emplace_back([root] {
            for (int i = 0; i != 200; ++i) {
              const context copy = root;
              (void)copy.is_cancelled();
              if (i == 150) copy.cancel();
            }
          });
        }
        run(
            [&]() -> task<> {
              for (int i = 0; i != 100; ++i) {
                const context child = context::with_timeout(root, 1h);
                threads.emplace_back([child = context(child), n = i]() mutable {
                  if (n % 2) child.cancel();
                  child = context();
                });
                auto h = go(child, [] {});
                (void)co_await outcome(h);
                kept = child;
                if (threads.size() > 8) threads.clear();
              }
            },
            {.workers = workers});
      }
      threads.clear();
      kept.cancel();
    }
  }
  const auto after = testing::live();
  CHECK(after.frames == before.frames);
  CHECK(after.routines == before.routines);
  CHECK(after.timers == before.timers);
}

TEST_CASE("when main ends, what runs under contexts is unwound, and they may go before or after") {
  context outlives;
  on_every_scheduler(
      [&outlives]() -> task<> {
        outlives = context::with_timeout(1h);
        const context local = context::with_timeout(outlives, 30min);
        go(outlives, waits_for_ever);
        go(local, waits_for_ever);
        go([local]() -> task<> { co_await local.wait(); });
        go([c = outlives]() -> task<> { co_await with_context(c, waits_for_ever()); });
        co_await yield();
      },
      2);
  CHECK_FALSE(outlives.is_cancelled());
  outlives.cancel();
  CHECK(outlives.is_cancelled());
}

// ---- coroutines of other types

TEST_CASE("a task that a coroutine of another type awaits runs under contexts as in a routine") {
  std::vector<scheduler_under_test> some = simulated_schedulers(5);
  some.push_back(scheduler_under_test::real(1));
  on_each(some, [](const scheduler_under_test& scheduler) {
    scheduler.run([]() -> task<> {
      std::vector<std::string> ends;
      channel<int> silent;
      const context other = context::with_cancel();
      const auto program = [&]() -> task<> {
        auto steps = [&]() -> task<> {
          co_await yield();
          const auto late = co_await outcome(with_timeout(1ms, silent.recv()));
          ends.push_back(told(late.error()));
          co_await yield();
          const auto ended = co_await outcome(with_context(other, silent.recv()));
          ends.push_back(told(ended.error()));
          CHECK(current_context() == context::background());
        };
        co_await steps();
        co_await shield(yield());
      };
      const auto owns = [&]() -> owned_coroutine { co_await program(); };
      const owned_coroutine waiting = owns();
      while (ends.empty()) co_await sleep(1ms);
      other.cancel();
      while (!waiting.done()) co_await yield();
      CHECK(ends == std::vector<std::string>{"timed out", "cancelled"});
      // One that is destroyed while it waits under a context.
      owned_coroutine destroyed = [](channel<int> c) -> owned_coroutine {
        co_await with_timeout(1h, c.recv());
      }(silent);
      co_await yield();
      destroyed.destroy();
    });
  });
}

TEST_CASE("a context's end can be awaited and rethrown as its cause") {
  on_every_scheduler([]() -> task<> {
    const context c = context::with_cancel();
    auto h = go(throws_its_cause, c);
    co_await yield();
    c.cancel(error("told"));
    const auto ended = co_await outcome(h);
    CHECK(told(ended.error()) == "told");
  });
}

TEST_CASE("The stop function of one among very many after_funcs does not look through the others") {
  // With a search for each it would take minutes.
  on_real_schedulers([]() -> task<> {
    auto c = context::with_cancel();
    std::vector<std::function<bool()>> stops;
    for (int i = 0; i != 200'000; ++i) stops.push_back(c.after_func([] {}));
    std::size_t stopped = 0;
    while (!stops.empty()) {
      stopped += stops.back()() ? 1 : 0;
      stops.pop_back();
    }
    CHECK(stopped == 200'000);
    c.cancel();
    co_return;
  });
}
