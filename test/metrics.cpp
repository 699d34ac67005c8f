// runtime::metrics(): the numbers of each worker, and the text for Prometheus.
#include <doctest/doctest.h>

#include <atomic>
#include <cstdint>
#include <map>
#include <ringo/ringo.hpp>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>

#include "error_told.hpp"
#include "every_scheduler.hpp"
#include "exposition.hpp"
#include "states.hpp"

using namespace ringo;
using namespace std::chrono_literals;

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
          &worker_metrics::timers, &worker_metrics::ready, &worker_metrics::in_flight, &worker_metrics::calls,
          &worker_metrics::bytes_received, &worker_metrics::bytes_sent}) {
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
    CHECK(read.families.size() == 16);
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
    CHECK(sum_of("ringo_calls_total") == m.calls);
    CHECK(sum_of("ringo_bytes_received_total") == m.bytes_received);
    CHECK(sum_of("ringo_bytes_sent_total") == m.bytes_sent);
    CHECK(sum_of("ringo_routines_live") == m.routines_live);
    CHECK(sum_of("ringo_wakes_sent_total") == m.wakes_sent);
    CHECK(sum_of("ringo_stalls_total") == m.stalls);
    for (std::size_t i = 0; i < m.workers.size(); ++i) {
      CHECK(read.families.at("ringo_resumes_total").samples.at(std::to_string(i)) == m.workers[i].resumes);
    }
  });
}

TEST_CASE("metrics counts the calls of the driver, and the bytes of streams and datagram sockets") {
  on_real_schedulers([](runtime& rt) -> task<> {
    auto both = unix_stream::pair();
    const std::string text(100'000, 'x');
    auto sends = go([&]() -> task<> {
      co_await both.first.send(text);
      co_await both.first.close();
    });
    std::size_t received = 0;
    while (auto piece = co_await both.second.recv()) received += piece->text().size();
    co_await sends;
    CHECK(received == text.size());
    metrics m = rt.metrics();
    CHECK(m.bytes_sent == text.size());
    CHECK(m.bytes_received == text.size());
    CHECK(m.calls > 0);
    auto here = udp_socket::bind("127.0.0.1:0");
    co_await here.send_to(std::string_view("datagram"), here.local());
    const udp_datagram d = co_await here.recv_from();
    CHECK(d.bytes.text() == "datagram");
    m = rt.metrics();
    CHECK(m.bytes_sent == text.size() + 8);
    CHECK(m.bytes_received == text.size() + 8);
  });
}

TEST_CASE("A histogram has a bucket for each length, and tells which length a share of all does not exceed") {
  CHECK(histogram::bound(0) == 100ns);
  CHECK(histogram::bound(8) == 900ns);
  CHECK(histogram::bound(9) == 1us);
  CHECK(histogram::bound(80) == 90s);
  CHECK(histogram::bound(81) == duration::max());
  histogram h;
  CHECK(h.quantile(0.5) == 100ns);
  h.counts[9] = 90;
  h.counts[12] = 9;
  h.counts[81] = 1;
  h.count = 100;
  CHECK(h.quantile(0.5) == 1us);
  CHECK(h.quantile(0.9) == 1us);
  CHECK(h.quantile(0.99) == 4us);
  CHECK(h.quantile(1) == duration::max());
}

TEST_CASE("Without runtime_options::histograms there are none, neither in metrics nor in their text") {
  runtime rt({.workers = 2});
  rt.run([&rt]() -> task<> {
    co_await sleep(1ms);
    CHECK(rt.metrics().times.empty());
    CHECK(to_prometheus(rt.metrics()).find("histogram") == std::string::npos);
  });
}

namespace {

// A routine's ways to wait for a length of time.
struct wait_for_time {
  const char* name;
  task<> (*wait)(duration);
};
task<> sleeps(duration length) { co_await sleep(length); }
task<> sleeps_until(duration length) { co_await sleep_until(now() + length); }
task<> waits_for_timer(duration length) {
  timer t(length);
  co_await t.wait();
}
task<> waits_for_tick(duration length) {
  ticker t(length);
  co_await t.tick();
}
task<> has_operation_limited(duration length) {
  const auto ended = co_await outcome(with_timeout(length, never()));
  CHECK(told(ended) == "timed out");
}
task<> waits_for_ever() { co_await never(); }
task<> has_task_limited(duration length) {
  const auto ended = co_await outcome(with_timeout(length, waits_for_ever()));
  CHECK(told(ended) == "timed out");
}
task<> has_operation_limited_until(duration length) {
  const auto ended = co_await outcome(with_deadline(now() + length, never()));
  CHECK(told(ended) == "timed out");
}
task<> has_select_limited(duration length) {
  const channel<int> nothing;
  const auto first = co_await select(nothing.recv(), sleep(length));
  CHECK(first.index() == 1);
}
task<> selects_a_timer(duration length) {
  const channel<int> nothing;
  timer t(length);
  const auto first = co_await select(nothing.recv(), t.wait());
  CHECK(first.index() == 1);
}
task<> is_under_a_context(duration length) {
  auto member = go(context::with_timeout(length), waits_for_ever);
  const auto ended = co_await outcome(std::move(member));
  CHECK(told(ended) == "cancelled");
}
const wait_for_time waits_for_time[] = {
    {"sleep", sleeps},
    {"sleep_until", sleeps_until},
    {"timer", waits_for_timer},
    {"ticker", waits_for_tick},
    {"with_timeout of an operation", has_operation_limited},
    {"with_timeout of a task", has_task_limited},
    {"with_deadline of an operation", has_operation_limited_until},
    {"sleep in a select", has_select_limited},
    {"timer in a select", selects_a_timer},
    {"context", is_under_a_context},
};

histogram late_timers(const runtime& rt) { return rt.metrics().times.at(0).timer_late; }

// Whether the worker was kept until 20 ms after the time for which the routine waits. False: that was over before the
// worker could be kept.
task<bool> is_kept_until_late(const runtime& rt, const wait_for_time& way, duration length) {
  auto waits = go(way.wait, length);
  // When this one goes on, the worker has read the clock since the other one began to wait, so that the other one's
  // deadline is at most `length` from now.
  co_await yield();
  co_await yield();
  co_await sleep(1ns);
  const bool is_armed = rt.metrics().timers == 1;
  const histogram before = late_timers(rt);
  const time_point until = now() + length + 20ms;
  while (is_armed && now() < until) {
  }
  co_await waits;
  if (!is_armed) co_return false;
  const histogram after = late_timers(rt);
  CHECK(after.count == before.count + 1);
  CHECK(after.sum >= before.sum + 20ms);
  co_return true;
}

}  // namespace

TEST_CASE("With histograms it is counted how long after it was due a timer has ended, whatever has waited for it") {
  for (const wait_for_time& way : waits_for_time) {
    CAPTURE(std::string(way.name));
    runtime rt({.workers = 1, .histograms = true});
    rt.run([&]() -> task<> {
      for (duration length = 1ms; !co_await is_kept_until_late(rt, way, length);) length *= 2;
      const exposition read(to_prometheus(rt.metrics()));
      CHECK(read.families.at("ringo_timer_late_seconds").type == "histogram");
    });
  }
}

TEST_CASE("A timer that a worker has ended for one which computes counts for the worker that has ended it") {
  runtime rt({.workers = 2, .histograms = true});
  rt.run([&rt]() -> task<> {
    const unsigned own = detail::scheduler_of(*detail::current_worker()).index;
    std::atomic<bool> waits = false, rang = false;
    timer alarm(1h);
    auto waiter = go([&]() -> task<> {
      waits = true;
      co_await alarm.wait();
      rang = true;
    });
    const auto compute_until = [](const std::atomic<bool>& done) {
      while (!done) std::this_thread::yield();
    };
    compute_until(waits);
    alarm.reset(1ms);
    compute_until(rang);
    const metrics all = rt.metrics();
    CHECK(all.times.at(own).timer_late.count == 0);
    CHECK(all.times.at(1 - own).timer_late.count == 1);
    co_await waiter;
  });
}

TEST_CASE("A limit that is not reached, and a tick that comes before it is awaited, are no late timers") {
  runtime rt({.workers = 1, .histograms = true});
  rt.run([&rt]() -> task<> {
    const channel<int> c(1);
    ticker every(1ns);
    for (const time_point made = now(); now() <= made;) co_await yield();
    co_await every.tick();
    auto limited = go([c]() -> task<int> { co_return (co_await with_timeout(1h, c.recv())).value(); });
    auto selects = go([c]() -> task<std::size_t> { co_return (co_await select(c.recv(), sleep(1h))).index(); });
    co_await until_parked("channel", 2);
    CHECK(rt.metrics().timers == 2);
    co_await c.send(1);
    co_await c.send(2);
    const int got = co_await limited;
    CHECK(got != 0);
    const std::size_t index = co_await selects;
    CHECK(index == 0);
    CHECK(late_timers(rt).count == 0);
  });
}

TEST_CASE("With histograms each resume is counted, and each wait by its kind, on all workers") {
  for (unsigned workers : {1u, 3u}) {
    runtime rt({.workers = workers, .histograms = true});
    rt.run([&rt, workers]() -> task<> {
      constexpr int rounds = 200;
      channel<int> c;
      mutex m;
      auto receives = go([&]() -> task<> {
        while (co_await c.recv()) (void)co_await m.lock();
      });
      for (int i = 0; i < rounds; ++i) {
        co_await c.send(i);
        const auto held = co_await m.lock();
        if (i % 50 == 0) co_await sleep(1ms);
        co_await yield();
      }
      c.close();
      co_await receives;
      const metrics all = rt.metrics();
      CHECK(all.times.size() == workers);
      std::uint64_t resumes = 0, ready = 0;
      duration slept{};
      std::map<std::string, std::uint64_t> waits;
      for (const worker_times& each : all.times) {
        resumes += each.resume.count;
        ready += each.ready.count;
        for (const wait_times& w : each.waits) {
          waits[w.wait] += w.lasted.count;
          if (w.wait == "sleep") slept += w.lasted.sum;
        }
      }
      CHECK(resumes + workers >= all.resumes);  // without those that run now
      CHECK(resumes <= all.resumes);
      CHECK(ready <= all.resumes);
      CHECK(ready >= rounds);
      CHECK(waits["sleep"] == rounds / 50);
      CHECK(slept >= 4ms);
      CHECK(waits["receive on a channel"] + waits["send on a channel"] >= rounds / 2);
      std::uint64_t sum = 0;
      for (const auto& [wait, count] : waits) sum += count;
      CHECK(sum <= all.operations);

      const exposition read(to_prometheus(all));
      CHECK(read.families.at("ringo_resume_seconds").samples.size() == workers);
      CHECK(read.families.at("ringo_ready_seconds").type == "histogram");
      std::uint64_t sleeps = 0;
      for (const auto& [labels, count] : read.families.at("ringo_wait_seconds").samples) {
        if (labels.ends_with(",sleep")) sleeps += count;
      }
      CHECK(sleeps == rounds / 50);
    });
  }
}
