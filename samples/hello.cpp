// Sends a greeting over a channel without capacity: the sender and the receiver wait for each other.
#include <cstdio>
#include <string>

#include <ringo/ringo.hpp>

using namespace ringo;

task<> greet(sender<std::string> messages) { co_await messages.send("hello from a routine"); }

task<> program() {
  channel<std::string> messages;
  go(greet, messages);

  auto message = co_await messages.recv();
  std::printf("%s\n", message->c_str());
}

int main() { run(program); }
