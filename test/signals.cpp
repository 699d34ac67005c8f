#include <doctest/doctest.h>

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>
#include <algorithm>
#include <atomic>
#include <chrono>
#include <fstream>
#include <memory>
#include <ringo/ringo.hpp>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "error_told.hpp"
#include "network.hpp"
#include "running_child.hpp"
#include "states.hpp"

using namespace std::chrono_literals;

namespace {

using handler = void (*)(int);

handler handler_of(int number) {
  struct sigaction now{};
  REQUIRE(::sigaction(number, nullptr, &now) == 0);
  return now.sa_handler;
}

void send(int number) { ::kill(::getpid(), number); }

// A signal to the process may wait for a thread that has yet to run. If the object goes meanwhile, it ends the process.
ringo::task<> until_all_have_come() {
  for (bool any = true; any;) {
    any = false;
    std::ifstream status("/proc/self/status");
    for (std::string line; std::getline(status, line);) {
      any = any || (line.starts_with("ShdPnd:") && line.find_first_of("123456789abcdef", 7) != line.npos);
    }
    if (any) co_await ringo::yield();
  }
}

ringo::task<> hear_one(const ringo::signals& from, std::vector<int>& heard) { heard.push_back(co_await from.recv()); }

}  // namespace

TEST_CASE("a routine that waits for a signal gets it, and is no deadlock") {
  on_the_network([]() -> ringo::task<> {
    const ringo::signals s({SIGUSR1});
    std::thread sender([] { send(SIGUSR1); });
    const int got = co_await s.recv();
    sender.join();
    CHECK(got == SIGUSR1);
  });
}

TEST_CASE("a signal from nobody but another process is waited for, though no other thread is here") {
  // The child has one thread: only the kernel could bring anything.
  const child_end end = run_in_a_child([] {
    const ringo::signals s({SIGUSR1});
    other_process sender([parent = ::getpid()] { ::kill(parent, SIGUSR1); });
    ringo::runtime_options one;
    one.workers = 1;
    return ringo::run(
        [&]() -> ringo::task<int> {
          sender.act_when_this_sleeps();
          co_return co_await s.recv() == SIGUSR1 ? 7 : 8;
        },
        one);
  });
  CHECK(end.exited);
  CHECK((end.status == 7));
}

TEST_CASE("signals that come before anybody receives are kept, one of each kind, and each kind has its turn") {
  on_the_network([]() -> ringo::task<> {
    const ringo::signals s({SIGUSR1, SIGUSR2, SIGHUP});
    for (int i = 0; i < 5; ++i) send(SIGUSR1);
    send(SIGUSR2);
    send(SIGHUP);
    // This thread is one of those that the kernel may choose: what it was sent has come when the next call returns;
    // what another was chosen for comes soon.
    std::vector<int> got;
    while (got.size() < 3) {
      const int one = co_await s.recv();
      if (std::find(got.begin(), got.end(), one) == got.end()) got.push_back(one);
    }
    std::sort(got.begin(), got.end());
    CHECK(got == std::vector<int>({SIGHUP, SIGUSR1, SIGUSR2}));
    co_await until_all_have_come();
  });
}

TEST_CASE("a signal that came before the runtime began is received in it") {
  const ringo::signals s({SIGUSR1});
  ::raise(SIGUSR1);
  const int got = ringo::run([&s]() -> ringo::task<int> { co_return co_await s.recv(); });
  CHECK(got == SIGUSR1);
}

TEST_CASE("two objects that name one signal both hear it, and each hears no more than it names") {
  on_the_network([]() -> ringo::task<> {
    const ringo::signals both({SIGUSR1, SIGUSR2});
    const ringo::signals first({SIGUSR1});
    std::vector<int> heard_by_first;
    auto h = ringo::go(hear_one, std::cref(first), std::ref(heard_by_first));
    ::raise(SIGUSR2);
    const int two = co_await both.recv();
    ::raise(SIGUSR1);
    const int one = co_await both.recv();
    co_await h;
    CHECK(two == SIGUSR2);
    CHECK(one == SIGUSR1);
    CHECK(heard_by_first == std::vector<int>({SIGUSR1}));
  });
}

TEST_CASE("what the process did at a signal before, it does again when the last object has gone") {
  const handler before = handler_of(SIGUSR1);
  auto first = std::make_unique<ringo::signals>(std::initializer_list<int>{SIGUSR1, SIGUSR2});
  auto second = std::make_unique<ringo::signals>(std::initializer_list<int>{SIGUSR1});
  CHECK((handler_of(SIGUSR1) != before));
  CHECK((handler_of(SIGUSR2) != before));
  first.reset();
  CHECK((handler_of(SIGUSR1) != before));
  CHECK((handler_of(SIGUSR2) == before));
  second.reset();
  CHECK((handler_of(SIGUSR1) == before));
}

TEST_CASE("a handler that somebody else has put in place meanwhile stays") {
  auto s = std::make_unique<ringo::signals>(std::initializer_list<int>{SIGUSR1});
  ::signal(SIGUSR1, SIG_IGN);
  s.reset();
  CHECK((handler_of(SIGUSR1) == SIG_IGN));
  ::signal(SIGUSR1, SIG_DFL);
}

TEST_CASE("after the last object the process ends by the signal as before") {
  const child_end end = run_in_a_child([] {
    ringo::run([]() -> ringo::task<> {
      const ringo::signals s({SIGTERM});
      ::raise(SIGTERM);
      co_await s.recv();
    });
    ::raise(SIGTERM);
    return 3;
  });
  CHECK_FALSE(end.exited);
  CHECK((end.status == SIGTERM));
}

TEST_CASE("a case that loses has taken nothing: the signal is the next one's") {
  on_the_network([]() -> ringo::task<> {
    const ringo::signals s({SIGUSR1});
    for (int i = 0; i < 50; ++i) {
      ringo::channel<int> ready(1);
      ready.try_send(i);
      ::raise(SIGUSR1);
      auto either = co_await ringo::select(s.recv(), ready.recv());
      if (either.index() == 0) continue;
      const int late = co_await s.recv();
      CHECK(late == SIGUSR1);
    }
    ringo::outcome_of<int> none = co_await ringo::outcome(ringo::with_timeout(1ms, s.recv()));
    CHECK(told(none) == told(std::make_exception_ptr(ringo::timed_out())));
    ::raise(SIGUSR1);
    const int last = co_await s.recv();
    CHECK(last == SIGUSR1);
  });
}

TEST_CASE("who waits longest is first, and one signal is one receive's") {
  on_each({scheduler_under_test::real(1)}, [](const scheduler_under_test& on) {
    on.run([]() -> ringo::task<> {
      const ringo::signals s({SIGUSR1});
      std::vector<int> order;
      const auto wait = [&](int id) -> ringo::task<> {
        co_await s.recv();
        order.push_back(id);
      };
      auto a = ringo::go(wait, 1);
      co_await ringo::yield();
      auto b = ringo::go(wait, 2);
      co_await ringo::yield();
      ::raise(SIGUSR1);
      co_await a;
      CHECK(order == std::vector<int>({1}));
      ::raise(SIGUSR1);
      co_await b;
      CHECK(order == std::vector<int>({1, 2}));
    });
  });
}

TEST_CASE("a storm on all threads hides no other signal, and disturbs nobody") {
  on_the_network([]() -> ringo::task<> {
    const ringo::signals s({SIGUSR1, SIGUSR2});
    std::atomic<bool> over = false;
    std::vector<std::thread> senders;
    for (int i = 0; i < 2; ++i) {
      senders.emplace_back([&over] {
        while (!over) {
          send(SIGUSR1);
          std::this_thread::yield();
        }
      });
    }
    int storm = 0;
    while (storm < 20) storm += co_await s.recv() == SIGUSR1;
    send(SIGUSR2);
    while (co_await s.recv() != SIGUSR2) {
    }
    for (int i = 0; i < 20; ++i) {  // coming and going in the middle of it
      const ringo::signals another({SIGUSR1});
      const int got = co_await another.recv();
      CHECK(got == SIGUSR1);
    }
    over = true;
    for (auto& each : senders) each.join();
    co_await until_all_have_come();
  });
}

TEST_CASE("a wait that is ended from another worker, and begun there anew while signals come, hears of each") {
  on_the_network([]() -> ringo::task<> {
    const ringo::signals s({SIGUSR1});
    ringo::group moving;  // the other workers have something to do, and take what waits here
    std::atomic<bool> ends = false;
    for (int i = 0; i < 3; ++i) {
      moving.go(
          [](std::atomic<bool>& end) -> ringo::task<> {
            while (!end) co_await ringo::yield();
          },
          std::ref(ends));
    }
    for (std::size_t i = 0; i < stressed(300); ++i) {
      const auto lost = co_await ringo::select(s.recv(), ringo::sleep(1us));
      if (lost.index() == 0) continue;
      send(SIGUSR1);
      const int got = co_await s.recv();
      CHECK(got == SIGUSR1);
    }
    ends = true;
    co_await moving.wait();
  });
}

TEST_CASE("who still waits when the object goes ends as if it had been cancelled") {
  for (const unsigned workers : {1u, 2u, 4u}) {
    ringo::runtime_options how;
    how.workers = workers;
    ringo::run(
        []() -> ringo::task<> {
          auto s = std::make_unique<ringo::signals>(std::initializer_list<int>{SIGUSR1});
          auto h = ringo::go([](const ringo::signals& from) -> ringo::task<int> { co_return co_await from.recv(); },
                             std::cref(*s));
          co_await until_parked("waits for a signal (");
          s.reset();
          const ringo::outcome_of<int> o = co_await ringo::outcome(h.join());
          CHECK(told(o) == "cancelled");
        },
        how);
  }
}

TEST_CASE("an object that has gone leaves no descriptor") {
  const auto before = open_descriptors();
  ringo::run([]() -> ringo::task<> {
    for (int i = 0; i < 20; ++i) {
      const ringo::signals s({SIGUSR1});
      auto r = co_await ringo::select(s.recv(), ringo::sleep(0s));
      CHECK(r.index() == 1);
    }
  });
  {
    const ringo::signals s({SIGUSR1});
  }
  CHECK(open_descriptors() == before);
}

TEST_CASE("a select that waits for a signal no more does not hide a deadlock") {
  bool found = false;
  try {
    ringo::run([]() -> ringo::task<> {
      const ringo::signals s({SIGUSR1});
      auto r = co_await ringo::select(s.recv(), ringo::sleep(1ms));
      CHECK(r.index() == 1);
      co_await ringo::never();
    });
  } catch (const ringo::deadlock&) {
    found = true;
  }
  CHECK(found);
}

TEST_CASE("what cannot be waited for is refused by name") {
  const handler before = handler_of(SIGINT);
  const auto refusal = [](std::initializer_list<int> numbers) {
    try {
      const ringo::signals s(numbers);
    } catch (const std::invalid_argument& e) {
      return std::string(e.what());
    }
    return std::string();
  };
  CHECK(refusal({}).find("none is named") != std::string::npos);
  CHECK(refusal({0}).find("0 is no signal") != std::string::npos);
  CHECK(refusal({65}).find("65 is no signal") != std::string::npos);
  CHECK(refusal({SIGINT, SIGKILL}).find("Killed") != std::string::npos);
  CHECK(refusal({SIGSEGV}).find("sigaction") != std::string::npos);
  CHECK(refusal({33}).find("33") != std::string::npos);
  CHECK((handler_of(SIGINT) == before));
}

TEST_CASE("a simulation has no signals") {
  bool refused = false;
  ringo::testing::simulate({}, [&]() -> ringo::task<> {
    try {
      const ringo::signals s({SIGUSR1});
      co_await s.recv();
    } catch (const std::logic_error&) {
      refused = true;
    }
  });
  CHECK(refused);
}
