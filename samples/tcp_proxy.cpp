// A TCP proxy: it connects each client to a target, and passes bytes on in both directions, until both sides have
// ended. Either side may end its direction first (half-close). A side that reads slowly slows the other side down; the
// proxy holds at most one chunk for each direction. Ctrl-C or SIGTERM stops it gracefully.
//
//   tcp_proxy ADDRESS TARGET [SECONDS]           port 0: a port that is free; SECONDS: how long both sides may be
//                                                silent, 300 by default
//   tcp_proxy 127.0.0.1:8000 example.org:80
//   curl -H 'Host: example.org' 127.0.0.1:8000   in another terminal
#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <new>
#include <string>
#include <tuple>
#include <utility>
#include <variant>

#include <sys/socket.h>

#include <ringo/ringo.hpp>

using namespace ringo;
using namespace std::chrono_literals;

constexpr tcp_options keep_alive{.keep_alive_idle = 60s, .keep_alive_interval = 10s};

// Two connections. If the proxy could not pass on all bytes, it resets both: half of a conversation must not look
// complete to a reader. To disconnect a socket resets its connection.
struct passage {
  tcp_stream client, server;
  bool complete = false;

  explicit passage(tcp_stream from) : client(std::move(from)) {}
  passage(const passage&) = delete;
  passage& operator=(const passage&) = delete;
  ~passage() {
    const sockaddr nobody{.sa_family = AF_UNSPEC, .sa_data = {}};
    for (const tcp_stream* side : {&client, &server}) {
      if (!complete && *side) connect(side->native_handle(), &nobody, sizeof nobody);
    }
  }
};

// True when `from` has ended; false if both sides are silent for too long. One of them may be.
task<bool> pass_on(tcp_stream& from, tcp_stream& to, std::atomic<time_point>& last_byte, duration silence) {
  for (;;) {
    const auto came = co_await select(prefer_first, from.recv(), sleep_until(last_byte.load() + silence));
    if (came.index() == 1) {
      if (now() < last_byte.load() + silence) continue;
      co_return false;
    }
    const auto& chunk = std::get<0>(came);
    if (!chunk) break;
    co_await with_timeout(silence, to.send(*chunk));
    last_byte = now();
  }
  co_await to.shutdown_send();
  co_return true;
}

task<> connect_and_pass_on(tcp_stream client, std::string target, duration silence) {
  passage both(std::move(client));
  try {
    both.server = co_await with_timeout(10s, tcp_stream::connect(target, keep_alive));
    std::atomic<time_point> last_byte = now();
    const auto passed = co_await all(pass_on(both.client, both.server, last_byte, silence),
                                     pass_on(both.server, both.client, last_byte, silence));
    both.complete = std::get<0>(passed) && std::get<1>(passed);
  } catch (const std::exception& error) {
    // One side is gone, and `all` has ended the other direction, too. Or the target cannot be reached.
    if (!both.server) std::fprintf(stderr, "tcp_proxy: %s\n", error.what());
  }
}

task<> accept_all(tcp_listener& listener, const std::string& target, duration silence, group& clients) {
  for (;;) {
    tcp_stream client = co_await listener.accept();
    try {
      clients.go(connect_and_pass_on(std::move(client), target, silence));
    } catch (const std::bad_alloc&) {
      // There is no memory for another client.
    }
  }
}

task<> serve(std::string address, std::string target, duration silence) {
  signals stop({SIGINT, SIGTERM});
  tcp_listener listener = tcp_listener::bind(address, keep_alive);
  std::printf("listening on %s\n", listener.local().to_string().c_str());
  std::fflush(stdout);

  co_await scope([&](group& clients) -> task<> {
    co_await select(stop.recv(), accept_all(listener, target, silence, clients));
    // After the signal there are no new clients. The clients that are here have two seconds to end.
    co_await listener.close();
    co_await select(clients.wait(), sleep(2s));
    clients.cancel();
  });
}

int main(int argc, char** argv) try {
  if (argc < 3 || argc > 4) {
    std::fputs("Usage: tcp_proxy ADDRESS TARGET [SECONDS]\n", stderr);
    return 2;
  }
  const auto silence = std::chrono::seconds(argc > 3 ? std::max(std::atoi(argv[3]), 1) : 300);
  run(serve(argv[1], argv[2], silence));
} catch (const std::exception& error) {
  std::fprintf(stderr, "tcp_proxy: %s\n", error.what());
  return 1;
}
