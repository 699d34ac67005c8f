// completion: a result that is set once, from anywhere, and awaited once.
#include <doctest/doctest.h>

#include <atomic>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <ringo/ringo.hpp>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

#include "every_scheduler.hpp"

using namespace ringo;
using namespace std::chrono_literals;

namespace {

// A C library: it calls back with a void*, once, on a thread of its own.
class c_library {
 public:
  void begin(int result, void (*callback)(int, void*), void* data) {
    threads_.emplace_back([=] { callback(result, data); });
  }
  ~c_library() {
    for (std::thread& t : threads_) t.join();
  }

 private:
  std::vector<std::thread> threads_;
};

template <class E, class F>
task<bool> throws(F f) {
  bool thrown = false;
  try {
    co_await f();
  } catch (const E&) {
    thrown = true;
  }
  co_return thrown;
}

}  // namespace

TEST_CASE("A routine awaits what another sets, before or after: a value, nothing, what only moves, an error") {
  on_every_scheduler([]() -> task<> {
    for (const bool first : {true, false}) {
      completion<int> number;
      completion<> done;
      completion<std::unique_ptr<int>> moved;
      completion<std::string> failed;
      auto sets = go([=, a = number.setter(), b = done.setter(), c = moved.setter(), d = failed.setter()]() -> task<> {
        if (!first) co_await sleep(1ms);
        const bool all = a.set_value(7) && b.set_value() && c.set_value(std::make_unique<int>(8)) &&
                         d.set_error(std::make_exception_ptr(std::out_of_range("beyond")));
        CHECK(all);
      });
      if (first) co_await sets;
      const int got = co_await number;
      CHECK(got == 7);
      co_await done;
      const auto pointer = co_await moved;
      CHECK(*pointer == 8);
      const auto waits = [&]() -> task<> { (void)co_await failed; };
      const bool thrown = co_await throws<std::out_of_range>(waits);
      CHECK(thrown);
      if (!first) co_await sets;
    }
  });
}

TEST_CASE("Only the first result counts: what is set later is told so, and has no effect") {
  on_every_scheduler([]() -> task<> {
    completion<int> c;
    const auto set = c.setter();
    const auto copy = set;
    CHECK(set.set_value(1));
    CHECK(c.is_set());
    CHECK_FALSE(copy.set_value(2));
    CHECK_FALSE(copy.set_error(std::make_exception_ptr(std::runtime_error("late"))));
    const int got = co_await c;
    CHECK(got == 1);
    CHECK_FALSE(completion_setter<int>().set_value(3));
  });
}

TEST_CASE("When the last setter goes without a result, the waiter gets std::future_error: broken_promise") {
  on_every_scheduler([]() -> task<> {
    for (const bool waits_first : {true, false}) {
      completion<int> c;
      std::optional<completion_setter<int>> set = c.setter();
      auto copy = *set;
      auto waits = go([&c]() -> task<bool> {
        bool broken = false;
        try {
          (void)co_await c;
        } catch (const std::future_error& e) {
          broken = e.code() == std::future_errc::broken_promise;
        }
        co_return broken;
      });
      if (waits_first) co_await sleep(1ms);
      set.reset();
      CHECK_FALSE(c.is_set());
      copy = completion_setter<int>();
      const bool broken = co_await waits;
      CHECK(broken);
    }
  });
}

TEST_CASE("A null error is an error all the same") {
  on_every_scheduler([]() -> task<> {
    completion<> c;
    c.setter().set_error(nullptr);
    const auto waits = [&]() -> task<> { co_await c; };
    const bool thrown = co_await throws<std::invalid_argument>(waits);
    CHECK(thrown);
  });
}

TEST_CASE("A case that loses has taken nothing: the completion is awaited again, and has its value") {
  on_every_scheduler([]() -> task<> {
    completion<int> c;
    const auto set = c.setter();
    for (int i = 0; i != 3; ++i) {
      const auto lost = co_await select(c, sleep(1ms));
      CHECK(lost.index() == 1);
    }
    bool limited = false;
    try {
      (void)co_await with_timeout(1ms, c);
    } catch (const timed_out&) {
      limited = true;
    }
    CHECK(limited);
    set.set_value(5);
    auto won = co_await select(prefer_first, c, sleep(1h));
    CHECK(std::get<0>(won) == 5);
  });
}

TEST_CASE("A ready completion that loses to another ready case keeps its value") {
  on_every_scheduler([]() -> task<> {
    completion<int> c;
    c.setter().set_value(5);
    channel<int> other(1);
    co_await other.send(1);
    const auto r = co_await select(prefer_first, other.recv(), c);
    CHECK(r.index() == 0);
    const int got = co_await c;
    CHECK(got == 5);
  });
}

TEST_CASE("It is awaited once: then, and where it was moved from, std::logic_error") {
  on_every_scheduler([]() -> task<> {
    completion<int> c;
    c.setter().set_value(5);
    completion<int> there = std::move(c);
    const int got = co_await there;
    CHECK(got == 5);
    const auto again = [&]() -> task<> { (void)co_await there; };
    const auto from_moved = [&]() -> task<> { (void)co_await c; };
    bool thrown = co_await throws<std::logic_error>(again);
    CHECK(thrown);
    thrown = co_await throws<std::logic_error>(from_moved);
    CHECK(thrown);
    CHECK_THROWS_AS((void)c.setter(), std::logic_error);
  });
}

TEST_CASE("A waiter that is cancelled goes, and the setter sets without effect") {
  on_every_scheduler([]() -> task<> {
    completion<std::shared_ptr<int>> c;
    const auto set = c.setter();
    auto waits = go([&]() -> task<> { (void)co_await c; });
    co_await sleep(1ms);
    waits.cancel();
    co_await waits.wait();
    auto value = std::make_shared<int>(1);
    CHECK(set.set_value(value));
    const auto got = co_await c;  // which is there for another
    CHECK(got == value);
  });
}

TEST_CASE("The completion goes while its setter lives: the value that is set then goes with the setter") {
  on_every_scheduler([]() -> task<> {
    auto value = std::make_shared<int>(1);
    std::optional<completion_setter<std::shared_ptr<int>>> set;
    {
      completion<std::shared_ptr<int>> c;
      set = c.setter();
    }
    CHECK(set->set_value(value));
    CHECK(value.use_count() == 2);
    set.reset();
    CHECK(value.use_count() == 1);
    co_return;
  });
}

TEST_CASE("A C library's thread sets it through a void*, and a std::function holds a setter") {
  on_real_schedulers([]() -> task<> {
    c_library library;
    std::vector<completion<int>> all(50);
    for (int i = 0; i != 50; ++i) {
      library.begin(
          i, [](int result, void* data) { completion_setter<int>::adopt(data).set_value(result); },
          all[static_cast<std::size_t>(i)].setter().release());
    }
    for (int i = 0; i != 50; ++i) {
      const int got = co_await all[static_cast<std::size_t>(i)];
      CHECK(got == i);
    }
    completion<std::string> text;
    const std::function<void(std::string)> callback = [set = text.setter()](std::string s) {
      set.set_value(std::move(s));
    };
    std::thread([callback] { callback("from a thread"); }).join();
    const auto got = co_await text;
    CHECK(got == "from a thread");
  });
}

TEST_CASE("A setter that is kept somewhere is no deadlock, though no thread is there that could call it yet") {
  for (unsigned workers : {1u, 2u, 4u}) {
    runtime rt({.workers = workers});
    completion<int> c;
    const auto set = c.setter();
    std::atomic<bool> waits = false;
    auto sets = std::async(std::launch::deferred, [&] { set.set_value(3); });
    // The timer is for the test alone: the thread that sets is started when the wait has lasted for some looks.
    const int got = rt.run([&]() -> task<int> {
      auto waiter = go([&]() -> task<int> {
        waits = true;
        co_return co_await c;
      });
      co_await sleep(30ms);
      sets.get();
      co_return co_await waiter;
    });
    CHECK(got == 3);
  }
}

TEST_CASE("A wait for what only a parked routine could set is no deadlock of a runtime, but one of a simulation") {
  const auto program = []() -> task<> {
    completion<int> c;
    const auto mine = c.setter();
    (void)co_await c;
  };
  on_each(simulated_schedulers(3), [&](const scheduler_under_test& s) { CHECK_THROWS_AS(s.run(program), deadlock); });
  for (unsigned workers : {1u, 2u}) {
    runtime rt({.workers = workers});
    std::thread ends([&] {
      // Idle workers have looked for a deadlock before they parked.
      while (rt.metrics().operations == 0 || rt.metrics().parks < workers) std::this_thread::yield();
      rt.stop();
    });
    CHECK_THROWS_AS(rt.run(program), cancelled);
    ends.join();
  }
}

TEST_CASE("Threads set while their runtime ends, and after it: nothing is lost but the waiter") {
  for (unsigned workers : {1u, 2u, 4u}) {
    for (std::size_t i = 0; i != stressed(30); ++i) {
      auto value = std::make_shared<int>(0);
      std::atomic<int> at_the_start = 0;
      std::vector<std::thread> threads;
      {
        std::vector<completion<std::shared_ptr<int>>> all(8);
        for (auto& c : all) {
          threads.emplace_back([set = c.setter(), value, &at_the_start] {
            ++at_the_start;
            while (at_the_start < 9) std::this_thread::yield();
            set.set_value(value);
          });
        }
        runtime_options o;
        o.workers = workers;
        run(
            [&]() -> task<> {
              for (auto& c : all) {
                go([&c]() -> task<> { (void)co_await c; });
              }
              co_await yield();
              ++at_the_start;
            },
            o);
      }
      for (std::thread& t : threads) t.join();
      threads.clear();
      CHECK(value.use_count() == 1);
    }
  }
}

TEST_CASE("A completion that was made before any runtime is set by a thread while a routine begins to wait") {
  for (unsigned workers : {1u, 2u, 4u}) {
    for (std::size_t i = 0; i != stressed(50); ++i) {
      completion<int> c;
      std::atomic<bool> begun = false;
      std::thread sets([set = c.setter(), &begun] {
        while (!begun) std::this_thread::yield();
        set.set_value(11);
      });
      runtime_options o;
      o.workers = workers;
      const int got = run(
          [&]() -> task<int> {
            begun = true;
            co_return co_await c;
          },
          o);
      CHECK(got == 11);
      sets.join();
    }
  }
}

TEST_CASE("Many threads race to set one completion: one is first, and the waiter has its value") {
  on_real_schedulers([]() -> task<> {
    for (std::size_t round = 0; round != stressed(20); ++round) {
      completion<int> c;
      std::atomic<int> firsts = 0, winner = -1;
      std::vector<std::thread> threads;
      for (int id = 0; id != 4; ++id) {
        threads.emplace_back([&, id, set = c.setter()] {
          if (set.set_value(id)) {
            ++firsts;
            winner = id;
          }
        });
      }
      const int got = co_await c;
      for (std::thread& t : threads) t.join();
      CHECK(firsts == 1);
      CHECK(got == winner);
    }
  });
}
