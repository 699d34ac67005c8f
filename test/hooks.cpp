// runtime_options::hooks: what a tracing library is told of routines.
#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <mutex>
#include <ringo/ringo.hpp>
#include <string>
#include <vector>

#include "every_scheduler.hpp"

using namespace ringo;
using namespace std::chrono_literals;

namespace {

struct listed final : hooks {
  std::vector<std::string> lines;
  void started(const routine& r, std::uint32_t by) noexcept override {
    add("started " + std::to_string(r.number) + " by " + std::to_string(by), r.where);
  }
  void resumed(const routine& r) noexcept override { add("resumed " + std::to_string(r.number), r.where); }
  void parked(const routine& r) noexcept override { add("parked " + std::to_string(r.number), r.where); }
  void yielded(const routine& r) noexcept override { add("yielded " + std::to_string(r.number), r.where); }
  void ended(const routine& r) noexcept override { add("ended " + std::to_string(r.number), r.where); }

 private:
  void add(std::string line, const std::source_location& where) {
    lines.push_back(std::move(line) + " at " + std::to_string(where.line()));
  }
};

// Checks that each routine does one thing after the other.
struct ordered final : hooks {
  enum class doing { nothing, started, runs, waits, ready, ended };
  std::mutex mutex;
  std::map<std::uint32_t, doing> of;
  int wrong = 0, starts = 0, ends = 0;

  void started(const routine& r, std::uint32_t) noexcept override {
    // A number may come again.
    go(r, [](doing d) { return d == doing::nothing || d == doing::ended; }, doing::started);
    ++starts;
  }
  void resumed(const routine& r) noexcept override {
    go(r, [](doing d) { return d == doing::started || d == doing::waits || d == doing::ready; }, doing::runs);
  }
  void parked(const routine& r) noexcept override { leave(r, doing::waits); }
  void yielded(const routine& r) noexcept override { leave(r, doing::ready); }
  void ended(const routine& r) noexcept override {
    leave(r, doing::ended);
    const std::lock_guard guard(mutex);
    ++ends;
  }

 private:
  void leave(const routine& r, doing to) {
    go(r, [](doing d) { return d == doing::runs; }, to);
  }
  void go(const routine& r, bool (*may)(doing), doing to) {
    const std::lock_guard guard(mutex);
    doing& now = of[r.number];
    if (!may(now)) ++wrong;
    now = to;
  }
};

task<> send_some(sender<int> to, int count) {
  for (int i = 0; i < count; ++i) co_await to.send(i);
  to.close();
}
task<> receive_all(receiver<int> from) {
  for (bool more = true; more;) {
    const auto value = co_await from.recv();
    more = value.has_value();
  }
}
task<> sleeps_for_long() { co_await sleep(1h); }

// Values, selects with a time limit, cancellations, yields, joins.
task<> busy() {
  wait_group all;
  for (std::size_t i = 0; i < 3; ++i) {
    channel<int> values(i);
    all.go(receive_all, values);
    all.go(send_some, values, 50);
  }
  for (int i = 0; i < 20; ++i) {
    auto h = go(sleeps_for_long);
    co_await yield();
    h.cancel();
    co_await h.wait();
  }
  co_await all.wait();
}

}  // namespace

TEST_CASE("Hooks are told of a known program's routines in their order, with the places") {
  listed told;
  constexpr unsigned line = __LINE__;
  const auto main = []() -> task<> {
    auto sleeper = []() -> task<> { co_await sleep(3s); };
    auto h = go(sleeper);
    co_await yield();
    co_await h;
  };
  testing::simulate({.hooks = &told}, main);
  const auto at = [](unsigned n) { return " at " + std::to_string(line + n); };
  const std::string main_at = at(7);
  const std::vector<std::string> expected_first{"started 1 by 0" + main_at, "resumed 1" + main_at,
                                                "started 2 by 1" + at(3), "yielded 1" + main_at};
  REQUIRE(told.lines.size() == 12);
  CHECK(std::vector<std::string>(told.lines.begin(), told.lines.begin() + 4) == expected_first);
  const auto count = [&](const std::string& what) { return std::count(told.lines.begin(), told.lines.end(), what); };
  CHECK(count("parked 2" + at(2)) == 1);
  CHECK(count("ended 2" + at(3)) == 1);
  CHECK(count("parked 1" + at(5)) == 1);
  CHECK(told.lines.back() == "ended 1" + main_at);
}

TEST_CASE("Of each routine hooks are told one thing after the other, on each scheduler") {
  for (const unsigned workers : {1U, 2U, 3U}) {
    ordered real, simulated;
    runtime rt({.workers = workers, .hooks = &real});
    rt.run(busy);
    CHECK(real.wrong == 0);
    CHECK(real.starts == 27);
    CHECK(real.ends == 27);
    CHECK(!rt.recording().is_on);
    testing::simulate({.seed = workers, .workers = workers, .hooks = &simulated}, busy);
    CHECK(simulated.wrong == 0);
    CHECK(simulated.ends == 27);
  }
}

TEST_CASE("Hooks and a recorder change no choice of a simulation") {
  const auto hash_of = [](std::size_t recorder, hooks* told) {
    return testing::simulate({.seed = 3, .workers = 3, .recorder = recorder, .hooks = told}, busy).trace_hash;
  };
  ordered told;
  CHECK(hash_of(1 << 16, &told) == hash_of(0, nullptr));
}
