// Connecting: names, several addresses, what fails, and what is cancelled.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <cstring>
#include <ringo/ringo.hpp>
#include <ringo/udp.hpp>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "error_told.hpp"
#include "network.hpp"
#include "states.hpp"

using namespace ringo;
using namespace std::chrono_literals;

TEST_CASE("a refused connection names the address") {
  on_the_network([]() -> task<> {
    auto listener = listen_locally();
    const endpoint nobody = listener.local();
    co_await listener.close();
    auto refused = co_await outcome(tcp_stream::connect(nobody));
    REQUIRE(!refused.has_value());
    CHECK(told(refused.error()).find(nobody.to_string()) != std::string::npos);
    try {
      std::rethrow_exception(refused.error());
    } catch (const std::system_error& e) {
      CHECK(e.code() == std::errc::connection_refused);
    }
  });
}

TEST_CASE("a name that is not known, and what is no host and port, are told") {
  on_the_network([]() -> task<> {
    auto unknown = co_await outcome(tcp_stream::connect("no-such-host.invalid:80"));
    REQUIRE(!unknown.has_value());
    CHECK(told(unknown.error()).find("no-such-host.invalid") != std::string::npos);
    CHECK_THROWS_AS((void)tcp_stream::connect("localhost"), std::invalid_argument);
    CHECK_THROWS_AS((void)tcp_stream::connect("localhost:port"), std::invalid_argument);
    // What stands before a zero byte is not all of the name.
    CHECK_THROWS_AS((void)tcp_stream::connect(std::string_view("localhost\0.org:80", 17)), std::invalid_argument);
    CHECK_THROWS_AS((void)resolve(std::string_view("localhost\0.org", 14), 80), std::invalid_argument);
  });
}

TEST_CASE("resolve gives numeric addresses back, and asks the system for names") {
  on_the_network([]() -> task<> {
    const std::vector<endpoint> numeric = co_await resolve("::1", 80);
    CHECK(numeric == std::vector<endpoint>{endpoint("[::1]:80")});
    const std::vector<endpoint> named = co_await resolve("localhost", 80);
    REQUIRE(!named.empty());
    CHECK(named.front().port() == 80);
  });
}

TEST_CASE("of a name's addresses the one that answers is taken") {
  on_the_network([]() -> task<> {
    // Where localhost has two addresses, nobody listens at the other one.
    auto listener = listen_locally();
    const std::string name = "localhost:" + std::to_string(listener.local().port());
    for (int i = 0; i < 5; ++i) {
      tcp_stream s = co_await tcp_stream::connect(name);
      tcp_stream accepted = co_await listener.accept();
      co_await accepted.send("x");
      const auto x = co_await s.recv();
      CHECK(x);
    }
  });
}

TEST_CASE("connecting that is cancelled or loses leaves no socket") {
  on_the_network([]() -> task<> {
    tcp_options few;
    few.backlog = 0;
    auto full = listen_locally(few);
    // Only a connect that gets no answer shows that the queue is full; one that gets an answer fills it.
    std::vector<tcp_stream> filling;
    for (bool is_full = false; !is_full;) {
      auto one = co_await outcome(with_timeout(20ms, tcp_stream::connect(full.local())));
      is_full = !one.has_value();
      if (is_full) {
        CHECK_THROWS_AS(std::move(one).value(), timed_out);
      } else {
        filling.push_back(std::move(one).value());
      }
    }
    for (bool is_full = false; !is_full;) {
      auto one = co_await select(tcp_stream::connect(full.local()), sleep(5ms));
      is_full = one.index() == 1;
      if (!is_full) filling.push_back(std::move(std::get<0>(one)));
    }
    for (bool is_full = false; !is_full;) {
      auto waits =
          go([](endpoint to) -> task<tcp_stream> { co_return co_await tcp_stream::connect(to); }, full.local());
      while (!waits.is_done() && parked("waits for connecting to") == 0) co_await yield();
      waits.cancel();
      auto one = co_await outcome(waits.join());
      is_full = !one.has_value();
      if (is_full) {
        CHECK_THROWS_AS(std::move(one).value(), cancelled);
      } else {
        filling.push_back(std::move(one).value());
      }
    }
  });
}

// In a network of its own, whose only port for a socket that connects is the one that it connects to.
static bool enter_network_of_one_port(std::uint16_t port) {
  if (::unshare(CLONE_NEWNET) != 0) return false;
  const descriptor s(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq loopback{};
  std::memcpy(loopback.ifr_name, "lo", 3);
  loopback.ifr_flags = IFF_UP | IFF_RUNNING;
  if (::ioctl(s.native_handle(), SIOCSIFFLAGS, &loopback) != 0) return false;
  const descriptor range(::open("/proc/sys/net/ipv4/ip_local_port_range", O_WRONLY | O_CLOEXEC));
  const std::string text = std::to_string(port) + ' ' + std::to_string(port);
  return ::write(range.native_handle(), text.data(), text.size()) == static_cast<ssize_t>(text.size());
}

TEST_CASE("a connection to a local port where nothing listens is refused, and never connects to itself") {
  bool entered = false;
  std::thread apart([&entered] {
    constexpr std::uint16_t port = 20'000;
    entered = enter_network_of_one_port(port);
    if (!entered) return;
    on_the_network([]() -> task<> {
      for (const std::string& to : {"127.0.0.1:" + std::to_string(port), "0.0.0.0:" + std::to_string(port)}) {
        auto refused = co_await outcome(tcp_stream::connect(to));
        REQUIRE(!refused.has_value());
        CHECK(told(refused.error()) == "ringo: connecting to " + to + ": Connection refused");
        CHECK(error_thrown_by([&] { udp_socket::connect(to); }) ==
              "ringo: udp_socket::connect to " + to + ": Connection refused");
      }
    });
  });
  apart.join();
  if (!entered) MESSAGE("not tried: this process may not make a network of its own");
}
