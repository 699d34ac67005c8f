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
#include <ringo/ringo.hpp>

using namespace ringo;
using namespace std::chrono_literals;

task<int> child() { co_return 1; }

task<> forgets(channel<int> numbers, channel<void> signals, handle<int> started) {
  int v = 1;
  wait_group group;
  timer once(1s);
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
#endif
  co_return;
}
