// What every driver must do (src/driver/driver.hpp) for calls that have an owner (kernel_call::owner), as the calls of
// ringo's own sockets have. A driver may remember whether such a socket is empty or full. That must lose no readiness,
// nor give the readiness of one file to another.
#include <doctest/doctest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <ringo/descriptor.hpp>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "dice.hpp"
#include "driver_requests.hpp"
#include "driver_sockets.hpp"
#include "real_drivers.hpp"

using namespace std::chrono_literals;
using ringo::descriptor;
using ringo::time_point;
using ringo::detail::driver;
using ringo::detail::kernel_call;

namespace {

std::uint32_t next_owner() {
  static std::uint32_t last = 0;
  return ++last;
}

// A connection. The driver's calls are on one end, which has an owner; the test itself uses the other end, the peer.
struct connection {
  explicit connection(int family) {
    if (family == AF_INET) {
      ends = std::make_unique<tcp_pair>();
      const int on = 1;  // else bytes wait for an acknowledgement, which may take 40 ms
      for (const int end : {own(), peer()}) ::setsockopt(end, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    } else {
      ends = std::make_unique<socket_pair>();
    }
  }
  int own() const { return ends->one; }
  int peer() const { return ends->other; }

  void receive(driver& d, asked& r, char* into, std::size_t length, bool waits_first = true) const {
    ask(d, r, [&](kernel_call& c) {
      c.set_receive(own(), into, length);
      c.owner = owner;
      c.waits_first = waits_first;
    });
  }
  void send(driver& d, asked& r, const char* bytes, std::size_t length) const {
    ask(d, r, [&](kernel_call& c) {
      c.set_send(own(), bytes, length, MSG_NOSIGNAL | MSG_WAITALL);
      c.owner = owner;
    });
  }
  int received(driver& d, char* into, std::size_t length) const {
    asked r;
    receive(d, r, into, length);
    poll_until_over(d, r);
    return r.result;
  }

  std::size_t unread() const {
    int count = 0;
    REQUIRE(::ioctl(own(), FIONREAD, &count) == 0);
    return static_cast<std::size_t>(count);
  }
  void put(std::string_view bytes) const {
    REQUIRE(::send(peer(), bytes.data(), bytes.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(bytes.size()));
  }
  // TCP may deliver a little later. Not while a receive is in flight, which may take them.
  void put_and_wait(std::string_view bytes) const {
    const std::size_t before = unread();
    put(bytes);
    while (unread() < before + bytes.size()) ::poll(nullptr, 0, 1);
  }

  std::unique_ptr<two_ends> ends;
  const std::uint32_t owner = next_owner();
};

// Calls it with each driver, for TCP and for Unix sockets.
template <class Body>
void on_every_stream(Body body) {
  on_every_driver([&](driver& d) {
    for (const int family : {AF_INET, AF_UNIX}) {
      CAPTURE(family);
      body(d, family);
    }
  });
}

bool was_ended(const asked& r) { return r.answers == 1 && (r.result == -ECANCELED || r.result == -EINTR); }

// Polls a random number of times, so that what the test does next comes in each stage of an operation.
void poll_some(driver& d, dice& random) {
  for (auto n = random.below(4); n != 0; --n) d.poll(random.below(2) == 0 ? time_point::min() : d.now() + 20us);
}

// How many polls return in 2 ms. A busy loop makes thousands.
int turns(driver& d) {
  int count = 0;
  for (const time_point until = d.now() + 2ms; d.now() < until; ++count) d.poll(until);
  return count;
}

// Sends, without a reader, until a send has to wait; then the peer reads all.
void send_until_one_has_waited(driver& d, const connection& c) {
  std::vector<char> bytes(500'000);
  std::size_t sent = 0;
  for (bool has_waited = false; !has_waited;) {
    asked sending;
    c.send(d, sending, bytes.data(), bytes.size());
    for (int i = 0; i < 3; ++i) d.poll(d.now() + 500us);
    has_waited = !sending.is_over();
    for (pollfd ready{c.peer(), POLLIN, 0}; has_waited && (!sending.is_over() || ::poll(&ready, 1, 0) == 1);) {
      if (::poll(&ready, 1, 0) == 1) sent -= static_cast<std::size_t>(::read(c.peer(), bytes.data(), bytes.size()));
      d.poll(time_point::min());
    }
    sent += static_cast<std::size_t>(sending.result);
  }
  for (; sent != 0; sent -= static_cast<std::size_t>(::read(c.peer(), bytes.data(), bytes.size()))) {
  }
}

}  // namespace

TEST_CASE("Bytes answer a receive, whether they come before it is begun or at any time after") {
  on_every_stream([](driver& d, int family) {
    dice random(11);
    const connection c(family);
    std::size_t put = 0;
    progress_of_reading got;
    const auto bytes_come = [&](std::uint64_t count, bool receiving) {
      std::string bytes;
      for (; count != 0; --count) bytes += numbered(put++);
      receiving || random.below(2) == 0 ? c.put(bytes) : c.put_and_wait(bytes);
    };
    for (int i = 0; i < 1000; ++i) {
      if (random.below(2) == 0) bytes_come(1 + random.below(20), false);
      poll_some(d, random);
      char into[16];
      asked receiving;
      c.receive(d, receiving, into, 1 + random.below(sizeof into), random.below(2) == 0);
      poll_some(d, random);
      if (put == got.at || random.below(2) == 0) bytes_come(1 + random.below(3), true);
      poll_until_over(d, receiving);
      REQUIRE(receiving.result > 0);
      got.take(std::span(into, static_cast<std::size_t>(receiving.result)));
      if (random.below(2) == 0) continue;
      asked answering;  // as a server does between two receives
      c.send(d, answering, "a", 1);
      poll_until_over(d, answering);
      REQUIRE(answering.result == 1);
      char answer = 0;
      REQUIRE(::recv(c.peer(), &answer, 1, 0) == 1);
    }
    CHECK(got.is_right);
  });
}

TEST_CASE("Bytes that come again and again while no call waits do not keep the worker awake, and are not lost") {
  on_every_stream([](driver& d, int family) {
    const connection c(family);
    char into[100];
    asked first;
    c.receive(d, first, into, 1);
    d.poll(time_point::min());
    c.put("1");
    poll_until_over(d, first);
    int count = 0;
    for (int i = 0; i < 20; ++i) {
      c.put_and_wait("2");
      count += turns(d);
    }
    CHECK(count < 30);  // 20, and a few more: not one more for each
    CHECK(c.received(d, into, sizeof into) == 20);
    asked last;
    c.receive(d, last, into, sizeof into);
    CHECK(turns(d) < 20);
    CHECK(!last.is_over());
    c.put("3");
    poll_until_over(d, last);
    CHECK(last.result == 1);
  });
}

TEST_CASE("Several calls of one owner wait in both directions, and each is answered by its own event") {
  on_every_stream([](driver& d, int family) {
    const connection c(family);
    const std::vector<char> much(8'000'000, 'm');
    asked writing, watching;
    c.send(d, writing, much.data(), much.size());
    for (int i = 0; i < 5; ++i) d.poll(d.now() + 1ms);
    std::array<asked, 4> reading;
    std::array<char, 4> bytes{};
    for (std::size_t i = 0; i < reading.size(); ++i) c.receive(d, reading[i], &bytes[i], 1, i % 2 == 0);
    for (int i = 0; i < 3; ++i) d.poll(d.now() + 1ms);
    end_early(d, reading[1]);
    poll_until_over(d, reading[1]);
    CHECK(was_ended(reading[1]));
    const auto answers = [&] { return reading[0].answers + reading[2].answers + reading[3].answers; };
    CHECK(answers() == 0);
    c.put("12");
    while (answers() < 2) d.poll(time_point::max());
    CHECK(turns(d) < 20);
    CHECK(answers() == 2);
    ask_to_poll(d, watching, c.own(), POLLIN);  // has no owner, as ready() has none
    d.poll(d.now() + 100us);
    CHECK(!watching.is_over());
    c.put("3x");  // more than the receive takes
    while (answers() < 3) d.poll(time_point::max());
    poll_until_over(d, watching);
    CHECK(watching.result == POLLIN);
    CHECK(bytes[0] + bytes[2] + bytes[3] == '1' + '2' + '3');
    // The writer goes on when the peer reads, whatever the other direction did.
    std::vector<char> in(much.size());
    std::size_t came = 0;
    while (!writing.is_over() || came < static_cast<std::size_t>(writing.result)) {
      pollfd ready{c.peer(), POLLIN, 0};
      if (::poll(&ready, 1, 0) == 1) came += static_cast<std::size_t>(::read(c.peer(), in.data(), in.size()));
      d.poll(d.now() + 100us);
      REQUIRE((!writing.is_over() || writing.result > 0));
    }
    CHECK(came == static_cast<std::size_t>(writing.result));
  });
}

TEST_CASE("Transfers that are cut short go on, in both directions, until each byte has come in its order") {
  on_every_stream([](driver& d, int family) {
    dice random(12);
    const connection c(family);
    const int room = 16'384;  // in the kernel: with little room many calls have to wait
    for (const int end : {c.own(), c.peer()}) {
      for (const int which : {SO_SNDBUF, SO_RCVBUF}) ::setsockopt(end, SOL_SOCKET, which, &room, sizeof room);
    }
    constexpr std::size_t size = 100'000;
    numbered_pieces from_driver(size), from_peer(size);
    progress_of_reading at_driver, at_peer;
    std::vector<char> into(9000), in(9000);
    std::size_t sent = 0, sent_by_peer = 0;  // of the piece
    asked reading, writing;
    const auto read = [&] { c.receive(d, reading, into.data(), 1 + random.below(into.size()), random.below(2) == 0); };
    const auto write = [&] {
      if (sent == from_driver.piece().size()) {
        sent = 0;
        if (!from_driver.next(1 + random.below(20'000))) return;
      }
      c.send(d, writing, from_driver.piece().data() + sent, from_driver.piece().size() - sent);
    };
    bool is_right = true;
    reading.then = [&] {
      is_right = is_right && reading.result > 0;
      if (!is_right) return;
      at_driver.take(std::span(into.data(), static_cast<std::size_t>(reading.result)));
      if (at_driver.at < size) read();
    };
    writing.then = [&] {
      is_right = is_right && writing.result > 0;
      if (!is_right) return;
      sent += static_cast<std::size_t>(writing.result);
      write();
    };
    read();
    write();
    while (is_right && (d.in_flight() != 0 || at_peer.at < size)) {
      poll_some(d, random);
      pollfd ready{c.peer(), POLLIN, 0};
      if (random.below(2) == 0 && ::poll(&ready, 1, 0) == 1) {
        const ssize_t n = ::recv(c.peer(), in.data(), 1 + random.below(in.size()), MSG_DONTWAIT);
        REQUIRE(n > 0);
        at_peer.take(std::span(in.data(), static_cast<std::size_t>(n)));
      }
      if (sent_by_peer == from_peer.piece().size()) {
        if (!from_peer.next(1 + random.below(9000))) continue;
        sent_by_peer = 0;
      }
      const std::string_view rest = std::string_view(from_peer.piece()).substr(sent_by_peer);
      const ssize_t n = ::send(c.peer(), rest.data(), rest.size(), MSG_DONTWAIT);
      if (n > 0) sent_by_peer += static_cast<std::size_t>(n);
    }
    CHECK(is_right);
    CHECK(at_driver.is_right);
    CHECK(at_peer.is_right);
  });
}

TEST_CASE("A receive stops before the end of its buffer although more bytes are there: the next one has them") {
  on_every_stream([](driver& d, int family) {
    const connection c(family);
    const pipe_ends pipe;
    char into[20];
    for (int i = 0; i < 20; ++i) {
      asked receiving;
      if (i % 2 == 0) {
        c.receive(d, receiving, into, sizeof into);
        d.poll(time_point::min());
      }
      if (family == AF_UNIX) {  // at a descriptor that came with the bytes
        passing first(pipe.read_end);
        REQUIRE(::sendmsg(c.peer(), &first.message, 0) == 1);
      } else {  // at an urgent byte, which is not among the others
        c.put("b");
        REQUIRE(::send(c.peer(), "!", 1, MSG_OOB) == 1);
      }
      c.put("cd");
      if (i % 2 == 1) c.receive(d, receiving, into, sizeof into, i % 4 == 1);
      poll_until_over(d, receiving);
      REQUIRE(receiving.result > 0);
      std::string all(into, static_cast<std::size_t>(receiving.result));
      while (all.size() < 3) {
        const int n = c.received(d, into, sizeof into);
        REQUIRE(n > 0);
        all.append(into, static_cast<std::size_t>(n));
      }
      CHECK(all == "bcd");
    }
  });
}

TEST_CASE("The peer's end is heard after its last bytes, and again, and makes no busy loop") {
  on_every_stream([](driver& d, int family) {
    for (int i = 0; i < 64; ++i) {
      CAPTURE(i);
      const bool has_bytes = i % 2 != 0, ends_first = i / 2 % 2 != 0, closes = i / 4 % 2 != 0,
                 has_sent = i / 8 % 2 != 0;
      const connection c(family);
      char into[20];
      asked before, receiving;
      c.receive(d, before, into, 1);
      d.poll(time_point::min());
      c.put("b");
      poll_until_over(d, before);  // from now on a driver may know the socket
      if (has_sent) send_until_one_has_waited(d, c);
      const auto peer_ends = [&] {
        if (has_bytes) c.put("last");
        if (closes) return c.ends->close_other();
        REQUIRE(::shutdown(c.peer(), SHUT_WR) == 0);
      };
      if (ends_first) peer_ends();
      c.receive(d, receiving, into, sizeof into, i % 3 != 0);
      if (!ends_first) {
        d.poll(d.now() + 100us);
        CHECK(!receiving.is_over());
        peer_ends();
      }
      poll_until_over(d, receiving);
      CHECK(receiving.result == (has_bytes ? 4 : 0));
      for (int k = 0; k < 3; ++k) CHECK(c.received(d, into, sizeof into) == 0);
      CHECK(turns(d) < 20);
      asked sending;
      c.send(d, sending, "x", 1);
      poll_until_over(d, sending);
      if (!closes) CHECK(sending.result == 1);
    }
  });
}

TEST_CASE("A connection that is reset ends the calls of both directions") {
  on_every_driver([](driver& d) {
    const connection c(AF_INET);
    const std::vector<char> much(8'000'000, 'm');
    char byte = 0;
    asked reading, writing;
    c.send(d, writing, much.data(), much.size());
    for (int idle = 0; idle < 5; ++idle) {
      d.poll(d.now() + 1ms);
      if (!writing.is_over()) continue;
      writing.answers = idle = 0;
      d.submit(writing);  // the kernel has taken a part: again, until a send waits
    }
    c.receive(d, reading, &byte, 1);
    d.poll(d.now() + 100us);
    CHECK(d.in_flight() == 2);
    static_cast<tcp_pair&>(*c.ends).reset_other();
    poll_until_idle(d);
    CHECK((reading.result == -ECONNRESET || reading.result == 0));
    CHECK((writing.result == -ECONNRESET || writing.result == -EPIPE || writing.result > 0));
  });
}

TEST_CASE("A descriptor's number that another file has got means that file") {
  on_every_stream([](driver& d, int family) {
    for (const bool driver_closes : {true, false}) {
      for (const bool waits_first : {true, false}) {
        CAPTURE(driver_closes);
        CAPTURE(waits_first);
        const connection first(family);
        char into[20];
        asked before;
        first.receive(d, before, into, sizeof into);
        d.poll(time_point::min());
        first.put("1");
        poll_until_over(d, before);
        d.poll(d.now() + 100us);  // it is empty, and the driver may know that
        const int number = std::exchange(first.ends->one, ::dup(first.own()));  // the file stays, as after a fork
        if (driver_closes) {
          CHECK(answer_of(d, [&](kernel_call& c) { c.set_close(number); }) == 0);
        } else {
          REQUIRE(::close(number) == 0);
        }
        const connection second(family);
        if (second.own() != number) {
          REQUIRE(::dup2(second.own(), number) == number);
          ::close(std::exchange(second.ends->one, number));
        }
        if (!waits_first) second.put_and_wait("early");
        asked receiving;
        second.receive(d, receiving, into, sizeof into, waits_first);
        if (!waits_first) {
          poll_until_over(d, receiving);
          CHECK(receiving.result == 5);
          receiving.answers = 0;
          d.submit(receiving);
        }
        d.poll(time_point::min());
        first.put("not for the second");
        CHECK(turns(d) < 20);
        CHECK(!receiving.is_over());
        second.put("2");
        poll_until_over(d, receiving);
        CHECK(receiving.result == 1);
        CHECK(into[0] == '2');
      }
    }
  });
}

TEST_CASE("A call that is ended while its answer comes has had its effect, or none") {
  on_every_stream([](driver& d, int family) {
    dice random(13);
    const connection c(family);
    const std::vector<char> much(300'000, 'm');
    std::vector<char> in(much.size());
    std::size_t put = 0;
    progress_of_reading got;
    for (int i = 0; i < 500; ++i) {
      char into[4];
      asked reading, writing;
      c.receive(d, reading, into, sizeof into, random.below(2) == 0);
      const bool writes = random.below(3) == 0;
      if (writes) c.send(d, writing, much.data(), much.size());
      poll_some(d, random);
      if (random.below(4) != 0) {
        const char next = numbered(put++);
        c.put({&next, 1});
      }
      poll_some(d, random);
      if (!reading.is_over()) end_early(d, reading);
      if (writes && !writing.is_over()) end_early(d, writing);
      poll_until_idle(d);
      REQUIRE(reading.answers == 1);
      if (reading.result > 0) {
        got.take(std::span(into, static_cast<std::size_t>(reading.result)));
      } else {
        CHECK(was_ended(reading));
      }
      std::size_t came = 0;
      while (writes && writing.result > 0 && came < static_cast<std::size_t>(writing.result))
        came += static_cast<std::size_t>(::read(c.peer(), in.data(), in.size()));
      if (writes) CHECK((was_ended(writing) || came == static_cast<std::size_t>(writing.result)));
      while (got.at + c.unread() < put) ::poll(nullptr, 0, 1);
      REQUIRE(got.at + c.unread() == put);
      pollfd more{c.peer(), POLLIN, 0};
      REQUIRE(::poll(&more, 1, 0) == 0);
    }
    CHECK(got.is_right);
  });
}

TEST_CASE("Ten thousand calls with owners wait at a time; each has its answer or its end, and then all once more") {
  rlimit before{};
  REQUIRE(::getrlimit(RLIMIT_NOFILE, &before) == 0);
  const rlimit most{before.rlim_max, before.rlim_max};
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &most) == 0);
  const std::size_t count = std::min<std::size_t>(10'000, (most.rlim_cur - 200) / 2);
  on_every_driver([count](driver& d) {
    std::vector<connection> all;
    for (std::size_t i = 0; i < count; ++i) all.emplace_back(AF_UNIX);
    std::vector<std::size_t> order(count);
    dice random(14);
    for (std::size_t i = 0; i < count; ++i) std::swap(order[i] = i, order[random.below(i + 1)]);
    for (const bool ends_some : {true, false}) {
      std::vector<asked> reads(count);
      std::vector<char> bytes(count);
      for (std::size_t i = 0; i < count; ++i) all[i].receive(d, reads[i], &bytes[i], 1);
      d.poll(time_point::min());
      CHECK(d.in_flight() == count);
      const auto is_ended = [&](std::size_t i) { return ends_some && i % 2 == 1; };
      for (std::size_t i = 0; i < count; ++i) {
        const std::size_t at = order[i];
        const char byte = numbered(at);
        is_ended(i) ? end_early(d, reads[at]) : all[at].put({&byte, 1});
      }
      poll_until_idle(d);
      bool is_right = true;
      for (std::size_t i = 0; i < count; ++i) {
        const asked& each = reads[order[i]];
        const bool has_byte = each.answers == 1 && each.result == 1 && bytes[order[i]] == numbered(order[i]);
        is_right = is_right && (is_ended(i) ? was_ended(each) : has_byte);
      }
      CHECK(is_right);
    }
  });
  ::setrlimit(RLIMIT_NOFILE, &before);
}

TEST_CASE("Each of several connections that come at once answers an accept with an owner") {
  on_every_driver([](driver& d) {
    dice random(15);
    for (const int family : {AF_INET, AF_UNIX}) {
      const local_listener listener(family);
      const std::uint32_t owner = next_owner();
      int made = 0, accepted = 0;
      unsigned length = 0;
      for (int i = 0; i < 200; ++i) {
        asked accepting;
        ask(d, accepting, [&](kernel_call& c) {
          c.set_accept(listener.number(), nullptr, length, SOCK_CLOEXEC);
          c.owner = owner;
        });
        poll_some(d, random);
        for (auto n = random.below(4); made < accepted + 50 && (n != 0 || made == accepted); ++made) {
          const descriptor client(::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0));
          REQUIRE(::connect(client.native_handle(), listener.address(), listener.address_size()) == 0);
          if (n != 0) --n;
        }
        if (random.below(3) == 0) {
          poll_some(d, random);
          if (!accepting.is_over()) end_early(d, accepting);
        }
        poll_until_over(d, accepting);
        if (was_ended(accepting)) continue;
        REQUIRE(accepting.result >= 0);
        ::close(accepting.result);
        ++accepted;
      }
      for (; accepted < made; ++accepted) {
        const int next = answer_of(d, [&](kernel_call& c) {
          c.set_accept(listener.number(), nullptr, length, SOCK_CLOEXEC);
          c.owner = owner;
        });
        REQUIRE(next >= 0);
        ::close(next);
      }
    }
  });
}

TEST_CASE("Each of several datagrams that come at once answers a receive with an owner") {
  on_every_driver([](driver& d) {
    dice random(16);
    const socket_pair pair(SOCK_DGRAM);
    const std::uint32_t owner = next_owner();
    std::size_t put = 0, got = 0;
    bool in_order = true;
    for (int i = 0; i < 500; ++i) {
      char bytes[8];
      iovec into{bytes, sizeof bytes};
      msghdr message{};
      message.msg_iov = &into;
      message.msg_iovlen = 1;
      asked receiving;
      ask(d, receiving, [&](kernel_call& c) {
        if (random.below(2) == 0) {
          c.set_receive(pair.one, message);
        } else {
          c.set_receive(pair.one, bytes, sizeof bytes);
        }
        c.owner = owner;
        c.waits_first = random.below(2) == 0;
      });
      poll_some(d, random);
      for (auto n = random.below(4); put < got + 8 && (n != 0 || put == got); ++put) {
        const char next = numbered(put);
        REQUIRE(::send(pair.other, &next, 1, 0) == 1);
        if (n != 0) --n;
      }
      poll_until_over(d, receiving);
      REQUIRE(receiving.result == 1);
      in_order = in_order && bytes[0] == numbered(got++);
    }
    CHECK(in_order);
  });
}
