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
#include <cstdlib>
#include <new>
#include <ringo/ringo.hpp>
#include <ringo/unix.hpp>
#include <string>
#include <string_view>
#include <utility>

#include "error_told.hpp"
#include "io/stream_core.hpp"
#include "network.hpp"

using namespace ringo;
using namespace std::chrono_literals;

// While one of these is set new refuses all that is asked for, or what a stream takes, on whichever thread.
static std::atomic<bool> memory_is_gone = false, memory_for_streams_is_gone = false;
static std::atomic<int> refused = 0;

void* operator new(std::size_t size) {
  if (memory_is_gone || (memory_for_streams_is_gone && size == sizeof(detail::stream_core))) {
    refused.fetch_add(1, std::memory_order_relaxed);
    throw std::bad_alloc();
  }
  if (void* const memory = std::malloc(size)) return memory;
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

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

// How often memory has been refused. (No check is made while it is gone: doctest may need some.)
class refusals {
 public:
  refusals() noexcept : before_(refused) {}
  int since() const noexcept { return refused - before_; }

 private:
  int before_;
};

static task<> accept_one(tcp_listener& from, std::atomic<bool>& accepts) {
  accepts = true;
  co_await from.accept();
}

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
          std::atomic<bool> accepts = false;
          auto accepting = go([&listener, &accepts]() -> task<> {
            accepts = true;
            for (int i = 0; i < 2; ++i) {
              auto s = co_await listener.accept();
              co_await s.send("served");
              auto end = co_await s.recv();
              CHECK(!end);
            }
          });
          while (!accepts) co_await yield();
          const refusals met;
          memory_is_gone = true;
          const int first = connect(listener), second = connect(listener);
          while (met.since() < 3) co_await sleep(1ms);
          memory_is_gone = false;
          CHECK(warnings == 1);
          for (const int each : {first, second}) {
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
    std::atomic<bool> accepts = false;
    auto quits = go(accept_one, std::ref(listener), std::ref(accepts));
    while (!accepts) co_await yield();
    const refusals met;
    memory_for_streams_is_gone = true;
    const int client = connect_plainly(listener.local());
    while (met.since() < 1) co_await sleep(1ms);
    quits.cancel();
    co_await quits.wait();
    memory_for_streams_is_gone = false;
    const tcp_stream s = co_await listener.accept();
    CHECK(s.peer().port() != 0);
    ::close(client);
  });
}

TEST_CASE("a listener that is closed without memory for a connection closes that") {
  on_the_network([]() -> task<> {
    auto listener = listen_locally();
    std::atomic<bool> accepts = false;
    auto accepting = go(accept_one, std::ref(listener), std::ref(accepts));
    while (!accepts) co_await yield();
    const refusals met;
    memory_for_streams_is_gone = true;
    const int client = connect_plainly(listener.local());
    while (met.since() < 1) co_await sleep(1ms);
    co_await listener.close();
    memory_for_streams_is_gone = false;
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
    std::atomic<bool> accepts = false;
    auto accepting = go(accept_one, std::ref(one), std::ref(accepts));
    while (!accepts) co_await yield();
    const refusals met;
    memory_for_streams_is_gone = true;
    const int client = connect_plainly(one.local());
    while (met.since() < 1) co_await sleep(1ms);
    memory_for_streams_is_gone = false;
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
