// A simulation has no outside world: each call that would reach it is refused, before it has had any effect.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <functional>
#include <ringo/file.hpp>
#include <ringo/process.hpp>
#include <ringo/ready.hpp>
#include <ringo/resolve.hpp>
#include <ringo/ringo.hpp>
#include <ringo/signals.hpp>
#include <ringo/udp.hpp>
#include <ringo/unix.hpp>
#include <ringo/unix_datagram.hpp>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "network.hpp"

using namespace ringo;

namespace {

class call {
 public:
  call(const char* n, std::function<task<>()> d) : name(n), does(std::move(d)) {}
  const char* name;
  std::function<task<>()> does;
};

// Made before the simulation, to be used in it.
class things {
 public:
  std::filesystem::path folder =
      std::filesystem::temp_directory_path() / ("ringo-no-world-" + std::to_string(::getpid()));
  std::string in(const char* name) const { return (folder / name).string(); }

  things() {
    std::filesystem::create_directory(folder);
    const int opened = ::open(in("file").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    REQUIRE(::write(opened, "12345", 5) == 5);
    some_file = file::adopt(opened);
    run([this]() -> task<> { sleeper = co_await process::start({"sleep", "1000"}); });
  }
  ~things() {
    sleeper.kill(SIGKILL);
    std::filesystem::remove_all(folder);
  }

  tcp_listener tcp = tcp_listener::bind("127.0.0.1:0");
  udp_socket udp = udp_socket::bind("127.0.0.1:0");
  std::pair<unix_stream, unix_stream> streams = unix_stream::pair();
  std::pair<unix_datagram, unix_datagram> datagrams = unix_datagram::pair();
  pipe_pair pipe;
  file some_file;
  process sleeper;
  int plain = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0),
      plain_datagrams = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  descriptor closes_plain = descriptor(plain), closes_plain_datagrams = descriptor(plain_datagrams);
};

// The call itself, and its await.
#define REFUSED(expression) call(#expression, [&]() -> task<> { (void)co_await (expression); })
#define REFUSED_AT_ONCE(expression)   \
  call(#expression, [&]() -> task<> { \
    (void)(expression);               \
    co_return;                        \
  })

}  // namespace

TEST_CASE("every call of the outside world is refused in a simulation, and has had no effect") {
  things t;
  const endpoint here = t.tcp.local();
  const std::string socket_name = t.in("socket");
  std::array<std::byte, 4> bytes{};
  const std::vector<call> calls{
      REFUSED_AT_ONCE(tcp_listener::bind("127.0.0.1:0")),
      REFUSED_AT_ONCE(tcp_listener::bind(endpoint("[::1]:0"))),
      REFUSED_AT_ONCE(tcp_listener::adopt(t.plain)),
      REFUSED_AT_ONCE(tcp_stream::adopt(t.plain)),
      REFUSED(tcp_stream::connect(here)),
      REFUSED(tcp_stream::connect(here.to_string())),
      REFUSED(tcp_stream::connect("localhost:1")),
      REFUSED(t.tcp.accept()),
      REFUSED(t.tcp.close()),
      REFUSED(resolve("localhost", 80)),
      REFUSED_AT_ONCE(udp_socket::bind("127.0.0.1:0")),
      REFUSED_AT_ONCE(udp_socket::connect("127.0.0.1:9")),
      REFUSED_AT_ONCE(udp_socket::adopt(t.plain_datagrams)),
      REFUSED_AT_ONCE(t.udp.join_group("239.1.2.3")),
      REFUSED_AT_ONCE(t.udp.leave_group("239.1.2.3")),
      REFUSED_AT_ONCE(t.udp.set_multicast_interface("lo")),
      REFUSED(t.udp.recv()),
      REFUSED(t.udp.recv_from()),
      REFUSED(t.udp.send_to("x", here)),
      REFUSED(t.udp.close()),
      REFUSED_AT_ONCE(unix_listener::bind(socket_name)),
      REFUSED_AT_ONCE(unix_listener::adopt(t.plain)),
      REFUSED_AT_ONCE(unix_stream::adopt(t.plain)),
      REFUSED_AT_ONCE(unix_stream::pair()),
      REFUSED(unix_stream::connect("@nobody")),
      REFUSED(t.streams.first.send("x")),
      REFUSED(t.streams.first.send("x", "y")),
      REFUSED(t.streams.first.send_message("x", 0)),
      REFUSED(t.streams.first.shutdown_send()),
      REFUSED(t.streams.first.recv()),
      REFUSED(t.streams.first.recv_message()),
      REFUSED(t.streams.first.read(bytes)),
      REFUSED(t.streams.first.read_exactly(bytes)),
      REFUSED(t.streams.first.close()),
      REFUSED_AT_ONCE(unix_datagram::bind(socket_name)),
      REFUSED_AT_ONCE(unix_datagram::connect("@nobody")),
      REFUSED_AT_ONCE(unix_datagram::pair()),
      REFUSED_AT_ONCE(unix_datagram::adopt(t.plain_datagrams)),
      REFUSED(t.datagrams.first.send("x")),
      REFUSED(t.datagrams.first.send_to("x", "@nobody")),
      REFUSED(t.datagrams.first.recv()),
      REFUSED_AT_ONCE(pipe_pair()),
      REFUSED_AT_ONCE(pipe_reader::adopt(t.pipe.reader.native_handle())),
      REFUSED_AT_ONCE(pipe_writer::adopt(t.pipe.writer.native_handle())),
      REFUSED_AT_ONCE(standard_input()),
      REFUSED_AT_ONCE(standard_output()),
      REFUSED_AT_ONCE(standard_error()),
      REFUSED(t.pipe.writer.send("x")),
      REFUSED(t.pipe.reader.recv()),
      REFUSED(process::start({"touch", t.in("made by a process")})),
      REFUSED_AT_ONCE(t.sleeper.kill(SIGKILL)),
      REFUSED(t.sleeper.wait()),
      REFUSED_AT_ONCE(signals({SIGUSR1})),
      REFUSED(readable(t.plain)),
      REFUSED(writable(t.plain)),
      REFUSED_AT_ONCE(file::adopt(t.plain)),
      REFUSED(file::open(t.in("opened"), {.write = true, .create = true})),
      REFUSED(t.some_file.read_at(0, bytes)),
      call("write_at", [&]() -> task<> { co_await t.some_file.write_at(0, "x"); }),
      call("append", [&]() -> task<> { co_await t.some_file.append("x"); }),
      call("truncate", [&]() -> task<> { co_await t.some_file.truncate(1); }),
      call("writer",
           [&]() -> task<> {
             auto to = t.some_file.writer();
             co_await to.send("x");
           }),
      call("reader",
           [&]() -> task<> {
             auto from = t.some_file.reader();
             (void)co_await from.recv();
           }),
      REFUSED(t.some_file.sync()),
      REFUSED(t.some_file.status()),
      REFUSED(t.some_file.size()),
      REFUSED(t.some_file.close()),
      REFUSED(read_file(t.in("file"))),
      call("write_file", [&]() -> task<> { co_await write_file(t.in("written"), "x"); }),
      REFUSED(status_of(t.in("file"))),
      REFUSED(rename_file(t.in("file"), t.in("renamed"))),
      REFUSED(remove_file(t.in("file"))),
      REFUSED(remove_directory(t.folder.string())),
      call("make_directory", [&]() -> task<> { co_await make_directory(t.in("directory")); }),
      REFUSED(list_directory(t.folder.string())),
  };
  const auto descriptors = open_descriptors();
  for (const call& each : calls) {
    CAPTURE(each.name);
    std::string refusal;
    testing::simulate({}, [&]() -> task<> {
      try {
        co_await each.does();
      } catch (const std::logic_error& e) {
        refusal = e.what();
      }
    });
    CHECK(refusal.find("in a simulation") != std::string::npos);
    CHECK(open_descriptors() == descriptors);
  }
  std::vector<std::string> names;
  for (const auto& each : std::filesystem::directory_iterator(t.folder)) names.push_back(each.path().filename());
  CHECK(names == std::vector<std::string>{"file"});
  CHECK(std::filesystem::file_size(t.in("file")) == 5);
  CHECK(::kill(t.sleeper.id(), 0) == 0);
  struct sigaction of{};
  ::sigaction(SIGUSR1, nullptr, &of);
  CHECK((of.sa_handler == SIG_DFL));
  // Nothing has been said to either peer.
  char nothing = 0;
  for (const int peer : {t.streams.second.native_handle(), t.datagrams.second.native_handle()}) {
    CHECK(::recv(peer, &nothing, 1, MSG_DONTWAIT) < 0);
  }
}
