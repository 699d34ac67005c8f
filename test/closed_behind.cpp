// Descriptors that a program closes, or puts another file in the place of, behind what is made of them.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <ringo/file.hpp>
#include <ringo/ringo.hpp>
#include <string>
#include <system_error>
#include <utility>

#include "network.hpp"

using namespace ringo;
using namespace std::chrono_literals;

namespace {

// Of what an awaited operation came to; 0 for a value, -1 for another error.
template <class Outcome>
int number_of(const Outcome& o) {
  if (o.has_value()) return 0;
  try {
    std::rethrow_exception(o.error());
  } catch (const std::system_error& e) {
    return e.code().category() == std::generic_category() ? e.code().value() : -1;
  } catch (...) {
    return -1;
  }
}

void close_behind(int number) { CHECK(::close(number) == 0); }

// From now on the number is a file's that is no socket.
void replace(int number) {
  const int other = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  CHECK(::dup3(other, number, O_CLOEXEC) == number);
  ::close(other);
}

task<> check_that_others_work(connected& others) {
  co_await others.here.send("still here");
  std::array<char, 10> came{};
  co_await others.there.read_exactly(came);
  CHECK(std::string(came.data(), came.size()) == "still here");
}

}  // namespace

TEST_CASE(
    "A descriptor that is closed behind its object is an error of what is asked then, and of nothing else (c27)") {
  on_the_network([]() -> task<> {
    connected others = co_await connect_pair();
    connected c = co_await connect_pair();
    close_behind(c.here.native_handle());
    const auto received = co_await outcome(c.here.recv());
    CHECK(number_of(received) == EBADF);
    const auto sent = co_await outcome(c.here.send("x"));
    CHECK(number_of(sent) == EBADF);
    const auto again = co_await outcome(c.here.recv());
    CHECK(number_of(again) == EBADF);
    co_await c.here.close();
    const auto end = co_await c.there.recv();
    CHECK(!end);

    auto listener = listen_locally();
    close_behind(listener.native_handle());
    const auto accepted = co_await outcome(listener.accept());
    CHECK(number_of(accepted) == EBADF);
    co_await listener.close();

    auto datagrams = udp_socket::bind("127.0.0.1:0");
    const endpoint at = datagrams.local();
    close_behind(datagrams.native_handle());
    const auto datagram = co_await outcome(datagrams.recv());
    CHECK(number_of(datagram) == EBADF);
    const auto put = co_await outcome(datagrams.send_to("x", at));
    CHECK(number_of(put) == EBADF);
    co_await datagrams.close();

    pipe_pair p;
    close_behind(p.reader.native_handle());
    const auto read = co_await outcome(p.reader.recv());
    CHECK(number_of(read) == EBADF);
    co_await p.reader.close();

    file f = co_await file::open("/dev/null");
    close_behind(f.native_handle());
    std::array<char, 10> into{};
    const auto from_file = co_await outcome(f.read_at(0, into));
    CHECK(number_of(from_file) == EBADF);
    co_await f.close();

    co_await check_that_others_work(others);
  });
}

TEST_CASE("A number that has become another file's, which is no socket, is told of (c27)") {
  on_the_network([]() -> task<> {
    connected others = co_await connect_pair();
    connected c = co_await connect_pair();
    replace(c.here.native_handle());
    const auto received = co_await outcome(c.here.recv());
    CHECK(number_of(received) == ENOTSOCK);
    const auto sent = co_await outcome(c.here.send("x"));
    CHECK(number_of(sent) == ENOTSOCK);
    auto listener = listen_locally();
    replace(listener.native_handle());
    const auto accepted = co_await outcome(listener.accept());
    CHECK(number_of(accepted) == ENOTSOCK);
    auto datagrams = udp_socket::bind("127.0.0.1:0");
    replace(datagrams.native_handle());
    const auto datagram = co_await outcome(datagrams.recv());
    CHECK(number_of(datagram) == ENOTSOCK);
    co_await check_that_others_work(others);
  });
}

TEST_CASE(
    "A receive that is in flight when its number is closed gets its bytes where the kernel keeps the file; else it can "
    "be cancelled (H5)") {
  runtime rt({.workers = 1});
  rt.run([&rt]() -> task<> {
    connected c = co_await connect_pair();
    auto receiving = go(
        [](tcp_stream& s) -> task<std::string> {
          const auto some = co_await s.recv();
          co_return std::string(some ? some->text() : "the end");
        },
        std::ref(c.here));
    co_await yield();
    connected another = co_await connect_pair();  // goes to the kernel behind it
    close_behind(c.here.native_handle());
    if (rt.driver() == driver::io_uring) {
      co_await c.there.send("in time");
      const std::string came = co_await receiving;
      CHECK(came == "in time");
      const auto next = co_await outcome(c.here.recv());
      CHECK(number_of(next) == EBADF);
    } else {
      receiving.cancel();
      co_await receiving.wait();
      CHECK(receiving.is_done());
    }
  });
}

namespace {

// As another program may do that shares the file.
void make_it_not_wait(int number) { CHECK(::fcntl(number, F_SETFL, ::fcntl(number, F_GETFL) | O_NONBLOCK) == 0); }

// Has a routine wait for as long as others need to come and go, and bring what it waits for then. A worker that asks
// the kernel over and over does not sleep only when these wake it.
template <class Wait, class Bring>
task<> check_that_it_sleeps(runtime& rt, Wait wait, Bring bring) {
  auto waiting = go(std::ref(wait));
  co_await sleep(1ms);
  const std::uint64_t before = rt.metrics().parks;
  for (int i = 0; i < 10; ++i) co_await sleep(1ms);
  CHECK(!waiting.is_done());
  CHECK(rt.metrics().parks - before < 100);
  co_await bring();
  co_await waiting;
}

}  // namespace

TEST_CASE("Who waits for a file that does not wait any more sleeps all the same, and hears of what comes") {
  runtime rt({.workers = 1});
  rt.run([&rt]() -> task<> {
    connected c = co_await connect_pair();
    make_it_not_wait(c.here.native_handle());
    const auto receive = [&c]() -> task<> {
      const auto some = co_await c.here.recv();
      CHECK(some);
    };
    const auto send_there = [&c]() -> task<> { co_await c.there.send("x"); };
    co_await check_that_it_sleeps(rt, receive, send_there);

    const std::string much(20'000'000, 'm');
    const auto send_much = [&c, &much]() -> task<> { co_await c.here.send(much); };
    const auto take_much = [&c, &much]() -> task<> {
      for (std::size_t taken = 0; taken < much.size();) {
        const auto some = co_await c.there.recv();
        REQUIRE(some);
        taken += some->text().size();
      }
    };
    co_await check_that_it_sleeps(rt, send_much, take_much);

    pipe_pair p;
    make_it_not_wait(p.reader.native_handle());
    make_it_not_wait(p.writer.native_handle());
    const auto read = [&p]() -> task<> {
      const auto some = co_await p.reader.recv();
      CHECK(some);
    };
    const auto write = [&p]() -> task<> { co_await p.writer.send("x"); };
    co_await check_that_it_sleeps(rt, read, write);
    const auto write_much = [&p, &much]() -> task<> { co_await p.writer.send(much); };
    const auto read_much = [&p, &much]() -> task<> {
      for (std::size_t taken = 0; taken < much.size();) {
        const auto some = co_await p.reader.recv();
        REQUIRE(some);
        taken += some->text().size();
      }
    };
    co_await check_that_it_sleeps(rt, write_much, read_much);

    auto listener = listen_locally();
    make_it_not_wait(listener.native_handle());
    const auto accept = [&listener]() -> task<> { (void)co_await listener.accept(); };
    const auto connect = [&listener]() -> task<> { (void)co_await tcp_stream::connect(listener.local()); };
    co_await check_that_it_sleeps(rt, accept, connect);

    auto datagrams = udp_socket::bind("127.0.0.1:0");
    make_it_not_wait(datagrams.native_handle());
    const auto receive_datagram = [&datagrams]() -> task<> { (void)co_await datagrams.recv(); };
    const auto send_datagram = [&datagrams]() -> task<> { co_await datagrams.send_to("x", datagrams.local()); };
    co_await check_that_it_sleeps(rt, receive_datagram, send_datagram);
  });
}

TEST_CASE("What is no descriptor, or of the wrong kind, is refused by what would adopt it, and left (c27)") {
  const auto number_thrown_by = [](auto adopt, int number) {
    try {
      (void)adopt(number);
      return 0;
    } catch (const std::system_error& e) {
      return e.code().value();
    }
  };
  const auto check_none = [&](auto adopt) {
    for (const int none : {-1, 9999}) CHECK(number_thrown_by(adopt, none) == EBADF);
  };
  const auto check_no_socket = [&](auto adopt) {
    check_none(adopt);
    const int other = ::open("/dev/null", O_RDWR | O_CLOEXEC);
    CHECK(number_thrown_by(adopt, other) == ENOTSOCK);
    CHECK(::close(other) == 0);
  };
  check_no_socket([](int n) { return tcp_stream::adopt(n); });
  check_no_socket([](int n) { return unix_stream::adopt(n); });
  check_no_socket([](int n) { return unix_listener::adopt(n); });
  check_no_socket([](int n) { return udp_socket::adopt(n); });
  check_no_socket([](int n) { return unix_datagram::adopt(n); });
  check_none([](int n) { return pipe_reader::adopt(n); });
  check_none([](int n) { return pipe_writer::adopt(n); });
  check_none([](int n) { return file::adopt(n); });
}
