// shield: what cancellation does not end.
#include <doctest/doctest.h>

#include <ringo/ringo.hpp>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "error_told.hpp"
#include "every_scheduler.hpp"

using namespace ringo;
using namespace std::chrono_literals;

namespace {

// The ways to cancel a routine.
enum class by { its_context, its_handle, both };

template <class F>
void each_way(F use) {
  for (by how : {by::its_context, by::its_handle, by::both}) use(how);
}

void cancel(by how, const context& ctx, const handle<>& h) {
  if (how != by::its_handle) ctx.cancel();
  if (how != by::its_context) h.cancel();
}

}  // namespace

TEST_CASE("a shielded await is not ended by cancellation, and the next one is") {
  each_way([](by how) {
    on_every_scheduler([how]() -> task<> {
      channel<int> c, d;
      const context ctx = context::with_cancel();
      int got = 0;
      bool ended = false;
      auto program = [&]() -> task<> {
        got = *co_await shield(c.recv());
        try {
          co_await d.recv();
        } catch (const cancelled&) {
          ended = true;
        }
      };
      auto h = go(ctx, program);
      co_await yield();
      cancel(how, ctx, h);
      co_await c.send(5);
      co_await h;
      CHECK(got == 5);
      CHECK(ended);
    });
  });
}

TEST_CASE("a routine that has been cancelled may await clean-up that is shielded: operations, tasks and handles") {
  each_way([](by how) {
    on_every_scheduler([how]() -> task<> {
      const context ctx = context::with_cancel();
      channel<int> c(1);
      int sum = 0;
      auto program = [&]() -> task<> {
        bool ended = false;
        try {
          co_await never();
        } catch (const cancelled&) {
          ended = true;
        }
        CHECK(ended);
        co_await shield(c.send(1));
        sum += *co_await shield(c.recv());
        auto several = [&]() -> task<int> {
          co_await yield();
          co_await sleep(1us);
          co_return 10;
        };
        sum += co_await shield(several());
        auto h = go(several);  // what it starts outside of a shield is cancelled with it
        const auto o = co_await outcome(shield(h));
        CHECK(told(o) == (how == by::its_handle ? "value" : "cancelled"));
      };
      auto h = go(ctx, program);
      co_await yield();
      cancel(how, ctx, h);
      co_await h;
      CHECK(sum == 11);
    });
  });
}

TEST_CASE("shields nest: the outermost counts") {
  each_way([](by how) {
    on_every_scheduler([how]() -> task<> {
      const context ctx = context::with_cancel();
      channel<void> is_cancelled;  // else the program could end before its cancellation
      int steps = 0;
      auto inner = [&]() -> task<> {
        co_await shield(is_cancelled.recv());
        ++steps;
        co_await yield();
        ++steps;
      };
      auto program = [&]() -> task<> {
        co_await shield(inner());
        co_await yield();
        ++steps;
      };
      auto h = go(ctx, program);
      cancel(how, ctx, h);
      co_await is_cancelled.send();
      const auto o = co_await outcome(h);
      CHECK(told(o) == "cancelled");
      CHECK(steps == 2);
    });
  });
}

TEST_CASE("the limit of a with_timeout in a shield ends what it bounds") {
  each_way([](by how) {
    on_simulated_schedulers([how]() -> task<> {
      const context ctx = context::with_cancel();
      std::string inside, after;
      auto cleans_up = [&]() -> task<> {
        const auto o = co_await outcome(with_timeout(1s, never()));
        inside = told(o);
        co_await sleep(1s);  // and not the rest
      };
      auto program = [&]() -> task<> {
        co_await shield(cleans_up());
        const auto o = co_await outcome(yield());
        after = told(o);
      };
      auto h = go(ctx, program);
      const time_point start = now();
      co_await testing::settle();
      cancel(how, ctx, h);
      co_await h;
      CHECK(now() == start + 2s);
      CHECK(inside == "timed out");
      CHECK(after == "cancelled");
    });
  });
}

TEST_CASE("a shield inside of a with_timeout keeps its limit away, and outside of it does not") {
  on_simulated_schedulers([]() -> task<> {
    const time_point start = now();
    const auto kept = co_await outcome(with_timeout(1s, shield(sleep(1h))));
    CHECK(told(kept) == "value");
    CHECK(now() == start + 1h);
    const auto bounded = co_await outcome(shield(with_timeout(1s, sleep(1h))));
    CHECK(told(bounded) == "timed out");
  });
}

TEST_CASE("a context that is cancelled ends what with_context awaits under it, in a shield as elsewhere") {
  on_simulated_schedulers([]() -> task<> {
    const context own = context::with_cancel(), other = context::with_cancel();
    std::string inside;
    auto program = [&]() -> task<> {
      auto cleans_up = [&]() -> task<> {
        const auto o = co_await outcome(with_context(other, never()));
        inside = told(o);
      };
      co_await shield(cleans_up());
    };
    auto h = go(own, program);
    co_await testing::settle();
    own.cancel();
    co_await testing::settle();
    CHECK(inside.empty());
    other.cancel();
    co_await h;
    CHECK(inside == "cancelled");
  });
}

TEST_CASE("what is shielded has its caller's values, no deadline, and gives what it starts the same") {
  on_every_scheduler([]() -> task<> {
    const context ctx = context::with_timeout(context::with_cancel().with_value(7), 1h);
    auto program = [&]() -> task<> {
      auto inside = [&]() -> task<> {
        CHECK(*current_context().value<int>() == 7);
        CHECK_FALSE(current_context().deadline().has_value());
        CHECK_FALSE(current_context().is_cancelled());
        auto h = go([] { return *current_context().value<int>(); });
        const int seven = co_await h;
        CHECK(seven == 7);
        auto one = []() -> task<int> {
          co_await yield();
          co_return 1;
        };
        const auto both = co_await all(one(), one());
        CHECK(std::get<0>(both) + std::get<1>(both) == 2);
        const auto first = co_await select(one(), never());
        CHECK(first.index() == 0);
      };
      ctx.cancel();
      co_await shield(inside());
      CHECK(current_context() == ctx);
    };
    auto h = go(ctx, program);
    co_await h;
  });
}

TEST_CASE("as a case of a select it is what it shields: it wins or loses, and the select is cancelled as a whole") {
  on_every_scheduler([]() -> task<> {
    channel<int> c(1), d;
    c.try_send(3);
    auto won = co_await select(shield(c.recv()), d.recv());
    CHECK(*std::get<0>(won) == 3);
    c.try_send(4);
    const auto lost = co_await select(shield(d.recv()), c.recv());
    CHECK(lost.index() == 1);
    CHECK_FALSE(d.try_send(1));
    bool ended = false;
    auto slow = [&]() -> task<> {
      try {
        co_await never();
      } catch (const cancelled&) {
        ended = true;
        throw;
      }
    };
    const auto task_lost = co_await select(shield(slow()), sleep(1us));
    CHECK(task_lost.index() == 1);
    CHECK(ended);
    auto selects = [&]() -> task<> { (void)co_await select(shield(c.recv()), d.recv()); };
    auto h = go(selects);
    co_await yield();
    h.cancel();
    const auto o = co_await outcome(h);
    CHECK(told(o) == "cancelled");
    auto shields_select = [&]() -> task<> { (void)co_await shield(select(c.recv(), d.recv())); };
    auto i = go(shields_select);
    co_await yield();
    i.cancel();
    co_await d.send(1);
    co_await i;
  });
}

TEST_CASE("what a shielded task throws passes") {
  on_every_scheduler([]() -> task<> {
    auto fails = []() -> task<> {
      co_await yield();
      throw std::runtime_error("inside");
    };
    const auto o = co_await outcome(shield(fails()));
    CHECK(told(o) == "inside");
    co_await yield();
  });
}

TEST_CASE("a deadlock inside of a shield is reported as any other, with the routine that waits there") {
  for (const bool in_main : {true, false}) {
    std::string report;
    try {
      run(
          [in_main]() -> task<> {
            channel<int> silent;
            auto waits = [silent]() -> task<> { co_await shield(silent.recv()); };
            if (in_main) co_await waits();
            auto h = go(waits);
            co_await h;
          },
          {.workers = 2, .shutdown_grace = 100ms});
    } catch (const deadlock& e) {
      report = e.what();
    }
    CHECK(report.find("receive") != std::string::npos);
    CHECK(report.find("shield.cpp") != std::string::npos);
  }
}
