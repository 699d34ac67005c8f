// resolve: what is asked of the system, and what is not. The system's resolver is replaced by one that waits.
#include <doctest/doctest.h>
#include <netdb.h>
#include <netinet/in.h>

#include <atomic>
#include <chrono>
#include <cstring>
#include <ringo/resolve.hpp>
#include <ringo/ringo.hpp>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>

#include "error_told.hpp"
#include "network.hpp"

using namespace ringo;
using namespace std::chrono_literals;

static std::atomic<int> asked_now = 0, most_asked = 0;
static std::atomic<bool> answers = false;

extern "C" int getaddrinfo(const char* host, const char*, const addrinfo*, addrinfo** found) {
  *found = nullptr;
  if (std::strcmp(host, "slow.test") != 0) return EAI_NONAME;
  const int now = ++asked_now;
  for (int most = most_asked; most < now && !most_asked.compare_exchange_weak(most, now);) {
  }
  while (!answers) std::this_thread::sleep_for(1ms);
  --asked_now;
  return EAI_NONAME;
}

TEST_CASE("names have a bound of their own, so that other blocking calls go on while no name server answers") {
  answers = false;
  most_asked = 0;
  runtime_options o;
  o.workers = 2;
  o.blocking_threads = 100;
  run(
      []() -> task<> {
        group all;
        for (int i = 0; i < 200; ++i) {
          all.go([]() -> task<> {
            const auto unknown = co_await outcome(resolve("slow.test", 80));
            CHECK(!unknown.has_value());
          });
        }
        while (asked_now < 64) co_await sleep(1ms);
        auto other = blocking([] { return 7; });
        const int seven = co_await other;
        CHECK(seven == 7);
        answers = true;
        co_await all.wait();
      },
      o);
  CHECK(most_asked == 64);
}

TEST_CASE("what ends in a number and is no address is refused, and not asked for; an empty host is this machine") {
  on_the_network([]() -> task<> {
    for (const char* host : {"127.1", "0x7f.1", "0177.0.0.1", "2130706433", "0x7f000001", "127.0.0.256", "1.2.3",
                             "1.2.3.4.5", "127.0.0.1.", "example.7", "0x"}) {
      const auto refused = co_await outcome(resolve(host, 80));
      CHECK(told(refused).starts_with("ringo: the address of \"" + std::string(host) +
                                      "\", which is neither a name nor four numbers: "));
      const auto not_connected = co_await outcome(tcp_stream::connect(std::string(host) + ":80"));
      CHECK(told(not_connected) == told(refused));
    }
    const auto name = co_await outcome(resolve("7up.example", 80));
    CHECK(told(name).find("four numbers") == std::string::npos);
    for (const char* own : {"127.0.0.1:0", "[::1]:0"}) {
      tcp_listener listener = tcp_listener::bind(own);
      tcp_stream s = co_await tcp_stream::connect(":" + std::to_string(listener.local().port()));
      CHECK(s.peer() == listener.local());
    }
  });
}
