// An operation that is not awaited does nothing, so dropping one is a warning.
// refused 1: ignoring return
// refused 2: ignoring return
// refused 3: ignoring return
// refused 4: ignoring return
// refused 5: ignoring return
// refused 6: ignoring return
// refused 7: ignoring return
// refused 8: ignoring return
// refused 9: ignoring return
// refused 10: ignoring return
// refused 11: ignoring return
// refused 12: ignoring return
// refused 13: ignoring return
// refused 14: ignoring return
// refused 15: ignoring return
// refused 16: the lock is let go at once
// refused 17: the permit is given back at once
#include <ringo/ringo.hpp>

using namespace ringo;
using namespace std::chrono_literals;

task<int> child() { co_return 1; }

task<> forgets(channel<int> numbers, channel<void> signals, handle<int> started) {
  int v = 1;
  wait_group group;
  timer once(1s);
  mutex lock;
  semaphore permits(1);
  event set(true);
  latch counted(0);
  barrier alone(1);
  condition changed;
  mutex::guard held;
#if REFUSED == 1
  numbers.send(v);
#elif REFUSED == 2
  numbers.recv();
#elif REFUSED == 3
  signals.send();
#elif REFUSED == 4
  sleep(1s);
#elif REFUSED == 5
  select(numbers.recv(), otherwise);
#elif REFUSED == 6
  child();
#elif REFUSED == 7
  group.wait();
#elif REFUSED == 8
  once.wait();
#elif REFUSED == 9
  started.join();
#elif REFUSED == 10
  lock.lock();
#elif REFUSED == 11
  permits.acquire();
#elif REFUSED == 12
  set.wait();
#elif REFUSED == 13
  counted.wait();
#elif REFUSED == 14
  alone.arrive_and_wait();
#elif REFUSED == 15
  changed.wait(held);
#elif REFUSED == 16
  lock.try_lock();
#elif REFUSED == 17
  permits.try_acquire();
#else
  co_await numbers.send(v);
  co_await numbers.recv();
  co_await signals.send();
  co_await sleep(1s);
  co_await select(numbers.recv(), otherwise);
  co_await child();
  co_await group.wait();
  co_await once.wait();
  co_await started.join();
  held = co_await lock.lock();
  const auto permit = co_await permits.acquire();
  co_await set.wait();
  co_await counted.wait();
  co_await alone.arrive_and_wait();
#endif
  co_return;
}
