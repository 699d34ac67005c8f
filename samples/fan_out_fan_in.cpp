// Fan-out: three routines receive from one channel. Fan-in: each sends on a channel of its own, and these are merged
// into one channel.
#include <cstdio>
#include <memory>
#include <vector>

#include <ringo/ringo.hpp>

using namespace ringo;

receiver<int> count_to(int last) {
  channel<int> out;
  go([last, out]() -> task<> {
    for (int number = 1; number <= last; ++number) co_await out.send(number);
    out.close();
  });
  return out;
}

receiver<int> square(receiver<int> in) {
  channel<int> out;
  go([in, out]() -> task<> {
    while (auto number = co_await in.recv()) co_await out.send(*number * *number);
    out.close();
  });
  return out;
}

task<> forward(receiver<int> in, sender<int> out) {
  while (auto value = co_await in.recv()) co_await out.send(*value);
}

receiver<int> fan_in(const std::vector<receiver<int>>& inputs) {
  channel<int> out;
  auto open_inputs = std::make_shared<wait_group>();
  for (const auto& in : inputs) open_inputs->go(forward, in, out);
  // A routine of its own waits for the end of the last input, and closes the output then.
  go([open_inputs, out]() -> task<> {
    co_await open_inputs->wait();
    out.close();
  });
  return out;
}

task<> program() {
  receiver<int> numbers = count_to(10);
  std::vector<receiver<int>> squares;
  for (int i = 0; i < 3; ++i) squares.push_back(square(numbers));

  int sum = 0;
  receiver<int> merged = fan_in(squares);
  while (auto value = co_await merged.recv()) {
    std::printf("%d\n", *value);
    sum += *value;
  }
  std::printf("sum %d\n", sum);
}

int main() { run(program); }
