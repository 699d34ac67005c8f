// The memory of things that wait: bytes for each blocked routine, channel, timer and connection; and the bytes that are
// still allocated when these are gone.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <thread>
#include <vector>

#include "harness.hpp"

namespace {

using ringo::channel;
using ringo::receiver;
using ringo::task;
using namespace std::chrono_literals;

std::atomic<int> arrived{0};

task<> block_on(receiver<int> never_sent) {
  arrived.fetch_add(1, std::memory_order_relaxed);
  co_await never_sent.recv();
}

task<> all_have_arrived(int tasks) {
  while (arrived.load(std::memory_order_relaxed) < tasks) co_await ringo::yield();
}

task<> memory(bench::timing& timing) {
  constexpr int tasks = 1'000'000;
  channel<int> never_sent;
  const double before = bench::resident_bytes();
  for (int i = 0; i < tasks; ++i) ringo::go(block_on, never_sent);
  co_await all_have_arrived(tasks);
  timing.measured((bench::resident_bytes() - before) / tasks, tasks);
  never_sent.close();
}

// The bytes that are still allocated, while all workers are asleep.
task<> memory_returned(bench::timing& timing) {
  constexpr int tasks = 1'000'000;
  const double before = bench::resident_bytes();
  {
    ringo::wait_group all;
    channel<int> never_sent;
    for (int i = 0; i < tasks; ++i) all.go(block_on, never_sent);
    co_await all_have_arrived(tasks);
    never_sent.close();
    co_await all.wait();
  }
  const double idle = co_await ringo::blocking([] {
    std::this_thread::sleep_for(300ms);
    return bench::resident_bytes();
  });
  timing.measured((idle - before) / tasks, tasks);
}

// With the object that names it.
task<> memory_channel(bench::timing& timing) {
  constexpr int channels = 1'000'000;
  const double before = bench::resident_bytes();
  std::vector<channel<int>> all;
  all.reserve(channels);
  for (int i = 0; i < channels; ++i) all.emplace_back();
  timing.measured((bench::resident_bytes() - before) / channels, channels);
  co_return;
}

// The same.
task<> memory_timer(bench::timing& timing) {
  constexpr int timers = 1'000'000;
  const double before = bench::resident_bytes();
  std::deque<ringo::timer> pending;
  for (int i = 0; i < timers; ++i) pending.emplace_back(1h);
  timing.measured((bench::resident_bytes() - before) / timers, timers);
  co_return;
}

task<> wait_for_bytes(ringo::tcp_stream s) {
  arrived.fetch_add(1, std::memory_order_relaxed);
  co_await s.recv();
}

// A stream, and the routine that waits for its bytes. The kernel's memory is not counted.
task<> memory_connection(bench::timing& timing) {
  rlimit descriptors;
  ::getrlimit(RLIMIT_NOFILE, &descriptors);
  descriptors.rlim_cur = descriptors.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &descriptors);
  const int connections = static_cast<int>(std::min<rlim_t>(10'000, (descriptors.rlim_cur - 100) / 2));

  auto listener = ringo::tcp_listener::bind("127.0.0.1:0");
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  to.sin_port = htons(listener.local().port());
  std::vector<int> clients;
  clients.reserve(static_cast<std::size_t>(connections));
  const auto connect_one = [&]() -> task<> {
    const int client = ::socket(AF_INET, SOCK_STREAM, 0);
    timing.expect(::connect(client, reinterpret_cast<sockaddr*>(&to), sizeof to) == 0);
    clients.push_back(client);
    ringo::go(wait_for_bytes, co_await listener.accept());
  };
  // The first connections allocate memory that all share: provided buffers, and the driver's tables.
  constexpr int first = 100;
  for (int i = 0; i < first; ++i) co_await connect_one();
  co_await all_have_arrived(first);
  co_await ringo::sleep(1ms);
  const double before = bench::resident_bytes();
  for (int i = first; i < connections; ++i) co_await connect_one();
  co_await all_have_arrived(connections);
  co_await ringo::sleep(1ms);
  timing.measured((bench::resident_bytes() - before) / (connections - first),
                  static_cast<std::uint64_t>(connections - first));
  for (const int client : clients) ::close(client);
}

}  // namespace

int main(int argc, char** argv) {
  return bench::measure(argc, argv,
                        {{"memory", memory},
                         {"memory_returned", memory_returned},
                         {"memory_channel", memory_channel},
                         {"memory_timer", memory_timer},
                         {"memory_connection", memory_connection}});
}
