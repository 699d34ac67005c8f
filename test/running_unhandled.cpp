// Exceptions that nobody can receive.
#include <doctest/doctest.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <exception>
#include <functional>
#include <mutex>
#include <ringo/ringo.hpp>
#include <source_location>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "every_scheduler.hpp"
#include "running_child.hpp"
#include "task_ending.hpp"

using namespace ringo;
using namespace std::chrono_literals;

namespace {

struct unhandled {
  std::string what;
  std::string file;
  unsigned line;
};

// Keeps what on_unhandled is told, apart from cancellations.
class ledger {
 public:
  runtime_options how(unsigned workers = 1) {
    runtime_options o;
    o.workers = workers;
    o.on_unhandled = [this](std::exception_ptr error, const std::source_location& started) {
      try {
        std::rethrow_exception(error);
      } catch (const cancelled&) {
      } catch (const std::exception& e) {
        note(e.what(), started);
      } catch (...) {
        note("something else", started);
      }
    };
    return o;
  }
  std::vector<unhandled> all() const {
    const std::lock_guard locked(lock_);
    return all_;
  }
  std::size_t size() const { return all().size(); }

 private:
  void note(std::string what, const std::source_location& started) {
    const std::lock_guard locked(lock_);
    all_.push_back({std::move(what), started.file_name(), started.line()});
  }

  mutable std::mutex lock_;
  std::vector<unhandled> all_;
};

bool ends_with(const std::string& text, const std::string& end) {
  return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

task<> fail(std::string message) {
  co_await yield();
  throw std::runtime_error(message);
}

int lines_in(const std::string& text) { return static_cast<int>(std::count(text.begin(), text.end(), '\n')); }

}  // namespace

TEST_CASE("on_unhandled gets the exception and where its routine was started (163)") {
  for (unsigned workers : {1u, 4u}) {
    ledger seen;
    unsigned line = 0;
    run(
        [&]() -> task<> {
          line = std::source_location::current().line() + 1;
          go(fail, "nobody joins");
          while (seen.size() == 0) co_await yield();
        },
        seen.how(workers));
    REQUIRE(seen.size() == 1);
    CHECK(seen.all()[0].what == "nobody joins");
    CHECK(ends_with(seen.all()[0].file, "running_unhandled.cpp"));
    CHECK(seen.all()[0].line == line);
  }
}

TEST_CASE("What the losing task of a select throws is unhandled, and was started where select was called (163)") {
  ledger seen;
  unsigned line = 0;
  run(
      [&]() -> task<> {
        auto loses = []() -> task<> {
          try {
            co_await never();
          } catch (const cancelled&) {
          }
          throw std::runtime_error("lost");
        };
        line = std::source_location::current().line() + 1;
        (void)co_await select(loses(), sleep(1ms));
      },
      seen.how());
  REQUIRE(seen.size() == 1);
  CHECK(seen.all()[0].what == "lost");
  CHECK(ends_with(seen.all()[0].file, "running_unhandled.cpp"));
  CHECK(seen.all()[0].line == line);
}

TEST_CASE("on_unhandled does not end the program, and hears of each exception once (163)") {
  for (unsigned workers : {1u, 2u, 4u}) {
    ledger seen;
    const int result = run(
        [&seen]() -> task<int> {
          for (int i = 0; i != 20; ++i) go(fail, std::to_string(i));
          while (seen.size() != 20) co_await yield();
          channel<int> c;
          go([c]() -> task<> { co_await c.send(3); });
          const auto value = co_await c.recv();
          co_return value.value();
        },
        seen.how(workers));
    CHECK(result == 3);
    auto all = seen.all();
    CHECK(all.size() == 20);
    std::sort(all.begin(), all.end(),
              [](const auto& a, const auto& b) { return std::stoi(a.what) < std::stoi(b.what); });
    for (int i = 0; i != 20; ++i) CHECK(all[static_cast<std::size_t>(i)].what == std::to_string(i));
  }
}

TEST_CASE("What reaches a join, or main's caller, is not unhandled (163)") {
  ledger seen;
  std::string from_run;
  try {
    run(
        []() -> task<> {
          auto joined = go(fail, "joined");
          const auto end = co_await ending_of(joined);
          CHECK(end == ending::failed);
          co_await fail("from main");
        },
        seen.how());
  } catch (const std::runtime_error& e) {
    from_run = e.what();
  }
  CHECK(from_run == "from main");
  CHECK(seen.size() == 0);
}

TEST_CASE("What a routine throws while it is unwound at the end is unhandled (159, 163)") {
  ledger seen;
  run(
      []() -> task<> {
        channel<void> ready;
        go([ready]() -> task<> {
          co_await ready.send();
          try {
            co_await never();
          } catch (const cancelled&) {
            throw std::runtime_error("while unwinding");
          }
        });
        co_await ready.recv();
      },
      seen.how());
  REQUIRE(seen.size() == 1);
  CHECK(seen.all()[0].what == "while unwinding");
}

TEST_CASE("A result that is an exception and is held by a handle to the end is unhandled when the handle goes (163)") {
  ledger seen;
  run(
      [&seen]() -> task<> {
        {
          auto held = go(fail, "held");
          co_await held.wait();
          CHECK(seen.size() == 0);
        }
        while (seen.size() == 0) co_await yield();
      },
      seen.how());
  CHECK(seen.size() == 1);
}

TEST_CASE("A plain callable's exception is unhandled too, and so is what is no std::exception (163)") {
  ledger seen;
  run(
      [&seen]() -> task<> {
        go([] { throw std::runtime_error("plain"); });
        while (seen.size() != 1) co_await yield();
        go([] { throw 42; });
        while (seen.size() != 2) co_await yield();
      },
      seen.how());
  REQUIRE(seen.size() == 2);
  CHECK(seen.all()[0].what == "plain");
  CHECK(seen.all()[1].what == "something else");
}

TEST_CASE("By default cancelled and disconnected end their routine in silence (163)") {
  const auto end = run_in_a_child([] {
    return run(
        []() -> task<int> {
          channel<void> here(2);
          go([here]() -> task<> {
            here.try_send();
            co_await yield();
            throw disconnected(std::make_error_code(std::errc::connection_reset), "a peer");
          });
          auto waiting = go([here]() -> task<> {
            here.try_send();
            co_await never();
          });
          for (int i = 0; i != 2; ++i) co_await here.recv();
          waiting.cancel();
          co_await waiting.wait();
          // One more is cancelled by the end of main.
          go([]() -> task<> { co_await never(); });
          for (int i = 0; i != 5; ++i) co_await yield();
          co_return 7;
        },
        {.workers = 1});
  });
  CHECK(end.exited);
  CHECK(end.status == 7);
  CHECK(end.errors == "");
}

TEST_CASE("By default another std::system_error ends its routine with one line on stderr (163)") {
  const auto end = run_in_a_child([] {
    return run(
        []() -> task<int> {
          auto routine = go([]() -> task<> {
            co_await yield();
            throw std::system_error(std::make_error_code(std::errc::no_space_on_device), "writing the diary");
          });
          co_await routine.wait();
          {
            [[maybe_unused]] const auto dropped = std::move(routine);
          }
          co_await yield();
          co_return 8;
        },
        {.workers = 1});
  });
  CHECK(end.exited);
  CHECK(end.status == 8);
  CHECK(end.errors.find("writing the diary") != std::string::npos);
  CHECK(end.errors.find("No space left on device") != std::string::npos);
  CHECK(lines_in(end.errors) == 1);
}

TEST_CASE(
    "By default any other exception ends the process, and names itself and the line that started the routine (163)") {
  const unsigned line = std::source_location::current().line() + 4;
  const auto end = run_in_a_child([] {
    return run(
        []() -> task<int> {
          go(fail, "a bug that nobody joins");
          co_await never();
          co_return 0;
        },
        {.workers = 1});
  });
  CHECK_FALSE(end.exited);
  CHECK(end.status == SIGABRT);
  CHECK(end.errors.find("a bug that nobody joins") != std::string::npos);
  CHECK(end.errors.find("running_unhandled.cpp:" + std::to_string(line)) != std::string::npos);
  // And that is all: not also that terminate was called, for another reason or for none.
  CHECK(lines_in(end.errors) == 1);
}

TEST_CASE("Where the program has set a terminate handler, that is called, and finds the exception (163)") {
  const auto end = run_in_a_child([] {
    std::set_terminate([] {
      try {
        std::rethrow_exception(std::current_exception());
      } catch (const std::exception& e) {
        std::fprintf(stderr, "handler: %s\n", e.what());
      }
      ::_exit(7);
    });
    return run(
        []() -> task<int> {
          go(fail, "found by the handler");
          co_await never();
          co_return 0;
        },
        {.workers = 1});
  });
  CHECK(end.exited);
  CHECK(end.status == 7);
  CHECK(end.errors.find("handler: found by the handler") != std::string::npos);
}

TEST_CASE("By default what is no std::exception ends the process too, and names the line (163)") {
  const unsigned line = std::source_location::current().line() + 4;
  const auto end = run_in_a_child([] {
    return run(
        []() -> task<int> {
          go([] { throw 42; });
          co_await never();
          co_return 0;
        },
        {.workers = 2});
  });
  CHECK_FALSE(end.exited);
  CHECK(end.errors.find("running_unhandled.cpp:" + std::to_string(line)) != std::string::npos);
}

TEST_CASE("A send on a closed channel in a routine that nobody joins is a bug, which ends the process (D6, 163)") {
  const auto end = run_in_a_child([] {
    return run(
        []() -> task<int> {
          channel<int> c;
          c.close();
          go([c]() -> task<> { co_await c.send(1); });
          co_await never();
          co_return 0;
        },
        {.workers = 1});
  });
  CHECK_FALSE(end.exited);
  CHECK(end.errors.find("closed") != std::string::npos);
}

TEST_CASE("A hook of the options that throws ends the process, and is named") {
  const auto by_unhandled = run_in_a_child([] {
    runtime_options o;
    o.workers = 1;
    o.on_unhandled = [](std::exception_ptr, const std::source_location&) { throw std::runtime_error("of the hook"); };
    run(
        []() -> task<> {
          go([] { throw std::logic_error("of the routine"); });
          co_await yield();
        },
        o);
    return 0;
  });
  CHECK_FALSE(by_unhandled.exited);
  CHECK(by_unhandled.status == SIGABRT);
  CHECK(by_unhandled.errors.find("runtime_options::on_unhandled has thrown") != std::string::npos);
  CHECK(by_unhandled.errors.find("std::runtime_error: of the hook") != std::string::npos);

  const auto by_warning = run_in_a_child([] {
    runtime_options o;
    o.workers = 1;
    o.on_warning = [](std::string_view) { throw 1; };
    run(
        []() -> task<> {
          {
            group forgotten;
            forgotten.go([] { throw std::logic_error("of a member"); });
            co_await yield();
          }
          co_await yield();
        },
        o);
    return 0;
  });
  CHECK_FALSE(by_warning.exited);
  CHECK(by_warning.status == SIGABRT);
  CHECK(by_warning.errors.find("runtime_options::on_warning has thrown") != std::string::npos);
  CHECK(lines_in(by_warning.errors) == 1);
}

TEST_CASE("A wait_group that a foreign thread calls done too often is told of where it went wrong (103, 163)") {
  // What the thread's call begins is done on a worker, soon: there is no caller to throw to any more.
  const auto too_often = [] {
    wait_group counted;
    run(
        [&counted]() -> task<> {
          counted.add();
          counted.done();
          std::thread([&counted] { counted.done(); }).join();
          for (int i = 0; i != 5; ++i) co_await yield();
          co_await sleep(10s);  // the worker ends the process before
        },
        {.workers = 1});
    return 0;
  };
  const auto end = run_in_a_child(too_often);
  CHECK_FALSE(end.exited);
  CHECK(end.status == SIGABRT);
  CHECK(end.errors.find("wait_group::done: negative counter") != std::string::npos);
  CHECK(end.errors.find("in a routine") == std::string::npos);
  CHECK(end.errors.find("unknown place") == std::string::npos);
}

TEST_CASE("A program that handles what is unhandled goes on after a foreign thread's done too many (103, 163)") {
  for (const unsigned workers : {1u, 4u}) {
    ledger seen;
    wait_group counted;
    run(
        [&]() -> task<> {
          counted.add();
          counted.done();
          std::thread([&counted] { counted.done(); }).join();
          while (seen.size() == 0) co_await yield();
          counted.add();
          counted.done();
          co_await counted.wait();
        },
        seen.how(workers));
    REQUIRE(seen.size() == 1);
    CHECK(seen.all()[0].what.find("negative counter") != std::string::npos);
    CHECK(seen.all()[0].line == 0);
  }
  wait_group unused;
  CHECK_THROWS_AS(unused.done(), std::logic_error);
}
