// runtime::dump: every routine, its state, what it waits for, where, and where it was started.
#include <doctest/doctest.h>

#include <ringo/ringo.hpp>
#include <source_location>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "every_scheduler.hpp"
#include "states.hpp"
#include "task_ending.hpp"

using namespace ringo;
using namespace std::chrono_literals;

namespace {

unsigned line_of_the_receive = 0;

task<> receive_from(channel<int> c) {
  line_of_the_receive = std::source_location::current().line() + 1;
  co_await c.recv();
}

bool mentions(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

std::string here(unsigned line) { return "running_dump.cpp:" + std::to_string(line); }

}  // namespace

TEST_CASE("A dump says what each routine waits for, where, and where it was started (160)") {
  runtime rt({.workers = 1});
  rt.run([&rt]() -> task<> {
    channel<int> c;
    const unsigned started = std::source_location::current().line() + 1;
    auto receiving = go(receive_from, c);
    const unsigned sleeping_since = std::source_location::current().line() + 1;
    auto sleeping = go([]() -> task<> { co_await sleep(1h); });
    for (int i = 0; i != 3; ++i) co_await yield();
    const auto text = dump_of(rt);
    CHECK(mentions(text, "receive"));
    CHECK(mentions(text, here(line_of_the_receive)));
    CHECK(mentions(text, here(started)));
    CHECK(mentions(text, "sleep"));
    CHECK(mentions(text, here(sleeping_since)));
    receiving.cancel();
    sleeping.cancel();
    const auto first = co_await ending_of(receiving);
    const auto second = co_await ending_of(sleeping);
    CHECK(first == ending::was_cancelled);
    CHECK(second == ending::was_cancelled);
    const auto afterwards = dump_of(rt);
    CHECK_FALSE(mentions(afterwards, here(line_of_the_receive)));
    CHECK_FALSE(mentions(afterwards, here(sleeping_since)));
  });
}

TEST_CASE("A dump counts routines that wait at one place as one group (160)") {
  runtime rt({.workers = 1});
  rt.run([&rt]() -> task<> {
    channel<int> c;
    for (int i = 0; i != 20; ++i) go(receive_from, c);
    for (int i = 0; i != 3; ++i) co_await yield();
    const auto text = dump_of(rt);
    CHECK(mentions(text, "21 routines on 1 worker"));
    CHECK(mentions(text, "  20 routines (2, 3, 4, 5, 6, 7, 8, 9, ...): wait for receive on channel"));
    CHECK(text.find(here(line_of_the_receive)) == text.rfind(here(line_of_the_receive)));
  });
}

TEST_CASE("Routines that different routines have started at one place are one group (160)") {
  runtime rt({.workers = 1});
  rt.run([&rt]() -> task<> {
    channel<int> c;
    const auto start_one = [](channel<int> from) -> task<> {
      go(receive_from, from);
      co_return;
    };
    for (int i = 0; i != 20; ++i) go(start_one, c);
    for (int i = 0; i != 4; ++i) co_await yield();
    const auto text = dump_of(rt);
    CHECK(mentions(text, "  20 routines ("));
    CHECK(mentions(text, " by different routines"));
  });
}

TEST_CASE("A dump may be asked for by a thread that is no worker, while routines come and go (160)") {
  for (unsigned workers : {1u, 4u}) {
    runtime rt({.workers = workers});
    channel<void> end;
    std::size_t characters = 0;
    std::thread foreign;
    rt.run([&]() -> task<> {
      // Started here, and not before run, so that there is something to dump.
      foreign = std::thread([&] {
        for (int i = 0; i != 50; ++i) characters += dump_of(rt).size();
        end.close();
      });
      while (!end.is_closed()) {
        std::vector<handle<void>> routines;
        for (int i = 0; i != 5; ++i) routines.push_back(go([]() -> task<> { co_await sleep(10us); }));
        for (auto& each : routines) co_await each;
      }
    });
    foreign.join();
    CHECK(characters > 0);
  }
}

TEST_CASE("A dump of a runtime that has not run yet, or has ended, is no failure") {
  runtime rt({.workers = 1});
  const auto before = dump_of(rt);
  rt.run([]() -> task<> { co_return; });
  const auto after = dump_of(rt);
  CHECK_FALSE(mentions(before, "receive"));
  CHECK_FALSE(mentions(after, "receive"));
}
