// What has been needed once does not stay with the process for ever, whatever wakes its workers.
#include <doctest/doctest.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <ringo/detail/frame_cache.hpp>
#include <ringo/ringo.hpp>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "driver/buffer_pool.hpp"
#include "driver/uring.hpp"
#include "every_scheduler.hpp"
#include "reached.hpp"

using namespace ringo;
using namespace std::chrono_literals;

namespace {

void use(detail::frame_cache& cache, std::size_t number) {
  std::vector<void*> blocks;
  for (std::size_t i = 0; i != number; ++i) blocks.push_back(cache.allocate(200));
  for (void* each : blocks) cache.free(each, 200);
}

constexpr unsigned fewest_provided = 64;
constexpr unsigned most_provided = 2048;

// Reads into a buffer that the driver lends.
struct borrowing final : detail::kernel_request {
  explicit borrowing(detail::uring& in) : in_(in) {}
  void read(int from, unsigned most) {
    answered = false;
    from_ = from;
    most_ = most;
    in_.submit(*this);
  }
  void fill(detail::kernel_call& call) noexcept override {
    call.set_read(from_, nullptr, most_, detail::kernel_call::current_position);
    call.lends = true;
  }
  void complete(const detail::kernel_answer& answer) noexcept override {
    result = answer.result;
    answered = true;
    if (answer.filled == nullptr) return;
    if (result > 0)
      bytes.assign(reinterpret_cast<const char*>(answer.filled->bytes()), static_cast<std::size_t>(result));
    in_.buffers.give_back(*answer.filled);
  }
  bool answered = false;
  int result = 0;
  std::string bytes;

 private:
  detail::uring& in_;
  int from_ = -1;
  unsigned most_ = 0;
};

std::unique_ptr<detail::uring> lending(detail::task_work kind, unsigned number) {
  auto driver = detail::make_uring(256, kind);
  driver->attach();
  if (!driver->lends_buffers(false)) {
    MESSAGE("this kernel lends no buffers");
    return nullptr;
  }
  while (driver->provided() < number) REQUIRE(driver->lends_buffers(true));
  return driver;
}

// Many streams whose peers do not read, and leave.
task<> send_to_deaf_peers() {
  const std::string much(1 << 20, 'x');
  std::vector<int> peers;
  wait_group all;
  for (int i = 0; i != 64; ++i) {
    int both[2];
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, both) == 0);
    peers.push_back(both[1]);
    all.go([s = tcp_stream::adopt(both[0]), &much]() -> task<> {
      try {
        co_await s.send(much);
      } catch (const std::system_error&) {
      }
    });
  }
  co_await yield();
  for (int each : peers) ::close(each);
  co_await all.wait();
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

TEST_CASE("A pool of buffers gives back what it has not needed since the last look") {
  detail::buffer_pool pool;
  std::vector<detail::buffer*> buffers;
  for (int i = 0; i != 100; ++i) buffers.push_back(pool.take());
  for (detail::buffer* each : buffers) pool.give_back(*each);
  for (int looks = 0; looks != 20; ++looks) pool.free_unneeded();
  CHECK(pool.held() == 0);
}

TEST_CASE("Blocks that the kernel has borrowed are taken back, and what is being received gets its bytes") {
  for (const auto kind : {detail::task_work::deferred, detail::task_work::cooperative}) {
    const auto driver = lending(kind, most_provided);
    if (driver == nullptr) return;
    CHECK(driver->has_plenty());
    int both[2];
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, both) == 0);
    borrowing receives(*driver);
    receives.read(both[0], 100);
    int looks = 0;
    while (driver->has_plenty()) {
      const std::size_t before = driver->provided();
      driver->give_back_unneeded();
      driver->poll(time_point::min());
      CHECK(driver->provided() <= before);
      CHECK(driver->provided() + 1 >= before / 2);
      // Where the kernel's own threads do the reading, its answers come a little later.
      if (driver->provided() != before) ++looks;
      REQUIRE(!receives.answered);
    }
    CHECK(looks > 5);
    CHECK(driver->provided() == fewest_provided);
    CHECK(driver->buffers.held() == 0);
    for (int i = 0; i != 200; ++i) {
      const std::string sent = "bytes " + std::to_string(i);
      REQUIRE(::write(both[1], sent.data(), sent.size()) == static_cast<ssize_t>(sent.size()));
      while (!receives.answered) driver->poll(time_point::max());
      CHECK(receives.bytes == sent);
      receives.read(both[0], 100);
    }
    CHECK(driver->provided() == fewest_provided);
    ::close(both[1]);
    while (!receives.answered) driver->poll(time_point::max());
    ::close(both[0]);
  }
}

TEST_CASE("The kernel keeps as many buffers as have been needed at a time since the last look") {
  constexpr unsigned together = 200;
  const auto driver = lending(detail::task_work::deferred, most_provided);
  if (driver == nullptr) return;
  std::vector<std::unique_ptr<borrowing>> all;
  for (unsigned i = 0; i != together; ++i) all.push_back(std::make_unique<borrowing>(*driver));
  for (int looks = 0; looks != 30; ++looks) {
    const int source = ::eventfd(together, EFD_CLOEXEC | EFD_SEMAPHORE);
    REQUIRE(source >= 0);
    for (const auto& each : all) each->read(source, sizeof(std::uint64_t));
    for (const auto& each : all) {
      while (!each->answered) driver->poll(time_point::max());
      CHECK(each->result == sizeof(std::uint64_t));
    }
    ::close(source);
    driver->give_back_unneeded();
    driver->poll(time_point::min());
    CHECK(driver->provided() >= together);
  }
  CHECK(driver->provided() <= 2 * together);
}

TEST_CASE("A ring that is closed while buffers are being taken back keeps none of them") {
  // The sanitizer finds what is left.
  const auto driver = lending(detail::task_work::deferred, most_provided);
  if (driver == nullptr) return;
  driver->give_back_unneeded();
}

TEST_CASE("A worker with a ticker gives back the memory of many streams that have gone") {
  // Fails by not ending.
  scheduler_under_test::real(1).run([]() -> task<> {
    co_await send_to_deaf_peers();
    CHECK(!detail::buffer_pool::heap_is_trimmed());
    ticker often(10ms);
    while (!detail::buffer_pool::heap_is_trimmed()) co_await often.tick();
  });
}

TEST_CASE("A worker that sleeps for long gives back the memory of many streams that have gone") {
  // Fails by not ending.
  scheduler_under_test::real(1).run([]() -> task<> {
    co_await send_to_deaf_peers();
    CHECK(!detail::buffer_pool::heap_is_trimmed());
    while (!detail::buffer_pool::heap_is_trimmed()) co_await sleep(300ms);
  });
}

TEST_CASE("The heap is trimmed of what was not needed between two looks, and of nothing else") {
  const auto use_blocks = [] {
    std::vector<detail::buffer*> buffers;
    for (int i = 0; i != 1'000; ++i) buffers.push_back(detail::buffer_pool::allocate(detail::buffer::size));
    for (detail::buffer* each : buffers) detail::buffer_pool::free(*each);
  };
  time_point now = std::chrono::steady_clock::now();
  use_blocks();
  for (int looks = 0; looks != 5; ++looks) {
    detail::buffer_pool::trim_heap(now += 1s);
    CHECK(!detail::buffer_pool::heap_is_trimmed());
    use_blocks();
  }
  detail::buffer_pool::trim_heap(now += 1s);
  CHECK(!detail::buffer_pool::heap_is_trimmed());
  detail::buffer_pool::trim_heap(now + 1ms);
  CHECK(!detail::buffer_pool::heap_is_trimmed());
  detail::buffer_pool::trim_heap(now += 1s);
  CHECK(detail::buffer_pool::heap_is_trimmed());
}

TEST_CASE("A worker with a ticker gives back the memory of many routines that have ended") {
  scheduler_under_test::real(1).run([]() -> task<> {
    event end;
    wait_group all;
    for (int i = 0; i != 20'000; ++i) all.go([&end]() -> task<> { co_await end.wait(); });
    co_await yield();
    end.set();
    co_await all.wait();
    ticker often(10ms);
    while (detail::current_worker()->frames.held() > 2'000) co_await often.tick();
    reached("the frames are given back");
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
    while (detail::current_worker()->frames.held() > 2'000) co_await sleep(300ms);
    reached("the frames are given back");
  });
}
