// ringo's echo server. Usage: echo PORT WORKERS
#include <cstdlib>
#include <ringo/ringo.hpp>
#include <string>
#include <utility>

using namespace ringo;

task<> serve(tcp_stream s) {
  while (auto chunk = co_await s.recv()) co_await s.send(*chunk);
}

task<> echo(std::string port) {
  auto listener = tcp_listener::bind("127.0.0.1:" + port);
  for (;;) go(serve, co_await listener.accept());
}

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  runtime_options o;
  o.workers = static_cast<unsigned>(std::atoi(argv[2]));
  run(echo(argv[1]), o);
}
