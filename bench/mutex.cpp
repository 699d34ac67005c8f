// Eight routines and one lock.
#include "harness.hpp"

#if __has_include(<ringo/mutex.hpp>)
#include <functional>

namespace {

ringo::task<> lock_often(ringo::mutex& lock, int& counter, int times) {
  for (int i = 0; i < times; ++i) {
    const auto held = co_await lock.lock();
    ++counter;
  }
}

ringo::task<> mutex(bench::timing& timing) {
  constexpr int tasks = 8;
  constexpr int locks = 400'000;
  while (timing.next(locks)) {
    ringo::mutex lock;
    ringo::wait_group all;
    int counter = 0;
    for (int i = 0; i < tasks; ++i) all.go(lock_often, std::ref(lock), std::ref(counter), locks / tasks);
    co_await all.wait();
    timing.expect(counter == locks);
  }
}

}  // namespace

int main(int argc, char** argv) { return bench::measure(argc, argv, {{"mutex", mutex}}); }
#else
int main(int argc, char** argv) { return bench::measure(argc, argv, {}); }
#endif
