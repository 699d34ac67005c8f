// udp_socket: datagrams there and back, between ours and plain sockets, with nothing lost by cases that lose.
#include <doctest/doctest.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <ringo/ringo.hpp>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "error_told.hpp"
#include "every_scheduler.hpp"

using namespace ringo;
using namespace std::chrono_literals;

namespace {

// What a program without ringo has.
class plain_socket {
 public:
  plain_socket() : number_(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK(::bind(number_, reinterpret_cast<sockaddr*>(&at), sizeof at) == 0);
    socklen_t size = sizeof at;
    CHECK(::getsockname(number_, reinterpret_cast<sockaddr*>(&at), &size) == 0);
    here_ = endpoint("127.0.0.1:" + std::to_string(ntohs(at.sin_port)));
  }
  plain_socket(const plain_socket&) = delete;
  plain_socket& operator=(const plain_socket&) = delete;
  ~plain_socket() { ::close(number_); }

  void send_to(std::string_view text, const endpoint& to) const {
    sockaddr_in there{};
    there.sin_family = AF_INET;
    there.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    there.sin_port = htons(to.port());
    const auto n =
        ::sendto(number_, text.data(), text.size(), 0, reinterpret_cast<const sockaddr*>(&there), sizeof there);
    CHECK(n == static_cast<ssize_t>(text.size()));
  }
  std::string recv() const {
    std::array<char, 2000> text;
    const auto n = ::recv(number_, text.data(), text.size(), 0);
    return std::string(text.data(), n > 0 ? static_cast<std::size_t>(n) : 0);
  }
  const endpoint& here() const { return here_; }
  int number() const { return number_; }

 private:
  int number_;
  endpoint here_;
};

bool has_v6() {
  try {
    (void)udp_socket::bind("[::1]:0");
    return true;
  } catch (const std::system_error&) {
    return false;
  }
}

}  // namespace

TEST_CASE("datagrams keep their bounds and tell where they are from, over IPv4 and IPv6") {
  std::vector<std::string> hosts{"127.0.0.1"};
  if (has_v6()) hosts.push_back("[::1]");
  for (const auto& host : hosts) {
    on_real_schedulers([&]() -> task<> {
      auto a = udp_socket::bind(host + ":0"), b = udp_socket::bind(host + ":0");
      CHECK(a.local().port() != 0);
      co_await a.send_to("one", b.local());
      co_await a.send_to("", b.local());
      co_await a.send_to("three", b.local());
      for (const std::string_view expected : {"one", "", "three"}) {
        const auto got = co_await b.recv_from();
        CHECK(got.bytes.text() == expected);
        CHECK(got.from == a.local());
        CHECK(!got.is_truncated);
      }
      co_await b.send_to("back", a.local());
      const chunk back = co_await a.recv();
      CHECK(back.text() == "back");
    });
  }
}

TEST_CASE(
    "the largest datagram arrives whole; what is larger than asked for is cut, and told; what cannot be is refused") {
  on_real_schedulers([]() -> task<> {
    auto a = udp_socket::bind("127.0.0.1:0", {.send_buffer = 1 << 18});
    auto b = udp_socket::bind("127.0.0.1:0", {.receive_buffer = 1 << 18});
    auto small = udp_socket::bind("127.0.0.1:0", {.max_datagram = 10});
    const std::string large(65507, 'x');
    co_await a.send_to(large, b.local());
    auto whole = co_await b.recv_from();
    CHECK(whole.bytes.text() == large);
    CHECK(!whole.is_truncated);
    co_await a.send_to("01234567890", small.local());
    const auto cut = co_await small.recv_from();
    CHECK(cut.bytes.text() == "0123456789");
    CHECK(cut.is_truncated);
    std::error_code error;
    try {
      co_await a.send_to(large + "x", b.local());
    } catch (const std::system_error& e) {
      error = e.code();
      CHECK(std::string(e.what()).find("to " + b.local().to_string()) != std::string::npos);
    }
    CHECK(error == std::errc::message_size);
    co_await a.send_to("after it", b.local());
    whole = co_await b.recv_from();
    CHECK(whole.bytes.text() == "after it");
  });
}

TEST_CASE("a plain program at the other end") {
  on_real_schedulers([]() -> task<> {
    auto ours = udp_socket::bind("127.0.0.1:0");
    const plain_socket plain;
    std::thread echo([&] {
      for (int i = 0; i < 10; ++i) plain.send_to("plain " + plain.recv(), ours.local());
    });
    for (int i = 0; i < 10; ++i) {
      co_await ours.send_to(std::to_string(i), plain.here());
      const auto got = co_await ours.recv_from();
      CHECK(got.bytes.text() == "plain " + std::to_string(i));
      CHECK(got.from == plain.here());
    }
    echo.join();
  });
}

TEST_CASE("a connected socket sends to its peer and hears of nobody else; of a peer that is gone it is told") {
  on_real_schedulers([]() -> task<> {
    const plain_socket plain, other;
    auto ours = udp_socket::connect(plain.here());
    CHECK(ours.peer() == plain.here());
    co_await ours.send("hello");
    CHECK(plain.recv() == "hello");
    other.send_to("not for it", ours.local());
    plain.send_to("for it", ours.local());
    const chunk got = co_await ours.recv();
    CHECK(got.text() == "for it");

    endpoint gone;
    {
      auto passing = udp_socket::bind("127.0.0.1:0");
      gone = passing.local();
      co_await passing.close();
    }
    auto lonely = udp_socket::connect(gone);
    co_await lonely.send("is there anybody");
    std::error_code error;
    try {
      (void)co_await lonely.recv();
    } catch (const std::system_error& e) {
      error = e.code();
    }
    CHECK(error == std::errc::connection_refused);
    auto nowhere = udp_socket::bind("127.0.0.1:0");
    CHECK(!nowhere.peer());
    const auto o = co_await outcome(nowhere.send("to nobody"));
    CHECK(told(o).find(std::strerror(EDESTADDRREQ)) != std::string::npos);
  });
}

TEST_CASE("no datagram is lost by receives that are cancelled or lose a select") {
  on_real_schedulers([]() -> task<> {
    auto a = udp_socket::bind("127.0.0.1:0"), b = udp_socket::bind("127.0.0.1:0");
    constexpr int count = 300;
    int next = 0;
    for (int i = 0; i < count; ++i) {
      co_await a.send_to(std::to_string(i), b.local());
      // Loopback delivers at once, so there is one for every send, now or after an interrupted receive.
      for (bool received = false; !received;) {
        try {
          auto first = co_await select(b.recv_from(), sleep(1us), b.recv());
          if (first.index() == 1) {
            const auto later = co_await with_timeout(1us, b.recv_from());
            CHECK(later.bytes.text() == std::to_string(next++));
          } else if (first.index() == 0) {
            CHECK(std::get<0>(first).bytes.text() == std::to_string(next++));
          } else {
            CHECK(std::get<2>(first).text() == std::to_string(next++));
          }
          received = true;
        } catch (const timed_out&) {
        }
      }
    }
    CHECK(next == count);
  });
}

TEST_CASE("several receivers are served in their order, and several senders all send") {
  on_real_schedulers([]() -> task<> {
    auto a = udp_socket::bind("127.0.0.1:0"), b = udp_socket::bind("127.0.0.1:0");
    wait_group receivers;
    channel<std::string> got(20);
    for (int i = 0; i < 20; ++i) {
      receivers.go(
          [](udp_socket& from, channel<std::string> to) -> task<> {
            const auto d = co_await from.recv_from();
            co_await to.send(std::string(d.bytes.text()));
          },
          std::ref(b), got);
    }
    group senders;
    for (int i = 0; i < 20; ++i) {
      senders.go(
          [](udp_socket& through, endpoint to, int n) -> task<> {
            const std::string text = std::to_string(n);
            co_await through.send_to(text, to);
          },
          std::ref(a), b.local(), i);
    }
    co_await senders.wait();
    co_await receivers.wait();
    int sum = 0;
    for (int i = 0; i < 20; ++i) sum += std::stoi(got.try_recv().value());
    CHECK(sum == 190);
  });
}

TEST_CASE("a close ends who waits, here and later") {
  on_real_schedulers([]() -> task<> {
    auto s = udp_socket::bind("127.0.0.1:0");
    const endpoint here = s.local();
    auto waiting = go([](udp_socket& of) -> task<> { (void)co_await of.recv_from(); }, std::ref(s));
    co_await yield();
    co_await s.close();
    auto o = co_await outcome(waiting.join());
    CHECK(told(o).find("its own side has closed it") != std::string::npos);
    const auto received = co_await outcome(s.recv());
    CHECK(told(received).find("its own side has closed it") != std::string::npos);
    o = co_await outcome(s.send_to("x", here));
    CHECK(told(o).find("its own side has closed it") != std::string::npos);
    co_await s.close();
    auto again = udp_socket::bind(here);
    CHECK(again.local() == here);
  });
}

TEST_CASE("what waits when its runtime ends, or is cancelled, leaves nothing behind") {
  on_real_schedulers([]() -> task<> {
    auto s = udp_socket::bind("127.0.0.1:0");
    go([](udp_socket of) -> task<> { (void)co_await of.recv_from(); }, udp_socket::bind("127.0.0.1:0"));
    auto waiting = go([](udp_socket& of) -> task<> { (void)co_await of.recv(); }, std::ref(s));
    co_await yield();
    waiting.cancel();
    auto o = co_await outcome(waiting.join());
    CHECK(told(o) == "cancelled");
    co_await s.send_to("still there", s.local());
    const chunk got = co_await s.recv();
    CHECK(got.text() == "still there");
  });
}

TEST_CASE("a group's datagrams come to all that have joined, until they leave") {
  on_real_schedulers([]() -> task<> {
    auto first = udp_socket::bind("0.0.0.0:0", {.reuse_address = true});
    auto second = udp_socket::bind("0.0.0.0:" + std::to_string(first.local().port()), {.reuse_address = true});
    first.join_group("239.255.77.77", "lo");
    second.join_group("239.255.77.77", "lo");
    auto sending = udp_socket::bind("127.0.0.1:0");
    sending.set_multicast_interface("lo");
    const endpoint all("239.255.77.77:" + std::to_string(first.local().port()));
    co_await sending.send_to("to all", all);
    const auto one = co_await first.recv_from(), two = co_await second.recv_from();
    CHECK(one.bytes.text() == "to all");
    CHECK(two.bytes.text() == "to all");
    CHECK(one.from == sending.local());
    second.leave_group("239.255.77.77", "lo");
    CHECK_THROWS_AS(second.leave_group("239.255.77.77", "lo"), std::system_error);
    CHECK_THROWS_AS(first.join_group("example", "lo"), std::invalid_argument);
    CHECK(error_thrown_by([&] { first.join_group("239.255.77.78", "nonesuch"); }).find("nonesuch") !=
          std::string::npos);
  });
}

TEST_CASE("to a broadcast address only with the option") {
  on_real_schedulers([]() -> task<> {
    auto receiving = udp_socket::bind("0.0.0.0:0");
    const endpoint all("127.255.255.255:" + std::to_string(receiving.local().port()));
    auto may_not = udp_socket::bind("127.0.0.1:0"), may = udp_socket::bind("127.0.0.1:0", {.broadcast = true});
    const auto o = co_await outcome(may_not.send_to("x", all));
    CHECK(told(o).find(std::strerror(EACCES)) != std::string::npos);
    co_await may.send_to("to all", all);
    const chunk got = co_await receiving.recv();
    CHECK(got.text() == "to all");
  });
}

TEST_CASE("addresses and options that are none are refused, and adopted is only what fits") {
  CHECK_THROWS_AS((void)udp_socket::bind("no port"), std::invalid_argument);
  CHECK_THROWS_AS((void)udp_socket::bind("example.org:1"), std::invalid_argument);
  CHECK_THROWS_AS((void)udp_socket::bind(endpoint()), std::invalid_argument);
  CHECK_THROWS_AS((void)udp_socket::connect(endpoint()), std::invalid_argument);
  CHECK_THROWS_AS((void)udp_socket::bind("127.0.0.1:0", {.multicast_hops = 256}), std::invalid_argument);
  CHECK_THROWS_AS((void)udp_socket::bind("127.0.0.1:0", {.max_datagram = 0}), std::invalid_argument);
  CHECK(udp_socket::bind(":0").local().address() == (has_v6() ? "::" : "0.0.0.0"));
  CHECK(udp_socket::bind("localhost:0").local().address() == "127.0.0.1");
  auto holding = udp_socket::bind("127.0.0.1:0");
  CHECK(error_thrown_by([&] { (void)udp_socket::bind(holding.local()); }).find(holding.local().to_string()) !=
        std::string::npos);
  const int stream = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  CHECK_THROWS_AS((void)udp_socket::adopt(stream), std::system_error);
  ::close(stream);
  on_real_schedulers([]() -> task<> {
    const plain_socket plain;
    auto adopted = udp_socket::adopt(::dup(plain.number()));
    CHECK(adopted.local() == plain.here());
    co_await adopted.send_to("to itself", plain.here());
    const chunk got = co_await adopted.recv();
    CHECK(got.text() == "to itself");
    udp_socket nothing;
    CHECK(!nothing);
    const auto o = co_await outcome(nothing.recv());
    CHECK(told(o).find("the socket is empty") != std::string::npos);
  });
}

TEST_CASE("a simulation has no UDP") {
  const auto s = scheduler_under_test::simulated(1, 0);
  CHECK_THROWS_AS(s.run([]() -> task<> {
    auto a = udp_socket::bind("127.0.0.1:0");
    (void)co_await a.recv();
  }),
                  std::logic_error);
}
