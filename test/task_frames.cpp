// How the frames of tasks end: many at a time, however they end, and those whose bodies have no end.
#include <doctest/doctest.h>

#include <coroutine>
#include <csignal>
#include <cstddef>
#include <memory>
#include <optional>
#include <ringo/ringo.hpp>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "every_scheduler.hpp"
#include "little_grace.hpp"
#include "running_child.hpp"
#include "simulated/owned_coroutine.hpp"

using namespace ringo;
using namespace std::chrono_literals;

namespace {

constexpr int deep = 1'000'000;

// Notes in which order frames are destroyed.
class noted {
 public:
  noted(std::vector<int>& in, int n) : in_(&in), n_(n) {}
  noted(const noted&) = delete;
  noted& operator=(const noted&) = delete;
  ~noted() { in_->push_back(n_); }

 private:
  std::vector<int>* in_;
  int n_;
};

task<> chain(int n) {
  if (n == 0) {
    co_await shield(never());
  } else {
    co_await chain(n - 1);
  }
}
task<> noted_chain(std::vector<int>& order, int n) {
  const noted here(order, n);
  if (n == 0) {
    co_await shield(never());
  } else {
    co_await noted_chain(order, n - 1);
  }
}

}  // namespace

// Memory is kept by size, in steps of 16 bytes (frame_cache.hpp): one pointer more is 16 bytes more for each routine.
template <class F, class... A>
constexpr bool record_fits_into(std::size_t most) {
  using record = std::remove_pointer_t<decltype(detail::make_routine(std::declval<F>(), std::declval<A>()...))>;
  return sizeof(record) <= most || detail::checked_build || sizeof(void*) != 8;
}
static_assert(record_fits_into<task<> (*)(receiver<int>), receiver<int>>(136));
static_assert(record_fits_into<task<int> (*)(int), int>(136 + 8));  // the result and the argument
static_assert(record_fits_into<task<>>(136));

TEST_CASE("frames of up to 4 KiB are recycled: a block is used again for each size that has blocks of this size") {
  using detail::frame_cache;
  CHECK(frame_cache::largest >= 4000);
  frame_cache cache(false);
  for (std::size_t size = sizeof(void*) * 2; size <= frame_cache::largest; ++size) {
    const std::size_t room = frame_cache::block_size(size);
    CAPTURE(size);
    REQUIRE(room >= size);
    REQUIRE(frame_cache::block_size(room) == room);
    REQUIRE((room + frame_cache::fits) % frame_cache::step == 0);
    void* const block = cache.allocate(size);
    REQUIRE(cache.held() == 0);
    cache.free(block, size);
    REQUIRE(cache.held() == 1);
    REQUIRE(cache.allocate(room) == block);
    cache.free(block, room);
    cache.release_all();
  }
  constexpr std::size_t larger = frame_cache::largest + 1;
  CHECK(frame_cache::block_size(larger) == larger);
  cache.free(cache.allocate(larger), larger);
  CHECK(cache.held() == 0);
}

TEST_CASE("a million suspended tasks that await each other are destroyed without a deep stack") {
  const auto live = testing::live();
  const auto main = []() -> task<> {
    go(chain(deep));
    go([]() -> task<> { co_await shield(sleep(1h)); });
    co_await yield();
  };
  SUBCASE("when the grace is over") {
    run(main, with_little_grace());
    run(main, with_little_grace(2));
  }
  SUBCASE("in a simulation") {
    testing::sim_options how;
    how.on_warning = [](std::string_view) {};
    testing::simulate(how, main);
  }
  SUBCASE("before they have begun to wait") {
    run(
        []() -> task<> {
          go(chain(deep));
          co_return;
        },
        with_little_grace());
  }
  CHECK(testing::live() == live);
}

TEST_CASE("a deadlock of a million tasks that await each other is reported") {
  const auto deadlocked = []() -> task<> { co_await chain(deep); };
  CHECK_THROWS_AS(run(deadlocked, with_little_grace()), deadlock);
  CHECK_THROWS_AS(testing::simulate({}, deadlocked), deadlock);
}

TEST_CASE("frames are destroyed from the innermost outwards") {
  std::vector<int> order;
  run(
      [&]() -> task<> {
        go([&order]() -> task<> { return noted_chain(order, 5); });
        co_await yield();
      },
      with_little_grace());
  CHECK(order == std::vector<int>{0, 1, 2, 3, 4, 5});
}

namespace {

owned_coroutine awaits(int n) { co_await chain(n); }

}  // namespace

TEST_CASE("so are those that a coroutine of a foreign type awaits") {
  const auto main = []() -> task<> {
    const auto before = testing::live().frames;
    owned_coroutine one = awaits(100'000);
    for (int i = 0; i < 10'000; ++i) co_await yield();  // a turn goes 128 deep
    CHECK(testing::live().frames >= before + 100'000);
    one.destroy();
    CHECK(testing::live().frames == before);
  };
  // Where other workers are, it might run while it is destroyed.
  scheduler_under_test::real(1).run(main);
  scheduler_under_test::simulated(1, 0).run(main);
}

namespace {

struct alignas(64) aligned {
  int value = 0;
};
// A frame need not honour that alignment, so the value is in no frame.
aligned made_of(int n) {
  aligned made;
  made.value = n;
  return made;
}
task<aligned> waits_and_returns_aligned(int n) {
  if (n < 0) co_await shield(never());
  co_return made_of(n);
}
task<int> awaits_aligned(int n) { co_return (co_await waits_and_returns_aligned(n)).value; }

}  // namespace

TEST_CASE("a task's result may have any alignment") {
  on_every_scheduler([]() -> task<> {
    const int awaited = co_await awaits_aligned(5);
    CHECK(awaited == 5);
    auto h = go(waits_and_returns_aligned, 6);
    auto joined = std::make_unique<aligned>(co_await h);
    CHECK(joined->value == 6);
  });
  run(
      []() -> task<> {
        go(awaits_aligned, -1);
        co_await yield();
      },
      with_little_grace());
}

#if defined(__GNUC__) && !defined(__clang__)
// clang refuses it.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wreturn-type"
namespace {
task<int> forgets_its_result(bool returns) {
  co_await yield();
  if (returns) co_return 1;
}
task<std::string> forgets_its_string() { co_await yield(); }
}  // namespace
#pragma GCC diagnostic pop

TEST_CASE("a task that ends without co_return throws a logic_error that says where its routine was started") {
  on_every_scheduler([]() -> task<> {
    std::string told;
    try {
      (void)co_await forgets_its_string();
    } catch (const std::logic_error& e) {
      told = e.what();
    }
    CHECK(told.find("without co_return") != std::string::npos);
    auto h = go(forgets_its_result, false);
    const int line = __LINE__ - 1;
    told.clear();
    try {
      (void)co_await h;
    } catch (const std::logic_error& e) {
      told = e.what();
    }
    CHECK(told.find("task_frames.cpp:" + std::to_string(line)) != std::string::npos);
    const int got = co_await forgets_its_result(true);
    CHECK(got == 1);
  });
}
#endif

#if RINGO_DESTROYS_AGGREGATES_TWICE
// g++ 12.2 forgets these bodies; where a later one does not, there is nothing to find.
namespace {
bool ran;
task<bool> says_yes() { co_return true; }
task<> forgotten() {
  if (co_await says_yes()) ran = true;
}
bool forgets_bodies() {
  ran = false;
  auto main = []() -> task<> {
    co_await yield();
    co_await says_yes();
  };
  run(main);
  return __GNUC__ == 12 && __GNUC_MINOR__ < 3;
}
}  // namespace

TEST_CASE("a routine whose body the compiler has forgotten ends the process, and says so") {
  if (!forgets_bodies()) {
    MESSAGE("not tried: this compiler forgets no body");
    return;
  }
  for (const unsigned workers : {1u, 2u, 4u}) {
    const auto of = [workers](auto main) {
      const auto end = run_in_a_child([&] {
        runtime_options how;
        how.workers = workers;
        run(main, how);
        return 0;
      });
      CAPTURE(end.errors);
      CHECK(!end.exited);
      if (end.status == SIGILL) return;  // what the compiler has left of it may end the process itself
      CHECK(end.errors.find("forgets the whole body") != std::string::npos);
      CHECK(end.errors.find("task_frames.cpp:") != std::string::npos);
    };
    of([]() -> task<> {
      go(forgotten);
      co_await sleep(1h);
    });
    of([]() -> task<> {
      go(forgotten);
      co_return;
    });
    auto in_place = []() -> task<> {
      co_await yield();
      co_await forgotten();
    };
    of([&]() -> task<> {
      go(in_place);
      co_await sleep(1h);
    });
  }
}
#endif
