// The exit of the process: it waits for no thread, whatever that waits for or does in ringo.
#include <doctest/doctest.h>

#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <ringo/ringo.hpp>
#include <thread>
#include <utility>

#include "kept.hpp"
#include "running_child.hpp"
#include "states.hpp"

using namespace ringo;

namespace {

// Whether a child that runs this, and then exits as from main, does so with status 0.
bool exits_after(const std::function<void()>& program) {
  std::fflush(nullptr);
  const child_end end = run_in_a_child([&]() -> int {
    ::alarm(60);  // a child that hangs is killed, some day
    program();
    std::exit(0);
  });
  INFO(end.errors);
  CHECK(end.exited);
  CHECK(end.status == 0);
  return end.exited && end.status == 0;
}

void start_thread_that_receives_from(const channel<int>& ch) {
  start_thread_that_sleeps_in([ch] {
    try {
      (void)ch.recv_blocking();
    } catch (...) {
    }
  });
}

}  // namespace

TEST_CASE("The process exits though a thread waits in recv_blocking of a channel that no runtime has used") {
  exits_after([] { start_thread_that_receives_from(channel<int>()); });
}

TEST_CASE("The process exits though a thread waits in recv_blocking of a channel whose runtime has ended") {
  exits_after([] {
    const channel<int> ch(1);
    run([ch]() -> task<> { co_await ch.send(1); });
    (void)ch.recv_blocking();
    start_thread_that_receives_from(ch);
  });
}

TEST_CASE("The process exits though a thread waits in send_blocking and in handle::join_blocking") {
  exits_after([] {
    const channel<int> ch;
    auto* never_run = kept(new runtime);
    start_thread_that_sleeps_in([ch] { ch.send_blocking(1); });
    auto* h = kept(new handle<void>(never_run->go([]() -> task<> { co_return; })));
    start_thread_that_sleeps_in([h] { h->join_blocking(); });
  });
}

TEST_CASE("The process exits while the workers of a runtime recycle frames and share them") {
  exits_after([] {
    auto* begun = kept(new std::atomic<int>(0));
    for (unsigned workers : {1u, 4u}) {
      std::thread([begun, workers] {
        runtime_options o;
        o.workers = workers;
        run(
            [begun]() -> task<> {
              ++*begun;
              for (;;) {
                for (int i = 0; i != 2000; ++i) go([]() -> task<> { co_await yield(); });
                co_await yield();
              }
            },
            o);
      }).detach();
    }
    while (*begun != 2) std::this_thread::yield();
  });
}

TEST_CASE("The process exits while a call of blocking waits for a channel") {
  exits_after([] {
    const channel<int> ch;
    auto* caller = kept(new std::atomic<pid_t>(0));
    std::thread([ch, caller] {
      run([ch, caller]() -> task<> {
        const auto call = [ch, caller] {
          *caller = ::gettid();
          (void)ch.recv_blocking();
        };
        auto waits = blocking(call);
        co_await waits;
      });
    }).detach();
    spin_until_asleep(*caller);
  });
}
