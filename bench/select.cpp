// select: over channels that have values, over one that has none, and against the clock.
#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <variant>

#include "harness.hpp"

namespace {

using ringo::channel;
using ringo::on;
using ringo::receiver;
using ringo::select;
using ringo::sender;
using ringo::task;
using namespace std::chrono_literals;

constexpr int messages = 400'000;

task<> produce(sender<int> out, int count) {
  for (int i = 0; i < count; ++i) co_await out.send(i);
}

constexpr std::int64_t sum_from(std::int64_t producers) {
  const std::int64_t each = messages / producers;
  return producers * (each * (each - 1) / 2);
}

task<> select2_ready(bench::timing& timing) {
  while (timing.next(messages)) {
    channel<int> a(128);
    channel<int> b(128);
    ringo::go(produce, a, messages / 2);
    ringo::go(produce, b, messages / 2);
    std::int64_t sum = 0;
    for (int i = 0; i < messages; ++i) {
      const auto got = co_await select(a.recv(), b.recv());
      sum += got.index() == 0 ? *std::get<0>(got) : *std::get<1>(got);
    }
    timing.expect(sum == sum_from(2));
  }
}

task<> select8_ready(bench::timing& timing) {
  while (timing.next(messages)) {
    std::array<channel<int>, 8> c{channel<int>(128), channel<int>(128), channel<int>(128), channel<int>(128),
                                  channel<int>(128), channel<int>(128), channel<int>(128), channel<int>(128)};
    for (auto& each : c) ringo::go(produce, each, messages / 8);
    std::int64_t sum = 0;
    for (int i = 0; i < messages; ++i) {
      const auto got = co_await select(c[0].recv(), c[1].recv(), c[2].recv(), c[3].recv(), c[4].recv(), c[5].recv(),
                                       c[6].recv(), c[7].recv());
      sum += std::visit([](const auto& value) { return *value; }, got);
    }
    timing.expect(sum == sum_from(8));
  }
}

// The same with handlers.
task<> select2_on(bench::timing& timing) {
  while (timing.next(messages)) {
    channel<int> a(128);
    channel<int> b(128);
    ringo::go(produce, a, messages / 2);
    ringo::go(produce, b, messages / 2);
    std::int64_t sum = 0;
    const auto add = [&sum](std::optional<int> value) { sum += *value; };
    for (int i = 0; i < messages; ++i) co_await select(on(a.recv(), add), on(b.recv(), add));
    timing.expect(sum == sum_from(2));
  }
}

task<> select8_on(bench::timing& timing) {
  while (timing.next(messages)) {
    std::array<channel<int>, 8> c{channel<int>(128), channel<int>(128), channel<int>(128), channel<int>(128),
                                  channel<int>(128), channel<int>(128), channel<int>(128), channel<int>(128)};
    for (auto& each : c) ringo::go(produce, each, messages / 8);
    std::int64_t sum = 0;
    for (int i = 0; i < messages; ++i) {
      co_await select(on(c[0].recv(), [&sum](std::optional<int> value) { sum += *value; }),
                      on(c[1].recv(), [&sum](std::optional<int> value) { sum += *value; }),
                      on(c[2].recv(), [&sum](std::optional<int> value) { sum += *value; }),
                      on(c[3].recv(), [&sum](std::optional<int> value) { sum += *value; }),
                      on(c[4].recv(), [&sum](std::optional<int> value) { sum += *value; }),
                      on(c[5].recv(), [&sum](std::optional<int> value) { sum += *value; }),
                      on(c[6].recv(), [&sum](std::optional<int> value) { sum += *value; }),
                      on(c[7].recv(), [&sum](std::optional<int> value) { sum += *value; }));
    }
    timing.expect(sum == sum_from(8));
  }
}

task<> select_default(bench::timing& timing) {
  constexpr int tries = 1'000'000;
  channel<int> empty(128);
  while (timing.next(tries)) {
    int misses = 0;
    for (int i = 0; i < tries; ++i) {
      const auto got = co_await select(empty.recv(), ringo::otherwise);
      misses += got.index() == 1;
    }
    timing.expect(misses == tries);
  }
}

// No case is ready: each message comes while the select waits.
task<> select2_waiting(bench::timing& timing) {
  while (timing.next(messages)) {
    channel<int> a;
    channel<int> b;
    ringo::go(produce, a, messages / 2);
    ringo::go(produce, b, messages / 2);
    std::int64_t sum = 0;
    for (int i = 0; i < messages; ++i) {
      const auto got = co_await select(a.recv(), b.recv());
      sum += got.index() == 0 ? *std::get<0>(got) : *std::get<1>(got);
    }
    timing.expect(sum == sum_from(2));
  }
}

// A send, against a receive from a channel that has nothing.
task<> select_send(bench::timing& timing) {
  while (timing.next(messages)) {
    channel<int> out(128);
    channel<int> quiet;
    auto sum = ringo::go(
        [](receiver<int> from) -> task<std::int64_t> {
          std::int64_t total = 0;
          for (int i = 0; i < messages; ++i) total += *co_await from.recv();
          co_return total;
        },
        out);
    for (int i = 0; i < messages; ++i) co_await select(out.send(i), quiet.recv());
    timing.expect(co_await sum == sum_from(1));
  }
}

task<> select_timeout(bench::timing& timing) {
  constexpr int receives = 200'000;
  while (timing.next(receives)) {
    channel<int> values;
    ringo::go(produce, values, receives);
    int received = 0;
    for (int i = 0; i < receives; ++i) {
      const auto got = co_await select(values.recv(), ringo::sleep(1s));
      received += got.index() == 0;
    }
    timing.expect(received == receives);
  }
}

}  // namespace

int main(int argc, char** argv) {
  return bench::measure(argc, argv,
                        {{"select2_ready", select2_ready},
                         {"select8_ready", select8_ready},
                         {"select2_on", select2_on},
                         {"select8_on", select8_on},
                         {"select2_waiting", select2_waiting},
                         {"select_send", select_send},
                         {"select_default", select_default},
                         {"select_timeout", select_timeout}});
}
