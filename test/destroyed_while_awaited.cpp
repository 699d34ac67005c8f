// What is destroyed while routines wait on it ends their waits with `cancelled`, and they do not touch it any more
// (semantics D8). Locks, semaphores and conditions, whose guards outlive them too, have such tests in their own files.
#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <ringo/ringo.hpp>
#include <string>
#include <utility>
#include <vector>

#include "every_scheduler.hpp"
#include "simulated/owned_coroutine.hpp"
#include "states.hpp"
#include "task_ending.hpp"

using namespace ringo;
using namespace std::chrono_literals;

namespace {

// Each is waited on in vain.
struct a_wait_group {
  a_wait_group() { object.add(); }
  auto wait() { return object.wait(); }
  wait_group object;
};
struct an_event {
  auto wait() { return object.wait(); }
  event object;
};
struct a_latch {
  auto wait() { return object.wait(); }
  latch object{1};
};
struct a_barrier {
  auto wait() { return object.arrive_and_wait(); }
  barrier object{1000};
};
struct a_timer {
  auto wait() { return object.wait(); }
  timer object{24h};
};
struct a_ticker {
  auto wait() { return object.tick(); }
  ticker object{24h};
};
task<> until_cancelled() { co_await sleep(24h); }
struct a_group {
  a_group() { object.go(until_cancelled); }
  auto wait() { return object.wait(); }
  group object;
};
struct a_slot_of_a_group {
  a_slot_of_a_group() {
    object.limit(1);
    object.go(until_cancelled);
  }
  auto wait() { return object.slot(); }
  group object;
};

#define EVERY_KIND a_wait_group, an_event, a_latch, a_barrier, a_timer, a_ticker, a_group, a_slot_of_a_group

// So that what uses it after its end reads nonsense. A base that begins where the object does, and ends last.
template <class Kind>
struct overwritten_at_its_end {
  ~overwritten_at_its_end() {
    auto* bytes = reinterpret_cast<volatile unsigned char*>(this);
    for (std::size_t i = 0; i != sizeof(Kind); ++i) bytes[i] = 0xa5;
  }
};
template <class Kind>
struct mortal : overwritten_at_its_end<Kind>, Kind {};

template <class Kind>
task<> wait_on(Kind& object) {
  co_await object.wait();
}
template <class Kind>
task<> wait_for_either(Kind& object, const channel<void>& other) {
  const auto received = [](bool) {};
  const auto first = co_await select(object.wait(), on(other.recv(), received), object.wait(), sleep(24h));
  CHECK(first.index() == 1);
}

}  // namespace

TEST_CASE_TEMPLATE("Who waits ends with cancelled when the object is destroyed (D8)", Kind, EVERY_KIND) {
  on_simulated_schedulers([]() -> task<> {
    auto object = std::make_unique<mortal<Kind>>();
    channel<void> silent;
    std::vector<handle<void>> waiting;
    for (int i = 0; i != 3; ++i) {
      waiting.push_back(go(wait_on<mortal<Kind>>, std::ref(*object)));
      waiting.push_back(go(wait_for_either<mortal<Kind>>, std::ref(*object), silent));
    }
    co_await testing::settle();
    object.reset();
    for (auto& each : waiting) {
      const auto end = co_await ending_of(each);
      CHECK(end == ending::was_cancelled);
    }
  });
}

TEST_CASE_TEMPLATE("So they do on real workers (D8)", Kind, EVERY_KIND) {
  for (const unsigned workers : {1u, 2u, 4u}) {
    CAPTURE(workers);
    run(
        []() -> task<> {
          auto object = std::make_unique<mortal<Kind>>();
          channel<void> silent;
          std::vector<handle<void>> waiting;
          for (int i = 0; i != 4; ++i) waiting.push_back(go(wait_for_either<mortal<Kind>>, std::ref(*object), silent));
          co_await until_parked("waits for select", waiting.size());
          object.reset();
          for (auto& each : waiting) {
            const auto end = co_await ending_of(each);
            CHECK(end == ending::was_cancelled);
          }
        },
        {.workers = workers});
  }
}

TEST_CASE_TEMPLATE("Whose wait has been ended by something else, and has yet to run, does not touch the object (D8)",
                   Kind, EVERY_KIND) {
  on_simulated_schedulers([]() -> task<> {
    auto object = std::make_unique<mortal<Kind>>();
    channel<void> other, silent;
    auto has_received = go(wait_for_either<mortal<Kind>>, std::ref(*object), other);
    auto selects = go(wait_for_either<mortal<Kind>>, std::ref(*object), silent);
    auto waits = go(wait_on<mortal<Kind>>, std::ref(*object));
    co_await testing::settle();
    CHECK(other.try_send());
    selects.cancel();
    waits.cancel();
    object.reset();
    const auto end_of_receiver = co_await ending_of(has_received);
    const auto end_of_selecting = co_await ending_of(selects);
    const auto end_of_waiting = co_await ending_of(waits);
    CHECK(end_of_receiver == ending::returned);
    CHECK(end_of_selecting == ending::was_cancelled);
    CHECK(end_of_waiting == ending::was_cancelled);
  });
}

TEST_CASE_TEMPLATE("So it is where other workers run it at that moment (D8)", Kind, EVERY_KIND) {
  const auto rounds = stressed(200);
  on_every_scheduler(
      [rounds]() -> task<> {
        for (std::size_t round = 0; round != rounds; ++round) {
          auto object = std::make_unique<mortal<Kind>>();
          channel<void> other;
          std::vector<handle<void>> waiting;
          for (int i = 0; i != 4; ++i) waiting.push_back(go(wait_for_either<mortal<Kind>>, std::ref(*object), other));
          // Whoever receives is parked, and goes on now: with its cases in the object.
          for (std::size_t sent = 0; sent != waiting.size();) {
            if (other.try_send()) {
              ++sent;
            } else {
              co_await yield();
            }
          }
          object.reset();
          for (const auto& each : waiting) co_await each;
        }
      },
      2);
}

TEST_CASE("Whom the object has passed over, because another source had claimed its wait, does not touch it any more") {
  const auto rounds = stressed(200);
  on_every_scheduler(
      [rounds]() -> task<> {
        for (std::size_t round = 0; round != rounds; ++round) {
          auto counted = std::make_unique<mortal<a_wait_group>>();
          auto gate = std::make_unique<mortal<an_event>>();
          auto down = std::make_unique<mortal<a_latch>>();
          channel<void> other;
          std::vector<handle<void>> waiting;
          for (int i = 0; i != 4; ++i) {
            waiting.push_back(go([&counted = *counted, &gate = *gate, &down = *down, other]() -> task<> {
              const auto first = co_await select(counted.wait(), gate.wait(), down.wait(), other.recv());
              CHECK(first.index() == 3);
            }));
          }
          for (std::size_t sent = 0; sent != waiting.size();) {
            if (other.try_send()) {
              ++sent;
            } else {
              co_await yield();
            }
          }
          counted->object.done();
          gate->object.set();
          down->object.count_down();
          counted.reset();
          gate.reset();
          down.reset();
          for (const auto& each : waiting) co_await each;
        }
      },
      2);
}

TEST_CASE("A select of many cases ends with cancelled when its sources are destroyed, in any order") {
  on_simulated_schedulers([]() -> task<> {
    std::vector<std::unique_ptr<mortal<an_event>>> events;
    for (int i = 0; i != 100; ++i) events.push_back(std::make_unique<mortal<an_event>>());
    auto waiting = go([&events]() -> task<> {
      std::vector<decltype(events[0]->wait())> cases;
      for (const auto& each : events) cases.push_back(each->wait());
      co_await select_any(cases);
    });
    co_await testing::settle();
    for (std::size_t i = 0; i < events.size(); i += 2) events[i].reset();
    events.clear();
    const auto end = co_await ending_of(waiting);
    CHECK(end == ending::was_cancelled);
  });
}

TEST_CASE_TEMPLATE("The runtime may destroy the object's frame before its waiters', or after (D13)", Kind, EVERY_KIND) {
  for (const unsigned workers : {1u, 4u}) {
    for (const bool owner_first : {true, false}) {
      CAPTURE(workers);
      CAPTURE(owner_first);
      const auto before = testing::live();
      {
        runtime r({.workers = workers, .shutdown_grace = 0ns});
        r.run([&]() -> task<> {
          channel<mortal<Kind>*> known(3);
          const auto owns = [known]() -> task<> {
            auto object = std::make_unique<mortal<Kind>>();
            for (int i = 0; i != 3; ++i) co_await known.send(object.get());
            co_await sleep(24h);
          };
          const auto waits = [known]() -> task<> {
            mortal<Kind>* const object = *co_await known.recv();
            co_await select(object->wait(), sleep(24h));
          };
          if (owner_first) go(owns);
          for (int i = 0; i != 3; ++i) go(waits);
          if (!owner_first) go(owns);
          co_await until_parked("waits for select", 3);
        });
      }
      CHECK(testing::live() == before);
    }
  }
}

namespace {

template <class Kind>
owned_coroutine wait_as_foreign(Kind& object, bool& was_cancelled) {
  try {
    co_await object.wait();
  } catch (const cancelled&) {
    was_cancelled = true;
  }
}

}  // namespace

TEST_CASE_TEMPLATE("A coroutine of a foreign type may be destroyed between the object's end and its own turn (D9)",
                   Kind, EVERY_KIND) {
  for (const bool destroyed : {false, true}) {
    CAPTURE(destroyed);
    on_simulated_schedulers([destroyed]() -> task<> {
      auto object = std::make_unique<mortal<Kind>>();
      bool was_cancelled = false;
      owned_coroutine waiting = wait_as_foreign(*object, was_cancelled);
      co_await testing::settle();
      object.reset();
      if (destroyed) waiting.destroy();
      co_await testing::settle();
      CHECK(was_cancelled == !destroyed);
    });
  }
}

TEST_CASE_TEMPLATE("A coroutine of a foreign type that has outlived its runtime does not touch the object's remains",
                   Kind, a_wait_group, an_event, a_latch, a_barrier, a_timer, a_ticker) {
  for (const unsigned workers : {1u, 4u}) {
    const auto before = testing::live();
    std::unique_ptr<mortal<Kind>> object;
    owned_coroutine waiting;
    bool was_cancelled = false;
    run(
        [&]() -> task<> {
          object = std::make_unique<mortal<Kind>>();
          waiting = wait_as_foreign(*object, was_cancelled);
          co_return;
        },
        {.workers = workers});
    object.reset();
    waiting.destroy();
    CHECK_FALSE(was_cancelled);
    CHECK(testing::live() == before);
  }
}

TEST_CASE("A group's waiters, whom its end has woken, join its members before they end with cancelled") {
  on_simulated_schedulers([]() -> task<> {
    auto members = std::make_unique<group>();
    bool ended = false;
    members->go([&ended]() -> task<> {
      try {
        co_await sleep(24h);
      } catch (const cancelled&) {
      }
      const auto unwound = [&ended]() -> task<> {
        co_await sleep(1s);
        ended = true;
      };
      co_await shield(unwound());
    });
    auto waiting = go([&members = *members]() -> task<> { co_await members.wait(); });
    co_await testing::settle();
    members.reset();
    const auto end = co_await ending_of(waiting);
    CHECK(end == ending::was_cancelled);
    CHECK(ended);
  });
}

TEST_CASE("A once may be destroyed while its function runs") {
  on_simulated_schedulers([]() -> task<> {
    struct a_once : overwritten_at_its_end<once> {
      once object;
    };
    auto object = std::make_unique<a_once>();
    channel<void> may_end;
    const auto runs = [may_end]() -> task<> { co_await may_end.recv(); };
    auto calls = go([&object = *object, &runs]() -> task<> { co_await object.object.call(runs); });
    co_await testing::settle();
    auto waits = go([&object = *object, &runs]() -> task<> { co_await object.object.call(runs); });
    co_await testing::settle();
    object.reset();
    const auto end_of_waiting = co_await ending_of(waits);
    CHECK(end_of_waiting == ending::was_cancelled);
    CHECK(may_end.try_send());
    const auto end_of_call = co_await ending_of(calls);
    CHECK(end_of_call == ending::returned);
  });
}

namespace {

owned_coroutine wait_beside_select(channel<int> values, channel<int> others) {
  auto received = values.recv();
  auto selected = select(received, others.recv());  // is destroyed first, and sees that `received` waits
  co_await received;
}

}  // namespace

TEST_CASE("An operation that a stored select refers to may be destroyed while it is awaited by itself (D9)") {
  on_simulated_schedulers([]() -> task<> {
    const channel<int> values, others;
    owned_coroutine waiting = wait_beside_select(values, others);
    co_await testing::settle();
    waiting.destroy();
    CHECK(!values.try_send(1));
  });
}
