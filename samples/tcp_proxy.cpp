// A TCP proxy: each connection is passed on to a target, both ways, until both sides have ended. Either may end before
// the other (half-close); who reads slowly slows the other down, and no more than a chunk a direction is held meanwhile.
// Ctrl-C or SIGTERM stops it gracefully.
//
//   tcp_proxy ADDRESS TARGET                     port 0: one that is free
//   tcp_proxy 127.0.0.1:8000 example.org:80
//   curl -H 'Host: example.org' 127.0.0.1:8000   in another terminal
#include <chrono>
#include <csignal>
#include <cstdio>
#include <exception>
#include <string>

#include <sys/socket.h>

#include <ringo/ringo.hpp>

using namespace ringo;
using namespace std::chrono_literals;

task<> pass_on(tcp_stream& from, tcp_stream& to) {
  while (auto chunk = co_await from.recv()) co_await to.send(*chunk);
  co_await to.shutdown_send();
}

// What was cut must not look complete to who reads it: to be disconnected is a reset for the peer, and no end.
void reset(const tcp_stream& stream) {
  const sockaddr nobody{.sa_family = AF_UNSPEC, .sa_data = {}};
  connect(stream.native_handle(), &nobody, sizeof nobody);
}

task<> connect_and_pass_on(tcp_stream client, std::string target) {
  tcp_stream server;
  try {
    server = co_await with_timeout(10s, tcp_stream::connect(target));
    co_await all(pass_on(client, server), pass_on(server, client));
  } catch (const std::system_error& error) {
    // One side is gone, cannot be reached, or this program is to end. `all` has ended the other direction, too.
    if (!server) std::fprintf(stderr, "tcp_proxy: %s\n", error.what());
    reset(client);
    if (server) reset(server);
  }
}

task<> accept_all(tcp_listener& listener, const std::string& target, group& clients) {
  for (;;) clients.go(connect_and_pass_on, co_await listener.accept(), target);
}

task<> serve(std::string address, std::string target) {
  signals stop({SIGINT, SIGTERM});
  group clients(current_context(), on_error::keep_going);
  tcp_listener listener = tcp_listener::bind(address);
  std::printf("listening on %s\n", listener.local().to_string().c_str());
  std::fflush(stdout);

  // No new clients after a signal; those that are there have two seconds to end, and are then cut: cancelled and joined.
  co_await select(stop.recv(), accept_all(listener, target, clients));
  co_await listener.close();
  co_await outcome(with_timeout(2s, clients.wait()));
}

int main(int argc, char** argv) try {
  if (argc != 3) {
    std::fputs("Usage: tcp_proxy ADDRESS TARGET\n", stderr);
    return 2;
  }
  run(serve(argv[1], argv[2]));
} catch (const std::exception& error) {
  std::fprintf(stderr, "tcp_proxy: %s\n", error.what());
  return 1;
}
