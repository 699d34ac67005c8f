// worker_pool: runs jobs, so many at a time, and pushes back when it has enough.
#include <doctest/doctest.h>

#include <atomic>
#include <exception>
#include <memory>
#include <optional>
#include <ringo/ringo.hpp>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

#include "every_scheduler.hpp"

using namespace ringo;
using namespace std::chrono_literals;

namespace {

task<int> twice(int x) {
  co_await yield();
  co_return 2 * x;
}

// What a handle came to.
enum class ending { result, cancelled, error };
template <class T>
task<ending> ending_of(handle<T> h) {
  try {
    co_await h;
  } catch (const cancelled&) {
    co_return ending::cancelled;
  } catch (...) {
    co_return ending::error;
  }
  co_return ending::result;
}

}  // namespace

TEST_CASE("submit yields the handle of a job, whatever the job is made of (172)") {
  on_every_scheduler([]() -> task<> {
    worker_pool pool({.min = 1, .max = 3, .queue = 2});
    auto of_coroutine = co_await pool.submit(twice, 21);
    auto of_task = co_await pool.submit(twice(4));
    auto of_function = co_await pool.submit([](int a, int b) { return a + b; }, 1, 2);
    auto of_many = co_await pool.submit([](int a, int b, int c) { return a * b * c; }, 2, 3, 4);
    channel<int> ready(1);
    ready.try_send(5);
    auto of_operation = co_await pool.submit([](const channel<int>& c) { return c.recv(); }, ready);
    auto of_nothing = co_await pool.submit([] {});
    const int a = co_await of_coroutine;
    const int b = co_await of_task;
    const int c = co_await of_function;
    const int d = co_await of_many;
    const std::optional<int> e = co_await of_operation;
    co_await of_nothing;
    CHECK(a == 42);
    CHECK(b == 8);
    CHECK(c == 3);
    CHECK(d == 24);
    CHECK(e == 5);
    co_await pool.drain();
  });
}
