// A task, a handle and a wait group have one owner.
// refused 1: (deleted|no matching|implicitly-deleted)
// refused 2: (deleted|implicitly-deleted)
// refused 3: deleted
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
#else
  co_await std::move(first);
  co_await started;
  co_await group.wait();
#endif
  co_return;
}
