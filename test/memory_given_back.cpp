// What has been needed once does not stay with the process for ever, whatever wakes its workers.
#include <doctest/doctest.h>

#include <chrono>
#include <cstddef>
#include <ringo/detail/frame_cache.hpp>
#include <ringo/ringo.hpp>
#include <vector>

#include "driver/block_pool.hpp"
#include "every_scheduler.hpp"

using namespace ringo;
using namespace std::chrono_literals;

namespace {

void use(detail::frame_cache& cache, std::size_t number) {
  std::vector<void*> blocks;
  for (std::size_t i = 0; i != number; ++i) blocks.push_back(cache.allocate(200));
  for (void* each : blocks) cache.free(each, 200);
}

}  // namespace

TEST_CASE("A cache of frames gives back what it has not needed since the last look, by halves") {
  detail::frame_cache cache(false);
  use(cache, 20'000);
  CHECK(cache.held() == 20'000);
  cache.give_back_unneeded();
  CHECK(cache.held() == 20'000);
  std::size_t before = cache.held();
  for (int looks = 0; looks != 20; ++looks) {
    cache.give_back_unneeded();
    CHECK(cache.held() <= before);
    CHECK(cache.held() + 1 >= before / 2);
    before = cache.held();
  }
  CHECK(cache.held() == 0);
}

TEST_CASE("What a cache of frames has lent since the last look, if only for a moment, is kept for the next time") {
  detail::frame_cache cache(false);
  use(cache, 1'000);
  for (int looks = 0; looks != 20; ++looks) {
    cache.give_back_unneeded();
    CHECK(cache.held() == 1'000);
    use(cache, 1'000);
  }
}

TEST_CASE("Frames that another worker could have taken are given back, too") {
  detail::frame_cache cache(true);
  use(cache, 20'000);
  for (int looks = 0; looks != 100; ++looks) cache.give_back_unneeded();
  CHECK(cache.held() <= 512);
}

TEST_CASE("A pool of blocks gives back what it has not needed since the last look") {
  detail::block_pool pool;
  std::vector<detail::block*> blocks;
  for (int i = 0; i != 100; ++i) blocks.push_back(pool.take());
  for (detail::block* each : blocks) pool.give_back(*each);
  for (int looks = 0; looks != 20; ++looks) pool.free_unneeded();
  CHECK(pool.held() == 0);
}

TEST_CASE("A worker with a ticker gives back the memory of many routines that have ended") {
  // Fails by not ending.
  scheduler_under_test::real(1).run([]() -> task<> {
    event end;
    wait_group all;
    for (int i = 0; i != 20'000; ++i) all.go([&end]() -> task<> { co_await end.wait(); });
    co_await yield();
    end.set();
    co_await all.wait();
    ticker often(10ms);
    while (detail::current_worker()->frames.held() > 2'000) co_await often.tick();
  });
}

TEST_CASE("A worker that sleeps for long gives back the memory of many routines that have ended") {
  scheduler_under_test::real(1).run([]() -> task<> {
    event end;
    wait_group all;
    for (int i = 0; i != 20'000; ++i) all.go([&end]() -> task<> { co_await end.wait(); });
    co_await yield();
    end.set();
    co_await all.wait();
    co_await sleep(500ms);
    CHECK(detail::current_worker()->frames.held() <= 2'000);
  });
}
