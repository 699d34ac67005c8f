// What the outside world answers, as the text of an exception: what was being done, to what, and why, each once.
#include <doctest/doctest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <ringo/file.hpp>
#include <ringo/pipe.hpp>
#include <ringo/process.hpp>
#include <ringo/resolve.hpp>
#include <ringo/ringo.hpp>
#include <ringo/udp.hpp>
#include <ringo/unix.hpp>
#include <ringo/unix_datagram.hpp>
#include <string>
#include <system_error>
#include <utility>

#include "error_told.hpp"
#include "network.hpp"

using namespace ringo;
using namespace std::chrono_literals;

// The error's text, if it is equal to that condition.
template <class T>
static std::string text_of(const outcome_of<T>& o, std::errc expected) {
  if (o.has_value()) return "a value";
  try {
    std::rethrow_exception(o.error());
  } catch (const std::system_error& e) {
    return e.code() == expected ? e.what() : std::string("another condition: ") + e.what();
  } catch (...) {
    return "another exception";
  }
}

TEST_CASE("what has been closed or shut down on its own side says so once") {
  on_the_network([]() -> task<> {
    connected c = co_await connect_pair();
    const std::string peer = c.here.peer().to_string();
    co_await c.here.shutdown_send();
    const auto after_end = co_await outcome(c.here.send("x"));
    CHECK(text_of(after_end, std::errc::broken_pipe) ==
          "ringo: sending to " + peer + ": its own side has ended what it sends (shutdown_send)");
    co_await c.here.close();
    const auto closed = co_await outcome(c.here.recv());
    CHECK(text_of(closed, std::errc::connection_aborted) ==
          "ringo: receiving from " + peer + ": its own side has closed it");
    auto listener = listen_locally();
    const std::string at = listener.local().to_string();
    co_await listener.close();
    const auto none = co_await outcome(listener.accept());
    CHECK(text_of(none, std::errc::connection_aborted) == "ringo: accepting on " + at + ": its own side has closed it");
    auto [a, b] = unix_datagram::pair();
    co_await a.close();
    const auto sent = co_await outcome(a.send("x"));
    CHECK(text_of(sent, std::errc::connection_aborted).ends_with(": its own side has closed it"));
  });
}

TEST_CASE("an early end and too long a line are told once") {
  on_the_network([]() -> task<> {
    connected c = co_await connect_pair();
    co_await c.there.send("0123456789");
    co_await c.there.shutdown_send();
    buffered_reader in(c.here);
    const auto too_long = co_await outcome(in.read_line(4));
    CHECK(text_of(too_long, std::errc::message_size) ==
          "ringo: reading a line, of which more than 4 bytes have come: its end has not come within the limit");
    const auto early = co_await outcome(in.read_exactly(20));
    CHECK(text_of(early, std::errc::connection_reset) ==
          "ringo: read_exactly, of which 10 are there: the stream has ended before all of the bytes had come");
  });
}

TEST_CASE("a name that is not known is told in the resolver's words, once") {
  on_the_network([]() -> task<> {
    const auto unknown = co_await outcome(resolve("no-such-host.invalid", 80));
    const std::string text = told(unknown);
    CHECK(text.starts_with("ringo: the address of \"no-such-host.invalid\": "));
    CHECK(text.find("Cannot assign requested address") == std::string::npos);
    const bool is_known_condition =
        text_of(unknown, std::errc::address_not_available) == text ||
        text_of(unknown, std::errc::resource_unavailable_try_again) == text;  // where there is no name server at all
    CHECK(is_known_condition);
  });
}

TEST_CASE("a connection that is refused at several addresses says why once") {
  on_the_network([]() -> task<> {
    auto listener = listen_locally();
    const std::string port = std::to_string(listener.local().port());
    co_await listener.close();
    const auto refused = co_await outcome(tcp_stream::connect("localhost:" + port));
    const std::string text = told(refused), why = "Connection refused";
    CHECK(text.starts_with("ringo: connecting to "));
    CHECK(text.ends_with(": " + why));
    CHECK(text.find(why) == text.rfind(why));
  });
}

TEST_CASE("what is adopted and does not fit, and what is there already, are told once") {
  const descriptor datagrams(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  const descriptor stream(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const std::string d = std::to_string(datagrams.native_handle()), s = std::to_string(stream.native_handle());
  CHECK(error_thrown_by([&] { (void)tcp_stream::adopt(datagrams.native_handle()); }) ==
        "ringo: tcp_stream::adopt: descriptor " + d + ": it is a socket, but no stream");
  CHECK(error_thrown_by([&] { (void)tcp_listener::adopt(stream.native_handle()); }) ==
        "ringo: tcp_listener::adopt: descriptor " + s + ": it does not listen");
  CHECK(error_thrown_by([&] { (void)udp_socket::adopt(stream.native_handle()); }) ==
        "ringo: udp_socket::adopt: descriptor " + s + ": it is no socket of such datagrams");
  CHECK(error_thrown_by([&] { (void)unix_stream::adopt(stream.native_handle()); }) ==
        "ringo: unix_stream::adopt: descriptor " + s + ": it is no stream of a Unix socket");
  CHECK(error_thrown_by([&] { (void)unix_datagram::adopt(datagrams.native_handle()); }) ==
        "ringo: unix_datagram::adopt: descriptor " + d + ": it is no socket of such datagrams");
  const std::string path =
      (std::filesystem::temp_directory_path() / "ringo_test_told_once_").string() + std::to_string(::getpid());
  const auto listener = unix_listener::bind(path);
  CHECK(error_thrown_by([&] { (void)unix_listener::bind(path); }) ==
        "ringo: unix_listener::bind to " + path +
            ": the file is there already (it stays when its program is killed: then it can be removed)");
}

TEST_CASE("a time limit is told once, and is timed_out") {
  on_every_scheduler([]() -> task<> {
    const auto late = co_await outcome(with_timeout(1ms, sleep(1h)));
    CHECK(text_of(late, std::errc::timed_out) == "ringo: timed out");
  });
}
