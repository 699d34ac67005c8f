#include <doctest/doctest.h>

#include "every_scheduler.hpp"

using namespace ringo;
using namespace std::chrono_literals;

namespace {

bool holds_cancelled(const std::exception_ptr& e) {
  try {
    std::rethrow_exception(e);
  } catch (const cancelled&) {
    return true;
  } catch (...) {
    return false;
  }
}

bool holds_timed_out(const std::exception_ptr& e) {
  try {
    std::rethrow_exception(e);
  } catch (const timed_out&) {
    return true;
  } catch (...) {
    return false;
  }
}

}  // namespace

TEST_CASE("A routine inherits its starter's context, and ends with cancelled when that is cancelled (130, 131)") {
  on_every_scheduler([]() -> task<> {
    context ctx = context::with_cancel();
    channel<int> never_sent;
    auto waits = [never_sent]() -> task<> { co_await never_sent.recv(); };
    auto starts = [&waits]() -> task<handle<void>> { co_return go(waits); };
    auto starter = go(ctx, starts);
    handle<void> child = co_await starter;
    co_await yield();
    CHECK_FALSE(ctx.is_cancelled());
    ctx.cancel();
    CHECK(ctx.is_cancelled());
    CHECK(holds_cancelled(ctx.cause()));
    auto ended = co_await outcome(child);
    CHECK(holds_cancelled(ended.error()));
  });
}

TEST_CASE("with_timeout ends what it bounds with timed_out, and lets what is faster through") {
  on_every_scheduler([]() -> task<> {
    channel<int> c;
    auto late = co_await outcome(with_timeout(1ms, c.recv()));
    CHECK(holds_timed_out(late.error()));
    auto slow = []() -> task<int> {
      co_await sleep(1h);
      co_return 1;
    };
    auto late_task = co_await outcome(with_timeout(1ms, slow()));
    CHECK(holds_timed_out(late_task.error()));
    auto fast = []() -> task<int> { co_return 7; };
    const int seven = co_await with_timeout(1h, fast());
    CHECK(seven == 7);
    CHECK_FALSE(current_context().is_cancelled());
  });
}

TEST_CASE("A shielded await is not ended by cancellation, and the next one is") {
  on_every_scheduler([]() -> task<> {
    channel<int> c;
    channel<int> d;
    context ctx = context::with_cancel();
    auto program = [c, d]() -> task<int> {
      auto got = co_await shield(c.recv());
      bool ended = false;
      try {
        co_await d.recv();
      } catch (const cancelled&) {
        ended = true;
      }
      CHECK(ended);
      co_return *got;
    };
    auto h = go(ctx, program);
    co_await yield();
    ctx.cancel();
    co_await c.send(5);
    const int got = co_await h;
    CHECK(got == 5);
  });
}
