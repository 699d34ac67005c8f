// Connecting: names, several addresses, what fails, and what is cancelled.
#include <doctest/doctest.h>

#include <chrono>
#include <ringo/ringo.hpp>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "error_told.hpp"
#include "network.hpp"

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
    socket_options few;
    few.backlog = 0;
    auto full = listen_locally(few);
    std::vector<tcp_stream> filling;
    // Until the queue is full, and the next one is left without an answer.
    for (;;) {
      auto one = co_await outcome(with_timeout(50ms, tcp_stream::connect(full.local())));
      if (!one.has_value()) {
        CHECK_THROWS_AS(std::move(one).value(), timed_out);
        break;
      }
      filling.push_back(std::move(one).value());
    }
    auto lost = co_await select(tcp_stream::connect(full.local()), sleep(5ms));
    CHECK(lost.index() == 1);
    auto waits = go([](endpoint to) -> task<> { co_await tcp_stream::connect(to); }, full.local());
    co_await sleep(1ms);
    waits.cancel();
    auto ended = co_await outcome(waits.join());
    CHECK_THROWS_AS(std::move(ended).value(), cancelled);
  });
}
