// What runtime_options::on_warning hears, and how often.
#include <doctest/doctest.h>

#include <atomic>
#include <mutex>
#include <source_location>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "error_told.hpp"
#include "every_scheduler.hpp"
#include "runtime/warnings.hpp"

using namespace ringo;
using namespace std::chrono_literals;

namespace {

// Keeps what on_warning hears.
class heard {
 public:
  runtime_options how(unsigned workers = 1) {
    runtime_options o;
    o.workers = workers;
    o.on_warning = [this](std::string_view text) {
      const std::lock_guard guard(mutex_);
      texts_.emplace_back(text);
    };
    return o;
  }
  std::vector<std::string> all() const {
    const std::lock_guard guard(mutex_);
    return texts_;
  }
  std::size_t size() const { return all().size(); }
  std::size_t count(const std::string& words) const {
    std::size_t n = 0;
    for (const std::string& text : all()) n += text.find(words) != std::string::npos ? 1 : 0;
    return n;
  }

 private:
  mutable std::mutex mutex_;
  std::vector<std::string> texts_;
};

task<> fails() {
  throw std::runtime_error("failed");
  co_return;
}

task<> waits_for_ever() { co_await never(); }

}  // namespace

TEST_CASE("A group that is destroyed without wait() while members run is told of, with where it was made") {
  for (const unsigned workers : {1u, 2u, 4u}) {
    heard warnings;
    std::string place;
    run(
        [&]() -> task<> {
          wait_group ended;
          ended.add(3);
          const auto member = [&ended]() -> task<> {
            (void)co_await outcome(never());
            ended.done();
          };
          {
            group g;
            place = "warnings.cpp:" + std::to_string(std::source_location::current().line() - 1);
            g.go(member);
            g.go(member);
            g.background(member);
          }
          co_await ended.wait();
        },
        warnings.how(workers));
    REQUIRE(warnings.size() == 1);
    CHECK(warnings.all()[0].find(place) != std::string::npos);
    CHECK(warnings.all()[0].find("3 of its members") != std::string::npos);
  }
}

TEST_CASE("One that is waited for, or whose members have ended, or that the runtime's end destroys, is not") {
  heard warnings;
  run(
      []() -> task<> {
        group waited;
        waited.go(yield);
        co_await waited.wait();
        {
          group ended;
          wait_group has_ended;
          has_ended.add();
          const auto member = [&has_ended]() -> task<> {
            has_ended.done();
            co_return;
          };
          ended.go(member);
          co_await has_ended.wait();
          co_await yield();
        }
        const auto body = [](group& g) -> task<> {
          g.background(waits_for_ever);
          co_return;
        };
        co_await scope(body);
        const auto outlives_main = []() -> task<> {
          group g;
          g.go(waits_for_ever);
          co_await never();
        };
        go(outlives_main);
        const auto waits = []() -> task<> {
          group g;
          g.go(waits_for_ever);
          co_await g.wait();
        };
        const auto is_cancelled = go(waits);
        co_await yield();
        is_cancelled.cancel();
        (void)co_await outcome(is_cancelled);
      },
      warnings.how());
  CHECK(warnings.all() == std::vector<std::string>());
}

TEST_CASE("Connecting by name, where losing attempts are cancelled, warns of nothing") {
  heard warnings;
  run(
      []() -> task<> {
        auto listener = tcp_listener::bind("127.0.0.1:0");
        const auto at = "localhost:" + std::to_string(listener.local().port());
        tcp_stream s = co_await tcp_stream::connect(at);
      },
      warnings.how());
  CHECK(warnings.size() == 0);
}

TEST_CASE("A thousand warnings of one kind are told as a few, which say how many there were") {
  for (const unsigned workers : {1u, 4u}) {
    heard warnings;
    run(
        []() -> task<> {
          for (int i = 0; i != 1000; ++i) {
            group g;
            for (int member = 0; member != 8; ++member) g.go(fails);
            (void)co_await outcome(g.wait());
          }
          for (int i = 0; i != 1000; ++i) {
            group g;
            g.go(waits_for_ever);
          }
        },
        warnings.how(workers));
    // The first at once, one a second meanwhile, and one at the end with the count of what was left out.
    CHECK(warnings.size() < 100);
    CHECK(warnings.count("7 more of its members") >= 2);
    CHECK(warnings.count("without wait()") >= 2);
    std::size_t told = 0;
    for (const std::string& text : warnings.all()) {
      const std::size_t at = text.find("(and ");
      told += 1 + (at == std::string::npos ? 0 : std::stoul(text.substr(at + 5)));
    }
    CHECK(told == 2000);
  }
}

TEST_CASE("A warning that comes again and again is told ever less often; one of another kind is told at once") {
  testing::simulate({}, []() -> task<> {
    heard by_hook;
    const runtime_options o = by_hook.how();
    detail::warnings warnings(o);
    const auto here = std::source_location::current();
    const auto there = std::source_location::current();
    const auto tell = [&](const char* text, const std::source_location& about) { warnings.tell_rarely(text, about); };
    for (int second = 0; second != 3600; ++second) {
      tell("again", here);
      if (second == 1800) {
        const std::size_t before = by_hook.size();
        tell("of another place", there);
        warnings.tell_rarely("of another call", here);
        CHECK(by_hook.size() == before + 2);
      }
      co_await sleep(1s);
    }
    // After 0, 1, 3, 7, 15 seconds, and so on.
    CHECK(by_hook.count("again") == 12);
    CHECK(by_hook.all()[0] == "again");
    CHECK(by_hook.all()[2] == "again (and 1 more like it, not shown)");
    warnings.tell_left_out();
    CHECK(by_hook.size() == 15);
    warnings.tell_left_out();
    CHECK(by_hook.size() == 15);
  });
}

TEST_CASE("An object that two runtimes use: the second's call throws what names both, and the first hears of it") {
  heard first, second;
  const channel<int> shared;
  std::string refusal;
  runtime a(first.how()), b(second.how());
  std::atomic<bool> waits = false;
  std::thread owner([&] {
    a.run([&]() -> task<> {
      const auto receives = [shared]() -> task<bool> {
        const auto value = co_await shared.recv();
        co_return value.has_value();
      };
      const auto receiver = go(receives);
      co_await yield();
      waits = true;
      waits.notify_one();
      const bool came = co_await receiver;
      CHECK_FALSE(came);
    });
  });
  waits.wait(false);
  b.run([&]() -> task<> {
    const auto sends = [shared]() -> task<> { co_await shared.send(1); };
    const auto sent = co_await outcome(sends());
    refusal = told(sent.error());
  });
  shared.close();  // is handed to the first after the warning
  owner.join();
  CHECK(refusal.find("send") != std::string::npos);
  CHECK(refusal.find("another runtime uses") != std::string::npos);
  CHECK(second.size() == 0);
  REQUIRE(first.size() == 1);
  const std::string warning = first.all()[0];
  CHECK(warning.find("send") != std::string::npos);
  CHECK(warning.find("may wait for ever") != std::string::npos);
  // Each text has the numbers of both.
  const auto number_after = [](const std::string& text, const std::string& words) {
    const std::size_t at = text.find(words);
    return at == std::string::npos ? 0ul : std::stoul(text.substr(at + words.size()));
  };
  const auto number = number_after(refusal, "in runtime ");
  CHECK(number != 0);
  CHECK(number == number_after(warning, "in runtime "));
  CHECK(number_after(refusal, "uses, runtime ") == number_after(warning, "this runtime, runtime "));
  CHECK(number_after(refusal, "uses, runtime ") != number);
}
