// Listeners: no connection is lost, whatever becomes of who accepts it; and what is wrong is said.
#include <doctest/doctest.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <ringo/ringo.hpp>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "descriptor_limit.hpp"
#include "error_told.hpp"
#include "network.hpp"

using namespace ringo;
using namespace std::chrono_literals;

TEST_CASE("every client of a storm is served, though accepting times out all the time (H2)") {
  on_the_network([]() -> task<> {
    auto listener = listen_locally();
    constexpr int clients = 300;
    std::atomic<int> answered = 0;
    wait_group all;
    for (int i = 0; i < clients; ++i) {
      all.go(
          [](endpoint to, std::atomic<int>& n) -> task<> {
            tcp_stream s = co_await tcp_stream::connect(to);
            const auto answer = co_await s.recv();
            if (answer && answer->text() == "served") ++n;
          },
          listener.local(), std::ref(answered));
    }
    int served = 0, timed = 0;
    while (served < clients) {
      auto came = co_await outcome(with_timeout(std::chrono::microseconds(20 + 7 * (timed % 30)), listener.accept()));
      if (!came.has_value()) {
        ++timed;
        continue;
      }
      tcp_stream s = std::move(came).value();
      co_await s.send("served");
      ++served;
    }
    co_await all.wait();
    CHECK(answered == clients);
  });
}

TEST_CASE("several accept from one listener, and all are served") {
  on_the_network([]() -> task<> {
    auto listener = listen_locally();
    std::atomic<int> served = 0;
    constexpr int clients = 60;
    group acceptors;
    for (int a = 0; a < 4; ++a) {
      acceptors.go(
          [](tcp_listener& l, std::atomic<int>& n) -> task<> {
            for (;;) {
              tcp_stream s = co_await l.accept();
              ++n;  // the end may come before it hears that this has been sent
              co_await s.send("x");
            }
          },
          std::ref(listener), std::ref(served));
    }
    for (int i = 0; i < clients; ++i) {
      tcp_stream s = co_await tcp_stream::connect(listener.local());
      const auto x = co_await s.recv();
      CHECK(x);
    }
    co_await listener.close();
    auto ended = co_await outcome(acceptors.wait());
    CHECK_THROWS_AS(std::move(ended).value(), disconnected);
    CHECK(served == clients);
  });
}

TEST_CASE("close ends who accepts, and nobody can connect any more") {
  on_the_network([]() -> task<> {
    auto listener = listen_locally();
    const endpoint at = listener.local();
    auto accepting = go([](tcp_listener& l) -> task<> { co_await l.accept(); }, std::ref(listener));
    co_await yield();
    co_await listener.close();
    auto ended = co_await outcome(accepting.join());
    CHECK_THROWS_AS(std::move(ended).value(), disconnected);
    auto later = co_await outcome(listener.accept());
    CHECK_THROWS_AS(std::move(later).value(), disconnected);
    auto refused = co_await outcome(tcp_stream::connect(at));
    CHECK_THROWS_AS(std::move(refused).value(), std::system_error);
  });
}

TEST_CASE("a port of 0 is one that is free; both families come to [::]") {
  on_the_network([]() -> task<> {
    for (const char* all : {"[::]:0", ":0"}) {
      auto listener = tcp_listener::bind(all);
      const std::string port = std::to_string(listener.local().port());
      CHECK(port != "0");
      for (const std::string& to : {"127.0.0.1:" + port, "localhost:" + port}) {
        tcp_stream s = co_await tcp_stream::connect(to);
        const tcp_stream accepted = co_await listener.accept();
        CHECK(accepted.peer().port() == s.local().port());
      }
    }
    auto local = tcp_listener::bind("localhost:0");
    CHECK(local.local().address() == "127.0.0.1");
  });
}

TEST_CASE("what cannot be bound is told with its address (c28)") {
  auto listener = listen_locally();
  const std::string taken = listener.local().to_string();
  const auto message = [](std::string_view at) -> std::string {
    try {
      tcp_listener::bind(at);
    } catch (const std::exception& e) {
      return e.what();
    }
    return "bound";
  };
  CHECK(message(taken).find(taken) != std::string::npos);
  CHECK(message(taken).find("in use") != std::string::npos);
  CHECK_THROWS_AS(tcp_listener::bind(taken), std::system_error);
  for (const char* wrong : {"127.0.0.1", "127.0.0.1:", "127.0.0.1:http", "127.0.0.1:70000", "300.0.0.1:80", "::1:80",
                            "[::1:80", "example.org:80", ""}) {
    CAPTURE(wrong);
    CHECK_THROWS_AS(tcp_listener::bind(wrong), std::invalid_argument);
    CHECK(message(wrong).find('"' + std::string(wrong) + '"') != std::string::npos);
  }
  CHECK_THROWS_AS(tcp_listener::bind("198.51.100.7:0"), std::system_error);
}

TEST_CASE("with reuse_port several listeners share a port") {
  on_the_network([]() -> task<> {
    tcp_options o;
    o.reuse_port = true;
    auto one = tcp_listener::bind("127.0.0.1:0", o);
    auto other = tcp_listener::bind(one.local(), o);
    for (int i = 0; i < 20; ++i) {
      tcp_stream s = co_await tcp_stream::connect(one.local());
      auto accepted = co_await select(one.accept(), other.accept());
      CHECK(accepted.index() < 2);
    }
  });
}

TEST_CASE("a listener that is destroyed where no runtime runs gives its connections to another that shares its port") {
  const auto before = open_descriptors();
  {
    tcp_options o;
    o.reuse_port = true;
    auto stays = tcp_listener::bind("127.0.0.1:0", o);
    auto goes = std::make_unique<tcp_listener>(tcp_listener::bind(stays.local(), o));
    constexpr int clients = 40;  // the kernel deals them out to both
    std::vector<descriptor> connected;
    for (int i = 0; i < clients; ++i) {
      descriptor s(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
      sockaddr_in to{};
      to.sin_family = AF_INET;
      to.sin_port = htons(stays.local().port());
      to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
      REQUIRE(::connect(s.native_handle(), reinterpret_cast<const sockaddr*>(&to), sizeof to) == 0);
      connected.push_back(std::move(s));
    }
    goes.reset();
    run([&]() -> task<> {
      for (int i = 0; i < clients; ++i) tcp_stream s = co_await stays.accept();
    });
  }
  CHECK(open_descriptors() == before);
}

// UndefinedBehaviorSanitizer takes a descriptor to find out whether an object can be read, and reports one that it
// cannot find out about.
#if defined(__has_feature)
#if __has_feature(undefined_behavior_sanitizer)
#define RINGO_TEST_SANITIZER_NEEDS_DESCRIPTORS true
#endif
#endif
#ifndef RINGO_TEST_SANITIZER_NEEDS_DESCRIPTORS
#define RINGO_TEST_SANITIZER_NEEDS_DESCRIPTORS false
#endif

TEST_CASE("a listener that is closed loses none of the connections in its queue, if another shares its port (H26)") {
  on_the_network([]() -> task<> {
    tcp_options o;
    o.reuse_port = true;
    o.backlog = 256;
    auto stays = tcp_listener::bind("127.0.0.1:0", o);
    std::vector<tcp_listener> leaving;
    for (int i = 0; i < 3; ++i) leaving.push_back(tcp_listener::bind(stays.local(), o));
    constexpr int clients = 80;
    std::vector<tcp_stream> connected;
    for (int i = 0; i < clients; ++i) connected.push_back(co_await tcp_stream::connect(stays.local()));
    auto serving = go(
        [](tcp_listener& l) -> task<> {
          for (int i = 0; i < clients; ++i) {
            tcp_stream s = co_await l.accept();
            co_await s.send("served");
          }
        },
        std::ref(stays));
    co_await leaving[0].close();
    {
      const tcp_listener dropped = std::move(leaving[1]);
    }
    co_await leaving[2].close();
    for (tcp_stream& s : connected) {
      const auto answer = co_await s.recv();
      CHECK(answer.has_value());
    }
    co_await serving;
    const auto gone = co_await outcome(leaving[0].accept());
    CHECK(told(gone).find("its own side has closed it") != std::string::npos);
  });
}

TEST_CASE("without a free descriptor the listener pauses, says so once, and goes on (c1, H15)" *
          doctest::skip(RINGO_TEST_SANITIZER_NEEDS_DESCRIPTORS)) {
  for (const unsigned workers : {1u, 2u}) {
    std::mutex mutex;
    std::vector<std::string> warnings;
    runtime_options o;
    o.workers = workers;
    o.on_warning = [&](std::string_view text) {
      const std::lock_guard guard(mutex);
      warnings.emplace_back(text);
    };
    const auto before = open_descriptors();
    run(
        [&]() -> task<> {
          auto listener = listen_locally();
          tcp_stream client = co_await tcp_stream::connect(listener.local());
          std::optional<descriptor_limit> tight(static_cast<rlim_t>(client.native_handle()) + 1);
          std::vector<descriptor> taken;  // what is free below
          for (int number = 0; (number = ::dup(client.native_handle())) >= 0;) taken.emplace_back(number);
          auto accepted =
              go([](tcp_listener& l) -> task<tcp_stream> { co_return co_await l.accept(); }, std::ref(listener));
          const auto warned = [&] {
            const std::lock_guard guard(mutex);
            return !warnings.empty();
          };
          while (!warned()) co_await sleep(1ms);
          co_await sleep(20ms);  // several more attempts
          CHECK(!accepted.is_done());
          tight.reset();
          tcp_stream served = co_await accepted;
          co_await served.send("at last");
          const auto came = co_await client.recv();
          CHECK(came);
        },
        o);
    CHECK(warnings.size() == 1);
    CHECK(warnings.front().find("ulimit -n") != std::string::npos);
    CHECK(open_descriptors() == before);
  }
}

TEST_CASE("a listener that is dropped is closed; made before the runtime, it serves it") {
  const auto before = open_descriptors();
  {
    std::optional<tcp_listener> listener = listen_locally();
    const endpoint at = listener->local();
    run([&]() -> task<> {
      tcp_stream s = co_await tcp_stream::connect(at);
      const tcp_stream accepted = co_await listener->accept();
      // One more that nobody takes.
      tcp_stream waits = co_await tcp_stream::connect(at);
      auto lost = co_await select(listener->accept(), sleep(0s));
      (void)lost;
    });
    listener.reset();
    run([&]() -> task<> {
      auto refused = co_await outcome(tcp_stream::connect(at));
      CHECK(!refused.has_value());
    });
  }
  CHECK(open_descriptors() == before);
}

TEST_CASE("a listener is bound at once where the one before it has been killed with its program") {
  for (int i = 0; i < 10; ++i) {
    int told_port[2];
    REQUIRE(::pipe(told_port) == 0);
    const pid_t child = ::fork();
    if (child == 0) {
      run([&]() -> task<> {
        tcp_listener listener = listen_locally();
        const std::uint16_t port = listener.local().port();
        (void)!::write(told_port[1], &port, sizeof port);
        co_await listener.accept();
      });
      ::_exit(1);
    }
    std::uint16_t port = 0;
    REQUIRE(::read(told_port[0], &port, sizeof port) == sizeof port);
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    const std::string at = "127.0.0.1:" + std::to_string(port);
    CHECK(error_thrown_by([&] { (void)tcp_listener::bind(at); }) == "nothing");
    ::close(told_port[0]);
    ::close(told_port[1]);
  }
}

TEST_CASE("a default-made listener is empty, and says so where it is used") {
  run([]() -> task<> {
    tcp_listener of_tcp;
    unix_listener of_unix;
    CHECK_FALSE(of_tcp);
    CHECK_FALSE(of_unix);
    CHECK(of_tcp.native_handle() == -1);
    CHECK_FALSE(of_tcp.local());
    CHECK(of_unix.local().empty());
    CHECK_THROWS_AS((void)co_await of_tcp.accept(), std::logic_error);
    CHECK_THROWS_AS((void)co_await of_unix.accept(), std::logic_error);
    of_tcp = tcp_listener::bind("127.0.0.1:0");
    CHECK(of_tcp);
    co_await of_tcp.close();
  });
}

TEST_CASE("an accepted stream knows its peer's address, though the peer has gone by then") {
  on_the_network([]() -> task<> {
    tcp_listener l = tcp_listener::bind("127.0.0.1:0");
    tcp_stream peer = co_await tcp_stream::connect(l.local());
    const endpoint at = peer.local();
    const linger reset{1, 0};
    REQUIRE(::setsockopt(peer.native_handle(), SOL_SOCKET, SO_LINGER, &reset, sizeof reset) == 0);
    co_await peer.close();
    const tcp_stream accepted = co_await l.accept();
    CHECK(accepted.peer() == at);
  });
}
