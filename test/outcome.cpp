// outcome and finally: what came of it, and clean-up on every way out.
#include <doctest/doctest.h>

#include <memory>
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

enum class end { value, error, cancelled };

// Waits once, or not, and ends so.
task<int> ends(end how, bool waits, const char* error, int value) {
  if (waits) co_await yield();
  if (how == end::error) throw std::runtime_error(error);
  if (how == end::cancelled) throw cancelled();
  co_return value;
}

task<> ends_without_value(end how, bool waits, const char* error) { (void)co_await ends(how, waits, error, 0); }

std::string expected(end how, const char* error) {
  return how == end::value ? "value" : how == end::error ? error : "cancelled";
}

constexpr end all_ends[] = {end::value, end::error, end::cancelled};

}  // namespace

TEST_CASE("outcome has the value, or the error, cancelled too, of tasks, operations and handles") {
  on_two_schedulers([]() -> task<> {
    for (const end how : all_ends) {
      for (const bool waits : {false, true}) {
        auto o = co_await outcome(ends(how, waits, "bad", 7));
        CHECK(told(o) == expected(how, "bad"));
        CHECK(o.has_value() == (how == end::value));
        CHECK((o.error() == nullptr) == (how == end::value));
        if (o) {
          CHECK(std::move(o).value() == 7);
        } else {
          CHECK_THROWS(std::move(o).value());
        }
        auto nothing = co_await outcome(ends_without_value(how, waits, "bad"));
        CHECK(told(nothing) == expected(how, "bad"));
        if (!nothing) CHECK_THROWS(std::move(nothing).value());
        auto h = go(ends, how, waits, "bad", 8);
        const auto joined = co_await outcome(h);
        CHECK(told(joined) == expected(how, "bad"));
      }
    }
    channel<std::unique_ptr<int>> c(1);
    c.try_send(std::make_unique<int>(4));
    auto received = co_await outcome(c.recv());
    CHECK(**std::move(received).value() == 4);
    c.close();
    const auto sent = co_await outcome(c.send(std::make_unique<int>(5)));
    CHECK(told(sent).find("closed") != std::string::npos);
  });
}

TEST_CASE("outcome of an outcome is a value, and outcome in a cancelled routine tells of that") {
  on_two_schedulers([]() -> task<> {
    const auto twice = co_await outcome(outcome(ends(end::error, true, "bad", 0)));
    CHECK(twice.has_value());
    std::vector<std::string> seen;
    auto program = [&seen]() -> task<> {
      for (int i = 0; i != 2; ++i) {
        const auto o = co_await outcome(never());
        seen.push_back(told(o));
      }
    };
    auto h = go(program);
    co_await yield();
    h.cancel();
    co_await h;
    CHECK(seen == std::vector<std::string>{"cancelled", "cancelled"});
  });
}

TEST_CASE("finally awaits the clean-up once, whatever came of either: the first error is told, else the value") {
  on_two_schedulers([]() -> task<> {
    for (const end work : all_ends) {
      for (const end cleanup : all_ends) {
        for (const bool work_waits : {false, true}) {
          for (const bool cleanup_waits : {false, true}) {
            int cleaned = 0;
            auto cleans = [&]() -> task<> {
              co_await ends_without_value(cleanup, cleanup_waits, "in the clean-up");
              ++cleaned;
            };
            auto o = co_await outcome(finally(ends(work, work_waits, "in the work", 3), cleans()));
            const std::string first = expected(work, "in the work");
            CHECK(told(o) == (work == end::value ? expected(cleanup, "in the clean-up") : first));
            CHECK(cleaned == (cleanup == end::value ? 1 : 0));
            if (o) CHECK(std::move(o).value() == 3);
            auto nothing = co_await outcome(finally(ends_without_value(work, work_waits, "in the work"),
                                                    ends(cleanup, cleanup_waits, "in the clean-up", 1)));
            CHECK(told(nothing) == (work == end::value ? expected(cleanup, "in the clean-up") : first));
          }
        }
      }
    }
  });
}

TEST_CASE("cancelled at any step, by its handle or by its context, the clean-up is awaited to its end") {
  for (const bool by_context : {false, true}) {
    on_every_scheduler(
        [by_context]() -> task<> {
          for (int steps = 0; steps != 8; ++steps) {
            const context ctx = context::with_cancel();
            bool began = false, cleaned = false;
            auto work = [&]() -> task<> {
              began = true;
              co_await yield();
              co_await yield();
            };
            auto cleanup = [&]() -> task<> {
              co_await yield();
              co_await sleep(1us);
              cleaned = true;
            };
            auto program = [&]() -> task<> { co_await finally(work(), cleanup()); };
            auto h = go(ctx, program);
            for (int i = 0; i != steps; ++i) co_await yield();
            by_context ? ctx.cancel() : h.cancel();
            (void)co_await outcome(h);
            CHECK(began);
            CHECK(cleaned);
          }
        },
        3);
  }
}

TEST_CASE("clean-up may be bounded: its limit counts, though the routine is cancelled") {
  on_simulated_schedulers([]() -> task<> {
    const time_point start = now();
    auto program = []() -> task<> { co_await finally(never(), with_timeout(2s, never())); };
    auto h = go(program);
    co_await testing::settle();
    h.cancel();
    const auto o = co_await outcome(h);
    CHECK(told(o) == "cancelled");
    CHECK(now() == start + 2s);
  });
}

TEST_CASE("operations, handles and named operands") {
  on_two_schedulers([]() -> task<> {
    channel<int> c(1), log(4);
    c.try_send(1);
    const int note = 5;
    const auto got = co_await finally(c.recv(), log.send(note));
    CHECK(got == 1);
    auto receives = c.recv();
    auto h = go(ends, end::value, true, "", 6);
    c.try_send(2);
    const auto named = co_await finally(receives, h);
    CHECK(named == 2);
    CHECK(log.size() == 1);
    const int joined = co_await finally(go(ends, end::value, true, "", 7), log.recv());
    CHECK(joined == 7);
    CHECK(log.size() == 0);
  });
}

TEST_CASE("finally in finally: each clean-up once, the inner one first") {
  on_two_schedulers([]() -> task<> {
    std::string order;
    auto notes = [&order](const char* what) -> task<> {
      co_await yield();
      order += what;
    };
    const auto o =
        co_await outcome(finally(finally(ends(end::error, true, "bad", 0), notes("inner ")), notes("outer")));
    CHECK(told(o) == "bad");
    CHECK(order == "inner outer");
  });
}
