// The sender closes the channel after its last value. The receiver receives until the channel is drained.
#include <cstdio>
#include <string>

#include <ringo/ringo.hpp>

using namespace ringo;

task<> count_to(int last, sender<int> numbers) {
  for (int number = 1; number <= last; ++number) co_await numbers.send(number);
  numbers.close();
}

task<> program() {
  channel<int> numbers;
  go(count_to, 5, numbers);
  while (auto number = co_await numbers.recv()) std::printf("received %d\n", *number);
  std::printf("no more numbers\n");

  // Values that were sent before the close are still received after it.
  channel<std::string> queue(2);
  co_await queue.send("one");
  co_await queue.send("two");
  queue.close();
  while (auto word = co_await queue.recv()) std::printf("received %s\n", word->c_str());

  auto after = co_await queue.recv();
  std::printf("closed and drained: %s\n", after ? "a value" : "nothing, at once");
}

int main() { run(program); }
