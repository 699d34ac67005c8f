// Limits the rate of requests by a ticker: serves one request for each tick. The second limiter lets bursts of three
// requests pass at once, and allows one more every 200 ms.
#include <chrono>
#include <cstdio>

#include <ringo/ringo.hpp>

using namespace ringo;
using namespace std::chrono_literals;

channel<int> five_requests() {
  channel<int> requests(5);
  for (int i = 1; i <= 5; ++i) requests.try_send(i);
  requests.close();
  return requests;
}

void serve(int request, time_point start) {
  const std::chrono::duration<double, std::milli> elapsed = now() - start;
  std::printf("request %d after %.0f ms\n", request, elapsed.count());
}

task<> steady() {
  const time_point start = now();
  channel<int> requests = five_requests();
  ticker limiter(200ms);
  while (auto request = co_await requests.recv()) {
    co_await limiter.tick();
    serve(*request, start);
  }
}

task<> fill(sender<void> permits) {
  ticker refill(200ms);
  for (;;) {
    co_await refill.tick();
    co_await permits.send();
  }
}

task<> bursty() {
  const time_point start = now();
  channel<int> requests = five_requests();
  channel<void> permits(3);
  for (int i = 0; i < 3; ++i) permits.try_send();
  handle<> filling = go(fill, permits);
  while (auto request = co_await requests.recv()) {
    co_await permits.recv();
    serve(*request, start);
  }
  filling.cancel();
}

task<> program() {
  std::printf("one each 200 ms\n");
  co_await steady();
  std::printf("bursts of three\n");
  co_await bursty();
}

int main() { run(program); }
