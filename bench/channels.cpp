// Values through channels: rendezvous, buffered, many to many, and a long chain.
#include <cstdint>
#include <vector>

#include "harness.hpp"

namespace {

using ringo::channel;
using ringo::handle;
using ringo::receiver;
using ringo::sender;
using ringo::task;

constexpr std::int64_t sum_below(std::int64_t n) { return n * (n - 1) / 2; }

task<> ping(sender<int> there, receiver<int> back, int rounds) {
  for (int i = 0; i < rounds; ++i) {
    co_await there.send(i);
    co_await back.recv();
  }
}

task<> pong(receiver<int> there, sender<int> back, int rounds) {
  for (int i = 0; i < rounds; ++i) {
    co_await there.recv();
    co_await back.send(i);
  }
}

task<> unbuffered_pingpong(bench::timing& timing) {
  constexpr int messages = 200'000;
  while (timing.next(messages)) {
    channel<int> there;
    channel<int> back;
    ringo::wait_group both;
    both.go(ping, there, back, messages / 2);
    both.go(pong, there, back, messages / 2);
    co_await both.wait();
  }
}

task<> produce(sender<int> out, int count) {
  for (int i = 0; i < count; ++i) co_await out.send(i);
}

task<std::int64_t> consume(receiver<int> in) {
  std::int64_t sum = 0;
  while (auto value = co_await in.recv()) sum += *value;
  co_return sum;
}

task<> many_to_many(bench::timing& timing, int producers, int consumers, int messages) {
  while (timing.next(static_cast<std::uint64_t>(messages))) {
    channel<int> values(128);
    ringo::wait_group producing;
    std::vector<handle<std::int64_t>> consuming;
    for (int i = 0; i < producers; ++i) producing.go(produce, values, messages / producers);
    for (int i = 0; i < consumers; ++i) consuming.push_back(ringo::go(consume, values));
    co_await producing.wait();
    values.close();
    std::int64_t sum = 0;
    for (auto& each : consuming) {
      const std::int64_t part = co_await each;
      sum += part;
    }
    timing.expect(sum == producers * sum_below(messages / producers));
  }
}

task<> buffered_spsc(bench::timing& timing) { return many_to_many(timing, 1, 1, 500'000); }

task<> mpmc_4x4(bench::timing& timing) { return many_to_many(timing, 4, 4, 400'000); }

// The thousandth prime is 7919. After the numbers up to it, each stage closes the next one, so nothing is left.
task<> numbers(sender<int> out) {
  for (int i = 2; i <= 7919; ++i) co_await out.send(i);
  out.close();
}

task<> sieve_out(receiver<int> in, sender<int> out, int prime) {
  while (auto number = co_await in.recv()) {
    if (*number % prime != 0) co_await out.send(*number);
  }
  out.close();
}

task<> prime_sieve(bench::timing& timing) {
  while (timing.next(1)) {
    channel<int> stage;
    ringo::go(numbers, stage);
    int primes = 0;
    int last = 0;
    while (auto prime = co_await stage.recv()) {
      ++primes;
      last = *prime;
      channel<int> next;
      ringo::go(sieve_out, stage, next, last);
      stage = next;
    }
    timing.expect(primes == 1000 && last == 7919);
  }
}

}  // namespace

int main(int argc, char** argv) {
  return bench::measure(argc, argv,
                        {{"unbuffered_pingpong", unbuffered_pingpong},
                         {"buffered_spsc", buffered_spsc},
                         {"mpmc_4x4", mpmc_4x4},
                         {"prime_sieve", prime_sieve}});
}
