// A buffered channel takes as many values as it has room for, before a receiver comes.
#include <cstdio>
#include <string>

#include <ringo/ringo.hpp>

using namespace ringo;

task<> program() {
  channel<std::string> messages(2);
  co_await messages.send("buffered");
  co_await messages.send("channel");
  std::printf("%zu of %zu places taken\n", messages.size(), messages.capacity());

  // A third co_await messages.send(…) would wait for a receiver; try_send says so instead.
  const bool sent = messages.try_send("too much");
  std::printf("room for a third: %s\n", sent ? "yes" : "no");

  auto first = co_await messages.recv();
  auto second = co_await messages.recv();
  std::printf("%s %s\n", first->c_str(), second->c_str());
}

int main() { run(program); }
