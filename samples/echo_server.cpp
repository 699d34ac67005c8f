// An echo server: what a client sends comes back, until it ends its side. Ctrl-C or SIGTERM stops it gracefully.
//
//   echo_server [ADDRESS]        127.0.0.1:7777 if there is none; port 0: one that is free
//   nc 127.0.0.1 7777            in another terminal
#include <chrono>
#include <csignal>
#include <cstdio>
#include <exception>
#include <string>

#include <ringo/ringo.hpp>

using namespace ringo;
using namespace std::chrono_literals;

task<> echo(tcp_stream client) {
  try {
    while (auto chunk = co_await client.recv()) co_await client.send(*chunk);
  } catch (const disconnected&) {
    // The client has left in the middle: no concern of the others.
  }
}

task<> accept_all(tcp_listener& listener, group& clients) {
  for (;;) clients.go(echo, co_await listener.accept());
}

task<> serve(std::string address) {
  signals stop({SIGINT, SIGTERM});
  group clients(current_context(), on_error::keep_going);
  tcp_listener listener = tcp_listener::bind(address);
  std::printf("listening on %s\n", listener.local().to_string().c_str());
  std::fflush(stdout);

  // No new clients after a signal; those that are there have two seconds to end, and are then cut: cancelled and joined.
  co_await select(stop.recv(), accept_all(listener, clients));
  co_await listener.close();
  co_await outcome(with_timeout(2s, clients.wait()));
}

int main(int argc, char** argv) try {
  run(serve(argc > 1 ? argv[1] : "127.0.0.1:7777"));
} catch (const std::exception& error) {
  std::fprintf(stderr, "echo_server: %s\n", error.what());
  return 1;
}
