// Filters: a broken pipe at descriptor 1 or 2 ends the process by SIGPIPE, whoever writes there.
#include <doctest/doctest.h>

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <functional>
#include <ringo/ringo.hpp>

#include "running_child.hpp"

using namespace ringo;
using namespace std::chrono_literals;

namespace {

// How a child ends that runs this with a broken pipe as that descriptor.
child_end with_broken(int descriptor, const std::function<int()>& program) {
  return run_in_a_child([&] {
    ::alarm(60);  // a child that goes on for ever is killed, some day
    ::signal(SIGPIPE, SIG_DFL);
    int ends[2];
    if (::pipe(ends) != 0) return 98;
    ::dup2(ends[1], descriptor);
    ::close(ends[0]);
    ::close(ends[1]);
    return program();
  });
}

bool ended_by_sigpipe(const child_end& end) { return !end.exited && end.status == SIGPIPE; }

runtime_options of(unsigned workers) {
  runtime_options o;
  o.workers = workers;
  return o;
}

}  // namespace

TEST_CASE("A routine that prints for ever ends the process when its reader has gone: it yields, sleeps, or computes") {
  for (const int descriptor : {1, 2}) {
    for (unsigned workers : {1u, 2u, 4u}) {
      const auto prints = [=](std::function<task<>()> rests) {
        return with_broken(descriptor, [&] {
          run(
              [&]() -> task<> {
                for (;;) {
                  (void)!::write(descriptor, "x\n", 2);
                  co_await rests();
                }
              },
              of(workers));
          return 0;
        });
      };
      CHECK(ended_by_sigpipe(prints([]() -> task<> { co_await yield(); })));
      CHECK(ended_by_sigpipe(prints([]() -> task<> { co_await sleep(1ms); })));
      CHECK(ended_by_sigpipe(prints([]() -> task<> {
        channel<int> ch(1);
        co_await ch.send(1);
        (void)co_await ch.recv();
      })));
    }
  }
}

TEST_CASE("So does printf in another routine than main's, and a program that has printed once and goes on") {
  CHECK(ended_by_sigpipe(with_broken(1, [] {
    run([]() -> task<> {
      go([]() -> task<> {
        for (;;) {
          std::printf("a line\n");
          co_await yield();
        }
      });
      co_await sleep(1h);
    });
    return 0;
  })));
  CHECK(ended_by_sigpipe(with_broken(1, [] {
    run([]() -> task<> {
      (void)!::write(1, "x\n", 2);
      co_return;
    });
    return 0;
  })));
}

TEST_CASE("So does ringo's own standard_output, and a call of blocking that writes there") {
  CHECK(ended_by_sigpipe(with_broken(1, [] {
    run([]() -> task<> {
      pipe_writer out = standard_output();
      for (;;) {
        try {
          co_await out.send("x\n");
        } catch (const disconnected&) {
        }
        co_await sleep(1ms);
      }
    });
    return 0;
  })));
  CHECK(ended_by_sigpipe(with_broken(1, [] {
    run([]() -> task<> {
      const auto call = [] { (void)!::write(1, "x\n", 2); };
      auto called = blocking(call);
      co_await called;
      co_await sleep(1h);
    });
    return 0;
  })));
}

TEST_CASE("Other broken pipes, and a program that ignores SIGPIPE, have the error alone") {
  const child_end other = run_in_a_child([] {
    ::signal(SIGPIPE, SIG_DFL);
    const int nothing = ::open("/dev/null", O_WRONLY);
    ::dup2(nothing, 1);
    int ends[2];
    if (::pipe(ends) != 0) return 98;
    ::close(ends[0]);
    run([&]() -> task<> {
      for (int i = 0; i != 3000; ++i) {
        (void)!::write(ends[1], "x", 1);
        co_await yield();
      }
    });
    return 7;
  });
  CHECK(other.exited);
  CHECK(other.status == 7);
  const child_end ignores = with_broken(1, [] {
    ::signal(SIGPIPE, SIG_IGN);
    run([]() -> task<> {
      for (int i = 0; i != 3000; ++i) {
        (void)!::write(1, "x", 1);
        co_await yield();
      }
    });
    return 7;
  });
  CHECK(ignores.exited);
  CHECK(ignores.status == 7);
}
