// What an await of a cancelled routine throws, and which handlers let it pass (semantics D13).
#include <doctest/doctest.h>

#include <exception>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <type_traits>

#include <ringo/ringo.hpp>

#include "error_told.hpp"
#include "every_scheduler.hpp"
#include "reached.hpp"
#include "states.hpp"

using namespace ringo;
using namespace std::chrono_literals;

static_assert(!std::is_base_of_v<std::exception, cancelled>);
static_assert(std::is_base_of_v<std::system_error, timed_out>);
static_assert(std::is_base_of_v<std::system_error, disconnected>);

namespace {

// The loop that every client of a server has.
task<> retry_for_ever(int& failures) {
  for (;;) {
    try {
      co_await sleep(1ms);
      throw std::runtime_error("refused");
    } catch (const std::exception&) {
      ++failures;
    }
  }
}

}  // namespace

TEST_CASE("a cancellation tells what it is, by its text and by its code") {
  const cancelled c;
  CHECK(std::string(c.what()) == "ringo: cancelled");
  CHECK(c.code() == std::errc::operation_canceled);
}

TEST_CASE("a retry loop that catches every std::exception ends with its time limit (D13)") {
  on_every_scheduler([]() -> task<> {
    int failures = 0;
    auto end = co_await outcome(with_timeout(20ms, retry_for_ever(failures)));
    CHECK(told(end.error()) == "timed out");
  });
}

TEST_CASE("a retry loop that catches every std::exception ends with its handle, its group and its context (D13)") {
  on_every_scheduler([]() -> task<> {
    int by_handle = 0, by_group = 0, by_context = 0;
    auto routine = go(retry_for_ever, std::ref(by_handle));
    co_await yield();
    routine.cancel();
    auto end = co_await outcome(routine.join());
    CHECK(told(end.error()) == "cancelled");

    auto failed = co_await outcome(scope([&](group& g) -> task<> {
      g.go(retry_for_ever, std::ref(by_group));
      g.go([]() -> task<> {
        co_await yield();
        throw std::logic_error("a sibling's error");
      });
      co_return;
    }));
    CHECK(told(failed.error()) == "a sibling's error");

    const context under = context::with_cancel();
    auto below = go(under, retry_for_ever, std::ref(by_context));
    co_await yield();
    under.cancel();
    end = co_await outcome(below.join());
    CHECK(told(end.error()) == "cancelled");
  });
}

TEST_CASE("a retry loop that catches every std::exception ends with main") {
  int failures = 0;
  on_every_scheduler([&failures]() -> task<> {
    go(retry_for_ever, std::ref(failures));
    co_await yield();
    reached("main returns");
  });
}

TEST_CASE("a thread that waits for a runtime which ends gets a std::system_error, since it is no routine (D19)") {
  for (const unsigned workers : {1u, 2u}) {
    channel<int> never_sent;
    std::string told_to_thread;
    std::error_code code;
    std::thread waiting;
    runtime rt({.workers = workers});
    rt.run([&]() -> task<> {
      (void)never_sent.try_recv();  // makes it this runtime's
      waiting = std::thread([&] {
        try {
          (void)never_sent.recv_blocking();
        } catch (const std::system_error& e) {
          code = e.code();
          told_to_thread = e.what();
        }
      });
      // Until a routine waits in the thread's name.
      co_await until_parked("waits for");
    });
    waiting.join();
    CHECK(code == std::errc::operation_canceled);
    CHECK(told_to_thread.find("the runtime has ended") != std::string::npos);
  }
}
