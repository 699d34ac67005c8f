// What is awaited, and what is a case of a select.
// each in one short error
// refused 1: write std::move.t.
// refused 2: write std::move.t.
// refused 3: only tasks, handles and operations
// refused 4: only tasks, handles and operations
// refused 5: only tasks, handles and operations
// refused 6: only tasks, handles and operations
// refused 7: write sleep.1s.
// refused 8: write sleep.1s.
// refused 9: write sleep.1s.
// refused 10: write std::move.t.
// refused 11: only tasks, handles and operations
// refused 12: only tasks, handles and operations
// refused 13: only tasks, handles and operations
// refused 14: the last case
// refused 15: only tasks, handles and operations
// refused 16: called with what the operation yields
// refused 17: called with what the operation yields
// refused 18: write std::move.t.
// refused 19: only tasks, handles and operations
// refused 20: only tasks, handles and operations
// refused 21: write sleep.1s.
// refused 22: write std::move.t.
// refused 23: write std::move.t.
// refused 24: only tasks, handles and operations
// refused 25: write std::move.t.
// refused 26: write std::move.t.
// refused 27: write std::move.t.
// refused 28: only tasks, handles and operations
// refused 29: no length of time
// refused 30: no length of time
// refused 31: no length of time
#include <ringo/ringo.hpp>

#include <functional>
#include <future>
#include <memory>
#include <string>
#include <utility>
#include <vector>

using namespace ringo;
using namespace std::chrono_literals;

task<int> child() { co_return 1; }

task<> awaits(channel<int> ch, handle<int> started, context ctx) {
  task<int> t = child();
  std::vector<task<int>> tasks;
  std::future<int> later;
  wait_group wg;
#if REFUSED == 1
  co_await t;
#elif REFUSED == 2
  int n = co_await t;
  ch.try_send(n);
#elif REFUSED == 3
  co_await later;
#elif REFUSED == 4
  co_await ch;
#elif REFUSED == 5
  co_await child;
#elif REFUSED == 6
  co_await [] { return child(); };
#elif REFUSED == 7
  co_await 1s;
#elif REFUSED == 8
  co_await select(ch.recv(), 1s);
#elif REFUSED == 9
  auto r = co_await select(prefer_first, ch.recv(), 1s);
  if (r.index() == 0) co_return;
#elif REFUSED == 10
  co_await select(ch.recv(), t);
#elif REFUSED == 11
  co_await select(ch.recv(), later);
#elif REFUSED == 12
  co_await select(ch, otherwise);
#elif REFUSED == 13
  co_await select(child, ch.recv());
#elif REFUSED == 14
  co_await select(otherwise, ch.recv());
#elif REFUSED == 15
  co_await select(on(5, [](int) {}), ch.recv());
#elif REFUSED == 16
  co_await select(on(ch.recv(), [](std::string) {}));
#elif REFUSED == 17
  co_await select(on(sleep(1s), [](int) {}));
#elif REFUSED == 18
  co_await with_timeout(1s, t);
#elif REFUSED == 19
  co_await with_timeout(1s, [] { return child(); });
#elif REFUSED == 20
  co_await with_deadline(now() + 1s, 5);
#elif REFUSED == 21
  co_await with_context(ctx, 1s);
#elif REFUSED == 22
  co_await shield(t);
#elif REFUSED == 23
  co_await outcome(t);
#elif REFUSED == 24
  co_await finally(child(), [] {});
#elif REFUSED == 25
  co_await finally(child(), t);
#elif REFUSED == 26
  co_await all(child(), t);
#elif REFUSED == 27
  co_await all(tasks);
#elif REFUSED == 28
  co_await all(1, 2);
#elif REFUSED == 29
  co_await sleep(5);
#elif REFUSED == 30
  co_await with_timeout(5, child());
#elif REFUSED == 31
  ticker often(5);
#else
  co_await std::move(t);
  co_await started;
  co_await wg.wait();
  co_await select(ch.recv(), sleep(1s));
  co_await select(prefer_first, ch.recv(), child(), started, otherwise);
  co_await select(on(ch.recv(), [](auto) {}), on(sleep(1s), [] {}));
  co_await with_timeout(1s, child());
  co_await with_deadline(now() + 1s, ch.recv());
  co_await with_context(ctx, child());
  co_await shield(child());
  co_await outcome(started);
  co_await finally(child(), child());
  co_await all(child(), started, ch.recv());
  co_await all(std::move(tasks));
#endif
  co_return;
}
