// CONNECTIONS clients of an echo server, each with DEPTH messages of SIZE bytes in flight. After a warm-up it measures
// for SECONDS, and prints: requests per second, the server's CPU time per request in ns, the part of it in user space,
// and the 50th and 99th percentile of the latency in us. Usage: load PORT PID CONNECTIONS SIZE DEPTH SECONDS
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

namespace {

using steady = std::chrono::steady_clock;

struct cpu_time {
  double user = 0, all = 0;  // ns
};

// The scheduler counts all of it to the nanosecond (schedstat of each thread); which part of it was user space, only by
// ticks (proc(5): fields 14 and 15 of stat, after a name that may contain any character).
cpu_time cpu_time_of(int process) {
  const std::string folder = "/proc/" + std::to_string(process);
  double all = 0;
  for (const auto& thread : std::filesystem::directory_iterator(folder + "/task")) {
    double of_thread = 0;
    std::ifstream(thread.path() / "schedstat") >> of_thread;
    all += of_thread;
  }
  std::ifstream file(folder + "/stat");
  const std::string text((std::istreambuf_iterator<char>(file)), {});
  std::istringstream fields(text.substr(text.rfind(')') + 2));
  std::string field;
  for (int i = 3; i < 14; ++i) fields >> field;
  double user = 0;
  fields >> user;
  return {user * 1e9 / static_cast<double>(::sysconf(_SC_CLK_TCK)), all};
}

struct client {
  int descriptor = -1;
  std::size_t received = 0;
  steady::time_point sent{};
};

[[noreturn]] void fail(const char* what) {
  std::perror(what);
  std::exit(1);
}

void send_all(int to, const std::vector<char>& bytes) {
  for (std::size_t sent = 0; sent < bytes.size();) {
    const ssize_t n = ::send(to, bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN) fail("send");
    if (n > 0) sent += static_cast<std::size_t>(n);
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 7) return 2;
  const int server = std::atoi(argv[2]);
  const std::size_t connections = std::stoul(argv[3]), size = std::stoul(argv[4]), depth = std::stoul(argv[5]);
  const std::chrono::duration<double> length(std::stod(argv[6])), warm_up(0.3);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(static_cast<std::uint16_t>(std::atoi(argv[1])));
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const int poll = ::epoll_create1(0), on = 1;
  std::vector<client> clients(connections);
  for (std::size_t i = 0; i < connections; ++i) {
    const int s = ::socket(AF_INET, SOCK_STREAM, 0);
    if (s < 0 || ::connect(s, reinterpret_cast<sockaddr*>(&to), sizeof to) != 0) fail("connect");
    ::setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = i;
    ::epoll_ctl(poll, EPOLL_CTL_ADD, s, &event);
    clients[i].descriptor = s;
  }
  const std::vector<char> messages(size * depth, 'x');
  for (client& c : clients) {
    c.sent = steady::now();
    send_all(c.descriptor, messages);
  }
  std::vector<char> into(1 << 20);
  std::vector<epoll_event> events(512);
  std::vector<std::uint32_t> latencies;  // in units of 100 ns
  latencies.reserve(1 << 24);
  bool measures = false;
  std::size_t done = 0;
  cpu_time before;
  steady::time_point began = steady::now();
  for (;;) {
    const int ready = ::epoll_wait(poll, events.data(), static_cast<int>(events.size()), 1000);
    const auto now = steady::now();
    if (!measures && now - began > warm_up) {
      measures = true;
      done = 0;
      before = cpu_time_of(server);
      began = now;
    } else if (measures && now - began > length) {
      break;
    }
    for (int i = 0; i < ready; ++i) {
      client& c = clients[events[static_cast<std::size_t>(i)].data.u64];
      const ssize_t n = ::recv(c.descriptor, into.data(), into.size(), MSG_DONTWAIT);
      if (n == 0 || (n < 0 && errno != EAGAIN)) fail("recv");
      if (n < 0) continue;
      c.received += static_cast<std::size_t>(n);
      if (c.received < messages.size()) continue;
      c.received -= messages.size();
      done += depth;
      const auto then = std::exchange(c.sent, steady::now());
      if (measures && latencies.size() < latencies.capacity()) {
        latencies.push_back(static_cast<std::uint32_t>(std::chrono::nanoseconds(c.sent - then).count() / 100));
      }
      send_all(c.descriptor, messages);
    }
  }
  const double took = std::chrono::duration<double>(steady::now() - began).count();
  const cpu_time after = cpu_time_of(server);
  if (latencies.empty()) return 1;
  std::sort(latencies.begin(), latencies.end());
  const auto requests = static_cast<double>(done);
  std::printf("%.0f %.0f %.0f %.1f %.1f\n", requests / took, (after.all - before.all) / requests,
              (after.user - before.user) / requests, latencies[latencies.size() / 2] / 10.0,
              latencies[latencies.size() * 99 / 100] / 10.0);
}
