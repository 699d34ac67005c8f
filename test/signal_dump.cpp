// runtime_options::dump_on_sigquit: what SIGQUIT does while runtimes begin and end.
#include <doctest/doctest.h>

#include <pthread.h>

#include <atomic>
#include <csignal>
#include <memory>
#include <ringo/ringo.hpp>
#include <string>
#include <thread>

#include "every_scheduler.hpp"
#include "running_child.hpp"

using namespace ringo;
using namespace std::chrono_literals;

namespace {

runtime_options dumped(unsigned workers = 1) {
  runtime_options o;
  o.workers = workers;
  o.dump_on_sigquit = true;
  return o;
}

bool handles_sigquit() {
  struct sigaction now{};
  return ::sigaction(SIGQUIT, nullptr, &now) == 0 && now.sa_handler != SIG_DFL && now.sa_handler != SIG_IGN;
}

}  // namespace

TEST_CASE("SIGQUIT that another thread handles while a runtime ends touches nothing of it") {
  const child_end end = run_in_a_child([] {
    std::signal(SIGQUIT, [](int) {});
    std::atomic<bool> done = false;
    std::thread raises([&] {
      while (!done) std::raise(SIGQUIT);
    });
    for (std::size_t round = stressed(1000); round > 0; --round) {
      const runtime first(dumped(1));
      const auto own = std::make_unique<runtime>(dumped(2));
      own->run([]() -> task<> { co_await yield(); });
    }
    done = true;
    raises.join();
    return 0;
  });
  CAPTURE(end.errors);
  CHECK(end.exited);
  CHECK(end.status == 0);
}

TEST_CASE("Of two runtimes that are dumped at SIGQUIT, the one that goes on is dumped when the other has ended") {
  const child_end end = run_in_a_child([] {
    std::atomic<bool> first_runs = false, second_runs = false, first_has_ended = false;
    std::thread first([&] {
      run(
          [&]() -> task<> {
            first_runs = true;
            while (!second_runs) co_await yield();
          },
          dumped());
      first_has_ended = true;
    });
    while (!first_runs) std::this_thread::yield();
    run(
        [&]() -> task<> {
          second_runs = true;
          while (!first_has_ended) co_await yield();
          std::raise(SIGQUIT);
          co_await sleep(1ms);  // a turn ends, and the dump is written
        },
        dumped());
    first.join();
    return handles_sigquit() ? 1 : 0;
  });
  CHECK(end.exited);
  CHECK(end.status == 0);
  CHECK(end.errors.find("1 routine on 1 worker") != std::string::npos);
}
