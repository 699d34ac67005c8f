// tcp_options: what a stream has from connect() and from its listener.
#include <doctest/doctest.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <chrono>
#include <ringo/ringo.hpp>
#include <stdexcept>
#include <string>
#include <system_error>
#include <vector>

#include "network.hpp"

using namespace ringo;
using namespace std::chrono_literals;

static int option_of(const tcp_stream& s, int level, int option) {
  int value = -1;
  socklen_t size = sizeof value;
  REQUIRE(::getsockopt(s.native_handle(), level, option, &value, &size) == 0);
  return value;
}

// As if its cable had been pulled: nothing that comes reaches it.
static void make_deaf(const tcp_stream& s) {
  sock_filter drop_all = BPF_STMT(BPF_RET | BPF_K, 0);
  const sock_fprog program{1, &drop_all};
  REQUIRE(::setsockopt(s.native_handle(), SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) == 0);
}

static std::error_code code_of(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const disconnected& e) {
    return e.code();
  } catch (...) {
    return {};
  }
}

TEST_CASE("a stream has keep-alive and the user timeout, whether it was connected or accepted") {
  on_the_network([]() -> task<> {
    const connected both = co_await connect_pair(
        {.keep_alive_idle = 30s, .keep_alive_interval = 5s, .keep_alive_count = 3, .user_timeout = 20s});
    for (const tcp_stream* s : {&both.here, &both.there}) {
      CHECK(option_of(*s, SOL_SOCKET, SO_KEEPALIVE) == 1);
      CHECK(option_of(*s, IPPROTO_TCP, TCP_KEEPIDLE) == 30);
      CHECK(option_of(*s, IPPROTO_TCP, TCP_KEEPINTVL) == 5);
      CHECK(option_of(*s, IPPROTO_TCP, TCP_KEEPCNT) == 3);
      CHECK(option_of(*s, IPPROTO_TCP, TCP_USER_TIMEOUT) == 20'000);
      CHECK(option_of(*s, IPPROTO_TCP, TCP_NODELAY) != 0);
    }
    const connected plain = co_await connect_pair();
    for (const tcp_stream* s : {&plain.here, &plain.there}) {
      CHECK(option_of(*s, SOL_SOCKET, SO_KEEPALIVE) == 0);
      CHECK(option_of(*s, IPPROTO_TCP, TCP_USER_TIMEOUT) == 0);
    }
  });
}

TEST_CASE("with a user timeout a peer that does not acknowledge is given up, and who waits is told") {
  on_the_network([]() -> task<> {
    const connected both = co_await connect_pair({.user_timeout = 100ms});
    make_deaf(both.there);
    co_await both.here.send("is anyone there?");
    auto received = co_await outcome(both.here.recv());
    REQUIRE(!received.has_value());
    CHECK(code_of(received.error()) == std::errc::timed_out);
  });
}

TEST_CASE("with keep-alive a silent peer that has gone is noticed without a byte being sent") {
  on_the_network([]() -> task<> {
    const connected both =
        co_await connect_pair({.keep_alive_idle = 1s, .keep_alive_interval = 1s, .keep_alive_count = 1});
    make_deaf(both.there);
    auto received = co_await outcome(both.here.recv());
    REQUIRE(!received.has_value());
    CHECK(code_of(received.error()) == std::errc::timed_out);
  });
}

TEST_CASE("options that the kernel cannot have are refused by name") {
  on_the_network([]() -> task<> {
    const auto listener = listen_locally();
    const std::vector<tcp_options> wrong{{.keep_alive_idle = -1s},
                                         {.keep_alive_idle = 32768s},
                                         {.keep_alive_idle = 1s, .keep_alive_interval = 32768s},
                                         {.keep_alive_idle = 1s, .keep_alive_count = 128},
                                         {.keep_alive_interval = 1s},  // and no keep_alive_idle
                                         {.user_timeout = -1ms},
                                         {.user_timeout = std::chrono::hours(24 * 25)},
                                         {.send_buffer = -1}};
    for (const tcp_options& each : wrong) {
      CHECK_THROWS_AS(listen_locally(each), std::invalid_argument);
      auto refused = co_await outcome(tcp_stream::connect(listener.local(), each));
      CHECK_THROWS_AS(std::move(refused).value(), std::invalid_argument);
    }
  });
}
