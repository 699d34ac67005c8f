// Where there is no memory for a connection's stream, accept() goes on waiting, and nothing is lost.
#include <doctest/doctest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <ringo/ringo.hpp>
#include <ringo/unix.hpp>
#include <string>
#include <string_view>
#include <utility>

#include "error_told.hpp"
#include "io/stream_core.hpp"
#include "network.hpp"
#include "refused_memory.hpp"
#include "states.hpp"

using namespace ringo;
using namespace std::chrono_literals;

// How often memory has been refused.
static std::atomic<int> refused = 0;

static bool is_for_a_stream(std::size_t size) {
  if (size != sizeof(detail::stream_core)) return false;
  ++refused;
  return true;
}
static bool is_any(std::size_t) {
  ++refused;
  return true;
}

// Without a routine: while memory is gone nothing but the listener is to need any.
static int connect_plainly(const endpoint& to) {
  const int s = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(to.port());
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return ::connect(s, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0 ? s : -1;
}
static int connect_plainly_to_abstract(std::string_view name) {
  const int s = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  name.copy(address.sun_path + 1, name.size());
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
  return ::connect(s, reinterpret_cast<sockaddr*>(&address), size) == 0 ? s : -1;
}

static task<> accept_one(tcp_listener& from) { co_await from.accept(); }

// While it lives, there is no memory for streams, or for anything.
class no_streams {
 public:
  explicit no_streams(bool (*if_so)(std::size_t) = is_for_a_stream) : refused_before_(refused), refused_now_(if_so) {}
  int refusals() const noexcept { return refused - refused_before_; }

 private:
  int refused_before_;
  memory_is_refused refused_now_;
};

static task<> until_one_accepts() { return until_parked("waits for a connection to"); }

template <class Listener, class Connect>
static void accepts_when_memory_is_back(Listener make_listener, Connect connect) {
  for (const unsigned workers : {1u, 2u, 4u}) {
    CAPTURE(workers);
    const auto descriptors = open_descriptors();
    std::atomic<int> warnings = 0, right = 0;
    runtime_options o;
    o.workers = workers;
    o.on_warning = [&](std::string_view text) {
      ++warnings;
      if (text.find("Cannot allocate memory") != text.npos) ++right;
    };
    run(
        [&]() -> task<> {
          auto listener = make_listener();
          auto accepting = go([&listener]() -> task<> {
            for (int i = 0; i < 2; ++i) {
              auto s = co_await listener.accept();
              co_await s.send("served");
              auto end = co_await s.recv();
              CHECK(!end);
            }
          });
          co_await until_one_accepts();
          std::array<int, 2> clients{};
          {
            const no_streams now(is_any);
            for (int& each : clients) each = connect(listener);
            // Of a stream, or of what epoll needs to wait; of the warning's text; and once more after a pause.
            while (now.refusals() < 3) co_await sleep(1ms);
          }
          CHECK(warnings == 1);
          for (const int each : clients) {
            std::array<char, 6> answer{};
            co_await readable(each);
            CHECK(::recv(each, answer.data(), answer.size(), MSG_WAITALL) == 6);
            ::close(each);
          }
          co_await accepting;
        },
        o);
    CHECK(warnings == 1);
    CHECK(right == 1);
    CHECK(open_descriptors() == descriptors);
  }
}

TEST_CASE("accept on TCP goes on waiting where there is no memory for the stream, says so once, and serves all") {
  accepts_when_memory_is_back([] { return tcp_listener::bind("127.0.0.1:0"); },
                              [](tcp_listener& l) { return connect_plainly(l.local()); });
}

TEST_CASE("accept on a Unix socket goes on waiting where there is no memory for the stream, too") {
  const std::string name = "ringo-listener-memory-" + std::to_string(::getpid());
  accepts_when_memory_is_back([&] { return unix_listener::bind("@" + name); },
                              [&](unix_listener&) { return connect_plainly_to_abstract(name); });
}

TEST_CASE("a connection for which there was no memory is the next one's, if its case has given up meanwhile") {
  on_the_network([]() -> task<> {
    auto listener = listen_locally();
    auto quits = go(accept_one, std::ref(listener));
    co_await until_one_accepts();
    int client = -1;
    {
      const no_streams now;
      client = connect_plainly(listener.local());
      while (now.refusals() < 1) co_await sleep(1ms);
      quits.cancel();
      co_await quits.wait();
    }
    const tcp_stream s = co_await listener.accept();
    CHECK(s.peer().port() != 0);
    ::close(client);
  });
}

TEST_CASE("a listener that is closed without memory for a connection closes that") {
  on_the_network([]() -> task<> {
    auto listener = listen_locally();
    auto accepting = go(accept_one, std::ref(listener));
    co_await until_one_accepts();
    int client = -1;
    {
      const no_streams now;
      client = connect_plainly(listener.local());
      while (now.refusals() < 1) co_await sleep(1ms);
      co_await listener.close();
    }
    const auto ended = co_await outcome(accepting.join());
    CHECK(told(ended).find("its own side has closed it") != std::string::npos);
    co_await readable(client);
    char nothing = 0;
    CHECK(::recv(client, &nothing, 1, 0) <= 0);
    ::close(client);
  });
}

TEST_CASE("a listener that shares its port hands over the connection for which it had no memory") {
  on_the_network([]() -> task<> {
    auto one = listen_locally({.reuse_port = true});
    auto accepting = go(accept_one, std::ref(one));
    co_await until_one_accepts();
    int client = -1;
    {
      const no_streams now;
      client = connect_plainly(one.local());
      while (now.refusals() < 1) co_await sleep(1ms);
    }
    // Or the one has come to it meanwhile: either way it is served.
    auto other = tcp_listener::bind(one.local(), {.reuse_port = true});
    co_await one.close();
    auto ended = co_await outcome(accepting.join());
    if (!ended.has_value()) {
      const tcp_stream s = co_await other.accept();
      CHECK(s.peer().port() != 0);
    }
    ::close(client);
  });
}
