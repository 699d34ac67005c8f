// A coroutine that waits goes away: destroyed by its owner before the event, after it, by another routine; cancelled;
// or with its runtime. What it waited for is then as if it had never waited, and nothing is left (semantics D9, D13).
#include <doctest/doctest.h>

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <ringo/ringo.hpp>
#include <string>
#include <utility>
#include <vector>

#include "every_scheduler.hpp"
#include "owned_coroutine.hpp"
#include "values.hpp"

using namespace ringo;
using namespace std::chrono_literals;

namespace {

// What the coroutines of these tests wait for, each with the event that ends its wait.
struct sources {
  channel<payload> unbuffered, full{1}, other, silent;
  channel<int> numbers;
  channel<void> signals;
  timer alarm{1h};
  ticker clock{1h};
  wait_group group;
  handle<int> routine;
  channel<void> end_of_routine;
  context scope_of_it = context::with_cancel();
  mutex locked, free;
  shared_mutex read, written;
  semaphore permits{3};
  event gate;
  std::size_t left = 1;
  latch counted{left};
  condition changed;
  barrier meeting{2};
  mutex::guard lock = locked.try_lock(), reader = read.try_lock_shared(), writer = written.try_lock();
  semaphore::permit taken = permits.try_acquire(2);

  sources() {
    full.try_send(payload(1));
    group.add();
    routine = go([end = end_of_routine]() -> task<int> {
      co_await end.recv();
      co_return 5;
    });
  }
  // Main's end does not touch these. Else it would resume a coroutine that waits for the context or the routine on one
  // worker, while the coroutine's owner, which main's end cancels, too, destroys it on another (D10).
  struct untouched_by_the_end {};
  explicit sources(untouched_by_the_end) : sources() {
    scope_of_it = context::with_cancel(context::background());
    routine = go([end = end_of_routine]() -> task<int> {
      co_await shield(end.recv());
      co_return 5;
    });
  }
  ~sources() { end_of_routine.try_close(); }

  // Lets go of what would else keep the program from its end.
  void finish() {
    group.done();
    end_of_routine.try_close();
  }
};

// How a coroutine's wait came out.
enum class end_of_wait { none, event, cancelled };

// A way to wait, as a coroutine that an owner destroys and as a routine.
struct way {
  std::string name;
  std::function<owned_coroutine(sources&, int& alive, end_of_wait&)> owned;
  std::function<task<>(sources&, int& alive, end_of_wait&)> routine;
  std::function<void(sources&)> event;      // lets the wait end; without a waiter it changes nothing
  std::function<bool(sources&)> untouched;  // nobody waits there, and nothing has been taken or put
  bool at_once = true;                      // the event has ended the wait when event() returns
  bool at_once_in_routine = true;           // the same for a routine
};

// Defines `name` as a template over the coroutine's type that waits by `...`, with `s` for the sources.
#define RINGO_TEST_WAY(name, ...)                            \
  template <class Coroutine>                                 \
  Coroutine name(sources& s, int& alive, end_of_wait& how) { \
    const witness w(alive);                                  \
    try {                                                    \
      __VA_ARGS__;                                           \
      how = end_of_wait::event;                              \
    } catch (const cancelled&) {                             \
      how = end_of_wait::cancelled;                          \
    }                                                        \
    (void)s;                                                 \
  }

RINGO_TEST_WAY(receives, co_await s.unbuffered.recv())
RINGO_TEST_WAY(sends_rvalue, payload p(7); co_await s.full.send(std::move(p)))
RINGO_TEST_WAY(sends_copy, const int n = 7; co_await s.numbers.send(n))
RINGO_TEST_WAY(emplaces, co_await s.full.emplace(7))
RINGO_TEST_WAY(sends_signal, co_await s.signals.send())
RINGO_TEST_WAY(receives_signal, co_await s.signals.recv())
RINGO_TEST_WAY(selects_receives, co_await select(s.unbuffered.recv(), s.silent.recv()))
RINGO_TEST_WAY(selects_with_send, payload p(7); co_await select(s.silent.recv(), s.full.send(std::move(p))))
RINGO_TEST_WAY(selects_both_ends, payload p(7); co_await select(s.other.send(std::move(p)), s.other.recv()))
RINGO_TEST_WAY(selects_twice, co_await select(s.unbuffered.recv(), s.unbuffered.recv(), s.silent.recv()))
RINGO_TEST_WAY(selects_with_time, co_await select(s.unbuffered.recv(), sleep(1h), s.alarm.wait(), s.clock.tick()))
RINGO_TEST_WAY(selects_first, co_await select(prefer_first, s.silent.recv(), s.unbuffered.recv()))
RINGO_TEST_WAY(
    selects_with_handler, auto take = [](auto) {}; co_await select(on(s.unbuffered.recv(), take), s.silent.recv()))
RINGO_TEST_WAY(selects_any, std::vector<decltype(s.silent.recv())> cases; cases.push_back(s.silent.recv());
               cases.push_back(s.unbuffered.recv()); co_await select_any(cases))
RINGO_TEST_WAY(selects_joins, co_await select(s.routine.join(), s.silent.recv()))
RINGO_TEST_WAY(waits_for_timer, co_await s.alarm.wait())
RINGO_TEST_WAY(waits_for_tick, co_await s.clock.tick())
RINGO_TEST_WAY(waits_for_group, co_await s.group.wait())
RINGO_TEST_WAY(joins, co_await s.routine.join())
RINGO_TEST_WAY(waits_for_end, co_await s.routine.wait())
RINGO_TEST_WAY(sleeps, co_await sleep(1h))
RINGO_TEST_WAY(sleeps_until, co_await sleep_until(now() + 1h))
RINGO_TEST_WAY(sleeps_for_ever, co_await sleep(std::chrono::hours::max()))
RINGO_TEST_WAY(receives_on_nil, co_await channel<int>::nil().recv())
RINGO_TEST_WAY(never_ends, co_await never())
RINGO_TEST_WAY(waits_for_context, co_await s.scope_of_it.wait())
RINGO_TEST_WAY(selects_context, co_await select(s.unbuffered.recv(), s.scope_of_it.wait()))
RINGO_TEST_WAY(bounded, co_await with_timeout(1h, s.unbuffered.recv()))
RINGO_TEST_WAY(bounded_twice, co_await with_timeout(1h, with_timeout(2h, s.unbuffered.recv())))
RINGO_TEST_WAY(under_context, co_await with_context(s.scope_of_it, s.unbuffered.recv()))
RINGO_TEST_WAY(locks, const auto held = co_await s.locked.lock())
RINGO_TEST_WAY(locks_to_write, const auto held = co_await s.read.lock())
RINGO_TEST_WAY(locks_to_read, const auto held = co_await s.written.lock_shared())
RINGO_TEST_WAY(acquires, const auto held = co_await s.permits.acquire(2))
RINGO_TEST_WAY(acquires_too_many, const auto held = co_await s.permits.acquire(4))
RINGO_TEST_WAY(selects_locks, co_await select(s.silent.recv(), s.locked.lock(), s.permits.acquire(3)))
RINGO_TEST_WAY(selects_lock_twice, co_await select(s.locked.lock(), s.locked.lock()))
RINGO_TEST_WAY(waits_for_event, co_await s.gate.wait())
RINGO_TEST_WAY(waits_for_latch, co_await s.counted.wait())
RINGO_TEST_WAY(arrives_and_waits, co_await s.meeting.arrive_and_wait())
RINGO_TEST_WAY(waits_for_condition, auto held = co_await s.free.lock(); co_await s.changed.wait(held))
#undef RINGO_TEST_WAY

template <class T>
bool nobody_waits_to_receive(const channel<T>& c) {
  if constexpr (std::is_void_v<T>) {
    return !c.try_send();
  } else {
    return !c.try_send(T(3));
  }
}
template <class T>
bool nobody_waits_to_send(const channel<T>& c) {
  return !c.try_recv();
}

void no_event(sources&) {}
bool nothing_to_see(sources&) { return true; }

// Both coroutines of a way to wait, with its name.
#define RINGO_TEST_BOTH(wait) #wait, wait<owned_coroutine>, wait<task<>>

std::vector<way> ways_to_wait() {
  const auto give = [](sources& s) { s.unbuffered.try_send(payload(2)); };
  const auto none_receives = [](sources& s) {
    return nobody_waits_to_receive(s.unbuffered) && nobody_waits_to_receive(s.silent);
  };
  // Takes out what is there, and what a sender has put behind it; then all is as it was.
  const auto make_room = [](sources& s) {
    for (int i = 0; i != 2; ++i) {
      (void)s.full.try_recv();
      s.full.try_send(payload(1));
    }
  };
  const auto none_sends = [](sources& s) {
    auto first = s.full.try_recv();
    return first && first->number() == 1 && nobody_waits_to_send(s.full) && nobody_waits_to_receive(s.silent);
  };
  const auto unlock = [](sources& s) { s.lock = {}; };
  const auto unlocked = [](sources& s) {
    s.lock = {};
    s.lock = s.locked.try_lock();
    return bool(s.lock);
  };
  const auto none_locks = [](sources& s) {
    s.reader = {};
    s.reader = s.read.try_lock_shared();
    s.writer = {};
    s.writer = s.written.try_lock();
    return s.reader && s.writer;
  };
  const auto release = [](sources& s) { s.taken = {}; };
  const auto none_acquires = [](sources& s) {
    s.taken = {};
    return s.permits.available() == 3 && s.permits.try_acquire(3);
  };
  const auto end_the_routine = [](sources& s) { s.end_of_routine.try_close(); };
  return {
      {RINGO_TEST_BOTH(receives), give, none_receives},
      {RINGO_TEST_BOTH(sends_rvalue), make_room, none_sends},
      {RINGO_TEST_BOTH(emplaces), make_room, none_sends},
      {RINGO_TEST_BOTH(sends_copy), [](sources& s) { (void)s.numbers.try_recv(); },
       [](sources& s) { return nobody_waits_to_send(s.numbers); }},
      {RINGO_TEST_BOTH(sends_signal), [](sources& s) { (void)s.signals.try_recv(); },
       [](sources& s) { return nobody_waits_to_send(s.signals); }},
      {RINGO_TEST_BOTH(receives_signal), [](sources& s) { s.signals.try_send(); },
       [](sources& s) { return nobody_waits_to_receive(s.signals); }},
      {RINGO_TEST_BOTH(selects_receives), give, none_receives},
      {RINGO_TEST_BOTH(selects_with_send), make_room, none_sends},
      {RINGO_TEST_BOTH(selects_both_ends), [](sources& s) { (void)s.other.try_recv(); },
       [](sources& s) { return nobody_waits_to_send(s.other) && nobody_waits_to_receive(s.other); }},
      {RINGO_TEST_BOTH(selects_twice), give, none_receives},
      {RINGO_TEST_BOTH(selects_with_time), give, none_receives},
      {RINGO_TEST_BOTH(selects_first), give, none_receives},
      {RINGO_TEST_BOTH(selects_with_handler), give, none_receives},
      {RINGO_TEST_BOTH(selects_any), give, none_receives},
      {RINGO_TEST_BOTH(selects_joins), end_the_routine, [](sources& s) { return nobody_waits_to_receive(s.silent); },
       false},
      {RINGO_TEST_BOTH(waits_for_timer), [](sources& s) { s.alarm.reset(0s); }, nothing_to_see, false},
      {RINGO_TEST_BOTH(waits_for_tick), [](sources& s) { s.clock.reset(1ns); }, nothing_to_see, false},
      {RINGO_TEST_BOTH(waits_for_group),
       [](sources& s) {
         s.group.done();
         s.group.add();
       },
       nothing_to_see},
      {RINGO_TEST_BOTH(joins), end_the_routine, nothing_to_see, false},
      {RINGO_TEST_BOTH(waits_for_end), end_the_routine, nothing_to_see, false},
      {RINGO_TEST_BOTH(sleeps), no_event, nothing_to_see, false},
      {RINGO_TEST_BOTH(sleeps_until), no_event, nothing_to_see, false},
      {RINGO_TEST_BOTH(sleeps_for_ever), no_event, nothing_to_see, false},
      {RINGO_TEST_BOTH(receives_on_nil), no_event, nothing_to_see, false},
      {RINGO_TEST_BOTH(never_ends), no_event, nothing_to_see, false},
      {RINGO_TEST_BOTH(waits_for_context), [](sources& s) { s.scope_of_it.cancel(); }, nothing_to_see},
      {RINGO_TEST_BOTH(selects_context), give, none_receives},
      {RINGO_TEST_BOTH(bounded), give, none_receives},
      {RINGO_TEST_BOTH(bounded_twice), give, none_receives},
      {RINGO_TEST_BOTH(under_context), give, none_receives},
      {RINGO_TEST_BOTH(locks), unlock, unlocked, true, false},
      {RINGO_TEST_BOTH(locks_to_write), [](sources& s) { s.reader = {}; }, none_locks},
      {RINGO_TEST_BOTH(locks_to_read), [](sources& s) { s.writer = {}; }, none_locks},
      {RINGO_TEST_BOTH(acquires), release, none_acquires},
      {RINGO_TEST_BOTH(acquires_too_many), no_event, none_acquires, false},
      {RINGO_TEST_BOTH(selects_locks), unlock,
       [=](sources& s) { return unlocked(s) && none_acquires(s) && nobody_waits_to_receive(s.silent); }},
      {RINGO_TEST_BOTH(selects_lock_twice), unlock, unlocked},
      {RINGO_TEST_BOTH(waits_for_event),
       [](sources& s) {
         s.gate.set();
         s.gate.reset();
       },
       nothing_to_see},
      {RINGO_TEST_BOTH(waits_for_latch), [](sources& s) { s.counted.count_down(std::exchange(s.left, 0)); },
       nothing_to_see},
      {RINGO_TEST_BOTH(arrives_and_waits),
       [](sources& s) {
         const auto arrives = [](barrier& at) -> owned_coroutine { co_await select(at.arrive_and_wait(), otherwise); };
         const owned_coroutine arrived = arrives(s.meeting);
       },
       nothing_to_see},
      {RINGO_TEST_BOTH(waits_for_condition), [](sources& s) { s.changed.notify_one(); },
       [](sources& s) { return bool(s.free.try_lock()); }},
  };
}

// Runs use(way) for each, and names the way where a check fails or something throws.
void for_each_way(const std::function<void(const way&)>& use) {
  for (const way& each : ways_to_wait()) {
    INFO("the coroutine that ", each.name);
    use(each);
    CHECK(payload::alive == 0);
  }
}

// A coroutine of the test's own type that awaits a ringo task, which waits.
owned_coroutine waits_in_a_task(const way& how_to, sources& s, int& alive, end_of_wait& how) {
  co_await how_to.routine(s, alive, how);
}

// A routine that waits and shares its sources: what outlives main must not refer to main's locals.
task<> waits_sharing(const way& how_to, std::shared_ptr<sources> s, int& alive, end_of_wait& how) {
  co_await how_to.routine(*s, alive, how);
}

// A routine that waits for ever and owns a coroutine which waits.
task<> owns_a_waiting_one(const way& how_to, std::shared_ptr<sources> s, int& alive, end_of_wait& how) {
  const owned_coroutine waiting = how_to.owned(*s, alive, how);
  co_await never();
}

std::vector<scheduler_under_test> schedulers_of_one_thread(std::size_t seeds) {
  std::vector<scheduler_under_test> some = simulated_schedulers(seeds);
  some.push_back(scheduler_under_test::real(1));
  return some;
}

}  // namespace

TEST_CASE("a coroutine is destroyed while it waits: the source is as if it had never waited") {
  for_each_way([](const way& each) {
    on_every_scheduler(
        [&each]() -> task<> {
          sources s;
          int alive = 0;
          end_of_wait how = end_of_wait::none;
          {
            const owned_coroutine waiting = each.owned(s, alive, how);
            CHECK(alive == 1);
          }
          CHECK(alive == 0);
          CHECK(each.untouched(s));
          each.event(s);
          co_await yield();
          CHECK(how == end_of_wait::none);
          s.finish();
        },
        2);
  });
}

TEST_CASE("a coroutine is destroyed when its event has been delivered and it has not run yet") {
  for_each_way([](const way& each) {
    on_each(schedulers_of_one_thread(3), [&each](const scheduler_under_test& scheduler) {
      scheduler.run([&each]() -> task<> {
        sources s;
        int alive = 0;
        end_of_wait how = end_of_wait::none;
        owned_coroutine waiting = each.owned(s, alive, how);
        each.event(s);
        waiting.destroy();
        CHECK(alive == 0);
        CHECK(how == end_of_wait::none);
        CHECK(each.untouched(s));
        co_await yield();
        CHECK(how == end_of_wait::none);
        s.finish();
      });
    });
  });
}

TEST_CASE("a coroutine is destroyed some steps after its event, whether it has run by then or not") {
  for_each_way([](const way& each) {
    on_each(schedulers_of_one_thread(8), [&each](const scheduler_under_test& scheduler) {
      for (int steps : {1, 2, 4}) {
        scheduler.run([&each, steps]() -> task<> {
          sources s;
          int alive = 0;
          end_of_wait how = end_of_wait::none;
          owned_coroutine waiting = each.owned(s, alive, how);
          each.event(s);
          for (int i = 0; i != steps; ++i) co_await yield();
          CHECK(waiting.done() == (how == end_of_wait::event));
          waiting.destroy();
          CHECK(alive == 0);
          CHECK(each.untouched(s));
          s.finish();
        });
      }
    });
  });
}

TEST_CASE("an event that is let happen ends the wait of a coroutine that is no routine") {
  for_each_way([](const way& each) {
    if (!each.at_once) return;
    // On one thread: its owner destroys the coroutine as soon as it has told of its end, and is not to race with its
    // last steps (D10).
    on_each(schedulers_of_one_thread(3), [&each](const scheduler_under_test& scheduler) {
      scheduler.run([&each]() -> task<> {
        sources s;
        int alive = 0;
        end_of_wait how = end_of_wait::none;
        channel<void> ended;
        const auto waits = [&]() -> task<> {
          co_await each.routine(s, alive, how);
          co_await ended.send();
        };
        const auto owns = [&]() -> owned_coroutine { co_await waits(); };
        const owned_coroutine waiting = owns();
        while (alive == 0) co_await yield();
        bool over = false;
        // With several virtual workers the task may not wait yet when the event comes.
        while (!over) {
          each.event(s);
          over = ended.try_recv();
          co_await yield();
        }
        CHECK(alive == 0);
        CHECK(how == end_of_wait::event);
        s.finish();
      });
    });
  });
}

TEST_CASE("a coroutine that awaits a task is destroyed before the task runs, while it waits, and after its event") {
  for_each_way([](const way& each) {
    on_each(schedulers_of_one_thread(4), [&each](const scheduler_under_test& scheduler) {
      for (int steps : {0, 1, 2, 4}) {
        for (bool event : {false, true}) {
          scheduler.run([&each, steps, event]() -> task<> {
            sources s;
            int alive = 0;
            end_of_wait how = end_of_wait::none;
            owned_coroutine waiting = waits_in_a_task(each, s, alive, how);
            for (int i = 0; i != steps; ++i) co_await yield();
            if (event) each.event(s);
            waiting.destroy();
            CHECK(alive == 0);
            CHECK(each.untouched(s));
            co_await yield();
            CHECK(alive == 0);
            s.finish();
          });
        }
      }
    });
  });
}

TEST_CASE("a coroutine whose tasks have spent its turn is destroyed while it is to go on later") {
  on_each(schedulers_of_one_thread(10), [](const scheduler_under_test& scheduler) {
    scheduler.run([]() -> task<> {
      int rounds = 0;
      const auto round = [&rounds]() -> task<> {
        ++rounds;
        co_return;
      };
      const auto many = [&round]() -> task<> {
        for (;;) co_await round();
      };
      const auto awaits = [&many]() -> owned_coroutine { co_await many(); };
      owned_coroutine waiting = awaits();
      while (rounds == 0) co_await yield();
      waiting.destroy();
      const int then = rounds;
      for (int i = 0; i != 10; ++i) co_await yield();
      CHECK(rounds == then);
    });
  });
}

TEST_CASE("a coroutine that yields, or whose operations are always ready, is destroyed before its next turn") {
  on_each(schedulers_of_one_thread(10), [](const scheduler_under_test& scheduler) {
    scheduler.run([]() -> task<> {
      channel<int> closed;
      closed.close();
      channel<int> empty;
      int turns = 0;
      const auto yields = [&]() -> owned_coroutine {
        for (;; ++turns) co_await yield();
      };
      const auto receives_closed = [&]() -> owned_coroutine {
        for (;; ++turns) co_await closed.recv();
      };
      const auto selects_closed = [&]() -> owned_coroutine {
        for (;; ++turns) co_await select(closed.recv(), empty.recv());
      };
      const auto selects_nothing = [&]() -> owned_coroutine {
        for (;; ++turns) co_await select(otherwise);
      };
      const auto selects_otherwise = [&]() -> owned_coroutine {
        for (;; ++turns) co_await select(empty.recv(), otherwise);
      };
      const auto sleeps_zero = [&]() -> owned_coroutine {
        for (;; ++turns) co_await sleep(0s);
      };
      const std::function<owned_coroutine()> each[] = {yields,          receives_closed,   selects_closed,
                                                       selects_nothing, selects_otherwise, sleeps_zero};
      for (const auto& make : each) {
        for (int steps : {0, 1, 3}) {
          owned_coroutine waiting = make();
          for (int i = 0; i != steps; ++i) co_await yield();
          waiting.destroy();
          const int then = turns;
          for (int i = 0; i != 3; ++i) co_await yield();
          CHECK(turns == then);
        }
      }
      CHECK(!empty.try_send(1));
    });
  });
}

TEST_CASE("a coroutine is destroyed after the mutex that it waits for, and before it has heard of that") {
  on_each(schedulers_of_one_thread(3), [](const scheduler_under_test& scheduler) {
    scheduler.run([]() -> task<> {
      bool gone_on = false;
      std::optional<mutex> lock(std::in_place);
      const auto wait = [&]() -> owned_coroutine {
        try {
          const auto held = co_await lock->lock();
        } catch (const cancelled&) {
        }
        gone_on = true;
      };
      auto held = lock->try_lock();
      owned_coroutine waiting = wait();
      lock.reset();
      waiting.destroy();
      for (int i = 0; i != 3; ++i) co_await yield();
      CHECK_FALSE(gone_on);
    });
  });
}

TEST_CASE("a sleeper is destroyed at the instant at which its sleep ends") {
  int ran = 0, did_not = 0;
  for (const auto& scheduler : simulated_schedulers(20)) {
    scheduler.run([&]() -> task<> {
      bool slept = false;
      const auto sleeps = [&slept]() -> owned_coroutine {
        co_await sleep(1h);
        slept = true;
      };
      owned_coroutine waiting = sleeps();
      co_await sleep(1h);
      waiting.destroy();
      ++(slept ? ran : did_not);
      const bool then = slept;
      co_await sleep(1h);
      CHECK(slept == then);
    });
  }
  CHECK(ran > 0);
  CHECK(did_not > 0);
}

TEST_CASE("a timer's value is not lost with a coroutine that was destroyed while it waited") {
  on_simulated_schedulers([]() -> task<> {
    timer t(1s);
    ticker k(1s);
    const auto waits = [&t]() -> owned_coroutine { co_await t.wait(); };
    const auto ticks = [&k]() -> owned_coroutine { co_await k.tick(); };
    const time_point start = now();
    {
      const owned_coroutine first = waits(), second = ticks();
      co_await sleep(500ms);
    }
    const time_point fired = co_await t.wait();
    const time_point ticked = co_await k.tick();
    CHECK(fired == start + 1s);
    CHECK(ticked == start + 1s);
  });
}

TEST_CASE(
    "of several that wait, the one in the middle is destroyed by the first that is served; the last gets the next "
    "value") {
  on_each(schedulers_of_one_thread(5), [](const scheduler_under_test& scheduler) {
    scheduler.run([]() -> task<> {
      channel<int> c;
      int first_got = 0, middle_got = 0, last_got = 0;
      owned_coroutine middle;
      const auto receives = [&c](int& got) -> owned_coroutine { got = *co_await c.recv(); };
      const auto receives_and_destroys = [&]() -> owned_coroutine {
        first_got = *co_await c.recv();
        middle.destroy();
      };
      const owned_coroutine first = receives_and_destroys();
      middle = receives(middle_got);
      const owned_coroutine last = receives(last_got);
      CHECK(c.try_send(1));
      while (first_got == 0) co_await yield();
      CHECK(c.try_send(2));
      while (last_got == 0) co_await yield();
      CHECK(!c.try_send(3));
      CHECK(first_got == 1);
      CHECK(middle_got == 0);
      CHECK(last_got == 2);
    });
  });
}

TEST_CASE(
    "a channel whose last handle goes while coroutines wait wakes them; those that are destroyed first leave nothing") {
  on_each(schedulers_of_one_thread(5), [](const scheduler_under_test& scheduler) {
    for (bool destroyed_first : {true, false}) {
      scheduler.run([destroyed_first]() -> task<> {
        auto c = std::make_unique<channel<payload>>();
        int woken = 0;
        const auto receives = [&]() -> owned_coroutine {
          auto operation = c->recv();
          const auto value = co_await operation;
          if (!value) ++woken;
        };
        owned_coroutine first = receives(), second = receives();
        if (destroyed_first) {
          first.destroy();
          c.reset();
          second.destroy();
        } else {
          c.reset();
          first.destroy();
          while (!second.done()) co_await yield();
        }
        CHECK(woken == (destroyed_first ? 0 : 1));
      });
    }
  });
}

TEST_CASE(
    "handle::cancel ends whatever a routine waits for, at any time, and the source is as if it had never waited") {
  for_each_way([](const way& each) {
    on_every_scheduler(
        [&each]() -> task<> {
          for (int steps : {0, 1, 3}) {
            sources s;
            int alive = 0;
            end_of_wait how = end_of_wait::none;
            auto h = go([&]() -> task<> { co_await each.routine(s, alive, how); });
            for (int i = 0; i != steps; ++i) co_await yield();
            h.cancel();
            h.cancel();
            co_await h;
            CHECK(alive == 0);
            CHECK(how == end_of_wait::cancelled);
            CHECK(each.untouched(s));
            s.finish();
          }
        },
        2);
  });
}

TEST_CASE("a cancel just before the event wins; after the event it finds the result") {
  for_each_way([](const way& each) {
    on_simulated_schedulers(
        [&each]() -> task<> {
          for (bool event_first : {true, false}) {
            sources s;
            int alive = 0;
            end_of_wait how = end_of_wait::none;
            auto h = go([&]() -> task<> { co_await each.routine(s, alive, how); });
            co_await testing::settle();
            CHECK(alive == 1);
            if (event_first) each.event(s);
            h.cancel();
            if (!event_first) each.event(s);
            co_await h;
            const bool kept = event_first && each.at_once && each.at_once_in_routine;
            CHECK(how == (kept ? end_of_wait::event : end_of_wait::cancelled));
            CHECK(each.untouched(s));
            s.finish();
          }
        },
        3);
  });
}

TEST_CASE("when main ends, routines that wait in any way are unwound, and with them the coroutines that they own") {
  for_each_way([](const way& each) {
    int alive = 0, alive_owned = 0;
    end_of_wait how = end_of_wait::none, how_owned = end_of_wait::none;
    on_each(every_scheduler(2), [&](const scheduler_under_test& scheduler) {
      how = how_owned = end_of_wait::none;
      scheduler.run([&]() -> task<> {
        auto s = std::make_shared<sources>();
        auto t = std::make_shared<sources>(sources::untouched_by_the_end());
        go(waits_sharing, std::cref(each), s, std::ref(alive), std::ref(how));
        go(owns_a_waiting_one, std::cref(each), t, std::ref(alive_owned), std::ref(how_owned));
        co_await yield();
      });
      CHECK(alive == 0);
      CHECK(alive_owned == 0);
      CHECK(how != end_of_wait::event);
      CHECK(how_owned != end_of_wait::event);
    });
  });
}

TEST_CASE("without any grace the frames are destroyed where they wait") {
  for_each_way([](const way& each) {
    for (unsigned workers : {1u, 2u, 4u}) {
      std::atomic<int> running = 0;
      std::vector<int> alive(8, 0);
      std::vector<end_of_wait> how(8, end_of_wait::none);
      const auto before = testing::live();
      run(
          [&]() -> task<> {
            for (std::size_t i = 0; i != 8; ++i) {
              auto s = std::make_shared<sources>();
              go([&, i, s]() -> task<> {
                ++running;
                co_await each.routine(*s, alive[i], how[i]);
                const bool ends_by_itself = false;  // so it heeds no cancellation
                while (!ends_by_itself) {
                  try {
                    co_await each.routine(*s, alive[i], how[i]);
                    co_await yield();
                  } catch (const cancelled&) {
                  }
                }
              });
            }
            while (running != 8) co_await yield();
          },
          {.workers = workers, .shutdown_grace = 0ns});
      for (int each_alive : alive) CHECK(each_alive == 0);
      for (end_of_wait each_how : how) CHECK(each_how != end_of_wait::event);
      CHECK(testing::live() == before);
    }
  });
}

TEST_CASE("what happens to a source wakes nobody whose runtime has ended") {
  const auto receives = [](channel<int> c, bool& returned) -> owned_coroutine {
    (void)co_await c.recv();
    returned = true;
  };
  const auto sends = [](channel<int> c, bool& returned) -> owned_coroutine {
    co_await c.send(1);
    returned = true;
  };
  const auto waits = [](wait_group& g, bool& returned) -> owned_coroutine {
    co_await g.wait();
    returned = true;
  };
  for (unsigned workers : {1u, 2u}) {
    const auto before = testing::live();
    {
      bool returned = false;
      channel<int> closed, closed_too, received_from, sent_to;
      wait_group group;
      std::vector<owned_coroutine> waiting;
      const auto main = [&]() -> task<> {
        waiting.push_back(receives(closed, returned));
        waiting.push_back(sends(closed_too, returned));
        waiting.push_back(receives(channel<int>(), returned));
        waiting.push_back(sends(received_from, returned));
        waiting.push_back(receives(sent_to, returned));
        group.add();
        waiting.push_back(waits(group, returned));
        co_return;
      };
      run(main, {.workers = workers});
      closed.close();
      closed_too.close();
      CHECK(received_from.try_recv() == 1);
      CHECK(sent_to.try_send(1));
      group.done();
      CHECK_FALSE(returned);
      waiting.clear();
      CHECK_FALSE(returned);
    }
    CHECK(testing::live() == before);
  }
}

TEST_CASE("a coroutine that outlives the runtime in which it waits is destroyed after it") {
  for_each_way([](const way& each) {
    for (const bool event : {false, true}) {
      for (unsigned seed = 0; seed != 5; ++seed) {
        int alive = 0;
        end_of_wait how = end_of_wait::none;
        const auto before = testing::live();
        {
          std::shared_ptr<sources> s;
          owned_coroutine waiting;
          const auto main = [&]() -> task<> {
            s = std::make_shared<sources>();
            waiting = each.owned(*s, alive, how);
            if (event) each.event(*s);
            co_return;
          };
          if (seed == 0) {
            run(main, {.workers = 1});
          } else {
            testing::simulate({.seed = seed}, main);
          }
          CHECK(waiting.done() == (alive == 0));
          CHECK(waiting.done() == (how != end_of_wait::none));
          waiting.destroy();
          CHECK(alive == 0);
          CHECK(each.untouched(*s));
        }
        CHECK(testing::live() == before);
      }
    }
  });
}
