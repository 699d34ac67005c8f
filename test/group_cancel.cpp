// group::cancel, and what a `cancelled` that comes from elsewhere does to a group: nothing.
#include <doctest/doctest.h>

#include <atomic>
#include <stdexcept>
#include <string>
#include <thread>

#include "error_told.hpp"
#include "every_scheduler.hpp"
#include "states.hpp"

using namespace ringo;
using namespace std::chrono_literals;

namespace {

task<> fails(const char* how) {
  throw std::runtime_error(how);
  co_return;
}

task<> waits_for_ever() { co_await never(); }

// Takes a while to end when it is cancelled, and counts those that have not ended.
task<> ends_slowly(std::atomic<int>& alive) {
  ++alive;
  (void)co_await outcome(never());
  co_await shield(yield());
  co_await shield(yield());
  --alive;
  throw cancelled();
}

// Ends with `cancelled` although none of its contexts has been cancelled.
task<> joins_a_cancelled_routine() {
  const auto routine = go(context::background(), waits_for_ever);
  routine.cancel();
  co_await routine;
}

}  // namespace

TEST_CASE("After cancel() the members are cancelled and joined, and wait() returns normally") {
  on_every_scheduler([]() -> task<> {
    group g;
    std::atomic<int> alive = 0;
    for (int i = 0; i != 3; ++i) g.go(ends_slowly, std::ref(alive));
    co_await yield();
    g.cancel();
    CHECK(g.ctx().is_cancelled());
    CHECK(told(g.ctx().cause()) == "cancelled");
    co_await g.wait();
    CHECK(alive == 0);
  });
}

TEST_CASE("cancel() ends a scope early and without an error, from its body, from a member and from outside") {
  on_every_scheduler([]() -> task<> {
    std::atomic<int> alive = 0;
    bool after = false;
    const auto by_the_body = [&](group& g) -> task<> {
      g.go(ends_slowly, std::ref(alive));
      co_await yield();
      g.cancel();
      co_await yield();
      after = true;
    };
    co_await scope(by_the_body);
    CHECK_FALSE(after);  // the body is cancelled, too
    CHECK(alive == 0);

    const auto by_a_member = [&](group& g) -> task<> {
      g.go(ends_slowly, std::ref(alive));
      g.go([&g]() -> task<> {
        co_await yield();
        g.cancel();
      });
      co_await never();
    };
    co_await scope(by_a_member);
    CHECK(alive == 0);

    channel<group*> known(1);
    const auto from_outside = [&](group& g) -> task<> {
      g.go(ends_slowly, std::ref(alive));
      co_await known.send(&g);
      co_await never();
    };
    const auto scoped = [&from_outside]() -> task<> { co_await scope(from_outside); };
    const auto ended = go(scoped);
    group* const g = *co_await known.recv();
    g->cancel();
    co_await ended;
    CHECK(alive == 0);
  });
}

TEST_CASE("An error of a member is thrown although the group was cancelled, before or after it") {
  on_every_scheduler([]() -> task<> {
    group before;
    before.go(fails, "before");
    co_await yield();
    before.cancel();
    const auto first = co_await outcome(before.wait());
    CHECK(told(first.error()) == "before");

    group after;
    const auto fails_when_cancelled = []() -> task<> {
      (void)co_await outcome(never());
      throw std::runtime_error("after");
    };
    after.go(waits_for_ever);
    after.go(fails_when_cancelled);
    co_await yield();
    after.cancel();
    const auto second = co_await outcome(after.wait());
    CHECK(told(second.error()) == "after");

    // At the same time, on different workers: the error is never lost, and there is no other.
    for (int i = 0; i != 20; ++i) {
      group g;
      channel<> start;
      g.go([start]() -> task<> {
        (void)co_await start.recv();
        throw std::runtime_error("raced");
      });
      const auto cancels = [&g, start]() -> task<> {
        (void)co_await start.recv();
        g.cancel();
      };
      const auto other = go(cancels);
      co_await yield();
      start.close();
      const auto ended = co_await outcome(g.wait());
      co_await other;
      // Where it was cancelled before it heard of the start, it has not failed.
      const std::string what = told(ended.error());
      CHECK((what == "raced" || what == "nothing"));
    }
  });
}

TEST_CASE(
    "An error thrown in the clean-up of members that the parent's end has cancelled is not hidden by `cancelled`") {
  on_every_scheduler([]() -> task<> {
    const context parent = context::with_cancel();
    group g(parent);
    const auto fails_when_cancelled = []() -> task<> {
      (void)co_await outcome(never());
      co_await shield(yield());
      throw std::runtime_error("clean-up");
    };
    g.go(waits_for_ever);
    g.go(fails_when_cancelled);
    co_await yield();
    parent.cancel();
    const auto ended = co_await outcome(g.wait());
    CHECK(told(ended.error()) == "clean-up");
  });
}

TEST_CASE("cancel() twice, before any member, and after wait()") {
  on_every_scheduler([]() -> task<> {
    group g;
    g.cancel();
    g.cancel();
    co_await g.wait();  // nothing to wait for
    int ran = 0;
    const auto counts = [&ran]() -> task<> {
      co_await yield();
      ++ran;
    };
    g.go(counts);  // used anew
    co_await g.wait();
    CHECK(ran == 1);
    g.cancel();
    g.go(counts);  // cancelled until the next wait() has returned
    co_await g.wait();
    CHECK(ran == 1);
    co_await g.wait();  // twice
    g.go(counts);
    co_await g.wait();
    CHECK(ran == 2);
  });
}

TEST_CASE("A member that is started after cancel() is cancelled from its beginning") {
  on_every_scheduler([]() -> task<> {
    group g;
    g.cancel();
    std::atomic<int> begun = 0, ended = 0;
    const auto member = [&]() -> task<> {
      ++begun;
      co_await yield();
      ++ended;
    };
    g.go(member);
    CHECK(g.try_go(member));
    co_await g.wait();
    CHECK(begun == 2);
    CHECK(ended == 0);
  });
}

TEST_CASE("At the limit, what is queued when the group is cancelled, or later, never starts, and slot() comes free") {
  on_every_scheduler([]() -> task<> {
    for (const bool through_ctx : {false, true}) {
      group g;
      g.limit(1);
      std::atomic<int> alive = 0, started = 0;
      const auto counts = [&started]() -> task<> {
        ++started;
        co_return;
      };
      event may_end;
      g.go([&]() -> task<> {
        ++alive;
        (void)co_await outcome(never());
        co_await shield(may_end.wait());
        --alive;
        throw cancelled();
      });
      for (int i = 0; i != 3; ++i) g.go(counts);
      const auto waits_for_a_slot = [&g]() -> task<> { co_await g.slot(); };
      const auto slot = go(context::background(), waits_for_a_slot);
      while (alive == 0) co_await yield();
      through_ctx ? g.ctx().cancel() : g.cancel();
      g.go(counts);
      CHECK_FALSE(g.try_go(counts));
      may_end.set();
      co_await slot;
      const auto ended = co_await outcome(g.wait());
      CHECK(told(ended.error()) == (through_ctx ? "cancelled" : "nothing"));
      CHECK(alive == 0);
      CHECK(started == 0);
    }
  });
}

TEST_CASE("With keep_going cancel() ends all members just the same") {
  on_every_scheduler([]() -> task<> {
    group g(current_context(), on_error::keep_going);
    std::atomic<int> alive = 0;
    g.go(fails, "kept");
    g.go(ends_slowly, std::ref(alive));
    co_await yield();
    g.cancel();
    const auto ended = co_await outcome(g.wait());
    CHECK(told(ended.error()) == "kept");
    CHECK(alive == 0);
  });
}

TEST_CASE(
    "A scope that is ended early, by cancel() or through ctx(), leaves the members of the group around it alone") {
  on_every_scheduler([]() -> task<> {
    for (const bool through_ctx : {false, true}) {
      const auto kicked = [through_ctx](group& client) -> task<> {
        client.go(waits_for_ever);
        co_await yield();
        through_ctx ? client.ctx().cancel() : client.cancel();
        co_await never();
      };
      const auto inner = [kicked](group& middle) -> task<> {
        middle.go([kicked]() -> task<> { co_await scope(kicked); });
        co_return;
      };
      group server;
      channel<int> said(8);
      server.go([inner]() -> task<> { co_await scope(inner); });
      server.go([said]() -> task<> {
        for (int i = 0; i != 8; ++i) {
          co_await yield();
          co_await said.send(i);
        }
      });
      co_await server.wait();
      CHECK(said.size() == 8);
    }
  });
}

TEST_CASE("A `cancelled` that a member has met with elsewhere ends this member alone") {
  on_every_scheduler([]() -> task<> {
    const context other = context::with_cancel();
    worker_pool pool;
    group g;
    std::atomic<int> ran = 0;
    g.go(joins_a_cancelled_routine);
    g.go([other]() -> task<> { co_await with_context(other, never()); });
    g.go([&pool]() -> task<> {
      const auto job = co_await pool.submit(waits_for_ever);
      job.cancel();
      co_await job;
    });
    g.go([]() -> task<> { (void)co_await all(joins_a_cancelled_routine(), never()); });
    g.go([]() -> task<> {
      const channel<int> in(1);
      in.try_send(1);
      receiver<int> out = map(in, 1, [](int n) -> task<int> {
        co_await joins_a_cancelled_routine();
        co_return n;
      });
      while (co_await out.recv()) {
      }
    });
    g.go([&ran]() -> task<> {
      for (int i = 0; i != 20; ++i) co_await yield();
      ++ran;
    });
    co_await yield();
    other.cancel();
    co_await g.wait();
    CHECK(ran == 1);
  });
}

TEST_CASE("The same while the group's own parent is cancelled is `cancelled` for who waits") {
  on_every_scheduler([]() -> task<> {
    const context parent = context::with_cancel();
    group g(parent);
    g.go(joins_a_cancelled_routine);
    g.go(waits_for_ever);
    co_await yield();
    g.cancel();
    parent.cancel();
    const auto ended = co_await outcome(g.wait());
    CHECK(told(ended.error()) == "cancelled");
  });
}

TEST_CASE("A body that ends with a `cancelled` from elsewhere is no normal end of its scope, which joins its members") {
  on_every_scheduler([]() -> task<> {
    std::atomic<int> alive = 0;
    const auto body = [&alive](group& g) -> task<> {
      g.go(ends_slowly, std::ref(alive));
      co_await joins_a_cancelled_routine();
    };
    const auto ended = co_await outcome(scope(body));
    CHECK(told(ended.error()) == "cancelled");
    CHECK(alive == 0);
  });
}

TEST_CASE("wait() is no success where a deadlock has ended the members") {
  on_each(every_scheduler(), [](const scheduler_under_test& scheduler) {
    bool past = false;
    CHECK_THROWS_AS(scheduler.run([&past]() -> task<> {
      group g;
      g.go(waits_for_ever);
      co_await g.wait();
      past = true;
    }),
                    deadlock);
    CHECK_FALSE(past);
  });
}

TEST_CASE("A limit of with_timeout that ends a scope is timed_out, and none that cancel() has ended") {
  on_every_scheduler([]() -> task<> {
    const auto waits = [](group& g) -> task<> {
      g.go(waits_for_ever);
      co_await never();
    };
    const auto late = co_await outcome(with_timeout(1ms, scope(waits)));
    CHECK(told(late.error()) == "timed out");
    const auto cancels = [](group& g) -> task<> {
      g.go(waits_for_ever);
      g.cancel();
      co_await never();
    };
    const auto early = co_await outcome(with_timeout(1h, scope(cancels)));
    CHECK(told(early.error()) == "nothing");
  });
}

TEST_CASE("all() throws `cancelled` where a part ends with it, and has ended the others; nobody else hears of it") {
  on_every_scheduler([]() -> task<> {
    std::atomic<int> alive = 0;
    const auto two = co_await outcome(all(joins_a_cancelled_routine(), ends_slowly(alive)));
    CHECK(told(two.error()) == "cancelled");
    CHECK(alive == 0);
    const auto three = []() -> task<int> { co_return 3; };
    const auto from_elsewhere = []() -> task<int> {
      co_await joins_a_cancelled_routine();
      co_return 4;
    };
    std::vector<task<int>> numbers;
    numbers.push_back(three());
    numbers.push_back(from_elsewhere());
    const auto each = co_await outcome(all(std::move(numbers)));
    CHECK(told(each.error()) == "cancelled");
    std::vector<task<>> none;
    none.push_back(joins_a_cancelled_routine());
    none.push_back(ends_slowly(alive));
    const auto nothing = co_await outcome(all(std::move(none)));
    CHECK(told(nothing.error()) == "cancelled");
    CHECK(alive == 0);
    const auto error = co_await outcome(all(joins_a_cancelled_routine(), fails("error"), never()));
    const std::string what = told(error.error());
    CHECK((what == "error" || what == "cancelled"));  // whichever came first
  });
}

TEST_CASE("A caller that is cancelled while it waits for a cancelled group hears of its own cancellation, after all") {
  on_every_scheduler([]() -> task<> {
    event may_end;
    std::atomic<bool> member_has_ended = false;
    const auto waits = [&]() -> task<> {
      group g(context::background());
      g.go([&]() -> task<> {
        (void)co_await outcome(never());
        co_await shield(may_end.wait());
        member_has_ended = true;
      });
      g.cancel();
      co_await g.wait();
    };
    const auto routine = go(waits);
    co_await until_parked("the end of a group's members");
    routine.cancel();
    co_await yield();
    may_end.set();
    const auto ended = co_await outcome(routine);
    CHECK(told(ended.error()) == "cancelled");
    CHECK(member_has_ended);
  });
}

TEST_CASE("cancel() on a thread that is no worker, while a runtime runs, is refused by its name") {
  std::string refusal;
  run([&refusal]() -> task<> {
    group g;
    std::thread([&] {
      try {
        g.cancel();
      } catch (const std::logic_error& e) {
        refusal = e.what();
      }
    }).join();
    co_return;
  });
  CHECK(refusal.find("group::cancel") != std::string::npos);
}
