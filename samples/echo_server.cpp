// An echo server: sends each client its own bytes back, until the client ends its side. Ctrl-C or SIGTERM stops it
// gracefully.
//
//   echo_server [ADDRESS [SECONDS]]      ADDRESS: 127.0.0.1:7777 by default; port 0: a port that is free;
//                                        SECONDS: how long a client may be silent, 60 by default
//   nc 127.0.0.1 7777                    in another terminal
#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <new>
#include <string>
#include <utility>

#include <ringo/ringo.hpp>

using namespace ringo;
using namespace std::chrono_literals;

task<> echo(tcp_stream client, duration silence) {
  try {
    while (auto chunk = co_await with_timeout(silence, client.recv())) {
      co_await with_timeout(silence, client.send(*chunk));
    }
  } catch (const std::exception&) {
    // This client is gone, or is silent, or does not read. The other clients stay.
  }
}

task<> accept_all(tcp_listener& listener, duration silence, group& clients) {
  for (;;) {
    tcp_stream client = co_await listener.accept();
    try {
      clients.go(echo(std::move(client), silence));
    } catch (const std::bad_alloc&) {
      // There is no memory for another client.
    }
  }
}

// What the clients share stands outside of the scope: the scope joins all its routines, whichever way it ends.
task<> serve(std::string address, duration silence) {
  signals stop({SIGINT, SIGTERM});
  // With keep-alive the kernel notices a client whose machine has gone.
  tcp_listener listener = tcp_listener::bind(address, {.keep_alive_idle = 60s, .keep_alive_interval = 10s});
  std::printf("listening on %s\n", listener.local().to_string().c_str());
  std::fflush(stdout);

  co_await scope([&](group& clients) -> task<> {
    co_await select(stop.recv(), accept_all(listener, silence, clients));
    // After the signal there are no new clients. The clients that are here have two seconds to end.
    co_await listener.close();
    co_await select(clients.wait(), sleep(2s));
    clients.cancel();
  });
}

int main(int argc, char** argv) try {
  const auto silence = std::chrono::seconds(argc > 2 ? std::max(std::atoi(argv[2]), 1) : 60);
  run(serve(argc > 1 ? argv[1] : "127.0.0.1:7777", silence));
} catch (const std::exception& error) {
  std::fprintf(stderr, "echo_server: %s\n", error.what());
  return 1;
}
