// The prime sieve: a chain of routines, one for each prime. It grows by one routine when a number passes all of them.
#include <cstdio>

#include <ringo/ringo.hpp>

using namespace ringo;

task<> count_from_two(sender<int> out) {
  for (int number = 2;; ++number) co_await out.send(number);
}

task<> drop_multiples(int prime, receiver<int> in, sender<int> out) {
  while (auto number = co_await in.recv()) {
    if (*number % prime != 0) co_await out.send(*number);
  }
}

task<> program() {
  channel<int> numbers;
  go(count_from_two, numbers);
  for (int i = 0; i < 25; ++i) {
    auto prime = co_await numbers.recv();
    std::printf("%d\n", *prime);
    channel<int> remaining;
    go(drop_multiples, *prime, numbers, remaining);
    numbers = remaining;
  }
  // The chain still waits in the middle of its work. When main ends, the runtime cancels it.
}

int main() { run(program); }
