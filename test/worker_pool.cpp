// worker_pool: runs jobs, so many at a time, and pushes back when it has enough.
#include <doctest/doctest.h>

#include <atomic>
#include <exception>
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
#include "leftovers.hpp"

using namespace ringo;
using namespace std::chrono_literals;

namespace {

task<int> twice(int x) {
  co_await yield();
  co_return 2 * x;
}

// What a handle came to.
enum class ending { result, cancelled, error };
template <class T>
task<ending> ending_of(handle<T> h) {
  try {
    co_await h;
  } catch (const cancelled&) {
    co_return ending::cancelled;
  } catch (...) {
    co_return ending::error;
  }
  co_return ending::result;
}

}  // namespace

TEST_CASE("submit yields the handle of a job, whatever the job is made of (172)") {
  on_every_scheduler([]() -> task<> {
    worker_pool pool({.min = 1, .max = 3, .queue_capacity = 2});
    auto of_coroutine = co_await pool.submit(twice, 21);
    auto of_function = co_await pool.submit([](int a, int b) { return a + b; }, 1, 2);
    auto of_many = co_await pool.submit([](int a, int b, int c) { return a * b * c; }, 2, 3, 4);
    channel<int> ready(1);
    ready.try_send(5);
    auto of_operation = co_await pool.submit([](const channel<int>& c) { return c.recv(); }, ready);
    auto of_nothing = co_await pool.submit([] {});
    auto holds_a_channel = pool.submit([ready] { return ready.capacity(); });
    auto of_closure = co_await holds_a_channel;
    auto holds_it_too = pool.submit([ready] { return ready.capacity() + 1; });
    auto chosen = co_await select(holds_it_too, never());
    const int a = co_await of_coroutine;
    const int c = co_await of_function;
    const int d = co_await of_many;
    const std::optional<int> e = co_await of_operation;
    co_await of_nothing;
    const std::size_t capacity = co_await of_closure;
    const std::size_t one_more = co_await std::get<0>(chosen);
    CHECK(a == 42);
    CHECK(c == 3);
    CHECK(d == 24);
    CHECK(e == 5);
    CHECK(capacity == 1);
    CHECK(one_more == 2);
    co_await pool.drain();
  });
}

TEST_CASE("Each job runs once, and at most max at a time; those beyond wait for their turn to be accepted (172)") {
  on_every_scheduler([]() -> task<> {
    for (std::size_t queue : {0u, 1u, 5u}) {
      worker_pool pool({.min = 0, .max = 3, .queue_capacity = queue});
      std::atomic<int> running = 0, done = 0;
      std::atomic<bool> too_many = false;
      for (int i = 0; i != 30; ++i) {
        co_await pool.submit([&]() -> task<> {
          if (++running > 3) too_many = true;
          co_await yield();
          --running;
          ++done;
        });
        CHECK(pool.workers() <= 3);
        CHECK(pool.queued() <= queue);
      }
      co_await pool.drain();
      CHECK(done == 30);
      CHECK_FALSE(too_many);
      CHECK(pool.workers() == 0);
    }
  });
}

TEST_CASE("submit waits while all workers are busy and the queue is full") {
  on_simulated_schedulers([]() -> task<> {
    worker_pool pool({.min = 1, .max = 2, .queue_capacity = 1});
    const auto began = now();
    const auto takes_10s = []() -> task<> { co_await sleep(10s); };
    for (int i = 0; i != 3; ++i) co_await pool.submit(takes_10s);
    CHECK(now() == began);
    CHECK(pool.queued() == 1);
    const auto full = co_await select(pool.submit(takes_10s), otherwise);
    CHECK(full.index() == 1);
    const auto too_long = co_await select(pool.submit(takes_10s), sleep(9s));
    CHECK(too_long.index() == 1);
    co_await pool.submit(takes_10s);
    CHECK(now() - began == 10s);
    co_await testing::settle();
    CHECK(pool.queued() == 0);
    co_await pool.drain();
    CHECK(now() - began == 20s);
  });
}

TEST_CASE("Jobs begin in the order in which they were submitted") {
  on_simulated_schedulers([]() -> task<> {
    for (std::size_t queue : {0u, 2u}) {
      worker_pool pool({.max = 1, .queue_capacity = queue});
      std::vector<int> order;
      wait_group submitters;
      for (int i = 0; i != 8; ++i) {
        submitters.go([&pool, &order, i]() -> task<> {
          co_await pool.submit([&order, i]() -> task<> {
            order.push_back(i);
            co_await sleep(1s);
          });
        });
        co_await sleep(1ms);
      }
      co_await submitters.wait();
      co_await pool.drain();
      CHECK(order == std::vector{0, 1, 2, 3, 4, 5, 6, 7});
    }
  });
}

TEST_CASE("The pool has min workers from the start, grows to max under load, and shrinks to min when idle (178)") {
  on_simulated_schedulers([]() -> task<> {
    worker_pool pool({.min = 2, .max = 4, .queue_capacity = 1, .idle = 10s});
    CHECK(pool.workers() == 2);
    const auto takes = [](duration length) -> task<> { co_await sleep(length); };
    co_await pool.submit(takes, 1s);
    CHECK(pool.workers() == 2);
    co_await pool.submit(takes, 1s);
    CHECK(pool.workers() == 2);
    co_await pool.submit(takes, 2s);
    CHECK(pool.workers() == 3);
    co_await pool.submit(takes, 3s);
    co_await pool.submit(takes, 1s);
    CHECK(pool.workers() == 4);
    CHECK(pool.queued() == 1);
    co_await sleep(4s);  // all are idle: since 1s, 2s, 2s and 3s
    CHECK(pool.workers() == 4);
    co_await sleep(7s - 1ms);
    CHECK(pool.workers() == 4);
    co_await sleep(1ms);
    CHECK(pool.workers() == 3);
    co_await pool.submit(takes, 5s);
    co_await sleep(1s);
    CHECK(pool.workers() == 2);
    co_await sleep(1h);
    CHECK(pool.workers() == 2);
    for (int i = 0; i != 3; ++i) co_await pool.submit(takes, 1s);
    CHECK(pool.workers() == 3);
  });
}

TEST_CASE("The worker that was busy last has the next job, so that the others can end (178)") {
  on_simulated_schedulers([]() -> task<> {
    worker_pool pool({.min = 0, .max = 2, .idle = 10s});
    const auto takes = [](duration length) -> task<> { co_await sleep(length); };
    co_await pool.submit(takes, 1s);
    co_await pool.submit(takes, 2s);
    for (int i = 0; i != 2; ++i) {
      co_await sleep(4s);
      co_await pool.submit(takes, 1s);
      CHECK(pool.workers() == 2);
    }
    co_await sleep(3s);
    CHECK(pool.workers() == 1);
    co_await sleep(8s);
    CHECK(pool.workers() == 0);
  });
}

TEST_CASE("A pool of no workers to begin with makes the first for the first job") {
  on_every_scheduler([]() -> task<> {
    worker_pool pool({.min = 0, .max = 2});
    CHECK(pool.workers() == 0);
    auto job = co_await pool.submit(twice, 2);
    const int four = co_await job;
    CHECK(four == 4);
  });
}

TEST_CASE("An exception reaches the job's handle, and the pool goes on") {
  on_every_scheduler([]() -> task<> {
    worker_pool pool;
    auto fails = co_await pool.submit([]() -> int { throw std::runtime_error("job"); });
    std::string error;
    try {
      co_await fails;
    } catch (const std::runtime_error& e) {
      error = e.what();
    }
    CHECK(error == "job");
    auto next = co_await pool.submit(twice, 1);
    const int two = co_await next;
    CHECK(two == 2);
  });
}

TEST_CASE("The exception of a job whose handle was dropped is unhandled, as that of any routine (163)") {
  std::atomic<int> unhandled = 0;
  runtime_options o;
  o.on_unhandled = [&unhandled](std::exception_ptr, const std::source_location& where) {
    ++unhandled;
    CHECK(std::string(where.file_name()).find("worker_pool.cpp") != std::string::npos);
  };
  run(
      []() -> task<> {
        worker_pool pool;
        co_await pool.submit([] { throw std::runtime_error("job"); });
        co_await pool.drain();
      },
      o);
  CHECK(unhandled == 1);
}

TEST_CASE("A job whose submission has lost never runs, and may be submitted again") {
  on_every_scheduler([]() -> task<> {
    worker_pool pool;
    channel<void> gate;
    const auto until_opened = [gate]() -> task<> { co_await gate.recv(); };
    auto blocks = co_await pool.submit(until_opened);
    std::atomic<int> ran = 0;
    auto op = pool.submit([&ran] { return ++ran; });
    for (int i = 0; i != 3; ++i) {
      const auto lost = co_await select(op, yield());
      CHECK(lost.index() == 1);
    }
    CHECK(pool.queued() == 0);
    {
      auto dropped = pool.submit([&ran] { ran += 100; });
      const auto lost = co_await select(dropped, otherwise);
      CHECK(lost.index() == 1);
    }
    gate.close();
    auto job = co_await op;
    const int first = co_await job;
    CHECK(first == 1);
    bool refused = false;
    try {
      co_await op;
    } catch (const std::logic_error&) {
      refused = true;
    }
    CHECK(refused);
    co_await blocks;
    co_await pool.drain();
    CHECK(ran == 1);
  });
}

TEST_CASE("A submission that is cancelled while it waits leaves the others in their order (177)") {
  on_simulated_schedulers([]() -> task<> {
    worker_pool pool;
    std::vector<int> order;
    channel<void> gate;
    const auto until_opened = [gate]() -> task<> { co_await gate.recv(); };
    co_await pool.submit(until_opened);
    std::vector<handle<>> submitters;
    for (int i = 0; i != 3; ++i) {
      submitters.push_back(
          go([&pool, &order, i]() -> task<> { co_await pool.submit([&order, i] { order.push_back(i); }); }));
      co_await testing::settle();
    }
    submitters[1].cancel();
    const ending second = co_await ending_of(std::move(submitters[1]));
    CHECK(second == ending::cancelled);
    gate.close();
    co_await submitters[0];
    co_await submitters[2];
    co_await pool.drain();
    CHECK(order == std::vector{0, 2});
  });
}

TEST_CASE("cancel ends the jobs that run, and those in the queue never run; submit throws from then on (177)") {
  on_every_scheduler([]() -> task<> {
    const auto before = testing::live();
    std::atomic<int> begun = 0;
    worker_pool pool({.max = 2, .queue_capacity = 2});
    const auto stuck = [&begun]() -> task<> {
      ++begun;
      co_await sleep(1h);
    };
    std::vector<handle<>> jobs;
    for (int i = 0; i != 4; ++i) jobs.push_back(co_await pool.submit(stuck));
    auto waits = go([&pool, &stuck]() -> task<> { co_await pool.submit(stuck); });
    while (begun != 2) co_await yield();
    CHECK(pool.queued() == 2);
    pool.cancel();
    CHECK(pool.queued() == 0);
    for (handle<>& job : jobs) {
      const ending e = co_await ending_of(std::move(job));
      CHECK(e == ending::cancelled);
    }
    bool refused = false;
    try {
      co_await waits;
    } catch (const channel_closed&) {
      refused = true;
    }
    CHECK(refused);
    refused = false;
    {
      auto late = pool.submit(twice, 1);
      try {
        co_await late;
      } catch (const channel_closed&) {
        refused = true;
      }
    }
    CHECK(refused);
    CHECK(begun == 2);
    pool.cancel();
    co_await pool.drain();
    CHECK(pool.workers() == 0);
    jobs.clear();
    waits = {};
    while (!nothing_is_left_since(before)) co_await yield();
  });
}

TEST_CASE("drain refuses new jobs at once, and waits for the accepted ones, queued and running") {
  on_simulated_schedulers([]() -> task<> {
    worker_pool pool({.max = 2, .queue_capacity = 3});
    int done = 0;
    const auto job = [&done]() -> task<> {
      co_await sleep(10s);
      ++done;
    };
    const auto began = now();
    for (int i = 0; i != 5; ++i) co_await pool.submit(job);
    const auto waits = go([&pool, &job]() -> task<> { co_await pool.submit(job); });
    co_await testing::settle();
    auto drained = pool.drain();
    const auto too_early = co_await select(drained, sleep(1s));
    CHECK(too_early.index() == 1);
    bool refused = false;
    try {
      co_await waits;
    } catch (const channel_closed&) {
      refused = true;
    }
    CHECK(refused);
    co_await drained;
    CHECK(now() - began == 30s);
    CHECK(done == 5);
    co_await pool.drain();
  });
}

TEST_CASE("Several may wait for a pool to drain, and one of them give up") {
  on_every_scheduler([]() -> task<> {
    worker_pool pool;
    channel<void> gate;
    const auto until_opened = [gate]() -> task<> { co_await gate.recv(); };
    co_await pool.submit(until_opened);
    auto one = go([&pool]() -> task<> { co_await pool.drain(); });
    auto other = go([&pool]() -> task<> { co_await pool.drain(); });
    co_await yield();
    one.cancel();
    const ending gave_up = co_await ending_of(std::move(one));
    CHECK(gave_up == ending::cancelled);
    gate.close();
    co_await other;
  });
}

TEST_CASE("A pool that goes cancels its jobs, whatever state they are in, and leaves nothing") {
  on_every_scheduler([]() -> task<> {
    const auto before = testing::live();
    for (std::size_t jobs : {0u, 1u, 2u, 3u, 4u}) {
      std::vector<handle<>> handles;
      {
        worker_pool pool({.max = 2, .queue_capacity = 2});
        for (std::size_t i = 0; i != jobs; ++i) {
          handles.push_back(co_await pool.submit([]() -> task<> { co_await sleep(1h); }));
        }
        if (jobs % 2 == 0) co_await yield();
      }
      for (handle<>& job : handles) {
        const ending e = co_await ending_of(std::move(job));
        CHECK(e == ending::cancelled);
      }
    }
    {
      worker_pool unused({.min = 3, .max = 5});
      auto op = unused.submit(twice, 1);
    }
    while (!nothing_is_left_since(before)) co_await yield();
  });
}

TEST_CASE("Who has a pool's operation may outlive the pool") {
  on_every_scheduler([]() -> task<> {
    auto pool = std::make_unique<worker_pool>();
    auto op = pool->submit(twice, 1);
    auto drained = pool->drain();
    pool.reset();
    bool refused = false;
    try {
      co_await op;
    } catch (const channel_closed&) {
      refused = true;
    }
    CHECK(refused);
    co_await drained;
  });
}

TEST_CASE("When the context under which it was made is cancelled, so is the pool (177)") {
  on_every_scheduler([]() -> task<> {
    context ctx = context::with_cancel();
    std::unique_ptr<worker_pool> pool;
    auto maker =
        go(ctx, [&pool] { pool = std::make_unique<worker_pool>(pool_options{.max = 1, .queue_capacity = 2}); });
    co_await maker;
    std::vector<handle<>> jobs;
    const auto stuck = []() -> task<> { co_await sleep(1h); };
    for (int i = 0; i != 3; ++i) jobs.push_back(co_await pool->submit(stuck));
    std::atomic<bool> turned_away = false;
    auto waits = go([&]() -> task<> {
      try {
        co_await pool->submit(stuck);
      } catch (const channel_closed&) {
        turned_away = true;
      }
    });
    for (int i = 0; i != 10; ++i) co_await yield();
    ctx.cancel();
    co_await waits;
    CHECK(turned_away);
    for (handle<>& job : jobs) {
      const ending e = co_await ending_of(std::move(job));
      CHECK(e == ending::cancelled);
    }
    bool refused = false;
    auto late = pool->submit(stuck);
    try {
      co_await late;
    } catch (const channel_closed&) {
      refused = true;
    }
    CHECK(refused);
    co_await pool->drain();
  });
}

TEST_CASE("Jobs run under the pool's context, not their submitter's") {
  on_every_scheduler([]() -> task<> {
    worker_pool pool({.max = 1, .queue_capacity = 1});
    context ctx = context::with_cancel().with_value(7);
    channel<void> gate;
    auto submitter = go(ctx, [&pool, gate]() -> task<handle<int>> {
      auto job = [gate]() -> task<int> {
        co_await gate.recv();
        co_return current_context().value<int>() == nullptr ? 1 : 0;
      };
      co_return co_await pool.submit(job);
    });
    auto job = co_await submitter;
    ctx.cancel();
    gate.close();
    const int of_pool = co_await job;
    CHECK(of_pool == 1);
  });
}

TEST_CASE("A job's handle cancels that job, running or queued, and no other") {
  on_every_scheduler([]() -> task<> {
    worker_pool pool({.max = 1, .queue_capacity = 2});
    channel<void> gate;
    const auto job = [gate]() -> task<> { co_await gate.recv(); };
    auto running = co_await pool.submit(job);
    auto queued = co_await pool.submit(job);
    auto last = co_await pool.submit(job);
    queued.cancel();
    running.cancel();
    const ending first = co_await ending_of(std::move(running));
    const ending second = co_await ending_of(std::move(queued));
    CHECK(first == ending::cancelled);
    CHECK(second == ending::cancelled);
    gate.close();
    co_await last;
  });
}

TEST_CASE("Threads may wait for jobs, and cancel and destroy the pool") {
  on_real_schedulers([]() -> task<> {
    auto pool = std::make_unique<worker_pool>(pool_options{.max = 1, .queue_capacity = 3});
    channel<void> gate;
    auto job = [gate]() -> task<int> {
      co_await gate.recv();
      co_return 3;
    };
    auto first = co_await pool->submit(job);
    auto second = co_await pool->submit(job);
    auto third = co_await pool->submit(twice, 4);
    auto never_ends = co_await pool->submit([]() -> task<> { co_await never(); });
    std::atomic<int> sum = 0;
    auto waits = blocking([&] { sum += first.join_blocking() + second.join_blocking() + third.join_blocking(); });
    gate.close();
    co_await waits;
    CHECK(sum == 14);
    auto destroys = blocking([&pool] { pool.reset(); });
    co_await destroys;
    const ending e = co_await ending_of(std::move(never_ends));
    CHECK(e == ending::cancelled);
  });
}

TEST_CASE("A routine that submits to a pool which never has room again is part of a deadlock's report (160)") {
  on_each(every_scheduler(3), [](const scheduler_under_test& scheduler) {
    std::string report;
    try {
      scheduler.run([]() -> task<> {
        worker_pool pool({.max = 1, .queue_capacity = 1});
        for (int i = 0; i != 3; ++i) co_await pool.submit([]() -> task<> { co_await never(); });
      });
    } catch (const deadlock& e) {
      report = e.what();
    }
    CHECK(report.find("submit to worker_pool") != std::string::npos);
    CHECK(report.find("never") != std::string::npos);
  });
}

TEST_CASE("A pool may be made before its runtime runs, and go after it") {
  std::optional<worker_pool> pool(std::in_place, pool_options{.min = 1, .max = 2, .queue_capacity = 1});
  CHECK(pool->workers() == 1);
  handle<int> done, queued;
  const auto before = testing::live();
  run([&]() -> task<> {
    done = co_await pool->submit(twice, 4);
    const int eight = co_await done;
    CHECK(eight == 8);
    for (int i = 0; i != 2; ++i) co_await pool->submit([]() -> task<> { co_await never(); });
    queued = co_await pool->submit(twice, 5);
  });
  CHECK_THROWS_AS(queued.join_blocking(), cancelled);
  pool.reset();
  done = {};
  queued = {};
  CHECK(nothing_is_left_since(before));
}

TEST_CASE("More workers than max, or none at all, are an invalid_argument") {
  CHECK_THROWS_AS(worker_pool({.min = 2, .max = 1}), std::invalid_argument);
  CHECK_THROWS_AS(worker_pool({.min = 0, .max = 0}), std::invalid_argument);
}
