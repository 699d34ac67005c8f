// The flight recorder (runtime_options::recorder): what a recording tells, and where it is written.
#include <doctest/doctest.h>

#include <setjmp.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <ringo/ringo.hpp>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "every_scheduler.hpp"
#include "folder.hpp"
#include "json_checker.hpp"
#include "reached.hpp"
#include "running_child.hpp"
#include "runtime/recorder.hpp"
#include "states.hpp"

using namespace ringo;
using namespace std::chrono_literals;
using kind = recording::kind;

namespace {

constexpr std::size_t plenty = 1 << 20;

// "started 2 by 1", in the order of the recording.
std::vector<std::string> lines_of(const recording& r) {
  static constexpr const char* kinds[] = {"started", "ready", "resumed", "parked", "yielded", "ended"};
  static constexpr const char* causes[] = {"", " by a timer", " by an answer", " by a post"};
  std::vector<std::string> lines;
  for (const recording::event& e : r.events) {
    if (e.what > kind::ended) continue;
    std::string line = kinds[static_cast<int>(e.what)] + (" " + std::to_string(e.routine));
    if (e.what == kind::started || e.what == kind::ready) {
      line += e.by == recording::cause::routine ? " by " + std::to_string(e.waker) : causes[static_cast<int>(e.by)];
    }
    if (e.what == kind::parked) line += ": " + (e.wait < r.waits.size() ? r.waits[e.wait] : "?");
    lines.push_back(std::move(line));
  }
  return lines;
}

// For recordings of several workers: each recording measures the clock again, so events of two workers that are close
// to each other may change places.
std::vector<std::string> sorted_lines_of(const recording& r) {
  std::vector<std::string> lines = lines_of(r);
  std::sort(lines.begin(), lines.end());
  return lines;
}

std::string read(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

// Every routine of one worker is resumed, and then leaves, in turn; a worker runs one at a time.
void check_order(const recording& r) {
  std::vector<std::uint32_t> runs(r.workers, 0);
  std::vector<bool> is_known(r.workers, false);
  std::size_t wrong = 0;
  time_point last{};
  for (const recording::event& e : r.events) {
    if (e.at < last) ++wrong;
    last = e.at;
    if (e.what == kind::resumed) {
      if (is_known[e.worker] && runs[e.worker] != 0) ++wrong;
      runs[e.worker] = e.routine;
      is_known[e.worker] = true;
    } else if (e.what == kind::parked || e.what == kind::yielded || e.what == kind::ended) {
      if (is_known[e.worker] && runs[e.worker] != e.routine) ++wrong;
      runs[e.worker] = 0;
      is_known[e.worker] = true;
    }
  }
  CHECK(wrong == 0);
}

// What the Trace Event Format wants: one object with a list; each arrow and each call has one begin and one end, in
// that order; and slices of a track do not overlap, unless one is within the other.
void check_trace(const std::string& trace) {
  std::string one_line = trace;
  std::erase(one_line, '\n');
  REQUIRE(json_checker(one_line).is_valid());
  std::map<std::string, std::vector<std::pair<char, double>>> pairs;
  std::map<std::string, std::vector<std::pair<double, double>>> slices;
  std::size_t events = 0;
  const auto member = [](const std::string& of, const char* key) {
    const std::size_t at = of.find("\"" + std::string(key) + "\":");
    if (at == std::string::npos) return std::string();
    const std::size_t begin = at + std::string(key).size() + 3;
    return of.substr(begin, of.find_first_of(",}", begin) - begin);
  };
  for (std::size_t at = trace.find("\n{"); at != std::string::npos; at = trace.find("\n{", at + 1)) {
    const std::string one = trace.substr(at + 1, trace.find('\n', at + 1) - at - 1);
    ++events;
    const char phase = one.at(7);
    const double ts = std::stod(member(one, "ts"));
    CHECK(!member(one, "pid").empty());
    if (phase == 's' || phase == 'f') pairs["wake" + member(one, "id")].push_back({phase == 's' ? 'b' : 'e', ts});
    if (phase == 'b' || phase == 'e') pairs["call" + member(one, "id")].push_back({phase, ts});
    if (phase == 'X') slices[member(one, "tid")].push_back({ts, ts + std::stod(member(one, "dur"))});
  }
  CHECK(events > 4);
  std::size_t wrong = 0;
  for (const auto& [id, ends] : pairs) {
    if (ends.size() != 2 || ends[0].first != 'b' || ends[1].first != 'e' || ends[0].second > ends[1].second) ++wrong;
  }
  CHECK(wrong == 0);
  CHECK(!pairs.empty());
  for (auto& [track, all] : slices) {
    std::sort(all.begin(), all.end());
    for (std::size_t i = 1; i < all.size(); ++i) {
      if (all[i].first < all[i - 1].second - 0.0005 && all[i].second > all[i - 1].second + 0.0005) ++wrong;
    }
  }
  CHECK(wrong == 0);
}

task<> receive_all(receiver<int> from) {
  for (bool more = true; more;) {
    const auto value = co_await from.recv();
    more = value.has_value();
  }
}
task<> send_some(sender<int> to, int count) {
  for (int i = 0; i < count; ++i) co_await to.send(i);
  to.close();
}

// Pairs of routines that pass values, and some that yield and sleep.
task<> busy(int count) {
  wait_group all;
  for (int i = 0; i < 4; ++i) {
    channel<int> values(static_cast<std::size_t>(i));
    all.go(receive_all, values);
    all.go(send_some, values, count);
  }
  all.go([]() -> task<> {
    for (int i = 0; i < 10; ++i) {
      co_await yield();
      co_await sleep(10us);
    }
  });
  co_await all.wait();
}

}  // namespace

TEST_CASE(
    "A recording of a known program has its events in their order, with what woke whom and what they waited for") {
  recording made;
  testing::simulate({.recorder = plenty}, [&]() -> task<> {
    auto h = go(named("the sleeper", []() -> task<> { co_await sleep(3s); }));
    co_await h;
    made = runtime::current().recording();
  });
  const std::vector<std::string> expected{"started 1 by a post",
                                          "resumed 1",
                                          "started 2 by 1",
                                          "parked 1: the end of a routine",
                                          "resumed 2",
                                          "parked 2: sleep",
                                          "ready 2 by a timer",
                                          "resumed 2",
                                          "ended 2",
                                          "ready 1 by 2",
                                          "resumed 1"};
  const std::vector<std::string> lines = lines_of(made);
  std::string text;
  for (const std::string& each : lines) text += each + '\n';
  CAPTURE(text);
  CHECK(lines == expected);
  CHECK(made.is_on);
  CHECK(made.name_of(2) == "routine 2 \"the sleeper\"");
  REQUIRE(made.routines.size() == 2);
  REQUIRE(made.routines[1].where < made.places.size());
  CHECK(made.places[made.routines[1].where].file.ends_with("recorder.cpp"));
  const auto sleeps = std::find_if(made.events.begin(), made.events.end(),
                                   [](const recording::event& e) { return e.what == kind::parked && e.routine == 2; });
  const auto wakes = std::find_if(made.events.begin(), made.events.end(),
                                  [](const recording::event& e) { return e.what == kind::ready && e.routine == 2; });
  CHECK(wakes->at - sleeps->at == 3s);
}

TEST_CASE("A recorder changes no choice of a simulation") {
  for (std::uint64_t seed = 0; seed < 10; ++seed) {
    const auto hash_of = [seed](std::size_t recorder) {
      return testing::simulate({.seed = seed, .workers = 3, .recorder = recorder}, [] { return busy(10); }).trace_hash;
    };
    CHECK(hash_of(plenty) == hash_of(0));
  }
}

TEST_CASE("Without a recorder a recording is empty, and cannot be written") {
  runtime rt({.workers = 1});
  rt.run([]() -> task<> { co_await yield(); });
  CHECK(!rt.recording().is_on);
  CHECK(rt.recording().events.empty());
  CHECK_THROWS_AS(rt.write_recording("nothing"), std::logic_error);
}

TEST_CASE("A recorder changes no order of one worker") {
  const auto order_of = [](std::size_t recorder) {
    std::vector<int> order;
    const auto lets_others_run = [&order](int id) -> task<> {
      for (int i = 0; i < 40; ++i) {
        order.push_back(id);
        co_await yield();
      }
    };
    const auto sends = [&order](sender<int> to, int id) -> task<> {
      for (int i = 0; i < 40; ++i) {
        order.push_back(id);
        co_await to.send(i);
      }
      to.close();
    };
    const auto receives = [&order](receiver<int> from, int id) -> task<> {
      while (co_await from.recv()) order.push_back(id);
    };
    run(
        [&]() -> task<> {
          wait_group all;
          for (int id = 0; id < 30; id += 3) {
            channel<int> values(static_cast<std::size_t>(id) / 6);
            all.go(sends, values, id);
            all.go(receives, values, id + 1);
            all.go(lets_others_run, id + 2);
          }
          co_await all.wait();
        },
        {.workers = 1, .recorder = recorder});
    return order;
  };
  // A worker that the system stops for 20 ms makes its turns shorter, and the order another one.
  bool is_same = false;
  for (int i = 0; i < 20 && !is_same; ++i) is_same = order_of(plenty) == order_of(0);
  CHECK(is_same);
}

TEST_CASE("Routines that hand over to each other are recorded one by one, with their wakers, waits and places") {
  // So quickly that events share cells, and for longer than the ring is.
  for (const std::size_t bytes : {std::size_t{4096}, plenty}) {
    runtime rt({.workers = 1, .recorder = bytes});
    rt.run([]() -> task<> {
      channel<int> values;
      auto receiver = go(receive_all, values);
      co_await send_some(values, 1000);
      co_await receiver;
      wait_group both;
      for (int i = 0; i < 2; ++i) {
        both.go([]() -> task<> {
          for (int n = 0; n < 1000; ++n) co_await yield();
        });
      }
      co_await both.wait();
      for (int n = 0; n < 3000; ++n) co_await go([]() -> task<> { co_return; });
    });
    const recording made = rt.recording();
    check_order(made);
    std::map<kind, int> counts;
    std::size_t wrong = 0;
    for (const recording::event& e : made.events) {
      if (e.what > kind::ended) continue;
      ++counts[e.what];
      if (e.routine == 0) ++wrong;
      const bool is_wake = e.what == kind::ready || e.what == kind::started;
      if (is_wake && e.by == recording::cause::routine && e.waker == 0) ++wrong;
      if (e.what == kind::resumed && bytes == plenty && e.where >= made.places.size()) ++wrong;
      if (e.what == kind::parked && (e.where >= made.places.size() || e.wait >= made.waits.size())) ++wrong;
    }
    CHECK(wrong == 0);
    if (bytes == plenty) {
      CHECK(counts[kind::started] == 3004);
      CHECK(counts[kind::ended] == 3004);
      CHECK(counts[kind::yielded] >= 2000);
      CHECK(counts[kind::parked] >= 4000);
      CHECK(counts[kind::ready] == counts[kind::parked]);
      CHECK(counts[kind::resumed] == counts[kind::parked] + counts[kind::yielded] + counts[kind::ended]);
      CHECK(static_cast<std::uint64_t>(counts[kind::resumed]) == rt.metrics().resumes);
    }
  }
}

TEST_CASE("Each resume is recorded, on each number of workers") {
  for (unsigned workers : {1U, 2U, 3U}) {
    runtime rt({.workers = workers, .recorder = plenty});
    rt.run([] { return busy(200); });
    const recording made = rt.recording();
    CHECK(made.workers == workers);
    const auto resumes = std::count_if(made.events.begin(), made.events.end(),
                                       [](const recording::event& e) { return e.what == kind::resumed; });
    CHECK(static_cast<std::uint64_t>(resumes) == rt.metrics().resumes);
    const auto ended = std::count_if(made.events.begin(), made.events.end(),
                                     [](const recording::event& e) { return e.what == kind::ended; });
    CHECK(ended == 10);
    check_order(made);
    check_trace(to_chrome_trace(made));
    CHECK(to_text(made).find("Longest without a wait") != std::string::npos);
  }
}

TEST_CASE("A ring that is full loses its oldest events only") {
  runtime rt({.workers = 1, .recorder = 4096});
  rt.run([] { return busy(2000); });
  const recording made = rt.recording();
  CHECK(made.events.size() >= 4096 / 16 / 2);
  CHECK(made.events.size() <= 4096 / 16 * 3);  // a cell has three events at most
  check_order(made);
  CHECK(made.events.back().what == kind::ended);
  CHECK(made.from > made.until - 10s);
}

TEST_CASE("A recording is read while three workers write") {
  runtime rt({.workers = 3, .recorder = 4096});
  std::atomic<bool> done = false;
  std::atomic<int> read = 0;
  std::thread reads([&] {
    while (!done) {
      const recording made = rt.recording();
      check_order(made);
      ++read;
    }
  });
  rt.run([&]() -> task<> {
    while (read < 5) co_await busy(50);
  });
  done = true;
  reads.join();
  CHECK(read >= 5);
}

TEST_CASE("A part of a recording has the events of that time") {
  recording all, part;
  testing::simulate({.recorder = plenty}, [&]() -> task<> {
    for (int i = 0; i < 5; ++i) co_await sleep(1s);
    all = runtime::current().recording();
    part = runtime::current().recording(2500ms);
  });
  const auto count = [](const recording& r) {
    return std::count_if(r.events.begin(), r.events.end(),
                         [](const recording::event& e) { return e.what == kind::resumed; });
  };
  CHECK(count(all) == 6);
  CHECK(count(part) == 3);
}

TEST_CASE("Of the time before all workers' rings have begun, a summary and a trace have nothing") {
  recording made;
  made.is_on = true;
  made.workers = 2;
  made.from = time_point(10s);
  made.until = time_point(20s);
  const auto add = [&](std::chrono::seconds at, kind what, std::uint32_t worker, std::uint32_t routine) {
    recording::event& e = made.events.emplace_back();
    e.at = time_point(at);
    e.what = what;
    e.by = what == kind::ready ? recording::cause::timer : recording::cause::routine;
    e.worker = worker;
    e.routine = routine;
  };
  // Routine 5 ran on worker 0 at 3 s; those events are lost.
  add(1s, kind::resumed, 1, 5);
  add(1s, kind::parked, 1, 5);
  add(2s, kind::ready, 1, 5);
  add(4s, kind::resumed, 1, 6);
  add(7s, kind::ended, 1, 6);
  add(9s, kind::resumed, 1, 7);
  add(11s, kind::resumed, 0, 5);
  add(12s, kind::parked, 0, 5);
  add(13s, kind::ended, 1, 7);
  add(14s, kind::ready, 1, 5);
  add(17s, kind::resumed, 1, 5);
  add(18s, kind::parked, 1, 5);
  const std::string text = to_text(made);
  CAPTURE(text);
  CHECK(text.starts_with("6 events of 2 workers in 10 s\n"));
  CHECK(text.find("routine 6") == std::string::npos);
  CHECK(text.find("3.0 s  routine 7 on worker 1, 10 s before the end\n") != std::string::npos);
  CHECK(text.find("they ran\n     3.0 s  routine 5, which a timer woke, 6.0 s before the end\n\n") !=
        std::string::npos);
  CHECK(text.find("     2.0 s         1     2.0 s  a coroutine of another library\n") != std::string::npos);
  const std::string trace = to_chrome_trace(made);
  check_trace(trace);
  CHECK(trace.find("\"ph\":\"s\"") == trace.rfind("\"ph\":\"s\""));
  CHECK(trace.find("routine 6") == std::string::npos);
}

namespace {

class set_clock final : public detail::event_clock {
 public:
  std::uint64_t ticks() const noexcept override {
    return static_cast<std::uint64_t>(duration(now).count()) << detail::event_cell::time_shift;
  }
  std::chrono::microseconds now{};
};

// A recording of one worker, as a recorder with this clock makes it.
recording recording_of(const set_clock& clock, const detail::event_ring& ring) {
  std::string image;
  const auto put = [&image](const auto& value) { image.append(reinterpret_cast<const char*>(&value), sizeof value); };
  detail::image_header head;
  head.workers = 1;
  head.flags = detail::image_header::in_nanoseconds;
  head.ticks[1] = clock.ticks();
  head.steady[1] = duration(clock.now).count();
  put(head);
  const detail::image_ring cells{0, ring.published(), ring.size()};
  put(detail::image_section{detail::image_section::ring_part, 0, sizeof cells + cells.last * 16 + 8});
  put(cells);
  for (std::uint64_t i = 0; i < cells.last; ++i) put(ring.at(i).what.load()), put(ring.at(i).when.load());
  put(ring.claimed());
  put(detail::image_section{detail::image_section::end_part, 0, 0});
  return detail::parse_image(image);
}

}  // namespace

TEST_CASE("A summary tells when all workers were kept at once, and how long after their timers routines ran") {
  recording made;
  made.is_on = true;
  made.workers = 2;
  made.from = time_point(10s);
  made.until = time_point(20s);
  const auto add = [&](std::chrono::milliseconds at, kind what, std::uint32_t worker, std::uint32_t routine) {
    recording::event& e = made.events.emplace_back();
    e.at = time_point(10s + at);
    e.what = what;
    e.by = recording::cause::timer;
    e.worker = worker;
    e.routine = routine;
  };
  add(1000ms, kind::resumed, 0, 1);
  add(1200ms, kind::resumed, 1, 2);
  add(1250ms, kind::ready, 1, 3);
  add(1500ms, kind::parked, 0, 1);  // 300 ms
  add(1501ms, kind::resumed, 0, 3);
  add(1502ms, kind::parked, 0, 3);
  add(1502ms, kind::slept, 0, 0);
  add(1600ms, kind::ready, 1, 4);
  made.events.back().value = 500'000'000;  // ns after the timer was due
  add(1602ms, kind::parked, 1, 2);
  add(1602ms, kind::resumed, 1, 4);
  add(1602ms, kind::parked, 1, 4);
  add(1900ms, kind::woke, 0, 0);
  const std::string text = to_text(made);
  CAPTURE(text);
  CHECK(text.find("\nAll workers kept at once\n"
                  "    300 ms  8.8 s before the end, by routine 1, by routine 2\n"
                  "    1.0 ms  8.5 s before the end, by routine 3, by routine 2\n\n") != std::string::npos);
  CHECK(text.find("\nFrom when a timer was due until its routine ran\n"
                  "     times       p50       p99   longest\n"
                  "         2    251 ms    251 ms    502 ms\n") != std::string::npos);
}

TEST_CASE("A routine that waits for a condition is the one that wakes the next holder of its mutex") {
  for (unsigned workers : {1U, 2U}) {
    runtime rt({.workers = workers, .recorder = plenty});
    rt.run([]() -> task<> {  // routine 1
      mutex m;
      condition changed;
      std::atomic<bool> is_changed = false;
      auto held = co_await m.lock();
      group others;
      others.go(
          [](mutex& lock, condition& c, std::atomic<bool>& done) -> task<> {
            const auto it = co_await lock.lock();
            done = true;
            c.notify_one();
          },
          std::ref(m), std::ref(changed), std::ref(is_changed));
      // The workers go on with these, which must not seem to be the wakers.
      for (int i = 0; i < 2; ++i) {
        others.go(
            [](const std::atomic<bool>& done) -> task<> {
              while (!done) co_await yield();
            },
            std::cref(is_changed));
      }
      co_await until_parked("mutex");
      co_await changed.wait(held, [&] { return is_changed.load(); });
      held.unlock();
      co_await others.wait();
    });
    const recording made = rt.recording();
    // Main may wait for the lock, too, if the other one still holds it.
    std::set<std::uint32_t> wait_for_lock;
    for (const recording::event& e : made.events) {
      const bool is_for_lock =
          e.what == kind::parked && e.wait < made.waits.size() && made.waits[e.wait].find("mutex") != std::string::npos;
      if (is_for_lock && e.routine != 1) wait_for_lock.insert(e.routine);
    }
    std::vector<std::uint32_t> wakers;
    for (const recording::event& e : made.events) {
      if (e.what == kind::ready && wait_for_lock.count(e.routine) != 0) wakers.push_back(e.waker);
    }
    INFO("on ", workers, " workers");
    CHECK(wait_for_lock.size() == 1);
    CHECK(wakers == std::vector<std::uint32_t>{1});
  }
}

TEST_CASE("A recording tells how long after it was due a timer has ended a wait") {
  bool both_wait = false;
  // On a busy machine a length may be over before both routines wait; then a longer one is tried.
  for (duration length = 5ms; !both_wait; length *= 2) {
    runtime rt({.workers = 1, .recorder = plenty});
    rt.run([&]() -> task<> {
      const time_point due = std::chrono::steady_clock::now() + length;
      auto sleeps = go([due]() -> task<> { co_await sleep_until(due); });                           // routine 2
      auto is_cancelled = go(context::with_deadline(due), []() -> task<> { co_await sleep(1h); });  // routine 3
      co_await yield();
      both_wait = rt.metrics().timers == 3;  // with the sleep of an hour
      while (both_wait && std::chrono::steady_clock::now() < due + 20ms) {
      }
      co_await sleeps;
      (void)co_await outcome(std::move(is_cancelled));
    });
    if (!both_wait) continue;
    std::map<std::uint32_t, duration> late;
    for (const recording::event& e : rt.recording().events) {
      if (e.what == kind::ready && e.by == recording::cause::timer) late[e.routine] = duration(e.value);
      if (e.what == kind::ready && e.by != recording::cause::timer) CHECK(e.value == 0);
    }
    CHECK(late.size() == 2);
    CHECK(late[2] >= 20ms);
    CHECK(late[3] >= 20ms);
  }
}

TEST_CASE("A long time between two readings of the clock is the one routine's that has run meanwhile") {
  for (const bool is_one : {true, false}) {
    set_clock clock;
    detail::event_ring ring(1 << 14, &clock, 5000 << detail::event_cell::time_shift);
    const auto put = [&](kind what, std::uint32_t routine) {
      const auto by = what == kind::ready ? static_cast<std::uint64_t>(recording::cause::timer) : 0;
      ring.put(static_cast<std::uint64_t>(what) | by << detail::event_cell::kind_bits, routine);
    };
    for (int i = 0; i < 100; ++i) {  // so quickly that the clock is read seldom
      put(kind::resumed, 1);
      clock.now += 1us;
      put(kind::yielded, 1);
    }
    ring.look_soon();
    put(kind::ready, 2);
    put(kind::resumed, 2);
    if (!is_one) {
      put(kind::parked, 2);
      put(kind::resumed, 3);
    }
    clock.now += 300ms;
    put(kind::parked, is_one ? 2 : 3);
    ring.look_soon();
    put(kind::resumed, 1);
    const std::string text = to_text(recording_of(clock, ring));
    CAPTURE(text);
    CHECK(text.find("Ready for longest") == std::string::npos);
    CHECK((text.find("    300 ms  routine 2 on worker 0, 300 ms before the end; then it") != std::string::npos) ==
          is_one);
    CHECK((text.find(", up to 300 ms, or others next to it; then") != std::string::npos) == !is_one);
  }
}

TEST_CASE("A file has what the recording had, and a file that is none is refused") {
  const folder here;
  const std::string path = here.path() + "/a.ringo";
  runtime rt({.workers = 2, .recorder = plenty});
  rt.run([] { return busy(20); });
  rt.write_recording(path);
  const recording made = read_recording(path);
  CHECK(sorted_lines_of(made) == sorted_lines_of(rt.recording()));
  CHECK(made.process == static_cast<std::uint32_t>(::getpid()));
  const std::string bytes = read(path);
  for (const std::size_t part : {std::size_t{0}, std::size_t{20}, bytes.size() / 2, bytes.size() - 1}) {
    std::ofstream(path, std::ios::binary) << bytes.substr(0, part);
    CHECK_THROWS_AS(read_recording(path), std::invalid_argument);
  }
  std::ofstream(path, std::ios::binary)
      << "this is a text, and not a recording of a program, however long it may be made by those that write it";
  CHECK_THROWS_AS(read_recording(path), std::invalid_argument);
  CHECK_THROWS_AS(read_recording(here.path() + "/none"), std::system_error);
  CHECK_THROWS_AS(rt.write_recording(here.path() + "/none/a"), std::system_error);
}

TEST_CASE(
    "A process that dies of a signal, or by std::terminate, leaves its recording; its own handler is called then") {
  const folder here;
  const std::string path = here.path() + "/crash.ringo";
  const runtime_options options{.workers = 1, .recorder = plenty, .recorder_file = path};
  const auto dies = [&](int signal, bool has_handler) {
    ::unlink(path.c_str());
    const child_end end = run_in_a_child([&] {
      if (has_handler) std::signal(signal, [](int) { ::_exit(7); });
      run(
          [&]() -> task<> {
            co_await go(named("before it", []() -> task<> { co_await yield(); }));
            if (signal == SIGABRT) std::terminate();
            std::raise(signal);
          },
          options);
      return 0;
    });
    CHECK(end.exited == has_handler);
    CHECK(end.status == (has_handler ? 7 : signal));
    const recording made = read_recording(path);
    CHECK(made.name_of(2) == "routine 2 \"before it\"");
    const std::vector<std::string> lines = lines_of(made);
    CHECK(std::find(lines.begin(), lines.end(), "ended 2") != lines.end());
    CHECK(lines.back() == "resumed 1");
  };
  dies(SIGABRT, false);
  if (!RINGO_ADDRESS_SANITIZER && !RINGO_THREAD_SANITIZER) dies(SIGSEGV, false);
  dies(SIGSEGV, true);
}

TEST_CASE("A crash is recorded, too, after one from which the program's handler has recovered") {
  if (RINGO_THREAD_SANITIZER) return reached("ThreadSanitizer calls handlers later");
  const folder here;
  const std::string path = here.path() + "/crash.ringo";
  const child_end end = run_in_a_child([&] {
    static sigjmp_buf before;
    // It leaves the handler with the mask that it has there.
    struct sigaction recovers{};
    recovers.sa_handler = [](int) { ::siglongjmp(before, 1); };
    recovers.sa_flags = SA_NODEFER;
    ::sigaction(SIGSEGV, &recovers, nullptr);
    static const auto crash = [] {
      if (::sigsetjmp(before, 0) == 0) std::raise(SIGSEGV);
    };
    int status = 0;
    run(
        [&]() -> task<> {
          static constexpr const char* names[] = {"first", "second", "third"};
          for (const char* name : names) {
            co_await go(named(name, []() -> task<> { co_await yield(); }));
            crash();
            sigset_t blocked;
            ::pthread_sigmask(SIG_SETMASK, nullptr, &blocked);
            if (::sigismember(&blocked, SIGSEGV) != 0 || ::sigismember(&blocked, SIGTERM) != 0) status = 3;
            const recording made = read_recording(path);
            const auto has_name = [&](const recording::routine& r) { return r.name == name; };
            if (std::none_of(made.routines.begin(), made.routines.end(), has_name)) status = 1;
            if (made.places.empty() || ::access((path + ".next").c_str(), F_OK) == 0) status = 2;
          }
        },
        {.workers = 1, .recorder = plenty, .recorder_file = path});
    std::signal(SIGSEGV, SIG_DFL);
    return status;
  });
  CHECK(end.exited);
  CHECK(end.status == 0);
}

TEST_CASE("A damaged recording is refused, or read as far as it goes") {
  const folder here;
  const std::string path = here.path() + "/a.ringo";
  runtime rt({.workers = 2, .recorder = 4096});
  rt.run([] { return busy(100); });
  rt.write_recording(path);
  const std::string bytes = read(path);
  std::vector<std::size_t> places;
  for (std::size_t at = 8; at < 160; at += 4) places.push_back(at);  // the header, the first ring's numbers, some cells
  std::uint64_t size = 0;                                            // of the first ring
  std::memcpy(&size, bytes.data() + 72, sizeof size);
  places.push_back(80 + size - 8);  // how far its worker has come
  int refused = 0, accepted = 0;
  for (const std::size_t at : places) {
    for (const std::uint64_t wrong : {~std::uint64_t{0}, std::uint64_t{1} << 63, std::uint64_t{1} << 31,
                                      std::uint64_t{0xFFFFFFFF}, std::uint64_t{100}, std::uint64_t{0}}) {
      for (const std::size_t length : {std::size_t{4}, std::size_t{8}}) {
        std::string damaged = bytes;
        std::memcpy(damaged.data() + at, &wrong, length);
        std::ofstream(path, std::ios::binary) << damaged;
        try {
          const recording made = read_recording(path);
          CHECK(made.workers == 2);
          CHECK(!to_chrome_trace(made).empty());
          CHECK(!to_text(made).empty());
          ++accepted;
        } catch (const std::invalid_argument&) {
          ++refused;
        }
      }
    }
  }
  CHECK(refused > 0);
  CHECK(accepted > 0);
}

TEST_CASE("Of runtimes that write the same file at once, one's recording is there then") {
  const folder here;
  const std::string path = here.path() + "/a.ringo";
  runtime small({.workers = 1, .recorder = 4096}), large({.workers = 2, .recorder = plenty});
  small.run([] { return busy(500); });
  large.run([] { return busy(500); });
  for (int i = 0; i < 20; ++i) {
    std::atomic<int> ready = 0;
    const auto write = [&](const runtime& rt) {
      ++ready;
      while (ready < 2) {
      }
      rt.write_recording(path);
    };
    std::thread other([&] { write(small); });
    write(large);
    other.join();
    const recording made = read_recording(path);
    CHECK(sorted_lines_of(made) == sorted_lines_of((made.workers == 1 ? small : large).recording()));
  }
}

TEST_CASE("The death of a forked child leaves the file to its parent") {
  const folder here;
  const std::string path = here.path() + "/a.ringo";
  struct sigaction by_default{}, before{};
  by_default.sa_handler = SIG_DFL;
  ::sigaction(SIGABRT, &by_default, &before);  // the test framework's handler would tell of the child
  run(
      [&]() -> task<> {
        const pid_t child = ::fork();
        if (child == 0) {
          const rlimit no_core = {0, 0};
          ::setrlimit(RLIMIT_CORE, &no_core);
          std::abort();
        }
        int how = 0;
        ::waitpid(child, &how, 0);
        CHECK(WIFSIGNALED(how));
        CHECK(!std::filesystem::exists(path));
        co_return;
      },
      {.workers = 1, .recorder = plenty, .recorder_file = path});
  ::sigaction(SIGABRT, &before, nullptr);
  CHECK(lines_of(read_recording(path)).back() == "ended 1");
}

TEST_CASE("A handler that was set over ringo's, and calls it, is called by that of the next runtime, and all end") {
  const folder here;
  const std::string path = here.path() + "/a.ringo";
  const runtime_options options{.workers = 1, .recorder = plenty, .recorder_file = path};
  for (const bool is_put_back : {false, true}) {
    const child_end end = run_in_a_child([&] {
      static struct sigaction below;
      std::signal(SIGSEGV, [](int) { ::_exit(7); });
      run(
          []() -> task<> {
            struct sigaction above{};
            above.sa_flags = SA_SIGINFO;
            above.sa_sigaction = [](int signal, siginfo_t* info, void* context) {
              below.sa_sigaction(signal, info, context);
            };
            ::sigaction(SIGSEGV, &above, &below);
            co_return;
          },
          options);
      ::unlink(path.c_str());
      if (is_put_back) ::sigaction(SIGSEGV, &below, nullptr);
      run(
          []() -> task<> {
            std::raise(SIGSEGV);
            co_return;
          },
          options);
      return 0;
    });
    CHECK(end.exited);
    CHECK(end.status == 7);
    CHECK(lines_of(read_recording(path)).back() == "resumed 1");
  }
}

TEST_CASE("A deadlock, a stall, and the end of run() write the file") {
  const folder here;
  const std::string path = here.path() + "/one.ringo";
  runtime_options options{.workers = 1, .recorder = plenty, .recorder_file = path};
  CHECK_THROWS_AS(run(
                      []() -> task<> {
                        channel<int> none;
                        co_await none.recv();
                      },
                      options),
                  deadlock);
  CHECK(lines_of(read_recording(path)).back() == "parked 1: receive on a channel");
  run([]() -> task<> { co_await yield(); }, options);
  CHECK(lines_of(read_recording(path)).back() == "ended 1");
  std::atomic<bool> told = false;
  options.stall = 1ms;
  options.on_warning = [&](std::string_view) { told = true; };
  run(
      [&]() -> task<> {
        while (!told || ::access((path + ".stall").c_str(), F_OK) != 0) {
        }
        co_return;
      },
      options);
  CHECK(std::filesystem::exists(path + ".stall"));
}

// A sanitizer takes more of the address space than a limit would leave it.
#if !RINGO_ADDRESS_SANITIZER && !RINGO_THREAD_SANITIZER
TEST_CASE(
    "Without memory for a recorder a program runs without the one of RINGO_RECORD, and is told how much it takes") {
  const folder here;
  const auto end = run_in_a_child([&] {
    std::ifstream statm("/proc/self/statm");
    rlim_t pages = 0;
    statm >> pages;
    const rlim_t most = pages * static_cast<rlim_t>(::sysconf(_SC_PAGESIZE)) + (rlim_t{300} << 20);
    const rlimit limit{most, most};
    if (::setrlimit(RLIMIT_AS, &limit) != 0) return 1;
    bool has_run = false;
    const auto main = [&]() -> task<> {
      has_run = true;
      co_return;
    };
    ::setenv("RINGO_RECORD", (here.path() + "/a.ringo,536870912").c_str(), 1);
    std::string told;
    runtime_options how;
    how.workers = 1;
    how.on_warning = [&told](std::string_view text) { told = text; };
    run(main, how);
    std::fprintf(stderr, "%s\n", told.c_str());
    if (!has_run) return 2;
    ::unsetenv("RINGO_RECORD");
    how.recorder = 1 << 29;
    try {
      run(main, how);
    } catch (const std::system_error& error) {
      std::fprintf(stderr, "%s\n", error.what());
      return error.code() == std::errc::not_enough_memory ? 0 : 3;
    }
    return 4;
  });
  CAPTURE(end.errors);
  CHECK(end.exited);
  CHECK(end.status == 0);
  const auto says = [&](std::string_view words) { return end.errors.find(words) != end.errors.npos; };
  CHECK(says("RINGO_RECORD in the environment is \"" + here.path() +
             "/a.ringo,536870912\", and is not used: the recordings of all workers take 536870912 bytes"));
  CHECK(says("runtime_options::recorder: there is no memory for the recordings, 536870912 bytes for each worker"));
  CHECK(!std::filesystem::exists(here.path() + "/a.ringo"));
}
#endif

TEST_CASE("RINGO_RECORD records any program, and ringo-trace converts the file and sums it up") {
  const folder here;
  ::setenv("RINGO_RECORD", (here.path() + "/%p.ringo,65536").c_str(), 1);
  run([] { return busy(20); }, {.workers = 2});
  std::string told;
  runtime_options how;
  how.on_warning = [&told](std::string_view text) { told = text; };
  for (const char* wrong : {"x,y", "x,", "x,0", "x,-1", "x,64M", "x,99999999999"}) {
    ::setenv("RINGO_RECORD", wrong, 1);
    CHECK(!runtime(how).recording().is_on);
    CHECK(told.starts_with(std::string("RINGO_RECORD in the environment is \"") + wrong + "\", and is not used: FILE"));
  }
  ::unsetenv("RINGO_RECORD");
  const std::string file = here.path() + "/" + std::to_string(::getpid()) + ".ringo";
  const std::string tool = RINGO_TRACE, json = here.path() + "/a.json", text = here.path() + "/a.txt";
  REQUIRE(std::system((tool + ' ' + file + " -o " + json).c_str()) == 0);
  check_trace(read(json));
  CHECK(read(json) == to_chrome_trace(read_recording(file)));
  REQUIRE(std::system((tool + " --summary " + file + " > " + text).c_str()) == 0);
  CHECK(read(text) == to_text(read_recording(file)));
  CHECK(std::system((tool + " --summary " + json + " 2>" + text).c_str()) != 0);
  CHECK(read(text).find("this is a trace already") != std::string::npos);
  CHECK(std::system((tool + " " + here.path() + "/none 2>" + text).c_str()) != 0);
  CHECK(read(text).starts_with("ringo-trace: "));
  if (std::system("command -v python3 >/dev/null") == 0) {
    CHECK(std::system(("python3 -m json.tool " + json + " >/dev/null").c_str()) == 0);
  }
}

TEST_CASE("A simulation follows the order of a recording, and says how far") {
  // What it gives depends on the order of the resumes.
  std::vector<int> order;
  const auto program = [&order]() -> task<> {
    mutex lock;
    wait_group all;
    for (int id = 0; id < 4; ++id) {
      all.go([&order, &lock, id]() -> task<> {
        for (int i = 0; i < 5; ++i) {
          {
            auto held = co_await lock.lock();
            order.push_back(id);
            co_await yield();
          }
          co_await sleep(std::chrono::milliseconds(id));
        }
      });
    }
    co_await all.wait();
  };
  runtime rt({.workers = 1, .recorder = plenty});
  rt.run(program);
  const recording made = rt.recording();
  const auto resumes = std::count_if(made.events.begin(), made.events.end(),
                                     [](const recording::event& e) { return e.what == kind::resumed; });
  const std::vector<int> real = std::exchange(order, {});
  int differ = 0;
  for (std::uint64_t seed = 0; seed < 10; ++seed) {
    testing::simulate({.seed = seed}, program);
    if (std::exchange(order, {}) != real) ++differ;
    const auto report = testing::simulate({.seed = seed, .replay = &made}, program);
    CHECK(std::exchange(order, {}) == real);
    CHECK(report.followed == static_cast<std::uint64_t>(resumes));
  }
  CHECK(differ > 0);
  // Another program leaves it.
  const auto report = testing::simulate({.replay = &made}, [] { return busy(20); });
  CHECK(report.followed > 0);
  CHECK(report.followed < static_cast<std::uint64_t>(resumes));
  CHECK_THROWS_AS(testing::simulate({.workers = 2, .replay = &made}, program), std::invalid_argument);
  const recording none;
  CHECK_THROWS_AS(testing::simulate({.replay = &none}, program), std::invalid_argument);
}
