// Routines that wait in each way that test/debugger/check looks for, one that computes, and one that is ready but gets
// no worker. Then it aborts, or, with an argument, says so and stays.
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>
#include <utility>

#include <ringo/ringo.hpp>

namespace planted {

struct order {
  int number;
  std::string customer;
};

ringo::task<int> wait_for_order(ringo::channel<order> orders, int shelf) {
  const std::string purpose = "the innermost of five";
  auto got = co_await orders.recv();  // place: five deep
  co_return got ? got->number + shelf + static_cast<int>(purpose.size()) : 0;
}
ringo::task<int> pick(ringo::channel<order> orders, int shelf) {
  int picked = 40;
  picked += co_await wait_for_order(orders, shelf);  // place: four deep
  co_return picked;
}
template <class T>
ringo::task<T> pack(ringo::channel<order> orders, T boxes) {
  for (T box = 0; box < boxes; ++box) {
    boxes += co_await pick(orders, 7);  // place: three deep
  }
  co_return boxes;
}
struct warehouse {
  ringo::task<int> ship(ringo::channel<order> orders) {
    const int left = co_await pack<int>(std::move(orders), 3);  // place: two deep
    co_return left + trucks;
  }
  int trucks = 5;
};
ringo::task<> serve(warehouse& w, ringo::channel<order> orders) {
  (void)co_await w.ship(std::move(orders));  // place: one deep
}

ringo::task<> send_on_full(ringo::channel<int> results) {
  for (int number = 100;; ++number) co_await results.send(number);  // place: send
}
ringo::task<> hold_mutex(ringo::mutex& books, ringo::event& closing_time) {
  auto guard = co_await books.lock();
  co_await closing_time.wait();  // place: event
}
// When it waits for the mutex, the guard of its first time has left its bytes where the next one will be.
ringo::task<> wait_for_mutex(ringo::mutex& books, ringo::event& is_held, std::atomic<bool>& tries_again) {
  ringo::mutex till;
  {
    auto early = co_await till.lock();
  }
  for (int time = 0;; ++time) {
    if (time == 1) {
      co_await is_held.wait();
      tries_again = true;
    }
    auto guard = co_await books.lock();  // place: mutex
  }
}
ringo::task<> wait_for_any(ringo::channel<int> news, ringo::semaphore& seats) {
  co_await ringo::select(news.recv(), seats.acquire(2), ringo::sleep(std::chrono::hours(1)));  // place: select
}
ringo::task<> sleep_long() {
  co_await ringo::sleep(std::chrono::hours(2));  // place: sleep
}
ringo::task<> tick(ringo::channel<int> ticks) {
  (void)co_await ticks.recv();  // place: crowd
}

[[gnu::noinline]] void block_the_worker(std::atomic<bool>& is_there) {
  is_there = true;
  is_there.notify_one();
  for (;;) ::pause();
}
ringo::task<> compute(std::atomic<bool>& is_there) {
  block_the_worker(is_there);
  co_await ringo::yield();
}

ringo::task<> until_parked(const ringo::runtime& rt, std::uint64_t count) {
  while (rt.metrics().operations < count) co_await ringo::yield();
}

// When each of the others is parked, one blocks the other worker, the last one finds no worker, and this one aborts or
// stays.
ringo::task<> run(const ringo::runtime& rt, bool stays) {
  ringo::channel<order> orders;
  ringo::channel<int> results(ringo::named("results"), 2), news, ticks;
  co_await results.send(1);
  co_await results.send(2);
  warehouse there;
  ringo::mutex books;
  ringo::event closing_time;
  ringo::semaphore seats(1);
  std::atomic<bool> is_blocked = false;

  ringo::event is_held;
  std::atomic<bool> tries_again = false;
  ringo::go(wait_for_mutex, std::ref(books), std::ref(is_held), std::ref(tries_again));
  co_await until_parked(rt, 1);
  ringo::go(serve, std::ref(there), orders);
  ringo::go(send_on_full, results);
  ringo::go([&books, &closing_time]() -> ringo::task<> { co_await hold_mutex(books, closing_time); });
  ringo::go(wait_for_any, news, std::ref(seats));
  ringo::go(ringo::named("sleeper", sleep_long));
  for (int i = 0; i < 20; ++i) ringo::go(tick, ticks);  // place: crowd is started
  co_await until_parked(rt, 26);
  is_held.set();
  while (!tries_again) co_await ringo::yield();
  co_await until_parked(rt, 26);
  ringo::go(compute, std::ref(is_blocked));
  while (!is_blocked) co_await ringo::yield();
  ringo::go(sleep_long);  // place: no worker is left
  if (!stays) std::abort();
  std::puts("all are there");
  std::fflush(stdout);
  for (;;) ::pause();
}

}  // namespace planted

int main(int argc, char**) {
  ringo::runtime rt({.workers = 2});
  rt.run([&rt, argc] { return planted::run(rt, argc > 1); });
}
