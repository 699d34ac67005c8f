// With RINGO_LIFETIME_CHECKS clang tells of a task that refers to what is gone before it runs.
// refused 1: dangling
// refused 2: dangling
// refused 3: dangling
// refused 4: return-stack-address
// refused 5: return-stack-address
// refused 6: neither a coroutine nor a coroutine wrapper
#include <ringo/ringo.hpp>

#include <functional>
#include <string>
#include <utility>
#include <vector>

using namespace ringo;

struct counter {
  task<int> next() { co_return ++last; }
  int last = 0;
};

task<int> length(const std::string& text) { co_return static_cast<int>(text.size()); }
task<int> length_of_copy(std::string text) { co_return static_cast<int>(text.size()); }

#if REFUSED == 4
RINGO_RETURNS_TASK task<int> returned() {
  std::string text;
  return length(text);
}
#elif REFUSED == 5
RINGO_RETURNS_TASK task<int> returned(int n) {
  return [n]() -> task<int> { co_return n; }();
}
#elif REFUSED == 6
task<int> returned(const std::string& text) { return length(text); }
#else
RINGO_RETURNS_TASK task<int> returned(std::string& text) { return length(text); }
#endif

task<> lifetimes(int n) {
#if REFUSED == 1
  auto kept = [n]() -> task<int> { co_return n; }();
  co_await std::move(kept);
#elif REFUSED == 2
  auto kept = length("a temporary");
  co_await std::move(kept);
#elif REFUSED == 3
  auto kept = counter().next();
  co_await std::move(kept);
#elif REFUSED == 0
  std::string text = "named";
  counter c;
  auto named = [n]() -> task<int> { co_return n; };
  auto first = length(text), second = length_of_copy("copied"), third = c.next(), fourth = named();
  co_await length("a temporary of the same expression");
  std::vector<task<int>> tasks;
  tasks.push_back(std::move(first));
  tasks.push_back(length_of_copy(text));
  tasks.push_back(returned(text));
  co_await all(std::move(tasks));
  co_await all(std::move(second), std::move(third), std::move(fourth));
  go([n]() -> task<int> { co_return n; });
  go(length, "converted");
  go(&counter::next, &c);
  group g;
  g.go(length, "converted");
  auto scoped = scope([&](group& members) -> task<> {
    members.go(length, std::ref(text));
    co_return;
  });
  co_await std::move(scoped);
#endif
  co_return;
}
