// Cancellation, systematically: each thing that can be awaited, cancelled by its context and by its handle at each of
// its suspension points, before, at and after the event that it waits for. What an event has given is had or still
// there, what was to be given is whole, and no await that begins after the cancellation completes (semantics D13, D14).
#include <doctest/doctest.h>

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <ringo/ringo.hpp>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "error_told.hpp"
#include "every_scheduler.hpp"

using namespace ringo;
using namespace std::chrono_literals;

namespace {

using value = std::unique_ptr<int>;

constexpr duration moment = 1ms;

// Where one routine, the victim, waits for what its peer does.
struct stage {
  channel<value> a, b, full{1};
  mutex lock;
  shared_mutex shared_lock;
  semaphore permits{3};
  event occasion;
  condition changed;
  once initialised;
  bool wanted = false;

  std::size_t points = 0;  // how many awaits the victim has begun
  std::size_t cancel_at = 0;
  channel<void> reached{1};
  bool cancelled = false;
  std::size_t completed_although = 0;  // awaits that were begun after the cancellation
  std::size_t sent = 0, received = 0, broken = 0;

  bool begin() {
    if (++points == cancel_at) reached.try_send();
    return cancelled;
  }
  void complete(bool begun_cancelled) { completed_although += begun_cancelled; }
};

// A way to wait: what the victim does in a round, what its peer does all the time, and what must be true when both have
// ended.
struct way {
  std::string name;
  std::function<task<>(stage&)> round;
  std::function<task<>(stage&)> peer = nullptr;
  std::function<bool(stage&)> is_whole = nullptr;
  bool shielded = false;
};

task<> sends_to(stage& s, channel<value> c) {
  for (;;) {
    value v = std::make_unique<int>(1);
    try {
      co_await c.send(std::move(v));
      ++s.sent;
    } catch (const cancelled&) {
      s.broken += v == nullptr;
      throw;
    }
  }
}

task<> receives_from(stage& s, channel<value> c) {
  for (;;) {
    const auto v = co_await c.recv();
    ++s.received;
    s.broken += !v || !*v;
  }
}

task<> sends_to_a(stage& s) { return sends_to(s, s.a); }
task<> receives_from_a(stage& s) { return receives_from(s, s.a); }
task<> sends_to_both(stage& s) {
  auto first = go(sends_to, std::ref(s), s.a);
  auto second = go(sends_to, std::ref(s), s.b);
  const auto cancelled_both = [&]() -> task<> {
    first.cancel();
    second.cancel();
    (void)co_await outcome(first);
    (void)co_await outcome(second);
  };
  co_await finally(never(), cancelled_both());
}

bool all_received(stage& s) {
  // What was handed to the victim as it was cancelled is lost with it only if it never looked: there is none such here.
  for (channel<value>* c : {&s.a, &s.b, &s.full}) {
    while (c->try_recv()) ++s.received;
  }
  return s.sent == s.received;
}

void take(stage& s, const std::optional<value>& v) {
  ++s.received;
  s.broken += !v || !*v;
}

// In a round that may be ended by its own limit.
template <class T>
bool limit_passed(stage& s, const outcome_of<T>& o) {
  if (o) return false;
  if (told(o) != "timed out") std::rethrow_exception(o.error());
  (void)s;
  return true;
}

task<value> receives_in_a_task(stage& s, channel<value> c) {
  auto v = co_await c.recv();
  ++s.received;
  co_return std::move(*v);
}

task<> locks_for_a_moment(stage& s) {
  for (;;) {
    {
      const auto held = co_await s.lock.lock();
      co_await sleep(moment);
    }
    co_await sleep(moment);
  }
}

std::vector<way> ways() {
  const auto is_free = [](stage& s) {
    const bool locked = static_cast<bool>(s.lock.try_lock());
    return locked && s.permits.available() == 3 && static_cast<bool>(s.shared_lock.try_lock());
  };
  return {
      {"recv", [](stage& s) -> task<> { take(s, co_await s.a.recv()); }, sends_to_a, all_received},
      {"send",
       [](stage& s) -> task<> {
         value v = std::make_unique<int>(2);
         try {
           co_await s.a.send(std::move(v));
           ++s.sent;
           s.broken += v != nullptr;
         } catch (const cancelled&) {
           s.broken += v == nullptr;
           throw;
         }
       },
       receives_from_a, all_received},
      {"emplace",
       [](stage& s) -> task<> {
         co_await s.full.emplace(std::make_unique<int>(3));
         ++s.sent;
       },
       [](stage& s) { return receives_from(s, s.full); }, all_received},
      {"select of two receives",
       [](stage& s) -> task<> {
         auto r = co_await select(s.a.recv(), s.b.recv());
         take(s, r.index() == 0 ? std::get<0>(r) : std::get<1>(r));
       },
       sends_to_both, all_received},
      {"select of a send and a receive",
       [](stage& s) -> task<> {
         value v = std::make_unique<int>(2);
         std::optional<std::variant<std::monostate, std::optional<value>>> r;
         try {
           r.emplace(co_await select(s.full.send(std::move(v)), s.a.recv()));
         } catch (const cancelled&) {
           s.broken += v == nullptr;
           throw;
         }
         s.broken += (r->index() == 0) != (v == nullptr);
         if (r->index() == 0) {
           ++s.sent;
         } else {
           take(s, std::get<1>(*r));
         }
       },
       sends_to_a, all_received},
      {"select with time",
       [](stage& s) -> task<> {
         auto r = co_await select(s.a.recv(), sleep(moment));
         if (r.index() == 0) take(s, std::get<0>(r));
       },
       sends_to_a, all_received},
      {"select_any",
       [](stage& s) -> task<> {
         std::vector<decltype(s.a.recv())> cases;
         cases.push_back(s.a.recv());
         cases.push_back(s.b.recv());
         const auto r = co_await select_any(cases);
         take(s, r.result);
       },
       sends_to_both, all_received},
      {"select of tasks",
       [](stage& s) -> task<> {
         auto r = co_await select(receives_in_a_task(s, s.a), receives_in_a_task(s, s.b));
         s.broken += r.index() == 0 ? !std::get<0>(r) : !std::get<1>(r);
       },
       sends_to_both, all_received},
      {"sleep", [](stage&) -> task<> { co_await sleep(moment); }},
      {"sleep_until", [](stage&) -> task<> { co_await sleep_until(now() + moment); }},
      {"yield", [](stage&) -> task<> { co_await yield(); }},
      {"timer",
       [](stage&) -> task<> {
         timer t(moment);
         co_await t.wait();
       }},
      {"ticker",
       [](stage&) -> task<> {
         ticker k(moment);
         co_await k.tick();
       }},
      {"wait_group",
       [](stage&) -> task<> {
         auto group = std::make_shared<wait_group>();
         group->add();
         go(context::background(), [group]() -> task<> {
           co_await sleep(moment);
           group->done();
         });
         co_await group->wait();
       }},
      {"join",
       [](stage& s) -> task<> {
         auto h = go(context::background(), []() -> task<int> {
           co_await sleep(moment);
           co_return 5;
         });
         std::exception_ptr interrupted;
         try {
           const int five = co_await h;
           s.broken += five != 5;
         } catch (const cancelled&) {
           interrupted = std::current_exception();
         }
         if (!interrupted) co_return;
         const int five = co_await shield(h);  // a cancelled join has left it
         s.broken += five != 5;
         std::rethrow_exception(interrupted);
       }},
      {"finished",
       [](stage&) -> task<> {
         auto h = go([]() -> task<> { co_await sleep(moment); });
         co_await h.wait();
       }},
      {"the end of a context",
       [](stage&) -> task<> {
         const context c = context::with_timeout(context::background(), moment);
         co_await c.wait();
       }},
      {"with_timeout of recv",
       [](stage& s) -> task<> {
         auto o = co_await outcome(with_timeout(moment, s.a.recv()));
         if (!limit_passed(s, o)) take(s, std::move(o).value());
       },
       sends_to_a, all_received},
      {"with_timeout of a send that nobody takes",
       [](stage& s) -> task<> {
         value v = std::make_unique<int>(4);
         const auto o = co_await outcome(with_timeout(moment, s.b.send(std::move(v))));
         s.broken += !v;
         limit_passed(s, o);
       },
       nullptr, all_received},
      {"with_timeout of a task",
       [](stage& s) -> task<> {
         const auto o = co_await outcome(with_timeout(moment, receives_in_a_task(s, s.a)));
         limit_passed(s, o);
       },
       sends_to_a, all_received},
      {"with_timeout in with_timeout",
       [](stage& s) -> task<> {
         const auto o = co_await outcome(with_timeout(2 * moment, with_timeout(moment, s.b.recv())));
         limit_passed(s, o);
       }},
      {"with_context", [](stage& s) -> task<> { take(s, co_await with_context(context::with_cancel(), s.a.recv())); },
       sends_to_a, all_received},
      {"shield", [](stage& s) -> task<> { take(s, co_await shield(s.a.recv())); }, sends_to_a, all_received, true},
      {"shield of a select of tasks",
       [](stage& s) -> task<> {
         (void)co_await shield(select(receives_in_a_task(s, s.a), receives_in_a_task(s, s.b)));
       },
       sends_to_both, all_received, true},
      {"finally",
       [](stage& s) -> task<> {
         const auto cleans_up = [&s]() -> task<> {
           co_await sleep(moment);
           ++s.received;
         };
         ++s.sent;
         take(s, co_await finally(s.a.recv(), cleans_up()));
       },
       sends_to_a, all_received},
      {"mutex", [](stage& s) -> task<> { const auto held = co_await s.lock.lock(); }, locks_for_a_moment, is_free},
      {"mutex as a case", [](stage& s) -> task<> { (void)co_await select(s.lock.lock(), sleep(moment)); },
       locks_for_a_moment, is_free},
      {"shared_mutex",
       [](stage& s) -> task<> {
         const auto read = co_await s.shared_lock.lock_shared();
         co_await yield();
       },
       [](stage& s) -> task<> {
         for (;;) {
           const auto written = co_await s.shared_lock.lock();
           co_await sleep(moment);
         }
       },
       is_free},
      {"semaphore", [](stage& s) -> task<> { const auto held = co_await s.permits.acquire(2); },
       [](stage& s) -> task<> {
         for (;;) {
           const auto held = co_await s.permits.acquire(3);
           co_await sleep(moment);
         }
       },
       is_free},
      {"event",
       [](stage& s) -> task<> {
         co_await s.occasion.wait();
         s.occasion.reset();
       },
       [](stage& s) -> task<> {
         for (;;) {
           co_await sleep(moment);
           s.occasion.set();
         }
       }},
      {"condition",
       [](stage& s) -> task<> {
         auto held = co_await s.lock.lock();
         try {
           co_await s.changed.wait(held, [&s] { return s.wanted; });
           s.wanted = false;
         } catch (const cancelled&) {
           s.broken += !held;  // it holds the lock again whichever way it ends
           throw;
         }
       },
       [](stage& s) -> task<> {
         for (;;) {
           co_await sleep(moment);
           const auto held = co_await s.lock.lock();
           s.wanted = true;
           s.changed.notify_one();
         }
       },
       is_free},
      {"barrier",
       [](stage&) -> task<> {
         auto line = std::make_shared<barrier>(2);
         go(context::background(), [line]() -> task<> {
           co_await sleep(moment);
           (void)co_await with_timeout(moment, outcome(line->arrive_and_wait()));
         });
         co_await line->arrive_and_wait();
       }},
      {"latch",
       [](stage&) -> task<> {
         auto gate = std::make_shared<latch>(1);
         go(context::background(), [gate]() -> task<> {
           co_await sleep(moment);
           gate->count_down();
         });
         co_await gate->wait();
       }},
      {"once",
       [](stage&) -> task<> {
         const auto first = std::make_shared<once>();
         const auto slowly = []() -> task<> { co_await sleep(moment); };
         co_await first->call(slowly);
       }},
      {"group",
       [](stage& s) -> task<> {
         group g;
         for (int i = 0; i != 3; ++i) {
           g.go([&s]() -> task<> {
             ++s.sent;
             const auto leaves = [&s]() -> task<> {
               ++s.received;
               co_return;
             };
             co_await finally(sleep(moment), leaves());
           });
         }
         co_await g.wait();
       },
       nullptr, all_received},
      {"group::slot",
       [](stage& s) -> task<> {
         const auto fills = [&s](group& g) -> task<> {
           g.limit(1);
           g.go([]() -> task<> { co_await sleep(moment); });
           co_await g.slot();
           (void)s;
         };
         co_await scope(fills);
       }},
      {"all",
       [](stage& s) -> task<> {
         (void)co_await all(receives_in_a_task(s, s.a), receives_in_a_task(s, s.b), sleep(moment));
       },
       sends_to_both, all_received},
      {"blocking",
       [](stage& s) -> task<> {
         const int six = co_await blocking([] { return 6; });
         s.broken += six != 6;
       }},
  };
}

enum class by { its_context, its_handle };

// When the cancel comes, from where the victim begins its n-th await: after so many turns, or at the moment at which
// timed events come.
struct instant {
  int turns;
  bool a_moment_later;
};

task<> victim(const way& w, stage& s, std::size_t rounds) {
  for (std::size_t round = 0; round != rounds; ++round) {
    const bool begun_cancelled = s.begin();
    co_await w.round(s);
    s.complete(begun_cancelled);
  }
}

struct trial {
  by how;
  std::size_t point;
  instant when;
  std::size_t rounds;
  std::size_t* cancelled_ones = nullptr;
};

// True if the victim has begun that await.
task<bool> perform(const way& w, trial t) {
  stage s;
  s.cancel_at = t.point;
  const context ctx = context::with_cancel();
  handle<> peer;
  if (w.peer) peer = go(w.peer, std::ref(s));
  auto h = go(ctx, victim, std::cref(w), std::ref(s), t.rounds);
  auto canceller = go([&]() -> task<> {
    const bool reached = co_await s.reached.recv();
    if (!reached) co_return;
    if (t.when.a_moment_later) co_await sleep(moment);
    for (int i = 0; i != t.when.turns; ++i) co_await yield();
    s.cancelled = true;
    t.how == by::its_context ? ctx.cancel() : h.cancel();
  });
  const auto end = co_await outcome(h);
  s.reached.try_close();
  co_await canceller;
  if (w.peer) {
    peer.cancel();
    (void)co_await outcome(peer);
  }
  const bool ended_rightly = told(end) == "value" || (s.cancelled && told(end) == "cancelled");
  if (!ended_rightly) FAIL_CHECK("it ended with: " << told(end));
  if (t.cancelled_ones) *t.cancelled_ones += told(end) == "cancelled";
  CHECK(s.broken == 0);
  if (!w.shielded) CHECK(s.completed_although == 0);
  if (w.is_whole) CHECK(w.is_whole(s));
  co_return s.points >= t.point;
}

task<> perform_alone(const way& w, trial t) { (void)co_await perform(w, t); }

}  // namespace

TEST_CASE("each way to wait, cancelled at the n-th await for all n, before, at and after its event") {
  for (const way& w : ways()) {
    for (const by how : {by::its_context, by::its_handle}) {
      std::size_t cancelled_ones = 0;
      for (const instant when : {instant{0, false}, {1, false}, {3, false}, {0, true}, {2, true}}) {
        bool reached = true;
        for (std::size_t point = 1; reached; ++point) {
          INFO("the way: ", w.name, ", cancelled by its ", how == by::its_context ? "context" : "handle", " at await ",
               point, ", turns: ", when.turns, when.a_moment_later ? ", a moment later" : "");
          on_simulated_schedulers(
              [&]() -> task<> { reached = co_await perform(w, {how, point, when, 3, &cancelled_ones}); }, 6);
          if (point > 3) CHECK_FALSE(reached);
        }
      }
      INFO("the way: ", w.name);
      if (!w.shielded) CHECK(cancelled_ones > 10);  // else each of its rounds is held to its end
      if (w.shielded) CHECK(cancelled_ones == 0);
    }
  }
}

TEST_CASE("the same on real workers") {
  for (const way& w : ways()) {
    for (const by how : {by::its_context, by::its_handle}) {
      for (std::size_t point : {1u, 2u}) {
        INFO("the way: ", w.name, ", cancelled at await ", point);
        scheduler_under_test::real(1).run(
            [&]() -> task<> { (void)co_await perform(w, {how, point, {1, point == 2}, 2}); });
      }
    }
  }
}

TEST_CASE("one await of each way and one cancel, in every order that the scheduler can choose, as far as that goes") {
  for (const way& w : ways()) {
    for (const by how : {by::its_context, by::its_handle}) {
      for (const bool a_moment_later : {false, true}) {
        INFO("the way: ", w.name);
        const auto before = testing::live();
        const auto seen =
            testing::explore([&] { return perform_alone(w, {how, 1, {1, a_moment_later}, 1}); }, stressed(600));
        CHECK(seen.runs > 0);
        CHECK(testing::live() == before);
      }
    }
  }
}
