// unix_datagram: datagrams within the machine, in their order, which wait for who receives them.
#include <doctest/doctest.h>

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <filesystem>
#include <ringo/ringo.hpp>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include "error_told.hpp"
#include "every_scheduler.hpp"

using namespace ringo;
using namespace std::chrono_literals;

namespace {

std::string own_name(const std::string& of) { return "/tmp/ringo-datagram-" + std::to_string(::getpid()) + "-" + of; }
std::string abstract_name(const std::string& of) { return "@ringo-datagram-" + std::to_string(::getpid()) + "-" + of; }

}  // namespace

TEST_CASE("datagrams to a name, and answers to the names that they are from") {
  for (const std::string& name : {own_name("server"), abstract_name("server")}) {
    on_real_schedulers([&]() -> task<> {
      auto server = unix_datagram::bind(name);
      CHECK(server.local() == name);
      auto answering = go(
          [](unix_datagram& s) -> task<> {
            for (int i = 0; i < 2; ++i) {
              const auto asked = co_await s.recv_from();
              CHECK(!asked.is_truncated);
              const std::string answer = "you said " + std::string(asked.bytes.text());
              co_await s.send_to(answer, asked.from);
            }
          },
          std::ref(server));
      auto client = unix_datagram::connect(name);
      co_await client.send("hello");
      chunk answer = co_await client.recv();
      CHECK(answer.text() == "you said hello");
      auto other = unix_datagram::bind(abstract_name("client"));
      co_await other.send_to("", name);
      const auto got = co_await other.recv_from();
      CHECK(got.bytes.text() == "you said ");
      CHECK(got.from == name);
      co_await answering;
      co_await server.close();
      CHECK(!std::filesystem::exists(name));
    });
  }
}

TEST_CASE("who sends faster than is received waits, and all arrives in order") {
  on_real_schedulers([]() -> task<> {
    auto [a, b] = unix_datagram::pair();
    constexpr int count = 2000;
    auto sending = go(
        [](unix_datagram s) -> task<> {
          for (int i = 0; i < count; ++i) {
            const std::string text = std::to_string(i);
            co_await s.send(text);
          }
        },
        std::move(a));
    for (int next = 0; next < count;) {
      auto first = co_await select(b.recv(), sleep(1us));
      if (first.index() == 0) CHECK(std::get<0>(first).text() == std::to_string(next++));
    }
    co_await sending;
  });
}

TEST_CASE("a send to a full queue can be given up, and the next one goes on") {
  on_real_schedulers([]() -> task<> {
    auto [a, b] = unix_datagram::pair();
    int sent = 0;
    for (bool full = false; !full;) {
      auto first = co_await select(prefer_first, a.send("fill"), sleep(20ms));
      full = first.index() == 1;
      if (!full) ++sent;
      CHECK(sent < 100000);
    }
    auto next = go([](unix_datagram& s) -> task<> { co_await s.send("last"); }, std::ref(a));
    std::string text;
    int received = 0;
    for (; text != "last"; ++received) text = std::string((co_await b.recv()).text());
    co_await next;
    // The one that was given up may have been sent.
    CHECK((received == sent + 1 || received == sent + 2));
  });
}

TEST_CASE("larger than asked for is cut, and told; larger than the socket's buffer is refused") {
  on_real_schedulers([]() -> task<> {
    auto [a, b] = unix_datagram::pair({.max_datagram = 20000});
    co_await a.send(std::string(20000, 'x'));
    auto got = co_await b.recv_from();
    CHECK(got.bytes.size() == 20000);
    CHECK(!got.is_truncated);
    const std::string more(20001, 'y');
    co_await a.send(more);
    got = co_await b.recv_from();
    CHECK(got.bytes.size() == 20000);
    CHECK(got.is_truncated);
    CHECK(got.from.empty());
    const std::string too_large(100'000'000, 'z');
    const auto o = co_await outcome(a.send(too_large));
    CHECK(told(o).find(std::strerror(EMSGSIZE)) != std::string::npos);
  });
}

TEST_CASE("a plain program at the other end") {
  on_real_schedulers([]() -> task<> {
    auto ours = unix_datagram::bind(own_name("ours"));
    const int plain = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strcpy(address.sun_path, own_name("plain").c_str());
    CHECK(::bind(plain, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    co_await ours.send_to("hello", own_name("plain"));
    char text[10];
    socklen_t size = sizeof address;
    const auto n = ::recvfrom(plain, text, sizeof text, 0, reinterpret_cast<sockaddr*>(&address), &size);
    CHECK(n == 5);
    CHECK(::sendto(plain, text, 5, 0, reinterpret_cast<const sockaddr*>(&address), size) == 5);
    const auto got = co_await ours.recv_from();
    CHECK(got.bytes.text() == "hello");
    CHECK(got.from == own_name("plain"));
    ::close(plain);
    const auto o = co_await outcome(ours.send_to("x", own_name("plain")));
    CHECK(told(o).find("to " + own_name("plain")) != std::string::npos);
    ::unlink(own_name("plain").c_str());
  });
}

TEST_CASE("names that are none are refused, and adopted is only what fits") {
  CHECK_THROWS_AS((void)unix_datagram::bind(std::string(108, 'x')), std::invalid_argument);
  CHECK_THROWS_AS((void)unix_datagram::connect(""), std::invalid_argument);
  CHECK_THROWS_AS((void)unix_datagram::connect(own_name("nobody")), std::system_error);
  auto [a, b] = unix_datagram::pair();
  CHECK_THROWS_AS((void)a.send_to("x", std::string(108, 'x')), std::invalid_argument);
  int both[2];
  CHECK(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, both) == 0);
  CHECK_THROWS_AS((void)unix_datagram::adopt(both[0]), std::system_error);
  ::close(both[0]);
  ::close(both[1]);
}
