// What one runtime's routine does with another runtime's handles, timers and tickers.
#include <doctest/doctest.h>

#include <atomic>
#include <barrier>
#include <optional>
#include <ringo/ringo.hpp>
#include <stdexcept>
#include <string>
#include <thread>

#include "error_told.hpp"
#include "every_scheduler.hpp"

using namespace ringo;
using namespace std::chrono_literals;

namespace {

// Another runtime, which runs on a thread until this is ended or destroyed.
class other_runtime {
 public:
  explicit other_runtime(unsigned workers) : runtime_(how(workers)) {
    thread_ = std::thread([this] { runtime_.run([this]() -> task<> { co_await end_.wait(); }); });
  }
  other_runtime(const other_runtime&) = delete;
  other_runtime& operator=(const other_runtime&) = delete;
  ~other_runtime() { end(); }

  template <class F>
  auto go(F f) {
    return runtime_.go(f);
  }
  ringo::snapshot snapshot() const { return runtime_.snapshot(); }
  void end() {
    end_.set();
    if (thread_.joinable()) thread_.join();
  }

 private:
  static runtime_options how(unsigned workers) {
    runtime_options o;
    o.workers = workers;
    return o;
  }

  runtime runtime_;
  event end_;
  std::thread thread_;
};

template <class F>
void with_workers(unsigned workers, F main) {
  runtime_options o;
  o.workers = workers;
  run(main, o);
}

// The words if the text has them, else the text: a check of it is in routines, where CAPTURE is refused.
std::string found(const std::string& words, const std::string& text) {
  return text.find(words) != std::string::npos ? words : text;
}
void check_refused(const std::string& text) {
  for (const std::string words : {"belongs to runtime", "handle::join_blocking", "completion"}) {
    CHECK(found(words, text) == words);
  }
}
void check_not_this_runtimes(const std::string& text) {
  CHECK(found("another runtime uses", text) == "another runtime uses");
}

template <class Make>
task<std::string> refusal_of(Make make) {
  try {
    co_await make();
  } catch (const std::logic_error& e) {
    co_return e.what();
  } catch (...) {
    co_return told(std::current_exception());
  }
  co_return "nothing";
}

task<> waits_for_ever() {
  channel<int> nothing;
  co_await nothing.recv();
}

}  // namespace

TEST_CASE("An await of another runtime's handle, in whichever form, throws std::logic_error that says what to use") {
  for (const unsigned workers : {1u, 2u, 4u}) {
    other_runtime other(workers);
    auto h = other.go([]() -> task<int> {
      co_await yield();
      co_return 7;
    });
    auto waits = other.go(waits_for_ever);
    with_workers(workers, [&]() -> task<> {
      const auto joined = co_await refusal_of([&] { return waits.join(); });
      check_refused(joined);
      const auto finished = co_await refusal_of([&] { return waits.wait(); });
      check_refused(finished);
      const auto selected = co_await refusal_of([&]() -> task<> { (void)co_await select(waits.join(), sleep(1h)); });
      check_refused(selected);
      const auto in_time = co_await refusal_of([&]() -> task<> { (void)co_await with_timeout(1h, waits.join()); });
      check_refused(in_time);
      const auto as_outcome = co_await outcome(waits);
      check_refused(told(as_outcome.error()));
      // What it says to use does its work, also after a join was refused.
      const auto refused = co_await outcome(h.join());
      CHECK_FALSE(refused);
      const int value = co_await blocking([&h] { return h.join_blocking(); });
      CHECK(value == 7);
    });
    waits.cancel();
    CHECK(error_thrown_by([&] { waits.join_blocking(); }) == "cancelled");
  }
}

TEST_CASE(
    "A routine that has ended is no exception while its runtime runs; when that has ended, its result can be had") {
  other_runtime other(1);
  auto h = other.go([] { return 7; });
  while (!h.is_done()) std::this_thread::yield();
  with_workers(1, [&]() -> task<> {
    const auto joined = co_await refusal_of([&] { return h.join(); });
    check_refused(joined);
  });
  other.end();
  with_workers(1, [&]() -> task<> {
    const int value = co_await h;
    CHECK(value == 7);
  });
}

TEST_CASE("handle::cancel on a worker of another runtime is done by the routine's own") {
  for (const unsigned workers : {1u, 2u, 4u}) {
    for (std::size_t round = stressed(20); round > 0; --round) {
      other_runtime other(workers);
      std::atomic<bool> waits = false, went_on_elsewhere = false;
      event opened;
      auto h = other.go([&]() -> task<> {
        bool interrupted = false;
        waits = true;
        try {
          co_await waits_for_ever();
        } catch (const cancelled&) {
          interrupted = true;
        }
        // It goes on where its own runtime's objects can be used.
        const cancelled gone;
        try {
          opened.set();
        } catch (const std::logic_error&) {
          went_on_elsewhere = true;
        }
        if (interrupted) throw gone;
      });
      auto opens = other.go([&]() -> task<> { co_await opened.wait(); });
      while (!waits) std::this_thread::yield();
      with_workers(workers, [&]() -> task<> {
        h.cancel();
        // wait() is on another thread, and this runtime's worker is free to run what it should not.
        const auto end = co_await outcome(blocking([&h] { h.join_blocking(); }));
        CHECK(told(end) == "cancelled");
      });
      opens.join_blocking();
      CHECK_FALSE(went_on_elsewhere);
    }
  }
}

TEST_CASE("A timer or a ticker belongs to the first runtime that uses it, until that one ends") {
  for (const unsigned workers : {1u, 2u, 4u}) {
    std::optional<timer> once;
    std::optional<ticker> often;
    {
      other_runtime other(workers);
      other
          .go([&]() -> task<> {
            once.emplace(1h);
            often.emplace(1h);
            co_return;
          })
          .join_blocking();
      auto waits = other.go([&]() -> task<> { (void)co_await select(once->wait(), often->tick()); });
      with_workers(workers, [&]() -> task<> {
        const auto wait = co_await refusal_of([&] { return once->wait(); });
        check_not_this_runtimes(wait);
        const auto tick = co_await refusal_of([&] { return often->tick(); });
        check_not_this_runtimes(tick);
        const auto selected = co_await refusal_of([&]() -> task<> { (void)co_await select(once->wait(), sleep(1h)); });
        check_not_this_runtimes(selected);
        check_not_this_runtimes(error_thrown_by([&] { once->reset(0s); }));
        check_not_this_runtimes(error_thrown_by([&] { (void)once->stop(); }));
        check_not_this_runtimes(error_thrown_by([&] { often->reset(1s); }));
        check_not_this_runtimes(error_thrown_by([&] { often->stop(); }));
      });
      waits.cancel();
      CHECK(error_thrown_by([&] { waits.join_blocking(); }) == "cancelled");
    }
    with_workers(workers, [&]() -> task<> {
      CHECK(once->reset(0s));
      co_await once->wait();
      once.reset();
      often.reset();
    });
  }
}

TEST_CASE("A timer that no runtime has used yet is the first one's to use") {
  timer once(0s);
  other_runtime other(1);
  auto other_waits = other.go([&]() -> task<> { co_await once.wait(); });
  other_waits.join_blocking();
  with_workers(1, [&]() -> task<> {
    const auto wait = co_await refusal_of([&] { return once.wait(); });
    check_not_this_runtimes(wait);
    co_return;
  });
}

TEST_CASE("worker_pool::workers and queued, in another runtime than the pool's, are refused as its other calls are") {
  std::optional<worker_pool> pool;
  other_runtime other(1);
  other
      .go([&]() -> task<> {
        pool.emplace(pool_options{});
        auto h = co_await pool->submit([] { return 1; });
        (void)co_await h;
      })
      .join_blocking();
  with_workers(1, [&]() -> task<> {
    check_not_this_runtimes(error_thrown_by([&] { (void)pool->workers(); }));
    check_not_this_runtimes(error_thrown_by([&] { (void)pool->queued(); }));
    co_return;
  });
  other
      .go([&]() -> task<> {
        pool.reset();
        co_return;
      })
      .join_blocking();
}

TEST_CASE("Routines of runtimes with one worker each take each other's snapshots at the same time") {
  other_runtime first(1), second(1), third(1);
  std::barrier all(3);
  const auto taking = [&all](const other_runtime& of) {
    return [&all, &of] {
      all.arrive_and_wait();  // from here on each worker is in its routine until that has its snapshot
      return of.snapshot().routines.size();
    };
  };
  for (std::size_t round = stressed(20); round > 0; --round) {
    auto of_second = first.go(taking(second)), of_third = second.go(taking(third)), of_first = third.go(taking(first));
    CHECK(of_first.join_blocking() >= 1);
    CHECK(of_second.join_blocking() >= 1);
    CHECK(of_third.join_blocking() >= 1);
  }
}

TEST_CASE("A snapshot of a runtime that ends meanwhile has no routines") {
  for (std::size_t round = stressed(20); round > 0; --round) {
    other_runtime other(1);
    with_workers(1, [&]() -> task<> {
      auto ends = go([&other] { return blocking([&other] { other.end(); }); });
      while (!ends.is_done()) {
        (void)other.snapshot();
        co_await yield();
      }
      co_await ends;
      CHECK(other.snapshot().routines.empty());
    });
  }
}
