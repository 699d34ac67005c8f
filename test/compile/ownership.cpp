// A task, a handle and a wait group have one owner; a task is given away to be awaited.
// refused 1: (deleted|no matching|implicitly-deleted)
// refused 2: (deleted|implicitly-deleted)
// refused 3: deleted
// refused 4: (move|rvalue|discards|no match|await_ready)
// refused 5: write std::move.t
// refused 6: write std::move.t
// refused 7: write std::move.t
#include <ringo/ringo.hpp>

using namespace ringo;

task<int> child() { co_return 1; }

task<> owners() {
  task<int> first = child();
  handle<int> started = go(child);
  wait_group group;
#if REFUSED == 1
  task<int> second = first;
#elif REFUSED == 2
  handle<int> second = started;
#elif REFUSED == 3
  wait_group second = group;
#elif REFUSED == 4
  co_await first;
#elif REFUSED == 5
  co_await with_timeout(std::chrono::seconds(1), first);
#elif REFUSED == 6
  co_await shield(first);
#elif REFUSED == 7
  co_await select(first, group.wait());
#else
  co_await std::move(first);
  co_await started;
  co_await group.wait();
#endif
  co_return;
}
