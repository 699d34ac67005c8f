// A program with what a person looks for by the inspector's page: sessions that wait, two routines that wait for each
// other, a slow consumer behind a full channel, a group, and with RINGO_STALL a stall; and a name that would be markup.
// It runs until its input ends.
//
//   shop [NAME [grows]]     the consumer's name; grows: guests come, and none goes
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>

#include <ringo/ringo.hpp>

namespace shop {

using namespace std::chrono_literals;

ringo::task<> wait_for_order(ringo::channel<int> orders) { co_await orders.recv(); }
ringo::task<> serve(ringo::channel<int> orders) { co_await wait_for_order(orders); }

ringo::task<> produce(ringo::channel<int> jobs) {
  for (int i = 0;; ++i) co_await jobs.send(i);
}
ringo::task<> consume(ringo::channel<int> jobs) {
  for (;;) {
    co_await jobs.recv();
    co_await ringo::sleep(20ms);
  }
}

// Each holds one lock, and waits for the other's.
ringo::task<> reserve(ringo::mutex& first, ringo::mutex& second, ringo::latch& both) {
  const auto one = co_await first.lock();
  both.count_down();
  co_await both.wait();
  const auto two = co_await second.lock();
}

// Keeps its worker until that is noticed.
ringo::task<> report(const ringo::runtime& rt) {
  while (rt.metrics().stalls == 0) {
  }
  co_return;
}

ringo::task<> let_in(ringo::channel<int> orders) {
  ringo::group guests;
  for (;;) {
    guests.go(ringo::named("guest", wait_for_order), orders);
    co_await ringo::sleep(5ms);
  }
}

ringo::task<> run(const ringo::runtime& rt, std::string consumer, bool grows) {
  ringo::channel<int> orders(ringo::named("orders")), jobs(ringo::named("jobs"), 16);
  ringo::mutex stock(ringo::named("stock")), ledger(ringo::named("ledger"));
  ringo::latch both(2);
  co_await ringo::scope([&](ringo::group& all) -> ringo::task<> {
    const std::string markup = "<img src=x onerror=\"document.title='markup'\"><b id=evil>";
    for (int i = 0; i < 13; ++i) all.go(ringo::named(i == 12 ? markup : "session " + std::to_string(i), serve), orders);
    all.go(ringo::named("reserve A", reserve), std::ref(stock), std::ref(ledger), std::ref(both));
    all.go(ringo::named("reserve B", reserve), std::ref(ledger), std::ref(stock), std::ref(both));
    for (int i = 0; i < 3; ++i) all.go(ringo::named("producer", produce), jobs);
    all.go(ringo::named(consumer, consume), jobs);
    if (grows) all.go(ringo::named("door", let_in), orders);
    if (std::getenv("RINGO_STALL") != nullptr) all.go(ringo::named("report", report), std::cref(rt));
    co_await ringo::blocking([] {
      char byte;
      while (::read(STDIN_FILENO, &byte, 1) > 0) {
      }
    });
    all.cancel();
  });
}

}  // namespace shop

int main(int argc, char** argv) {
  ringo::runtime rt({.workers = 2});
  rt.run(shop::run(rt, argc > 1 ? argv[1] : "consumer", argc > 2));
}
