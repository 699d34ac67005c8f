// Many peers that say little or nothing: what they cost, and that each one's time limit is its own (c8).
#include <doctest/doctest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <new>
#include <ringo/ringo.hpp>
#include <utility>
#include <vector>

#include "network.hpp"

using namespace ringo;
using namespace std::chrono_literals;

// ThreadSanitizer has its own.
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define RINGO_TEST_COUNTS_BLOCKS false
#endif
#endif
#ifndef RINGO_TEST_COUNTS_BLOCKS
#define RINGO_TEST_COUNTS_BLOCKS true
#endif

#if RINGO_TEST_COUNTS_BLOCKS
namespace {

std::atomic<std::ptrdiff_t> blocks =
    0;  // of memory for what is received and sent, and a few others as aligned, that live

void* aligned(std::size_t size, std::align_val_t alignment) {
  ++blocks;
  const auto a = static_cast<std::size_t>(alignment);
  return std::aligned_alloc(a, (size + a - 1) / a * a);
}
void free_aligned(void* memory) {
  if (memory != nullptr) --blocks;
  std::free(memory);
}

}  // namespace

void* operator new(std::size_t size, std::align_val_t alignment) { return aligned(size, alignment); }
void* operator new(std::size_t size, std::align_val_t alignment, const std::nothrow_t&) noexcept {
  return aligned(size, alignment);
}
void operator delete(void* memory, std::align_val_t) noexcept { free_aligned(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { free_aligned(memory); }

TEST_CASE("Connections that wait for bytes hold no memory for them (c8)") {
  run(
      []() -> task<> {
        constexpr int connections = 200;
        auto listener = listen_locally();
        std::vector<tcp_stream> theirs;
        group waiting;
        for (int i = 0; i < connections; ++i) {
          theirs.push_back(co_await tcp_stream::connect(listener.local()));
          tcp_stream ours = co_await listener.accept();
          waiting.go(
              [](tcp_stream s) -> task<> {
                // It has been used before.
                while (co_await s.recv()) co_await s.send("answer");
              },
              std::move(ours));
        }
        for (tcp_stream& each : theirs) {
          std::array<char, 6> answer{};
          co_await each.send("question");
          co_await each.read_exactly(answer);
        }
        const std::ptrdiff_t now = blocks;
        CHECK(now < connections / 2);
        for (tcp_stream& each : theirs) co_await each.close();
        co_await waiting.wait();
      },
      {.workers = 1});
  const std::ptrdiff_t left = blocks;
  CHECK(left == 0);
}
#endif

TEST_CASE("Peers that send a byte now and then are given up each in its time, and others are served meanwhile (c8)") {
  on_the_network([]() -> task<> {
    constexpr int connections = 60;
    auto listener = listen_locally();
    std::atomic<int> given_up = 0;
    group slow(current_context(), on_error::keep_going), serving;
    for (int i = 0; i < connections; ++i) {
      tcp_stream peer = co_await tcp_stream::connect(listener.local());
      tcp_stream ours = co_await listener.accept();
      slow.go(
          [](tcp_stream s) -> task<> {
            for (;;) {
              co_await s.send("x");
              co_await sleep(2ms);
            }
          },
          std::move(peer));
      serving.go(
          [&given_up](tcp_stream s) -> task<> {
            std::array<char, 1000> request{};
            const auto read = [&]() -> task<> { co_await s.read_exactly(request); };
            auto o = co_await outcome(with_timeout(10ms, read()));
            try {
              std::move(o).value();
            } catch (const timed_out&) {
              ++given_up;
            }
          },
          std::move(ours));
    }
    tcp_stream quick = co_await tcp_stream::connect(listener.local());
    tcp_stream ours = co_await listener.accept();
    for (int i = 0; i < 20; ++i) {
      std::array<char, 4> word{};
      co_await quick.send("ping");
      co_await ours.read_exactly(word);
    }
    co_await serving.wait();
    CHECK(given_up == connections);
    co_await outcome(slow.wait());  // each ends by its connection's end
  });
}
