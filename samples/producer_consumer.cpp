// Two producers and two consumers share a small buffer. Producers wait while it is full, consumers while it is empty.
#include <cstdio>

#include <ringo/ringo.hpp>

using namespace ringo;

task<> produce(int first, int count, sender<int> buffer) {
  for (int item = first; item < first + count; ++item) {
    co_await buffer.send(item);
    std::printf("produced %d\n", item);
  }
}

task<int> consume(receiver<int> buffer) {
  int sum = 0;
  while (auto item = co_await buffer.recv()) {
    std::printf("consumed %d\n", *item);
    sum += *item;
  }
  co_return sum;
}

task<> program() {
  channel<int> buffer(3);
  handle<> low = go(produce, 1, 10, buffer);
  handle<> high = go(produce, 101, 10, buffer);
  handle<int> one = go(consume, buffer);
  handle<int> other = go(consume, buffer);

  co_await low;
  co_await high;
  buffer.close();

  const int sum_of_one = co_await one;
  const int sum_of_other = co_await other;
  std::printf("consumed in all: %d\n", sum_of_one + sum_of_other);
}

int main() { run(program); }
