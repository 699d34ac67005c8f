// Many connections whose readers are cancelled, time out and lose all the time, on several workers: every byte arrives
// once and in order, every client is served, and no descriptor is left.
#include <doctest/doctest.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <ringo/ringo.hpp>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "dice.hpp"
#include "network.hpp"
#include "replaced_readers.hpp"

using namespace ringo;
using namespace std::chrono_literals;

namespace {

task<> send_numbered(tcp_stream s, std::size_t size, std::uint64_t seed) {
  dice d(seed);
  for (numbered_pieces cut(size); cut.next(1 + d.below(d.below(10) == 0 ? 40'000 : 600));) {
    co_await s.send(cut.piece());
    if (d.below(4) == 0) co_await yield();
  }
}

// Until it is cancelled, or the stream has ended. What an operation has given is noted without an await between.
task<> read_some_time(tcp_stream& s, progress_of_reading& p, std::uint64_t seed) {
  dice d(seed);
  std::array<char, 3000> into{};
  while (!p.has_ended) {
    switch (d.below(3)) {
      case 0: {
        auto came = co_await select(s.recv(), sleep(std::chrono::microseconds(d.below(60))));
        if (came.index() == 1) break;
        const auto& some = std::get<0>(came);
        p.has_ended = !some;
        if (some) p.take(some->text());
        break;
      }
      case 1: {
        const auto part = std::span(into).first(1 + d.below(into.size()));
        auto came = co_await select(s.read(part), sleep(std::chrono::microseconds(d.below(60))));
        if (came.index() == 1) break;
        p.has_ended = std::get<0>(came) == 0;
        p.take(part.first(std::get<0>(came)));
        break;
      }
      default: {
        const auto some = co_await s.recv();
        p.has_ended = !some;
        if (some) p.take(some->text());
      }
    }
  }
}

}  // namespace

TEST_CASE("numbered streams whose readers are cancelled and replaced arrive whole") {
  const std::size_t connections = 24, size = stressed(60'000);
  on_the_network([=]() -> task<> {
    auto listener = listen_locally();
    wait_group all;
    for (std::size_t i = 0; i < connections; ++i) {
      tcp_stream there = co_await tcp_stream::connect(listener.local());
      tcp_stream here = co_await listener.accept();
      all.go(send_numbered, std::move(there), size, i + 1);
      all.go([size](tcp_stream s,
                    std::uint64_t seed) -> task<> { co_await read_all_numbered(s, read_some_time, size, seed); },
             std::move(here), i + 1);
    }
    co_await all.wait();
  });
}

TEST_CASE("clients come while acceptors are cancelled and replaced: each is served") {
  const int clients = static_cast<int>(stressed(200));
  on_the_network([=]() -> task<> {
    auto listener = listen_locally();
    std::atomic<int> served = 0;
    wait_group all;
    const auto accept_some_time = [&]() -> task<> {
      for (;;) {
        tcp_stream s = co_await listener.accept();
        go([](tcp_stream one) -> task<> { co_await one.send("served"); }, std::move(s));
      }
    };
    auto accepting = go([&]() -> task<> {
      dice d(7);
      for (;;) {
        auto one = go(accept_some_time), other = go(accept_some_time);
        auto slept = co_await outcome(sleep(std::chrono::microseconds(d.below(300))));
        one.cancel();
        other.cancel();
        co_await shield(one.wait());
        co_await shield(other.wait());
        if (!slept.has_value()) co_return;
      }
    });
    // Fewer at once than the kernel's queue holds: it would forget some that take themselves for connected.
    semaphore connecting(500);
    for (int i = 0; i < clients; ++i) {
      all.go([&]() -> task<> {
        const auto permit = co_await connecting.acquire();
        tcp_stream s = co_await tcp_stream::connect(listener.local());
        const auto answer = co_await s.recv();
        if (answer && answer->text() == "served") ++served;
      });
      if (i % 20 == 0) co_await yield();
    }
    co_await all.wait();
    CHECK(served == clients);
    accepting.cancel();
    co_await accepting.wait();
  });
}

TEST_CASE("connections that end in every way while both sides send and receive leave nothing") {
  const int rounds = static_cast<int>(stressed(40));
  on_the_network([=]() -> task<> {
    dice d(3);
    for (int i = 0; i < rounds; ++i) {
      tcp_options small;
      small.send_buffer = small.receive_buffer = 4096;
      connected c = co_await connect_pair(small);
      const std::string much(100'000, 'm');
      group busy;
      for (tcp_stream* s : {&c.here, &c.there}) {
        busy.go(
            [](tcp_stream& to, const std::string& text) -> task<> {
              for (;;) co_await to.send(text);
            },
            std::ref(*s), std::cref(much));
        busy.go(
            [](tcp_stream& from) -> task<> {
              while (co_await from.recv()) {
              }
            },
            std::ref(*s));
      }
      co_await sleep(std::chrono::microseconds(d.below(500)));
      switch (d.below(4)) {
        case 0:
          context(busy.ctx()).cancel();
          break;
        case 1:
          co_await c.here.close();
          break;
        case 2:
          reset_when_closed(c.there);
          co_await c.there.close();
          break;
        default:
          co_await all(c.here.close(), c.there.close());
      }
      const auto ended = co_await outcome(busy.wait());
      CHECK_FALSE(ended.has_value());  // the senders end by nothing else
    }
  });
}

TEST_CASE("a storm of signals disturbs no connection (c12)") {
  // Without SA_RESTART, so that every call that they meet is interrupted.
  struct sigaction quiet{};
  quiet.sa_handler = [](int) {};
  struct sigaction before{};
  REQUIRE(::sigaction(SIGUSR1, &quiet, &before) == 0);
  on_the_network([]() -> task<> {
    auto storm = go([]() -> task<> {
      auto signals_sent = blocking([] {
        for (int i = 0; i < 2000; ++i) {
          ::kill(::getpid(), SIGUSR1);
          if (i % 50 == 0) std::this_thread::yield();
        }
      });
      co_await signals_sent;
    });
    connected c = co_await connect_pair();
    auto sending = go(send_numbered, std::move(c.here), std::size_t{200'000}, std::uint64_t{5});
    progress_of_reading p;
    co_await read_some_time(c.there, p, 9);
    co_await storm;
    CHECK(p.is_right);
    CHECK(p.at == 200'000);
    co_await sending;
  });
  ::sigaction(SIGUSR1, &before, nullptr);
}
