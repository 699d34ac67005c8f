// How the cost of an operation grows: with tasks, capacity, a select's cases, pending timers.
//
//   growth CURVE SIZE [WORKERS [SECONDS]]     prints: CURVE SIZE WORKERS ns_per_op cpu_ns_per_op
//   growth --list                             prints the names of its curves, one a line
#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string_view>
#include <utility>
#include <vector>

#include "harness.hpp"

namespace {

using ringo::channel;
using ringo::receiver;
using ringo::sender;
using ringo::task;
using namespace std::chrono_literals;

// ---- tasks

task<> pass_on(receiver<int> from, sender<int> to, sender<void> arrived) {
  while (auto hops = co_await from.recv()) {
    if (*hops == 0) {
      co_await arrived.send();
    } else {
      co_await to.send(*hops - 1);
    }
  }
}

// One token goes round; an operation is one hop.
task<> ring(bench::timing& timing, int size) {
  const int hops = std::max(size, 100'000);
  std::vector<channel<int>> links;
  for (int i = 0; i < size; ++i) links.emplace_back(1);
  channel<void> arrived;
  for (int i = 0; i < size; ++i) {
    const auto at = static_cast<std::size_t>(i);
    ringo::go(pass_on, links[at], links[(at + 1) % links.size()], arrived);
  }
  while (timing.next(static_cast<std::uint64_t>(hops))) {
    co_await links.front().send(hops);
    co_await arrived.recv();
  }
  for (auto& each : links) each.close();
}

task<> trivial() { co_return; }

task<> spawn_join(bench::timing& timing, int size) {
  const int batches = std::max(100'000 / size, 1);
  while (timing.next(static_cast<std::uint64_t>(batches) * static_cast<std::uint64_t>(size))) {
    for (int i = 0; i < batches; ++i) {
      ringo::wait_group all;
      for (int j = 0; j < size; ++j) all.go(trivial);
      co_await all.wait();
    }
  }
}

task<> yield_often(int times) {
  for (int i = 0; i < times; ++i) co_await ringo::yield();
}

// Starts all routines before the first one yields, so `size` routines are ready at any time.
task<> yield(bench::timing& timing, int size) {
  const int each = std::max(200'000 / size, 10);
  while (timing.next(static_cast<std::uint64_t>(each) * static_cast<std::uint64_t>(size))) {
    ringo::wait_group all;
    for (int i = 0; i < size; ++i) all.go(yield_often, each);
    co_await all.wait();
  }
}

// ---- capacity

task<> produce(sender<int> out, int count) {
  for (int i = 0; i < count; ++i) co_await out.send(i);
}

task<> consume(receiver<int> in, std::int64_t& received) {
  while (auto value = co_await in.recv()) ++received;
}

task<> through_channel(bench::timing& timing, int capacity, int producers) {
  const int messages = 400'000;
  while (timing.next(messages)) {
    channel<int> values(static_cast<std::size_t>(capacity));
    ringo::wait_group producing;
    ringo::wait_group consuming;
    std::vector<std::int64_t> received(static_cast<std::size_t>(producers));
    for (int i = 0; i < producers; ++i) producing.go(produce, values, messages / producers);
    for (auto& each : received) consuming.go(consume, values, std::ref(each));
    co_await producing.wait();
    values.close();
    co_await consuming.wait();
    std::int64_t all = 0;
    for (const auto each : received) all += each;
    timing.expect(all == messages);
  }
}

task<> spsc(bench::timing& timing, int capacity) { return through_channel(timing, capacity, 1); }
task<> mpmc_4x4(bench::timing& timing, int capacity) { return through_channel(timing, capacity, 4); }

// ---- width

template <std::size_t... I>
task<> select_from(bench::timing& timing, bool all_ready, std::index_sequence<I...>) {
  constexpr int width = sizeof...(I);
  constexpr int messages = 1 << 17;
  while (timing.next(messages)) {
    std::array<channel<int>, sizeof...(I)> from{((void)I, channel<int>(all_ready ? 128 : 0))...};
    if (all_ready) {
      for (auto& each : from) ringo::go(produce, each, messages / width);
    } else {
      ringo::go(produce, from.back(), messages);
    }
    int received = 0;
    for (int i = 0; i < messages; ++i) {
      const auto got = co_await ringo::select(from[I].recv()...);
      received += got.index() < sizeof...(I);
    }
    timing.expect(received == messages);
  }
}

template <std::size_t Width = 1>
task<> select_of_width(bench::timing& timing, bool all_ready, int width) {
  if (width == static_cast<int>(Width)) return select_from(timing, all_ready, std::make_index_sequence<Width>());
  if constexpr (Width < 64) return select_of_width<2 * Width>(timing, all_ready, width);
  std::fputs("no such width\n", stderr);
  std::exit(2);
}

task<> select_all_ready(bench::timing& timing, int width) { return select_of_width(timing, true, width); }
task<> select_waits(bench::timing& timing, int width) { return select_of_width(timing, false, width); }

// ---- timers

task<> sleep_once(ringo::duration length) { co_await ringo::sleep(length); }

// Arms and disarms one timer, while `size` others are pending.
task<> arm_and_disarm(bench::timing& timing, int pending) {
  constexpr int receives = 100'000;
  for (int i = 0; i < pending; ++i) ringo::go(sleep_once, 100s + i % 1009 * 17ms);
  co_await ringo::sleep(10ms);
  while (timing.next(receives)) {
    channel<int> values;
    ringo::go(produce, values, receives);
    int received = 0;
    for (int i = 0; i < receives; ++i) {
      const auto got = co_await ringo::select(values.recv(), ringo::sleep(1s));
      received += got.index() == 0;
    }
    timing.expect(received == receives);
  }
}

// Starts `size` tasks, which sleep for 1 to 100 ms, and joins them.
task<> expire(bench::timing& timing, int pending) {
  while (timing.next(static_cast<std::uint64_t>(pending))) {
    ringo::wait_group all;
    for (int i = 0; i < pending; ++i) all.go(sleep_once, 1ms + i % 100 * 1ms);
    co_await all.wait();
  }
}

using curve = task<> (*)(bench::timing&, int);

constexpr std::pair<std::string_view, curve> curves[] = {
    {"ring", ring},
    {"spawn_join", spawn_join},
    {"yield", yield},
    {"spsc", spsc},
    {"mpmc_4x4", mpmc_4x4},
    {"select_all_ready", select_all_ready},
    {"select_waits", select_waits},
    {"arm_and_disarm", arm_and_disarm},
    {"expire", expire},
};

}  // namespace

int main(int argc, char** argv) {
  const std::string_view wanted = argc > 1 ? argv[1] : "";
  for (const auto& [name, run] : curves) {
    if (wanted == "--list") std::printf("%.*s\n", static_cast<int>(name.size()), name.data());
    if (wanted != name || argc < 3) continue;
    ringo::runtime_options options;
    options.workers = argc > 3 ? static_cast<unsigned>(std::atoi(argv[3])) : 1;
    bench::timing timing(argc > 4 ? argv[4] : "0.5");
    ringo::run(run(timing, std::atoi(argv[2])), options);
    std::printf("%s %s %u %.3f %.3f\n", argv[1], argv[2], options.workers, timing.per_operation(),
                timing.cpu_per_operation());
    return 0;
  }
  if (wanted == "--list") return 0;
  std::fprintf(stderr, "usage: %s CURVE SIZE [WORKERS [SECONDS]] | --list\n", argv[0]);
  return 2;
}
