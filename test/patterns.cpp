// What people build from channels, select, time and wait groups.
#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <numeric>
#include <optional>
#include <ringo/ringo.hpp>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "every_scheduler.hpp"
#include "task_ending.hpp"

using namespace ringo;
using namespace std::chrono_literals;

namespace {

task<> worker(int, receiver<int> jobs, sender<int> results) {
  while (auto job = co_await jobs.recv()) {
    co_await sleep(1s);
    co_await results.send(*job * 2);
  }
}

// One channel out of several: closed when all of them are.
receiver<int> fan_in(std::vector<receiver<int>> inputs) {
  channel<int> out;
  auto forwarders = std::make_shared<wait_group>();
  for (auto& in : inputs) {
    forwarders->add();
    go([in, out, forwarders]() -> task<> {
      while (auto value = co_await in.recv()) co_await out.send(*value);
      forwarders->done();
    });
  }
  go([out, forwarders]() -> task<> {
    co_await forwarders->wait();
    out.close();
  });
  return out;
}

// 0, 1, 2, … until `done` is closed.
receiver<int> count_until(channel<void> done) {
  channel<int> out;
  go([out, done]() -> task<> {
    for (int i = 0;; ++i) {
      auto r = co_await select(out.send(i), done.recv());
      if (r.index() == 1) break;
    }
    out.close();
  });
  return out;
}

task<> send_integers_from_two(sender<int> out) {
  for (int i = 2;; ++i) co_await out.send(i);
}

task<> drop_multiples(int prime, receiver<int> in, sender<int> out) {
  while (auto n = co_await in.recv()) {
    if (*n % prime != 0) co_await out.send(*n);
  }
}

}  // namespace

TEST_CASE("Worker pool: 3 workers do 5 jobs of a second each in 2 seconds, each job once (172)") {
  for (std::uint64_t seed = 0; seed != 10; ++seed) {
    const auto report = testing::simulate({.seed = seed, .workers = 2}, []() -> task<> {
      channel<int> jobs(100), results(100);
      for (int id = 1; id <= 3; ++id) go(worker, id, jobs, results);
      for (int job = 1; job <= 5; ++job) co_await jobs.send(job);
      jobs.close();
      std::vector<int> all;
      for (int i = 0; i != 5; ++i) {
        const auto result = co_await results.recv();
        all.push_back(result.value());
      }
      std::sort(all.begin(), all.end());
      CHECK(all == std::vector<int>{2, 4, 6, 8, 10});
      // The pool ends by itself.
      co_await testing::settle();
      CHECK(results.try_recv() == std::nullopt);
    });
    CHECK(report.elapsed == 2s);
  }
}

TEST_CASE("Worker pool with a wait group and a closing routine: the results end after the last (172, 173)") {
  on_every_scheduler([]() -> task<> {
    constexpr int count = 200;
    channel<int> jobs, results;
    auto workers = std::make_shared<wait_group>();
    for (int id = 0; id != 4; ++id) {
      workers->go([jobs, results]() -> task<> {
        while (auto job = co_await jobs.recv()) co_await results.send(*job * *job);
      });
    }
    go([jobs]() -> task<> {
      for (int i = 0; i != count; ++i) co_await jobs.send(i);
      jobs.close();
    });
    go([workers, results]() -> task<> {
      co_await workers->wait();
      results.close();
    });
    std::vector<int> seen;
    while (auto result = co_await results.recv()) seen.push_back(*result);
    std::sort(seen.begin(), seen.end());
    std::vector<int> expected;
    for (int i = 0; i != count; ++i) expected.push_back(i * i);
    CHECK(seen == expected);
  });
}

TEST_CASE("Fan-out and fan-in: the output closes once, after the last value of all inputs (173)") {
  on_every_scheduler([]() -> task<> {
    constexpr int producers = 5;
    constexpr int each = 50;
    std::vector<receiver<int>> inputs;
    for (int p = 0; p != producers; ++p) {
      channel<int> in(static_cast<std::size_t>(p % 3));
      go([in, p]() -> task<> {
        for (int i = 0; i != each; ++i) co_await in.send(p * each + i);
        in.close();
      });
      inputs.push_back(in);
    }
    auto merged = fan_in(inputs);
    std::vector<int> last(producers, -1);
    std::vector<int> seen;
    bool in_order = true;
    while (auto value = co_await merged.recv()) {
      auto& before = last[static_cast<std::size_t>(*value / each)];
      in_order = in_order && before < *value;
      before = *value;
      seen.push_back(*value);
    }
    CHECK(in_order);
    std::sort(seen.begin(), seen.end());
    std::vector<int> expected(producers * each);
    std::iota(expected.begin(), expected.end(), 0);
    CHECK(seen == expected);
    CHECK(merged.is_drained());
  });
}

TEST_CASE("A timeout by select leaves no sender behind when the result has room for one (175)") {
  const auto report = testing::simulate({.seed = 4, .workers = 2}, []() -> task<> {
    const auto start = now();
    channel<std::string> result(1);
    auto slow = go([result]() -> task<> {
      co_await sleep(2s);
      co_await result.send("too late");
    });
    auto r = co_await select(result.recv(), sleep(1s));
    CHECK(r.index() == 1);
    CHECK(now() == start + 1s);
    co_await slow;
    CHECK(now() == start + 2s);
    CHECK(result.size() == 1);

    channel<std::string> in_time(1);
    go([in_time]() -> task<> {
      co_await sleep(2s);
      co_await in_time.send("in time");
    });
    auto s = co_await select(in_time.recv(), sleep(3s));
    REQUIRE(s.index() == 0);
    CHECK(std::get<0>(s) == "in time");
  });
  CHECK(report.elapsed == 4s);
}

TEST_CASE("A timeout by select cancels the one who would send too late (175)") {
  on_simulated_schedulers([]() -> task<> {
    channel<int> result;
    auto slow = go([result]() -> task<> {
      co_await sleep(2s);
      co_await result.send(1);
    });
    auto r = co_await select(result.recv(), sleep(1s));
    CHECK(r.index() == 1);
    slow.cancel();
    const auto end = co_await ending_of(slow);
    CHECK(end == ending::was_cancelled);
  });
}

TEST_CASE("An error channel with room for every sender lets all of them end, though one error is read (176)") {
  on_every_scheduler([]() -> task<> {
    constexpr int senders = 8;
    channel<std::string> errors(senders);
    std::vector<handle<void>> all;
    for (int i = 0; i != senders; ++i) {
      all.push_back(go([errors, i]() -> task<> {
        co_await yield();
        co_await errors.send("error " + std::to_string(i));
      }));
    }
    const auto first = co_await errors.recv();
    CHECK(first.has_value());
    for (auto& each : all) co_await each;
    CHECK(errors.size() == senders - 1);
  });
}

TEST_CASE("An error channel with room for one keeps the first error, by sends that do not wait (176)") {
  on_every_scheduler([]() -> task<> {
    channel<int> first_error(1);
    wait_group all;
    std::atomic<int> kept = 0;
    for (int i = 0; i != 10; ++i) {
      all.go([first_error, i, &kept]() -> task<> {
        co_await yield();
        auto r = co_await select(first_error.send(i), otherwise);
        kept += r.index() == 0;
      });
    }
    co_await all.wait();
    CHECK(kept == 1);
    CHECK(first_error.try_recv().has_value());
    CHECK(first_error.try_recv() == std::nullopt);
  });
}

TEST_CASE("A pool that selects on a stop signal starts no job after it, and all its workers return (177)") {
  on_simulated_schedulers([]() -> task<> {
    channel<void> stop;
    channel<int> jobs;
    bool stopped = false;
    int started_after_the_stop = 0, done = 0;
    wait_group workers;
    for (int id = 0; id != 3; ++id) {
      workers.go([&, stop, jobs]() -> task<> {
        while (true) {
          auto r = co_await select(prefer_first, stop.recv(), jobs.recv());
          if (r.index() == 0) co_return;
          started_after_the_stop += stopped;
          auto s = co_await select(prefer_first, stop.recv(), sleep(10ms));
          if (s.index() == 0) co_return;
          ++done;
        }
      });
    }
    auto feeding = go([stop, jobs]() -> task<int> {
      int fed = 0;
      while (true) {
        auto r = co_await select(prefer_first, stop.recv(), jobs.send(fed));
        if (r.index() == 0) co_return fed;
        ++fed;
      }
    });
    co_await sleep(55ms);
    stopped = true;
    stop.close();
    co_await workers.wait();
    const int fed = co_await feeding;
    CHECK(started_after_the_stop == 0);
    CHECK(done == 15);
    CHECK(fed == 18);
  });
}

TEST_CASE("A dynamic pool grows under backlog, shrinks when idle, never below its minimum, and loses no job (178)") {
  on_simulated_schedulers([]() -> task<> {
    constexpr int least = 2, most = 6, count = 40;
    channel<int> jobs(count);
    channel<void> quit, ended(most);
    std::vector<int> times_done(count);
    int working = 0, most_at_once = 0;
    auto serve = [&, jobs, quit, ended]() -> task<> {
      while (true) {
        auto r = co_await select(jobs.recv(), quit.recv());
        if (r.index() == 1) break;
        const auto job = std::get<0>(r);
        if (!job) break;
        most_at_once = std::max(most_at_once, ++working);
        co_await sleep(10ms);
        ++times_done[static_cast<std::size_t>(*job)];
        --working;
      }
      co_await ended.send();
    };
    int size = 0;
    for (; size != least; ++size) go(serve);
    for (int i = 0; i != count; ++i) co_await jobs.send(i);
    // The manager looks every millisecond.
    int smallest = size, largest = size;
    ticker look(1ms);
    for (int idle = 0; idle < 50;) {
      co_await look.tick();
      if (jobs.size() > 0 && size < most) {
        go(serve);
        ++size;
      }
      if (jobs.size() == 0) {
        ++idle;
        if (size > least && working < size) {
          auto r = co_await select(quit.send(), otherwise);
          if (r.index() == 0) {
            co_await ended.recv();
            --size;
          }
        }
      }
      smallest = std::min(smallest, size);
      largest = std::max(largest, size);
    }
    CHECK(size == least);
    CHECK(smallest == least);
    CHECK(largest == most);
    CHECK(most_at_once == most);
    CHECK(times_done == std::vector<int>(count, 1));
    jobs.close();
    for (int i = 0; i != least; ++i) co_await ended.recv();
  });
}

TEST_CASE("A buffered channel is a semaphore: at most as many at once as it has room for (179)") {
  on_every_scheduler([]() -> task<> {
    constexpr std::size_t permits = 3;
    channel<void> semaphore(permits);
    std::atomic<std::size_t> inside = 0, most = 0;
    wait_group all;
    for (int i = 0; i != 20; ++i) {
      all.go([&, semaphore]() -> task<> {
        for (int k = 0; k != 5; ++k) {
          co_await semaphore.send();
          const std::size_t now_inside = ++inside;
          std::size_t seen = most;
          while (seen < now_inside && !most.compare_exchange_weak(seen, now_inside)) {
          }
          co_await yield();
          --inside;
          co_await semaphore.recv();
        }
      });
    }
    co_await all.wait();
    CHECK(most >= 1);
    CHECK(most <= permits);
  });
}

TEST_CASE("A channel with room for one is a lock, which orders what its holders write (43, 179)") {
  on_every_scheduler([]() -> task<> {
    channel<void> lock(1);
    long long plain = 0;
    wait_group all;
    for (int i = 0; i != 10; ++i) {
      all.go([&plain, lock]() -> task<> {
        for (int k = 0; k != 100; ++k) {
          co_await lock.send();
          ++plain;
          co_await lock.recv();
        }
      });
    }
    co_await all.wait();
    CHECK(plain == 1000);
  });
}

TEST_CASE("A generator that selects on done ends when its consumer stops early, and leaves nothing (180)") {
  on_simulated_schedulers([]() -> task<> {
    const auto before = testing::live();
    channel<void> done;
    int sum = 0;
    {
      auto numbers = count_until(done);
      for (int i = 0; i != 10; ++i) {
        const auto n = co_await numbers.recv();
        sum += n.value();
      }
      done.close();
      co_await testing::settle();
      CHECK(numbers.is_closed());
    }
    CHECK(sum == 45);
    const auto after = testing::live();
    CHECK(after.routines == before.routines);
    CHECK(after.frames == before.frames);
  });
}

TEST_CASE("A closed gate releases all who wait at it, at once (31, 181)") {
  on_every_scheduler([]() -> task<> {
    channel<void> gate;
    std::atomic<int> passed = 0;
    std::atomic<bool> open = false;
    std::atomic<int> too_early = 0;
    wait_group all;
    for (int i = 0; i != 50; ++i) {
      all.go([&, gate]() -> task<> {
        co_await gate.recv();
        too_early += !open;
        ++passed;
      });
    }
    for (int i = 0; i != 5; ++i) co_await yield();
    CHECK(passed == 0);
    open = true;
    gate.close();
    co_await all.wait();
    CHECK(passed == 50);
    CHECK(too_early == 0);
  });
}

TEST_CASE("Of several who would close a done channel exactly one does, by try_close (D7, 181)") {
  on_every_scheduler([]() -> task<> {
    channel<void> done;
    std::atomic<int> closed = 0;
    wait_group all;
    for (int i = 0; i != 20; ++i) {
      all.go([&closed, done]() -> task<> {
        co_await yield();
        closed += done.try_close();
      });
    }
    co_await all.wait();
    CHECK(closed == 1);
    const bool open = co_await done.recv();
    CHECK_FALSE(open);
  });
}

TEST_CASE("The prime sieve finds the first hundred primes, and is torn down while all its filters are blocked (159)") {
  on_every_scheduler(
      []() -> task<> {
        channel<int> numbers;
        go(send_integers_from_two, numbers);
        receiver<int> from = numbers;
        std::vector<int> primes;
        for (int i = 0; i != 100; ++i) {
          const auto prime = co_await from.recv();
          primes.push_back(prime.value());
          channel<int> next;
          go(drop_multiples, primes.back(), from, next);
          from = next;
        }
        CHECK(primes[0] == 2);
        CHECK(primes[1] == 3);
        CHECK(primes[24] == 97);
        CHECK(primes[99] == 541);
      },
      3);
}

TEST_CASE("A pipeline of stages passes every value, in order, and closes from its source to its end (1, 37)") {
  on_every_scheduler([]() -> task<> {
    auto stage = [](receiver<int> in, sender<int> out, int add) -> task<> {
      while (auto value = co_await in.recv()) co_await out.send(*value + add);
      out.close();
    };
    channel<int> source;
    receiver<int> from = source;
    for (int i = 0; i != 20; ++i) {
      channel<int> next(static_cast<std::size_t>(i % 3));
      go(stage, from, next, i);
      from = next;
    }
    go([source]() -> task<> {
      for (int i = 0; i != 100; ++i) co_await source.send(i);
      source.close();
    });
    int expected = 190;
    bool in_order = true;
    while (auto value = co_await from.recv()) in_order = in_order && *value == expected++;
    CHECK(in_order);
    CHECK(expected == 290);
  });
}

TEST_CASE("A request carries the channel for its answer (14)") {
  on_every_scheduler([]() -> task<> {
    struct request {
      request(int n, sender<int> to) : number(n), answer(std::move(to)) {}
      int number;
      sender<int> answer;
    };
    channel<request> requests;
    go([requests]() -> task<> {
      while (auto r = co_await requests.recv()) co_await r->answer.send(r->number * r->number);
    });
    wait_group clients;
    std::atomic<int> wrong = 0;
    for (int i = 0; i != 10; ++i) {
      clients.go([requests, i, &wrong]() -> task<> {
        channel<int> answer;
        for (int k = 0; k != 10; ++k) {
          co_await requests.emplace(i * k, answer);
          const auto value = co_await answer.recv();
          wrong += value != i * k * i * k;
        }
      });
    }
    co_await clients.wait();
    requests.close();
    CHECK(wrong == 0);
  });
}

TEST_CASE("A ticker limits the rate of what is done (97)") {
  const auto report = testing::simulate({.seed = 6, .workers = 1}, []() -> task<> {
    channel<int> requests(5);
    for (int i = 0; i != 5; ++i) requests.try_send(i);
    requests.close();
    ticker limit(200ms);
    while (auto request = co_await requests.recv()) co_await limit.tick();
  });
  CHECK(report.elapsed == 1s);
}

TEST_CASE("Two senders at one second and two seconds are received as they come") {
  const auto report = testing::simulate({.seed = 8, .workers = 1}, []() -> task<> {
    channel<std::string> one, two;
    go([one]() -> task<> {
      co_await sleep(1s);
      co_await one.send("one");
    });
    go([two]() -> task<> {
      co_await sleep(2s);
      co_await two.send("two");
    });
    std::vector<std::string> received;
    for (int i = 0; i != 2; ++i) {
      co_await select(on(one.recv(), [&](std::optional<std::string> text) { received.push_back(text.value()); }),
                      on(two.recv(), [&](std::optional<std::string> text) { received.push_back(text.value()); }));
    }
    CHECK(received == std::vector<std::string>{"one", "two"});
  });
  CHECK(report.elapsed == 2s);
}

TEST_CASE("A ring of routines passes a token round many times") {
  on_every_scheduler(
      []() -> task<> {
        constexpr int members = 50;
        constexpr int laps = 40;
        std::vector<channel<int>> ring(members);
        for (std::size_t i = 0; i != members; ++i) {
          go([in = ring[i], out = ring[(i + 1) % members]]() -> task<> {
            while (auto token = co_await in.recv()) {
              if (*token == members * laps) {
                out.close();
                co_return;
              }
              co_await out.send(*token + 1);
            }
            out.close();
          });
        }
        co_await ring[0].send(0);
        // The last holder closes what it would have sent to, and so on round the ring, until the holder's own channel
        // is closed.
        while (!ring[members * laps % members].is_closed()) co_await yield();
        CHECK(ring[1].is_closed());
      },
      3);
}

TEST_CASE("Odd and even take turns, as two channels with room for one make them (1, 42)") {
  on_every_scheduler([]() -> task<> {
    channel<void> odd_may(1), even_may(1);
    std::vector<int> written;
    auto odd = go([&written, odd_may, even_may]() -> task<> {
      for (int i = 1; i < 100; i += 2) {
        co_await odd_may.recv();
        written.push_back(i);
        co_await even_may.send();
      }
    });
    auto even = go([&written, odd_may, even_may]() -> task<> {
      for (int i = 2; i <= 100; i += 2) {
        co_await even_may.recv();
        written.push_back(i);
        co_await odd_may.send();
      }
    });
    co_await odd_may.send();
    co_await odd;
    co_await even;
    std::vector<int> expected(100);
    std::iota(expected.begin(), expected.end(), 1);
    CHECK(written == expected);
  });
}
