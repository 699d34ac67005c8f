// What combinators return may be given a name first and awaited by it, alone or as a case: once.
#include <doctest/doctest.h>

#include <ringo/ringo.hpp>
#include <stdexcept>
#include <utility>
#include <vector>

#include "error_told.hpp"
#include "every_scheduler.hpp"

using namespace ringo;
using namespace std::chrono_literals;

namespace {

task<int> seven() {
  co_await yield();
  co_return 7;
}

// make() makes it anew.
template <class Make>
task<> once_by_name(Make make) {
  auto alone = make();
  (void)co_await alone;
  bool refused = false;
  try {
    (void)co_await alone;
  } catch (const std::logic_error&) {
    refused = true;
  }
  CHECK(refused);
  auto as_case = make();
  const auto won = co_await select(as_case, never());
  CHECK(won.index() == 0);
  auto moved = make();
  const auto won_too = co_await select(std::move(moved), never());
  CHECK(won_too.index() == 0);
}

}  // namespace

TEST_CASE("of tasks: awaited by name once, and then a std::logic_error; and a case by name") {
  on_two_schedulers([]() -> task<> {
    co_await once_by_name([] { return with_timeout(1h, seven()); });
    co_await once_by_name([] { return with_deadline(now() + 1h, seven()); });
    co_await once_by_name([] { return with_context(current_context(), seven()); });
    co_await once_by_name([] { return shield(seven()); });
    co_await once_by_name([] { return outcome(seven()); });
    co_await once_by_name([] { return finally(seven(), yield()); });
    co_await once_by_name([] { return all(seven(), yield()); });
    co_await once_by_name([] {
      std::vector<task<int>> tasks;
      tasks.push_back(seven());
      return all(std::move(tasks));
    });
    co_await once_by_name([] { return select(seven(), never()); });
    once o;
    auto call = o.call([] {});
    co_await call;
    CHECK(o.is_done());
  });
}

TEST_CASE("of operations: a case by name stays the caller's, and may be used again if it did not win") {
  on_two_schedulers([]() -> task<> {
    channel<int> c(1);
    const auto used_again = [&c](auto named) -> task<> {
      for (int i = 0; i != 3; ++i) {
        const auto lost = co_await select(named, sleep(1us));
        CHECK(lost.index() == 1);
      }
      c.try_send(1);
      const auto won = co_await select(named, never());
      CHECK(won.index() == 0);
      c.try_send(2);
      (void)co_await named;
      CHECK(c.size() == 0);
    };
    co_await used_again(with_timeout(1h, c.recv()));
    co_await used_again(with_deadline(now() + 1h, c.recv()));
    co_await used_again(with_context(current_context(), c.recv()));
    co_await used_again(shield(c.recv()));
    co_await used_again(outcome(c.recv()));
  });
}

TEST_CASE("of a group: awaited by name, and a case by name") {
  on_two_schedulers([]() -> task<> {
    group g;
    g.go(seven());
    auto ended = g.wait();
    const auto won = co_await select(ended, never());
    CHECK(won.index() == 0);
    co_await ended;
  });
}

TEST_CASE("what a started callable returns is awaited") {
  on_two_schedulers([]() -> task<> {
    auto h = go([] { return with_timeout(1h, seven()); });
    const int result = co_await h;
    CHECK(result == 7);
  });
}
