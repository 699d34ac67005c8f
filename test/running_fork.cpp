// fork: what a child may do.
#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <ringo/ringo.hpp>
#include <stdexcept>
#include <string>

#include "every_scheduler.hpp"
#include "running_child.hpp"

using namespace ringo;
using namespace std::chrono_literals;

namespace {

task<int> twice(int x) { co_return 2 * x; }

template <class F>
bool is_refused(F call) {
  try {
    call();
  } catch (const channel_closed&) {
    return false;
  } catch (const std::logic_error&) {
    return true;
  }
  return false;
}

// The exit status of a child that is forked here and does this.
template <class F>
int status_of_child(F what) {
  const pid_t child = ::fork();
  if (child < 0) return -1;
  if (child == 0) ::_exit(what());
  int how = 0;
  if (::waitpid(child, &how, 0) != child) return -2;
  return WIFEXITED(how) ? WEXITSTATUS(how) : -3;
}

}  // namespace

TEST_CASE("In a child that is forked while a runtime runs, any call is a logic_error, and the parent goes on (D25)") {
  for (unsigned workers : {1u, 2u}) {
    runtime rt({.workers = workers});
    rt.run([&rt]() -> task<> {
      channel<int> c(4);
      c.try_send(1);
      channel<int> parked;
      go([parked]() -> task<> { co_await parked.send(5); });
      co_await yield();
      const int refused = status_of_child([&] {
        int count = 0;
        count += is_refused([&] { c.try_send(2); });
        count += is_refused([&] { c.try_recv(); });
        count += is_refused([&] { go(twice, 1); });
        count += is_refused([&] { rt.go(twice, 1); });
        count += is_refused([&] { run(twice(1)); });
        return count;
      });
      CHECK(refused == 5);
      CHECK(c.size() == 1);
      CHECK(c.try_recv() == 1);
      const auto received = co_await parked.recv();
      CHECK(received == 5);
      co_await sleep(1ms);
    });
  }
}

TEST_CASE("An await in a child that is forked while a runtime runs is a logic_error") {
  run(
      []() -> task<> {
        channel<int> c(1);
        const pid_t child = ::fork();
        REQUIRE(child >= 0);
        if (child == 0) {
          int status = 1;
          try {
            co_await c.send(1);
          } catch (const std::logic_error&) {
            status = 0;
          }
          ::_exit(status);
        }
        int how = 0;
        REQUIRE(::waitpid(child, &how, 0) == child);
        CHECK(WIFEXITED(how));
        CHECK(WEXITSTATUS(how) == 0);
        CHECK(c.size() == 0);
        co_await c.send(2);
        CHECK(c.try_recv() == 2);
      },
      {.workers = 1});
}

TEST_CASE("A child that is forked while a runtime runs may exec") {
  run(
      []() -> task<> {
        const pid_t child = ::fork();
        REQUIRE(child >= 0);
        if (child == 0) {
          ::execl("/bin/sh", "sh", "-c", "exit 6", static_cast<char*>(nullptr));
          ::_exit(1);
        }
        int how = 0;
        REQUIRE(::waitpid(child, &how, 0) == child);
        CHECK(WIFEXITED(how));
        CHECK(WEXITSTATUS(how) == 6);
        co_return;
      },
      {.workers = 1});
}

TEST_CASE("A child that is forked while no runtime runs may start its own") {
  run(twice(1));
  const int status = status_of_child([] {
    return run(
        []() -> task<int> {
          channel<int> c;
          go([c]() -> task<> {
            co_await sleep(1ms);
            co_await c.send(20);
          });
          const auto value = co_await c.recv();
          const int doubled = co_await twice(value.value());
          co_return doubled;
        },
        {.workers = 1});
  });
  CHECK(status == 40);
  CHECK(run(twice(2)) == 4);
}

TEST_CASE(
    "A fork in the middle of an echo: the child may exit, its calls are refused, and no byte is lost here (H19)") {
  for (unsigned workers : {1u, 2u}) {
    run(
        []() -> task<> {
          auto listener = tcp_listener::bind("127.0.0.1:0");
          tcp_stream client = co_await tcp_stream::connect(listener.local());
          tcp_stream server = co_await listener.accept();
          auto echoing = go(
              [](tcp_stream& s) -> task<> {
                while (auto some = co_await s.recv()) co_await s.send(*some);
              },
              std::ref(server));
          for (int i = 0; i < 20; ++i) {
            const std::string text = "message " + std::to_string(i);
            co_await client.send(text);
            std::string came(text.size(), ' ');
            // The echo may be anywhere on its way.
            const pid_t child = ::fork();
            REQUIRE(child >= 0);
            if (child == 0) {
              if (i % 4 == 0) ::_exit(7);
              if (i % 4 == 1) {
                int refused = is_refused([] { run(twice(1)); });
                try {
                  co_await client.send("from the child");
                } catch (const std::logic_error&) {
                  ++refused;
                }
                try {
                  (void)co_await client.recv();
                } catch (const std::logic_error&) {
                  ++refused;
                }
                ::_exit(refused == 3 ? 7 : 1);
              }
              if (i % 4 == 2) {
                {
                  const tcp_stream gone = std::move(client);
                }
                {
                  const tcp_stream gone = std::move(server);
                }
                {
                  const tcp_listener gone = std::move(listener);
                }
                ::_exit(7);
              }
              ::execl("/bin/sh", "sh", "-c", "exit 7", static_cast<char*>(nullptr));
              ::_exit(1);
            }
            co_await client.read_exactly(came);
            CHECK(came == text);
            int how = 0;
            REQUIRE(::waitpid(child, &how, 0) == child);
            REQUIRE(WIFEXITED(how));
            CHECK(WEXITSTATUS(how) == 7);
          }
          co_await client.close();
          co_await echoing;
        },
        {.workers = workers});
  }
}
