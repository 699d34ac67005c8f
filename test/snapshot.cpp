// runtime::snapshot: what each routine waits for and in which functions, which objects it waits for, and which routines
// wait for each other; its text and its JSON.
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <ringo/ringo.hpp>
#include <source_location>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "every_scheduler.hpp"
#include "json_checker.hpp"
#include "platform/escaped.hpp"
#include "runtime/names.hpp"

using namespace ringo;
using namespace std::chrono_literals;

namespace {

#define LINE std::source_location::current().line()

snapshot taken() { return runtime::current().snapshot(); }

const snapshot::routine* waiting(const snapshot& s, std::string_view operation) {
  for (const auto& r : s.routines) {
    if (r.operation.starts_with(operation)) return &r;
  }
  return nullptr;
}

// Lets others run until a routine waits so.
task<snapshot> until_waits(std::string operation, std::size_t count = 1) {
  for (;;) {
    snapshot s = taken();
    std::size_t found = 0;
    for (const auto& r : s.routines) found += r.operation.starts_with(operation);
    if (found >= count) co_return s;
    co_await yield();
  }
}

unsigned lines[5];

task<> innermost(channel<int> c) {
  lines[0] = LINE + 1;
  co_await c.recv();
}
task<> fourth(channel<int> c) {
  lines[1] = LINE + 1;
  co_await innermost(c);
}
task<int> third(channel<int> c) {
  lines[2] = LINE + 1;
  co_await fourth(c);
  co_return 3;
}
task<> second(channel<int> c) {
  lines[3] = LINE + 1;
  co_await with_timeout(1h, third(c));
}
task<> outermost(channel<int> c) {
  lines[4] = LINE + 1;
  co_await second(c);
}

}  // namespace

TEST_CASE("A snapshot has the chain of awaits from where a routine waits out to its own function") {
  on_every_scheduler(
      []() -> task<> {
        channel<int> c;
        const unsigned started = LINE + 1;
        auto waits = go(outermost, c);
        const snapshot s = co_await until_waits("receive");
        const snapshot::routine* r = waiting(s, "receive");
        REQUIRE(r != nullptr);
        REQUIRE(r->chain.size() == 5);
        const char* const functions[] = {"innermost", "fourth", "third", "second", "outermost"};
        for (std::size_t i = 0; i < 5; ++i) {
          CHECK(r->chain[i].line() == lines[i]);
          CHECK(function_of(r->chain[i]).ends_with(functions[i]));
        }
        CHECK(r->started.line() == started);
        CHECK(r->started_by == 1);
        CHECK(r->number != 1);
        c.close();
        co_await waits;
      },
      3);
}

TEST_CASE("A routine has the name that it was started with, however it was started, and a task has one, too") {
  on_every_scheduler(
      []() -> task<> {
        channel<int> c;
        const auto receives = [](channel<int> from) -> task<> { co_await from.recv(); };
        wait_group w;
        group g;
        worker_pool p({.max = 1});
        auto session = go(named("session " + std::to_string(7), receives), c);
        auto of_task = go(named("a \"task\"", receives(c)));
        auto unnamed = go(receives, c);
        w.go(named("counted", receives), c);
        g.go(named("member", receives), c);
        auto job = co_await p.submit(named("job", receives), c);
        auto number = go(named("adds", [](int a, int b) { return a + b; }), 3, 4);
        const snapshot s = co_await until_waits("receive", 6);
        std::vector<std::string> names;
        for (const auto& r : s.routines) {
          if (r.operation.starts_with("receive")) names.push_back(r.name);
        }
        std::sort(names.begin(), names.end());
        CHECK(names == std::vector<std::string>{"", "a \"task\"", "counted", "job", "member", "session 7"});
        CHECK(to_text(s).find(" \"session 7\": waits for receive on channel") != std::string::npos);
        CHECK(to_json(s).find(R"("name":"a \"task\"",)") != std::string::npos);
        c.close();
        const int sum = co_await number;
        CHECK(sum == 7);
        co_await session;
        co_await of_task;
        co_await unnamed;
        co_await job;
        co_await w.wait();
        co_await g.wait();
      },
      3);
}

TEST_CASE("A snapshot of main says that it is main, that it runs, and is the first routine") {
  on_every_scheduler([]() -> task<> {
    const snapshot s = taken();
    REQUIRE(s.routines.size() == 1);
    CHECK(s.routines[0].number == 1);
    CHECK(s.routines[0].is_main);
    CHECK(s.routines[0].state == snapshot::state::active);
    CHECK(s.routines[0].started_by == 0);
    CHECK(s.objects.empty());
    CHECK(s.cycles.empty());
    co_return;
  });
}

TEST_CASE("An object has the name that it was made with, as long as it lives, and others have none") {
  on_every_scheduler(
      []() -> task<> {
        std::vector<std::uint64_t> ids;
        {
          const context request = named("request", context::with_cancel());
          channel<int> jobs(named("jobs"), 8);
          mutex books(named("books"));
          shared_mutex shelf(named("shelf"));
          semaphore seats(named("seats"), 2);
          event opened(named("opened"));
          latch arrivals(named("arrivals"), 2);
          barrier round(named("round"), 2);
          condition changed(named("changed"));
          wait_group all(named("all"));
          group crew(named("crew"), request, on_error::keep_going);
          worker_pool ovens(named("ovens"), {.max = 1});
          channel<int> unnamed;
          const auto held = co_await books.lock();
          const auto reads = co_await shelf.lock_shared();
          const auto seat = co_await seats.acquire(2);
          mutex own;
          group g;
          crew.go([jobs]() -> task<> { co_await jobs.recv(); });
          all.add();
          const auto receives = [jobs]() -> task<> { co_await jobs.recv(); };
          auto baked = co_await ovens.submit(receives);
          auto member = go(named("a member", [unnamed]() -> task<> { co_await unnamed.recv(); }));
          g.go([&]() -> task<> { (void)co_await books.lock(); });
          g.go([&]() -> task<> { (void)co_await shelf.lock(); });
          g.go([&]() -> task<> { (void)co_await seats.acquire(); });
          g.go([&]() -> task<> { co_await opened.wait(); });
          g.go([&]() -> task<> { co_await arrivals.wait(); });
          g.go([&]() -> task<> { co_await round.arrive_and_wait(); });
          g.go([&]() -> task<> {
            auto mine = co_await own.lock();
            co_await changed.wait(mine);
          });
          g.go([&]() -> task<> { co_await all.wait(); });
          g.go([&]() -> task<> { co_await crew.wait(); });
          g.go([&]() -> task<> { co_await ovens.drain(); });
          g.go([&]() -> task<> { co_await request.wait(); });
          g.go([&]() -> task<> { co_await member.wait(); });
          snapshot s = taken();
          while (s.objects.size() < 14) {
            co_await yield();
            s = taken();
          }
          std::vector<std::string> texts;
          for (const auto& o : s.objects) {
            ids.push_back(o.id);
            CHECK(detail::name_of(reinterpret_cast<const void*>(o.id)) == o.name);
            if (o.kind == "routine") CHECK(o.name == "a member");
            if (!o.name.empty() && o.kind != "routine") {
              texts.push_back(o.text);
              CHECK(o.text == std::string(o.kind) + " \"" + o.name + '"');
            }
          }
          std::sort(texts.begin(), texts.end());
          CHECK(texts == std::vector<std::string>{"barrier \"round\"", "channel \"jobs\"", "condition \"changed\"",
                                                  "context \"request\"", "event \"opened\"", "group \"crew\"",
                                                  "latch \"arrivals\"", "mutex \"books\"", "semaphore \"seats\"",
                                                  "shared_mutex \"shelf\"", "wait_group \"all\"",
                                                  "worker_pool \"ovens\""});
          const std::string text = to_text(s);
          CHECK(text.find("receive on channel \"jobs\" (capacity 8, open)") != std::string::npos);
          CHECK(text.find("(main) holds mutex \"books\"") != std::string::npos);
          CHECK(to_json(s).find(R"("kind":"latch","name":"arrivals","text":"latch \"arrivals\"",)") !=
                std::string::npos);
          request.cancel();
          unnamed.close();
          jobs.close();
          g.cancel();
          co_await g.wait();
          co_await outcome(crew.wait());
          co_await outcome(baked);
          co_await member;
          all.done();
        }
        for (const std::uint64_t id : ids) CHECK(detail::name_of(reinterpret_cast<const void*>(id)).empty());
      },
      3);
}

TEST_CASE("Names are spread over the table, whatever the distance of their objects") {
  constexpr std::size_t objects = 100'000;
  for (const std::uintptr_t distance : {16u, 64u, 192u, 4096u, 65536u}) {
    CAPTURE(distance);
    const auto address = [&](std::size_t i) { return reinterpret_cast<const void*>((i + 1) * distance); };
    for (std::size_t i = 0; i < objects; ++i) detail::set_name(address(i), "an object");
    std::size_t longest = 0;
    for (const detail::name_entry* each : ringo_names.first) {
      std::size_t length = 0;
      for (; each != nullptr; each = each->next) ++length;
      longest = std::max(longest, length);
    }
    CHECK(longest < 20);
    for (std::size_t i = 0; i < objects; ++i) detail::forget_name(address(i));
  }
}

TEST_CASE("A context may be named anew, its routines are under it by name, and the background has no name") {
  on_simulated_schedulers([]() -> task<> {
    const context request = named("first", context::with_timeout(1h));
    CHECK(named("request 7", request) == request);
    auto waits = go(request, []() -> task<> { co_await never(); });
    co_await testing::settle();
    const snapshot s = taken();
    REQUIRE(s.routines.size() == 2);
    CHECK(s.routines[0].context_name.empty());
    CHECK(s.routines[1].context_name == "request 7");
    CHECK(to_text(s).find("; under context \"request 7\", deadline in 60 min") != std::string::npos);
    CHECK_THROWS_AS((void)named("all", context::background()), std::logic_error);
    request.cancel();
    co_await waits.wait();
  });
}

TEST_CASE("A routine with a name that is refused, or dropped before it begins, leaves no name behind") {
  const auto names = [] {
    std::size_t count = 0;
    for (detail::name_entry* each : ringo_names.first) {
      for (; each != nullptr; each = each->next) ++count;
    }
    return count;
  };
  const std::size_t before = names();
  {
    group g;
    wait_group w;
    CHECK_THROWS_AS(g.go(named("refused", [] {})), std::logic_error);  // no runtime runs
    CHECK_THROWS_AS(g.background(named("refused", [] {})), std::logic_error);
    CHECK_THROWS_AS(w.go(named("refused", [] {})), std::logic_error);
    CHECK_THROWS_AS(go(named("refused", [] {})), std::logic_error);
    CHECK_THROWS_AS(latch(named("negative"), static_cast<std::size_t>(-1)), std::invalid_argument);
    runtime rt({.workers = 1});
    auto queued = rt.go(named("queued", [] {}));
  }
  CHECK(names() == before);
  run([]() -> task<> {
    auto fails = go(named("fails", [] { throw std::runtime_error("as it should"); }));
    const auto ended = co_await outcome(std::move(fails));
    CHECK(ended.error() != nullptr);
    worker_pool pool({.max = 1});
    auto never_submitted = pool.submit(named("never submitted", [] {}));
  });
  CHECK(names() == before);
}

TEST_CASE("An object of a snapshot has its kind, its length, its capacity and the number of its waiters") {
  on_every_scheduler(
      []() -> task<> {
        channel<int> full(2);
        co_await full.send(1);
        co_await full.send(2);
        group g;
        for (int i = 0; i < 3; ++i) g.go([full]() -> task<> { co_await full.send(3); });
        const snapshot s = co_await until_waits("send", 3);
        const snapshot::routine* r = waiting(s, "send");
        REQUIRE(r->objects.size() == 1);
        const snapshot::object& o = s.objects[r->objects[0]];
        CHECK(o.kind == "channel");
        CHECK(o.length == 2);
        CHECK(o.capacity == 2);
        CHECK(o.waiters == 3);
        CHECK(r->operation == "send on a channel");
        CHECK(r->waits_for == "send on " + o.text + " (capacity 2, open)");
        full.close();
        try {
          co_await g.wait();
        } catch (const channel_closed&) {
        }
      },
      3);
}

TEST_CASE("A routine that waits in a select waits for each of its objects, and is in no cycle") {
  on_every_scheduler(
      []() -> task<> {
        channel<int> a, b;
        auto waits = go([a, b]() -> task<> { (void)co_await select(a.recv(), b.recv()); });
        const snapshot s = co_await until_waits("select");
        const snapshot::routine* r = waiting(s, "select");
        CHECK(r->objects.size() == 2);
        CHECK(s.objects.size() == 2);
        CHECK(s.cycles.empty());
        a.close();
        co_await waits;
      },
      3);
}

TEST_CASE("A snapshot says which routine holds a mutex that others wait for, and what a routine holds") {
  on_every_scheduler(
      []() -> task<> {
        mutex m;
        semaphore one(1), two(2);
        auto held = co_await m.lock();
        auto permit = co_await one.acquire();
        auto permits = co_await two.acquire(2);
        auto locks = go([&]() -> task<> { (void)co_await m.lock(); });
        auto acquires = go([&]() -> task<> { (void)co_await one.acquire(); });
        auto acquires_one_of_two = go([&]() -> task<> { (void)co_await two.acquire(); });
        co_await until_waits("the lock of a mutex");
        const snapshot s = co_await until_waits("1 of the ", 2);
        REQUIRE(s.objects.size() == 3);
        for (const auto& o : s.objects) {
          CHECK(o.owners == (o.capacity == 2 ? std::vector<std::uint32_t>{} : std::vector<std::uint32_t>{1}));
        }
        CHECK(s.routines[0].holds.size() == 2);
        CHECK(to_text(s).find("routine 1 (main) holds mutex ") != std::string::npos);
        held.unlock();
        permit.release();
        permits.release();
        co_await locks;
        co_await acquires;
        co_await acquires_one_of_two;
      },
      3);
}

TEST_CASE("The writer of a shared_mutex holds it; readers are counted, and are not known") {
  on_every_scheduler(
      []() -> task<> {
        shared_mutex m;
        channel<void> end;
        auto first = co_await m.lock_shared();
        auto second = co_await m.lock_shared();
        auto writes = go([&m, end]() -> task<> {
          const auto held = co_await m.lock();
          co_await end.recv();
        });
        snapshot s = co_await until_waits("the lock of a shared_mutex");
        REQUIRE(s.objects.size() == 1);
        CHECK(s.objects[0].owners.empty());
        CHECK(waiting(s, "the lock")->waits_for == "the lock of " + s.objects[0].text + " (locked by 2 readers)");
        first.unlock();
        second.unlock();
        co_await until_waits("receive");
        auto reads = go([&m]() -> task<> { (void)co_await m.lock_shared(); });
        s = co_await until_waits("a shared lock");
        const snapshot::routine* writer = waiting(s, "receive");
        REQUIRE(writer != nullptr);
        REQUIRE(writer->holds.size() == 1);
        CHECK(s.objects[writer->holds[0]].owners == std::vector<std::uint32_t>{writer->number});
        CHECK(waiting(s, "a shared lock")->waits_for.ends_with(" (locked)"));
        end.close();
        co_await writes;
        co_await reads;
      },
      3);
}

TEST_CASE("A semaphore whose permit one routine takes and another gives back has no holder") {
  on_every_scheduler(
      []() -> task<> {
        semaphore signal(1);
        channel<semaphore::permit> given(1);
        const auto takes = [&]() -> task<> { co_await given.send(co_await signal.acquire()); };
        co_await takes();
        auto next = go(takes);
        snapshot s = co_await until_waits("1 of the ");
        CHECK(s.routines[0].holds.size() == 1);  // main has taken it, and has not let others give it back yet
        {
          const auto permit = co_await given.recv();
          CHECK(permit.has_value());
        }
        co_await next;
        auto last = go([&signal]() -> task<> { (void)co_await signal.acquire(); });
        co_await until_waits("1 of the ");
        {
          const auto permit = co_await given.recv();  // that `next` has taken
        }
        co_await last;
        auto held = co_await signal.acquire();
        auto waits = go([&signal]() -> task<> { (void)co_await signal.acquire(); });
        s = co_await until_waits("1 of the ");
        REQUIRE(s.objects.size() == 1);
        CHECK(s.objects[0].owners.empty());
        CHECK(s.objects[0].length == 0);
        held.release();
        co_await waits;
      },
      3);
}

TEST_CASE("A lock that is handed over belongs to the routine that got it") {
  on_every_scheduler(
      []() -> task<> {
        mutex m;
        channel<void> end;
        auto held = co_await m.lock();
        const auto hold = [&m, end]() -> task<> {
          const auto got = co_await m.lock();
          co_await end.recv();
        };
        auto first = go(hold);
        co_await until_waits("the lock");
        held.unlock();
        (void)co_await until_waits("receive");
        auto next = go(hold);
        const snapshot s = co_await until_waits("the lock");
        const snapshot::routine* owner = waiting(s, "receive");
        REQUIRE(owner != nullptr);
        REQUIRE(owner->holds.size() == 1);
        CHECK(s.objects[owner->holds[0]].owners == std::vector<std::uint32_t>{owner->number});
        end.close();
        co_await first;
        co_await next;
      },
      3);
}

TEST_CASE("Routines that wait for each other's locks and ends are a cycle of the snapshot, and others are not") {
  on_every_scheduler(
      []() -> task<> {
        mutex a, b;
        wait_group other;
        channel<void> locked_a, locked_b, end;
        auto first = go([&]() -> task<> {
          const auto held = co_await a.lock();
          locked_a.close();
          co_await locked_b.recv();
          (void)co_await b.lock();
        });
        auto second = go([&]() -> task<> {
          const auto held = co_await b.lock();
          locked_b.close();
          co_await locked_a.recv();
          (void)co_await a.lock();
        });
        other.go([&]() -> task<> { co_await end.recv(); });
        auto joins = go([&]() -> task<> { co_await other.wait(); });
        co_await until_waits("receive");
        co_await until_waits("a wait_group");
        const snapshot s = co_await until_waits("the lock", 2);
        REQUIRE(s.cycles.size() == 1);
        REQUIRE(s.cycles[0].size() == 2);
        for (std::size_t i = 0; i < 2; ++i) {
          const auto is_it = [&](const snapshot::routine& r) { return r.number == s.cycles[0][i]; };
          const auto r = std::find_if(s.routines.begin(), s.routines.end(), is_it);
          CHECK(r->operation == "the lock of a mutex");
          CHECK(s.objects[r->objects[0]].owners == std::vector<std::uint32_t>{s.cycles[0][1 - i]});
        }
        const std::string text = to_text(s);
        CHECK(text.find("These wait for each other:") != std::string::npos);
        CHECK(text.find(", held by routine " + std::to_string(s.cycles[0][0])) != std::string::npos);
        CHECK(text.find(", held by routine " + std::to_string(s.cycles[0][1])) != std::string::npos);
        first.cancel();
        end.close();
        co_await first.wait();
        co_await second;
        co_await joins;
      },
      3);
}

TEST_CASE("Of many routines that wait for one object which all of them keep, a snapshot has few cycles") {
  on_every_scheduler(
      []() -> task<> {
        const context under = context::with_cancel();
        wait_group all;
        mutex m;
        const auto wait_for_all = [&all]() -> task<> { co_await all.wait(); };
        const auto start = [&]() -> task<> {
          for (int i = 0; i < 100; ++i) all.go(wait_for_all);
          const auto held = co_await m.lock();
          (void)co_await m.lock();
        };
        auto locks = go(under, start);
        co_await until_waits("a wait_group", 100);
        const snapshot s = co_await until_waits("the lock");
        const std::uint32_t number = waiting(s, "the lock")->number;
        std::size_t members = 0;
        for (const auto& cycle : s.cycles) members += cycle.size();
        CHECK(members > 0);
        CHECK(members <= 2 * s.routines.size());
        CHECK(std::ranges::count(s.cycles, std::vector<std::uint32_t>{number}) == 1);
        under.cancel();
        co_await locks.wait();
        co_await all.wait();
      },
      3);
}

TEST_CASE("A lock that is taken outside of routines has no owner, whatever routine has had it before") {
  mutex m;
  const auto lock_once = [&m]() -> task<> { (void)co_await m.lock(); };
  run(lock_once);
  auto held = m.try_lock();
  REQUIRE(held);
  run([&]() -> task<> {
    auto locks = go(lock_once);
    const snapshot s = co_await until_waits("the lock");
    REQUIRE(s.objects.size() == 1);
    CHECK(s.objects[0].owners.empty());
    held = {};
    co_await locks;
  });
}

TEST_CASE("A deadlock's report draws the cycle: a lock that its routine locks twice, and a main that joins itself") {
  on_each(every_scheduler(3), [](const scheduler_under_test& scheduler) {
    std::string report;
    try {
      scheduler.run([]() -> task<> {
        mutex m;
        const auto held = co_await m.lock();
        (void)co_await m.lock();
      });
    } catch (const deadlock& e) {
      report = e.what();
    }
    CAPTURE(report);
    CHECK(report.find("    routine 1 (main) waits for the lock of mutex ") != std::string::npos);
    CHECK(report.find(", held by routine 1 (main)") != std::string::npos);

    report.clear();
    try {
      scheduler.run([]() -> task<> {
        mutex m;
        const auto held = co_await m.lock();
        group g;
        g.go([&m]() -> task<> { (void)co_await m.lock(); });
        co_await g.wait();
      });
    } catch (const deadlock& e) {
      report = e.what();
    }
    CAPTURE(report);
    CHECK(report.find("routine 1 (main) waits for the end of a group's members: group ") != std::string::npos);
    CHECK(report.find(", which needs the end of routine ") != std::string::npos);
    CHECK(report.find(", held by routine 1 (main)") != std::string::npos);
  });
}

TEST_CASE("A routine of a snapshot has its context's deadline and its cancellation") {
  on_simulated_schedulers([]() -> task<> {
    const time_point deadline = now() + 1h;
    const context under = context::with_deadline(deadline);
    auto waits = go(under, []() -> task<> {
      (void)co_await outcome(never());
      co_await shield(sleep(1s));
    });
    co_await testing::settle();
    snapshot s = taken();
    const auto other = [&]() -> const snapshot::routine& { return s.routines[s.routines[0].is_main ? 1 : 0]; };
    CHECK(other().deadline == deadline);
    CHECK_FALSE(other().is_cancelled);
    waits.cancel();
    co_await testing::settle();
    s = taken();
    CHECK(other().is_cancelled);
    CHECK(other().operation == "sleep");
    co_await waits;
  });
}

TEST_CASE("A routine of a snapshot has waited since its wait began, and the text tells the longest of a group") {
  on_simulated_schedulers([]() -> task<> {
    channel<int> c;
    const auto receives = [c]() -> task<> {
      co_await c.recv();
      co_await c.recv();
    };
    group g;
    const auto start = [&] { g.go(receives); };  // at one place
    start();
    co_await sleep(30s);
    start();
    co_await sleep(1s);
    const auto waited = [] {
      std::vector<duration> all;
      for (const auto& r : taken().routines) {
        if (!r.is_main) all.push_back(r.waited);
      }
      std::sort(all.begin(), all.end());
      return all;
    };
    CHECK(waited() == std::vector<duration>{1s, 31s});
    const snapshot s = taken();
    CHECK(s.routines[0].waited == 0s);  // it runs
    CHECK(to_text(s).find("; the oldest has waited 31 s; under ") != std::string::npos);
    CHECK(to_json(s).find("\"waited_ns\":31000000000,") != std::string::npos);
    co_await c.send(1);  // to the first
    co_await sleep(2s);
    CHECK(waited() == std::vector<duration>{2s, 3s});
    c.close();
    co_await g.wait();
  });
}

TEST_CASE("The text of a group says whether its routines wait for one object, for some, or each for its own") {
  on_simulated_schedulers([]() -> task<> {
    std::vector<channel<int>> channels(3);
    const auto text_of_three = [&](std::array<std::size_t, 3> places) -> task<std::string> {
      group g;
      for (const std::size_t i : places) g.go([](channel<int> c) -> task<> { co_await c.recv(); }, channels[i]);
      co_await sleep(1ms);
      std::string text = to_text(taken());
      g.cancel();
      co_await g.wait();
      co_return text;
    };
    const std::string one = co_await text_of_three({0, 0, 0});
    CHECK(one.find("wait for receive on channel ") != std::string::npos);
    CHECK(one.find("object") == std::string::npos);
    const std::string some = co_await text_of_three({0, 1, 0});
    CHECK(some.find("wait for receive on a channel, ") != std::string::npos);
    CHECK(some.find("; for 2 different objects") != std::string::npos);
    const std::string own = co_await text_of_three({0, 1, 2});
    CHECK(own.find("; each waits for an object of its own") != std::string::npos);
  });
}

TEST_CASE("No routine has waited for longer than its runtime has run, nor less than others have slept meanwhile") {
  for (unsigned workers : {1u, 3u}) {
    const time_point before = now();
    runtime rt({.workers = workers});
    rt.run([&]() -> task<> {
      channel<int> c;
      auto waits = go([c]() -> task<> { co_await c.recv(); });
      const snapshot first = co_await until_waits("receive");
      co_await sleep(2ms);
      const snapshot s = taken();
      const snapshot::routine* r = waiting(s, "receive");
      REQUIRE(r != nullptr);
      CHECK(r->waited >= 2ms);
      CHECK(r->waited <= s.taken - before);
      c.close();
      co_await waits;
    });
  }
}

TEST_CASE("The text of a snapshot tells the context of a routine and how long it is until the deadline") {
  on_simulated_schedulers([]() -> task<> {
    const context under = context::with_timeout(1h), other = context::with_timeout(2h);
    const auto waits = []() -> task<> { co_await never(); };
    const auto waits_too = []() -> task<> { co_await never(); };
    auto first = go(under, waits), second = go(under, waits_too), third = go(other, waits_too);
    co_await sleep(30min);
    snapshot s = taken();
    REQUIRE(s.routines.size() == 4);
    CHECK(s.routines[0].context == 0);
    CHECK(s.routines[1].context != 0);
    CHECK(s.routines[1].context == s.routines[2].context);
    CHECK(s.routines[1].context != s.routines[3].context);
    const std::string text = to_text(s);
    CHECK(text.find("; has waited 30 min; under context 0x") != std::string::npos);
    CHECK(text.find(", deadline in 30 min\n") != std::string::npos);
    CHECK(text.find("; under several contexts, the first deadline in 30 min\n") != std::string::npos);
    CHECK(to_json(s).find("\"context\":null,") != std::string::npos);
    CHECK(to_json(s).find("\"context\":\"0x") != std::string::npos);
    under.cancel();
    other.cancel();
    co_await first.wait();
    co_await second.wait();
    co_await third.wait();
  });
}

TEST_CASE("A thread that is no worker takes snapshots while routines come, wait and go on all workers") {
  for (unsigned workers : {1u, 4u}) {
    runtime rt({.workers = workers});
    std::atomic<bool> over = false;
    std::size_t routines = 0, chains = 0;
    std::thread foreign;
    rt.run([&]() -> task<> {
      foreign = std::thread([&] {
        for (int i = 0; i < 50 || chains == 0; ++i) {
          const snapshot s = rt.snapshot();
          routines += s.routines.size();
          for (const auto& r : s.routines) chains += r.chain.size() > 1;
          CHECK(json_checker(to_json(s)).is_valid());
        }
        over = true;
      });
      mutex m;
      while (!over) {
        group g;
        channel<int> c(1);
        for (int i = 0; i < 8; ++i) {
          g.go([&m, c, i]() -> task<> {
            const auto works = [&m, c, i]() -> task<> {
              const auto held = co_await m.lock();
              co_await c.send(i);
              co_await sleep(10us);
              (void)co_await c.recv();
            };
            co_await works();
          });
        }
        co_await g.wait();
      }
    });
    foreign.join();
    CHECK(routines > 0);
    CHECK(chains > 0);
  }
}

TEST_CASE("A snapshot of a runtime that does not run has no routines") {
  runtime rt({.workers = 2});
  CHECK(rt.snapshot().routines.empty());
  CHECK(rt.snapshot().workers == 2);
  const runtime_ref ended = rt.run([]() -> task<runtime_ref> { co_return runtime::current(); });
  CHECK(rt.snapshot().routines.empty());
  CHECK(ended.snapshot().routines.empty());
}

TEST_CASE("The JSON of a snapshot is valid, whatever bytes a text has") {
  snapshot s;
  s.workers = 1;
  s.routines.resize(2);
  s.routines[1].waits_for = "reading \"a\\b\"\n\x01 of \xC3\xA4, \xFF and \xE2\x82";
  s.objects.resize(1);
  s.objects[0].kind = "file";
  s.cycles = {{1, 2}, {3}};
  const std::string json = to_json(s);
  CAPTURE(json);
  CHECK(json_checker(json).is_valid());
  CHECK(json.find(R"("waits_for":"reading \"a\\b\"\u000a\u0001 of )"
                  "\xC3\xA4"
                  R"(, \ufffd and \ufffd\ufffd")") != std::string::npos);
  CHECK(json.find(R"("cycles":[[1,2],[3]])") != std::string::npos);
  CHECK(json.find(R"("length":null)") != std::string::npos);
}

TEST_CASE("A printable text shows what a terminal would obey, and is else the same") {
  CHECK(detail::printable("session 7: Gr\xc3\xbc\xc3\x9f Gott \\ \xe2\x82\xac \xf0\x9f\x98\x80 \"") ==
        "session 7: Gr\xc3\xbc\xc3\x9f Gott \\ \xe2\x82\xac \xf0\x9f\x98\x80 \"");
  CHECK(detail::printable("a\nb\tc\r\x1b[2J\x7f") == "a\\nb\\tc\\x0d\\x1b[2J\\x7f");
  CHECK(detail::printable(std::string_view("\0", 1)) == "\\x00");
  CHECK(detail::printable("\xff \xc3 \xed\xa0\x80") == "\\xff \\xc3 \\xed\\xa0\\x80");      // no UTF-8
  CHECK(detail::printable("\xc2\x9b\xe2\x80\xae\xe2\x81\xa6") == "\\u009b\\u202e\\u2066");  // C1, directions
}

TEST_CASE(
    "The texts of a snapshot and of a deadlock show control characters of names, and JSON has the names as they are") {
  const std::string evil = "evil \x1b[31m\nroutine 9";
  const auto is_clean = [](std::string_view text) {
    return std::ranges::none_of(text, [](char c) { return c != '\n' && static_cast<unsigned char>(c) < 0x20; }) &&
           text.find("\nroutine 9") == std::string_view::npos &&
           text.find("\"evil \\x1b[31m\\nroutine 9\"") != std::string_view::npos;
  };
  const auto reserve = [](mutex& first, mutex& second, latch& both) -> task<> {
    const auto held = co_await first.lock();
    both.count_down();
    co_await both.wait();
    const auto also_held = co_await second.lock();
  };
  for (const unsigned workers : {1u, 2u}) {
    std::string report;
    try {
      run(
          [&]() -> task<> {
            mutex a{named(evil)}, b{named(evil)};
            latch both_hold(2);
            auto one = go(named(evil, reserve), std::ref(a), std::ref(b), std::ref(both_hold));
            auto other = go(named(evil, reserve), std::ref(b), std::ref(a), std::ref(both_hold));
            const snapshot s = co_await until_waits("the lock of a mutex", 2);
            CHECK(is_clean(to_text(s)));
            CHECK(to_text(s).find("waits for the lock of mutex \"evil \\x1b[31m\\nroutine 9\"") != std::string::npos);
            CHECK(s.routines.back().name == evil);
            CHECK(to_json(s).find(R"("name":"evil \u001b[31m\u000aroutine 9")") != std::string::npos);
            co_await one.join();
          },
          {.workers = workers});
    } catch (const deadlock& e) {
      report = e.what();
    }
    CHECK(is_clean(report));
  }
}
