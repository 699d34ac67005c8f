// Functions and tasks that are started: the compiler says what to write, wherever they are given.
// each in one short error
// refused 1: look at the number of the arguments
// refused 2: look at the number of the arguments
// refused 3: look at the number of the arguments
// refused 4: look at the number of the arguments
// refused 5: write std::ref.x.
// refused 6: write std::ref.x.
// refused 7: write std::ref.x.
// refused 8: write std::ref.x.
// refused 9: write std::ref.x.
// refused 10: write std::ref.x.
// refused 11: write std::ref.x.
// refused 12: write std::ref.x.
// refused 13: write std::ref.x.
// refused 14: write std::ref.x.
// refused 15: write std::move.x.
// refused 16: write std::move.x.
// refused 17: write std::move.x.
// refused 18: write std::move.x.
// refused 19: write std::move.x.
// refused 20: write std::move.x.
// refused 21: write std::move.t.
// refused 22: write std::move.t.
// refused 23: write std::move.t.
// refused 24: write std::move.t.
// refused 25: write std::move.t.
// refused 26: write std::move.t.
// refused 27: write std::move.t.
// refused 28: write std::move.t.
// refused 29: write std::move.t.
// refused 30: run.f.x..
// refused 31: run.f.x..
// refused 32: run.f.x..
// refused 33: run.f.x..
// refused 34: without arguments
// refused 35: without arguments
// refused 36: calls a plain function
// refused 37: group. g. -> task
// refused 38: group. g. -> task
// refused 39: at most eight
// refused 40: at most eight
#include <ringo/ringo.hpp>

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

using namespace ringo;
using namespace std::chrono_literals;

task<> appends(std::string& s) {
  s += "x";
  co_return;
}
task<> counts(int) { co_return; }
task<> owns(std::unique_ptr<int>) { co_return; }
task<> child() { co_return; }

task<> starts(runtime& outside, context ctx) {
  std::string s;
  auto u = std::make_unique<int>(1);
  std::vector<std::unique_ptr<int>> many;
  auto owner = [u = std::make_unique<int>(1)]() -> task<> { co_return; };
  task<> t = child();
  wait_group wg;
  group g;
  worker_pool pool;
  once first;
#if REFUSED == 1
  go(counts, "x");
#elif REFUSED == 2
  go(counts);
#elif REFUSED == 3
  go(child, 1);
#elif REFUSED == 4
  go(counts, 1, 2, 3, 4, 5, 6, 7);
#elif REFUSED == 5
  go(appends, s);
#elif REFUSED == 6
  auto h = go(ctx, appends, s);
  co_await h;
#elif REFUSED == 7
  go([](std::string& text, int) -> task<> { return appends(text); }, s, 1);
#elif REFUSED == 8
  auto h = outside.go(appends, s);
  h.join_blocking();
#elif REFUSED == 9
  wg.go(appends, s);
#elif REFUSED == 10
  g.go(appends, s);
#elif REFUSED == 11
  if (g.try_go(appends, s)) co_return;
#elif REFUSED == 12
  g.background(appends, s);
#elif REFUSED == 13
  co_await pool.submit(appends, s);
#elif REFUSED == 14
  co_await blocking([](std::string& text) { return text.size(); }, s);
#elif REFUSED == 15
  go(owns, u);
#elif REFUSED == 16
  go(owner);
#elif REFUSED == 17
  go([](std::vector<std::unique_ptr<int>> v) { return v.size(); }, many);
#elif REFUSED == 18
  ctx.after_func(owner);
#elif REFUSED == 19
  co_await first.call(owner);
#elif REFUSED == 20
  run(owner);
#elif REFUSED == 21
  go(t);
#elif REFUSED == 22
  go(ctx, t);
#elif REFUSED == 23
  g.go(t);
#elif REFUSED == 24
  g.try_go(t);
#elif REFUSED == 25
  co_await pool.submit(t);
#elif REFUSED == 26
  outside.run(t);
#elif REFUSED == 27
  run(t);
#elif REFUSED == 28
  testing::simulate({}, t);
#elif REFUSED == 29
  co_await first.call(t);
#elif REFUSED == 30
  run(counts, 1);
#elif REFUSED == 31
  run([](int) {});
#elif REFUSED == 32
  outside.run([](int) {});
#elif REFUSED == 33
  testing::simulate({}, [](int) {});
#elif REFUSED == 34
  ctx.after_func([](int) {});
#elif REFUSED == 35
  co_await first.call([](int) {});
#elif REFUSED == 36
  co_await blocking([] { return child(); });
#elif REFUSED == 37
  co_await scope([](int) -> task<> { co_return; });
#elif REFUSED == 38
  co_await scope([](group&) {});
#elif REFUSED == 39
  go([](auto...) {}, 1, 2, 3, 4, 5, 6, 7, 8, 9);
#elif REFUSED == 40
  co_await pool.submit([](auto...) {}, 1, 2, 3, 4, 5, 6, 7, 8, 9);
#else
  go(counts, 1);
  go([](auto...) {}, 1, 2, 3, 4, 5, 6, 7, 8);
  go(ctx, [](auto...) {}, 1, 2, 3, 4, 5, 6, 7, 8, 9);
  go(appends, std::ref(s));
  go(ctx, appends, std::ref(s));
  go(owns, std::move(u));
  go(std::move(t));
  go(std::move(owner));
  go([](const std::string& text) -> task<> { return counts(static_cast<int>(text.size())); }, "converted");
  outside.go(counts, 1);
  wg.go(counts, 1);
  g.go(counts, 1);
  g.background(counts, 1);
  g.try_go(counts, 1);
  co_await pool.submit(counts, 1);
  co_await blocking([](std::string& text) { return text.size(); }, std::ref(s));
  co_await first.call(child);
  co_await scope([&](group& members) -> task<> {
    members.go(child);
    co_return;
  });
  run(counts(1));
  testing::simulate({}, [] { return counts(1); });
  ctx.after_func([] {});
#endif
  co_return;
}
