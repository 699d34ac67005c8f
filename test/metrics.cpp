// runtime::metrics(): the numbers of each worker, and the text for Prometheus.
#include <doctest/doctest.h>

#include <cstdint>
#include <map>
#include <ringo/ringo.hpp>
#include <stdexcept>
#include <string>
#include <string_view>

#include "every_scheduler.hpp"
#include "exposition.hpp"

using namespace ringo;

TEST_CASE("The sums of metrics are those of its workers, in every member") {
  on_real_schedulers([](runtime& rt) -> task<> {
    for (int i = 0; i != 20; ++i) {
      auto h = go([]() -> task<> { co_await sleep(std::chrono::microseconds(1)); });
      co_await h;
    }
    const metrics m = rt.metrics();
    CHECK(m.workers.size() == rt.workers());
    for (const auto member :
         {&worker_metrics::routines_started, &worker_metrics::resumes, &worker_metrics::steals,
          &worker_metrics::steals_failed, &worker_metrics::parks, &worker_metrics::wakes, &worker_metrics::operations,
          &worker_metrics::timers, &worker_metrics::ready, &worker_metrics::in_flight}) {
      std::uint64_t sum = 0;
      for (const worker_metrics& each : m.workers) sum += each.*member;
      CHECK(m.*member == sum);
    }
    CHECK(m.routines_started >= 20);
    CHECK(m.operations >= 20);
  });
}

TEST_CASE("metrics counts the routines in a queue, the timers, and the calls in flight") {
  runtime rt({.workers = 1});
  rt.run([&rt]() -> task<> {
    auto both = unix_stream::pair();
    auto reads = go([&]() -> task<> { co_await both.first.recv(); });
    auto sleeps = go([]() -> task<> { co_await sleep(std::chrono::hours(1)); });
    while (rt.metrics().timers == 0 || rt.metrics().in_flight == 0) co_await yield();
    CHECK(rt.metrics().timers == 1);
    CHECK(rt.metrics().ready == 0);
    group others;
    for (int i = 0; i != 10; ++i) others.go([]() -> task<> { co_return; });
    CHECK(rt.metrics().ready >= 9);  // the newest may be elsewhere
    co_await others.wait();
    sleeps.cancel();
    reads.cancel();
  });
}

TEST_CASE("The text for Prometheus has each number once, in its format") {
  runtime rt({.workers = 3});
  rt.run([&rt]() -> task<> {
    auto h = go([]() -> task<> { co_return; });
    co_await h;
    const metrics m = rt.metrics();
    const std::string text = to_prometheus(m);
    const exposition read(text);
    CHECK(read.families.size() == 13);
    for (const auto& [name, of] : read.families) {
      CHECK(name.substr(0, 6) == "ringo_");
      CHECK(of.samples.size() == (of.samples.contains("") ? 1 : m.workers.size()));
    }
    const auto sum_of = [&](const char* name) {
      std::uint64_t sum = 0;
      for (const auto& [worker, value] : read.families.at(name).samples) sum += value;
      return sum;
    };
    CHECK(sum_of("ringo_routines_started_total") == m.routines_started);
    CHECK(sum_of("ringo_resumes_total") == m.resumes);
    CHECK(sum_of("ringo_steals_total") == m.steals);
    CHECK(sum_of("ringo_steals_failed_total") == m.steals_failed);
    CHECK(sum_of("ringo_parks_total") == m.parks);
    CHECK(sum_of("ringo_wakes_total") == m.wakes);
    CHECK(sum_of("ringo_operations_total") == m.operations);
    CHECK(sum_of("ringo_timers") == m.timers);
    CHECK(sum_of("ringo_routines_ready") == m.ready);
    CHECK(sum_of("ringo_calls_in_flight") == m.in_flight);
    CHECK(sum_of("ringo_routines_live") == m.routines_live);
    CHECK(sum_of("ringo_wakes_sent_total") == m.wakes_sent);
    CHECK(sum_of("ringo_stalls_total") == m.stalls);
    for (std::size_t i = 0; i < m.workers.size(); ++i) {
      CHECK(read.families.at("ringo_resumes_total").samples.at(std::to_string(i)) == m.workers[i].resumes);
    }
  });
}
