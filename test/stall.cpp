// A worker that was kept from looking outside, by a routine that computed or since the process was stopped: what came
// before a limit wins over it, however late both are seen.
#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <functional>
#include <optional>
#include <ringo/process.hpp>
#include <ringo/ringo.hpp>
#include <string>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

#include "every_scheduler.hpp"
#include "network.hpp"
#include "states.hpp"

using namespace ringo;
using namespace std::chrono_literals;

namespace {

constexpr int rounds = 20;
unsigned workers_now = 0;

template <class F>
void on_few_workers(F make_main) {
  for (const unsigned workers : {1u, 2u, 4u}) {
    workers_now = workers;
    scheduler_under_test::real(workers).run(make_main);
  }
}

void spin_past(time_point limit) {
  while (now() < limit + 2ms) {
  }
}

// Or another worker has taken what was there.
void spin_until_readable(int descriptor) {
  pollfd one{descriptor, POLLIN, 0};
  for (int i = 0; ::poll(&one, 1, 0) != 1 && (workers_now == 1 || i != 1000); ++i) {
  }
}

// Computes from the first value of `begin` until `slept`, which fails if it takes 10 s.
task<bool> computes_until(std::atomic<bool>& slept, channel<int> begin, std::atomic<bool>& begun) {
  begun = true;
  co_await begin.recv();
  const time_point end = now() + 10s;
  while (!slept && now() < end) {
  }
  co_return slept;
}

// In a routine that is resumed by the caller's worker as soon as the caller waits: computes until a limit has passed.
class hog {
 public:
  hog() : computing_(go(compute, begin_, std::ref(began_in_time_))) {}
  // The next await of the caller's lets it begin.
  task<> begin(time_point limit) {
    while (!begin_.try_send(limit)) co_await yield();
    began_in_time_ = false;
  }
  // Whether the caller waited before the limit: the machine may have been busy with others.
  bool began_in_time() const { return began_in_time_; }
  task<> end() {
    begin_.close();
    co_await computing_;
  }

 private:
  static task<> compute(channel<time_point> begin, std::atomic<bool>& in_time) {
    while (auto limit = co_await begin.recv()) {
      in_time = now() < *limit;
      spin_past(*limit);
    }
  }

  channel<time_point> begin_;
  std::atomic<bool> began_in_time_ = false;
  handle<void> computing_;
};

// `arrive` makes something come, and returns when it surely has; `wait` waits for it until a limit, and says whether it
// came. Where there is but one worker, first what has come before the kernel has been asked for it. Then what comes
// after that; with more workers where the waiter's worker is the one that computes, beside others that look after the
// timers.
template <class Arrive, class Wait>
task<> wins_though_seen_late(Arrive arrive, Wait wait) {
  if (workers_now == 1) {
    hog beside;
    for (int i = 0, tries = 0; i != rounds && tries != 3 * rounds; ++tries) {
      arrive();
      const time_point limit = now() + 5ms;
      co_await beside.begin(limit);
      const bool came = co_await wait(limit);
      const bool in_time = beside.began_in_time();
      CHECK((came || !in_time));
      if (!came) co_await wait(now() + 1h);
      i += in_time ? 1 : 0;
    }
    co_await beside.end();
  }
  const int enough = workers_now == 1 ? rounds : rounds / 4;
  for (int i = 0, tries = 0; i != enough && tries != 10 * enough; ++tries) {
    const time_point limit = now() + 10ms;
    std::atomic<pid_t> waits_on = 0;
    auto waiting = go([&]() -> task<bool> {
      waits_on = ::gettid();
      const bool came = co_await wait(limit);
      co_return came;
    });
    while (waits_on == 0) co_await yield();
    for (int k = 0; k != 3; ++k) co_await yield();
    const bool is_here = waits_on == ::gettid();  // then it waits: it does not run
    if (is_here) {
      arrive();
      const bool in_time = now() < limit;
      spin_past(limit);
      const bool came = co_await waiting;
      CHECK((came || !in_time));
      if (!came) co_await wait(now() + 1h);
      i += in_time ? 1 : 0;
    } else {
      const bool came = co_await waiting;
      CHECK(!came);
    }
  }
}

template <class Stream>
auto send_to(const Stream& to, const Stream& from) {
  return [&to, &from] {
    CHECK(::send(from.native_handle(), "x", 1, 0) == 1);
    spin_until_readable(to.native_handle());
  };
}

}  // namespace

TEST_CASE("Bytes that came before a limit win over it, though both are seen late") {
  on_few_workers([]() -> task<> {
    connected both = co_await connect_pair();
    co_await wins_though_seen_late(send_to(both.here, both.there), [&](time_point limit) -> task<bool> {
      auto first = co_await select(prefer_first, both.here.recv(), sleep_until(limit));
      co_return first.index() == 0;
    });
  });
}

TEST_CASE("Bytes that came before with_deadline's limit win over it, alone and as a case") {
  on_few_workers([]() -> task<> {
    connected both = co_await connect_pair();
    co_await wins_though_seen_late(send_to(both.here, both.there), [&](time_point limit) -> task<bool> {
      bool came = true;
      try {
        co_await with_deadline(limit, both.here.recv());
      } catch (const timed_out&) {
        came = false;
      }
      co_return came;
    });
    co_await wins_though_seen_late(send_to(both.here, both.there), [&](time_point limit) -> task<bool> {
      bool came = true;
      try {
        co_await select(with_deadline(limit, both.here.recv()), never());
      } catch (const timed_out&) {
        came = false;
      }
      co_return came;
    });
    // A task that the limit ends by its context, with the routine that waits in a task of its own.
    co_await wins_though_seen_late(send_to(both.here, both.there), [&](time_point limit) -> task<bool> {
      bool came = true;
      try {
        co_await with_deadline(limit, [](tcp_stream& from) -> task<> { co_await from.recv(); }(both.here));
      } catch (const timed_out&) {
        came = false;
      }
      co_return came;
    });
  });
}

TEST_CASE("Bytes that came before a timer's time win over it") {
  on_few_workers([]() -> task<> {
    connected both = co_await connect_pair();
    timer limiter(1h);
    co_await wins_though_seen_late(send_to(both.here, both.there), [&](time_point limit) -> task<bool> {
      limiter.reset(limit - now());
      auto first = co_await select(prefer_first, both.here.recv(), limiter.wait());
      co_return first.index() == 0;
    });
  });
}

TEST_CASE("All of what was asked for, which came in many pieces before a limit, wins over it") {
  workers_now = 1;
  scheduler_under_test::real(1).run([]() -> task<> {
    connected both = co_await connect_pair();
    const std::string much(40'000, 'x');
    std::string got(much.size(), ' ');
    const auto arrive = [&] {
      CHECK(::send(both.there.native_handle(), much.data(), much.size(), 0) == static_cast<ssize_t>(much.size()));
      std::string seen(much.size(), ' ');
      while (::recv(both.here.native_handle(), seen.data(), seen.size(), MSG_PEEK | MSG_DONTWAIT) !=
             static_cast<ssize_t>(much.size())) {
      }
    };
    hog beside;
    for (int i = 0; i != rounds;) {
      arrive();
      const time_point limit = now() + 5ms;
      co_await beside.begin(limit);
      auto first = co_await select(prefer_first, both.here.read_exactly(got), sleep_until(limit));
      const bool came = first.index() == 0, in_time = beside.began_in_time();
      CHECK((came || !in_time));
      i += in_time ? 1 : 0;
      if (!came) co_await both.here.read_exactly(got);
    }
    co_await beside.end();
  });
}

TEST_CASE("A connection that came before a limit wins over it") {
  on_few_workers([]() -> task<> {
    tcp_listener listener = listen_locally();
    std::optional<tcp_stream> accepted;
    descriptor client;
    const auto arrive = [&] {
      client = descriptor(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
      sockaddr_in to{};
      to.sin_family = AF_INET;
      to.sin_port = htons(listener.local().port());
      to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
      CHECK(::connect(client.native_handle(), reinterpret_cast<const sockaddr*>(&to), sizeof to) == 0);
      spin_until_readable(listener.native_handle());
    };
    co_await wins_though_seen_late(arrive, [&](time_point limit) -> task<bool> {
      auto first = co_await select(prefer_first, listener.accept(), sleep_until(limit));
      co_return first.index() == 0;
    });
  });
}

TEST_CASE("A datagram that came before a limit wins over it") {
  on_few_workers([]() -> task<> {
    udp_socket here = udp_socket::bind("127.0.0.1:0");
    udp_socket there = udp_socket::connect(here.local());
    co_await wins_though_seen_late(send_to(here, there), [&](time_point limit) -> task<bool> {
      auto first = co_await select(prefer_first, here.recv(), sleep_until(limit));
      co_return first.index() == 0;
    });
  });
}

TEST_CASE("The end of a process that came before a limit wins over it") {
  scheduler_under_test::real(1).run([]() -> task<> {
    const std::vector<std::string> nothing(1, "true");
    std::optional<ringo::process> child;
    hog beside;
    for (int i = 0; i != rounds;) {
      child.emplace(co_await ringo::process::start(nothing));
      siginfo_t info{};
      while (::waitid(P_PID, static_cast<id_t>(child->id()), &info, WEXITED | WNOWAIT) != 0) {
      }
      const time_point limit = now() + 5ms;
      co_await beside.begin(limit);
      auto first = co_await select(prefer_first, child->wait(), sleep_until(limit));
      const bool came = first.index() == 0, in_time = beside.began_in_time();
      CHECK((came || !in_time));
      i += in_time ? 1 : 0;
    }
    co_await beside.end();
  });
}

TEST_CASE("A signal that came before a limit wins over it") {
  on_few_workers([]() -> task<> {
    signals of({SIGUSR1});
    const auto arrive = [] { ::raise(SIGUSR1); };
    co_await wins_though_seen_late(arrive, [&](time_point limit) -> task<bool> {
      auto first = co_await select(prefer_first, of.recv(), sleep_until(limit));
      co_return first.index() == 0;
    });
  });
}

TEST_CASE("A descriptor that was readable before a limit wins over it") {
  on_few_workers([]() -> task<> {
    connected both = co_await connect_pair();
    const int number = both.here.native_handle();
    co_await wins_though_seen_late(send_to(both.here, both.there), [&](time_point limit) -> task<bool> {
      auto first = co_await select(prefer_first, readable(number), sleep_until(limit));
      char one;
      if (first.index() == 0) CHECK(::recv(number, &one, 1, 0) == 1);
      co_return first.index() == 0;
    });
  });
}

TEST_CASE("What a thread did before a limit wins over it, though the only worker sees both late") {
  scheduler_under_test::real(1).run([]() -> task<> {
    channel<int> values;
    CHECK(!values.try_recv());  // now it is this runtime's, so a thread that sends asks this worker at once
    hog beside;
    for (int i = 0; i != rounds; ++i) {
      event set;
      std::thread([&set] { set.set(); }).join();
      time_point limit = now() + 5ms;
      co_await beside.begin(limit);
      auto first = co_await select(prefer_first, set.wait(), sleep_until(limit));
      bool in_time = beside.began_in_time();
      CHECK((first.index() == 0 || !in_time));

      // The value comes by a routine that does the sending.
      std::atomic<pid_t> id = 0;
      std::thread sender([&] {
        id = ::gettid();
        values.send_blocking(1);
      });
      spin_until_asleep(id);
      limit = now() + 5ms;
      co_await beside.begin(limit);
      auto second = co_await select(prefer_first, values.recv(), sleep_until(limit));
      in_time = beside.began_in_time();
      CHECK((second.index() == 0 || !in_time));
      if (second.index() != 0) co_await values.recv();
      co_await blocking([&] { sender.join(); });  // the routine that sends for it may still have to tell it
    }
    co_await beside.end();
  });
}

TEST_CASE("The result of a blocking call that came before a limit wins over it") {
  scheduler_under_test::real(1).run([]() -> task<> {
    for (int i = 0; i != rounds; ++i) {
      std::atomic<pid_t> id = 0;
      const time_point limit = now() + 20ms;
      auto waiting = go([&, limit]() -> task<bool> {
        auto first = co_await select(prefer_first, blocking([&id] { id = ::gettid(); }), sleep_until(limit));
        co_return first.index() == 0;
      });
      // Where the machine is busy with others the limit may pass before a thread has begun the call, which it then
      // never does.
      while (id == 0 && !waiting.is_done()) co_await yield();
      if (id != 0) spin_until_asleep(id);
      const bool in_time = id != 0 && now() < limit;
      spin_past(limit);
      const bool came = co_await waiting;
      CHECK((came || !in_time));
    }
  });
}

TEST_CASE("A value from one routine that bytes wake wins over the limit of another that waits for it") {
  workers_now = 1;
  scheduler_under_test::real(1).run([]() -> task<> {
    connected both = co_await connect_pair();
    channel<int> values;
    auto reader = go([&both, values]() -> task<> {
      while (co_await both.here.recv()) co_await values.send(1);
      values.close();
    });
    const auto arrive = send_to(both.here, both.there);
    for (int i = 0; i != rounds; ++i) {
      const time_point limit = now() + 20ms;
      auto waiting = go([values, limit]() -> task<bool> {
        auto first = co_await select(prefer_first, values.recv(), sleep_until(limit));
        co_return first.index() == 0;
      });
      for (int k = 0; k != 3; ++k) co_await yield();
      arrive();
      const bool in_time = now() < limit;
      spin_past(limit);
      const bool came = co_await waiting;
      CHECK((came || !in_time));
      if (!came) co_await values.recv();
    }
    co_await both.there.shutdown_send();
    co_await values.recv();
    co_await reader;
  });
}

TEST_CASE("Sleeps beside a computing routine end while it computes, also where its worker has not seen what came") {
  workers_now = 2;
  for (const unsigned workers : {2u, 4u}) {
    scheduler_under_test::real(workers).run([]() -> task<> {
      connected both = co_await connect_pair();
      std::atomic<bool> slept = false;
      channel<int> begin;
      auto computing = go([&slept, begin]() -> task<> {
        co_await begin.recv();
        while (!slept) {
        }
      });
      for (int k = 0; k != 3; ++k) co_await yield();
      // Something comes for the worker that computes.
      auto reader = go([&both]() -> task<> { co_await both.here.recv(); });
      for (int k = 0; k != 3; ++k) co_await yield();
      send_to(both.here, both.there)();
      // Only when it waits. A send that waits for it would be resumed by its worker, which computes then.
      while (!begin.try_send(1)) co_await yield();
      co_await sleep(2ms);
      auto limited = co_await select(begin.recv(), sleep(2ms));
      CHECK(limited.index() == 1);
      slept = true;
      co_await computing;
      co_await reader;
    });
  }
}

TEST_CASE("A sleep ends while a routine of its worker computes, though all other workers slept before it began") {
  for (const unsigned workers : {2u, 4u}) {
    runtime rt({.workers = workers});
    rt.run([&rt, workers]() -> task<> {
      for (int round = 0; round != rounds; ++round) {
        std::atomic<bool> begun = false, slept = false;
        channel<int> begin;
        auto computing = go(computes_until, std::ref(slept), begin, std::ref(begun));
        while (!begun) co_await yield();
        // The others sleep: each has parked once more than it has woken.
        for (metrics m = rt.metrics(); m.parks != m.wakes + workers - 1; m = rt.metrics()) co_await yield();
        co_await begin.send(1);  // which makes it this worker's next
        co_await sleep(1ms);
        slept = true;
        CHECK(co_await computing);
      }
    });
  }
}

TEST_CASE("A sleep ends while a routine of its worker computes, and one of another worker, which may have watched it") {
  runtime rt({.workers = 3});
  rt.run([&rt]() -> task<> {
    for (int round = 0; round != rounds; ++round) {
      std::atomic<bool> begun = false, begun_elsewhere = false, slept = false;
      channel<int> begin, begin_elsewhere;
      auto computing = go(computes_until, std::ref(slept), begin, std::ref(begun));
      auto elsewhere = go(computes_until, std::ref(slept), begin_elsewhere, std::ref(begun_elsewhere));
      auto later = go([] { return sleep(1h); });  // reason for a watch
      while (!begun || !begun_elsewhere) co_await yield();
      for (metrics m = rt.metrics(); m.parks != m.wakes + 2; m = rt.metrics()) co_await yield();
      std::thread([begin_elsewhere] { begin_elsewhere.send_blocking(1); }).join();  // served by a worker that slept
      CHECK(begin.try_send(1));                                                     // which makes it this worker's next
      co_await sleep(1ms);
      slept = true;
      CHECK(co_await computing);
      CHECK(co_await elsewhere);
      later.cancel();
      try {
        co_await later;
      } catch (const cancelled&) {
      }
    }
  });
}

TEST_CASE(
    "A sleep ends while a routine of its worker computes, though a timer before it was given up in the same turn") {
  runtime rt({.workers = 2});
  rt.run([&rt]() -> task<> {
    const auto the_other_sleeps = [&rt] {
      const metrics m = rt.metrics();
      return m.parks == m.wakes + 1;
    };
    for (int round = 0; round != rounds / 4; ++round) {
      std::atomic<bool> begun = false, is_busy = false, may_sleep = false, slept = false;
      channel<int> begin, given_up, go_on;
      auto computing = go(computes_until, std::ref(slept), begin, std::ref(begun));
      while (!begun || !the_other_sleeps()) co_await yield();
      auto busy = go([&is_busy, &may_sleep]() -> task<> {
        is_busy = true;
        while (!may_sleep) {
        }
        co_return;
      });
      while (!is_busy) co_await yield();
      // All of the following is one turn. The timer of `first` has a watch asked for, while nobody is idle.
      auto wakes = go([given_up]() -> task<> { co_await given_up.send(1); });
      auto first = go([given_up, go_on]() -> task<> {
        co_await select(given_up.recv(), sleep(1h));
        co_await go_on.send(1);
      });
      co_await go_on.recv();
      may_sleep = true;
      for (const time_point end = now() + 1s; !the_other_sleeps() && now() < end;) {
      }
      spin_past(now());  // it has looked for timers, too, and found none
      CHECK(begin.try_send(1));
      co_await sleep(1ms);
      slept = true;
      CHECK(co_await computing);
      co_await busy;
      co_await wakes;
      co_await first;
    }
  });
}

TEST_CASE("In a simulation, what comes a moment before a limit wins over it") {
  on_simulated_schedulers([]() -> task<> {
    channel<int> values;
    auto sender = go([values]() -> task<> {
      for (int i = 0; i != rounds; ++i) {
        co_await sleep(10ms - 1ns);
        co_await values.send(i);
        co_await sleep(1ns);
      }
    });
    const auto start = now();
    for (int i = 0; i != rounds; ++i) {
      auto first = co_await select(values.recv(), sleep_until(start + (i + 1) * 10ms));
      CHECK(first.index() == 0);
      co_await sleep_until(start + (i + 1) * 10ms);
    }
    co_await sender;
  });
}
