// Storms over every kind of descriptor at once, whose operations lose, are cancelled and are closed under way: no byte,
// connection, datagram, descriptor, frame or memory is lost, on 1, 2 and 4 workers.
#include <doctest/doctest.h>
#include <malloc.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <ringo/file.hpp>
#include <ringo/ringo.hpp>
#include <span>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "dice.hpp"
#include "folder.hpp"
#include "network.hpp"

using namespace ringo;
using namespace std::chrono_literals;

namespace {

std::chrono::microseconds moment(dice& d) { return std::chrono::microseconds(d.below(80)); }

// Sends numbered bytes, in sends that lose now and then before they begin or are decided; then ends the stream.
template <class Sink>
task<> send_numbered(Sink to, std::size_t size, std::uint64_t seed) {
  dice d(seed);
  for (numbered_pieces cut(size); cut.next(1 + d.below(d.below(8) == 0 ? 30'000 : 500));) {
    co_await to.send(cut.piece());
    if (d.below(4) == 0) co_await sleep(moment(d));
  }
  co_await to.close();
}

// Receives until the end, with receives that lose against a sleep, and returns whether each byte came once.
template <class Source>
task<bool> receive_numbered(Source& from, std::size_t size, std::uint64_t seed) {
  dice d(seed);
  progress_of_reading p;
  std::array<char, 2000> into{};
  while (!p.has_ended) {
    if (d.below(2) == 0) {
      auto came = co_await select(from.recv(), sleep(moment(d)));
      if (came.index() == 1) continue;
      const auto& some = std::get<0>(came);
      p.has_ended = !some;
      if (some) p.take(some->text());
    } else {
      auto came = co_await select(from.read(into), sleep(moment(d)));
      if (came.index() == 1) continue;
      p.has_ended = std::get<0>(came) == 0;
      p.take(std::span(into).first(std::get<0>(came)));
    }
  }
  co_return p.is_right&& p.at == size;
}

template <class Source, class Sink>
task<bool> numbered_through(Source from, Sink to, dice& d) {
  const std::size_t size = 1 + d.below(40'000);
  auto sending = go(send_numbered<Sink>, std::move(to), size, d.below(1000));
  const bool is_right = co_await receive_numbered(from, size, d.below(1000));
  co_await sending;
  co_return is_right;
}

// An accept that loses leaves the connection to a later one; a connect that loses leaves no socket.
task<bool> connections(dice& d) {
  auto listener = listen_locally();
  for (int i = 0; i < 3; ++i) {
    auto lost = co_await select(listener.accept(), sleep(moment(d)));
    if (lost.index() == 0) co_return false;  // no client has come
  }
  {
    // The listener's side of it, if it got so far, ends without a byte.
    auto given_up = co_await select(tcp_stream::connect(listener.local()), sleep(moment(d)));
    (void)given_up;
  }
  const std::string text = "the client that stays";
  tcp_stream stays = co_await tcp_stream::connect(listener.local());
  co_await stays.send(text);
  for (;;) {
    auto came = co_await select(listener.accept(), sleep(moment(d)));
    if (came.index() == 1) continue;
    tcp_stream served = std::move(std::get<0>(came));
    auto some = co_await outcome(served.recv());
    if (!some.has_value()) continue;
    const auto bytes = std::move(some).value();
    if (bytes && bytes->text() == text) co_return true;
  }
}

task<bool> datagrams(dice& d) {
  auto [one, other] = unix_datagram::pair();
  constexpr int count = 20;
  auto sending = go(
      [](unix_datagram s) -> task<> {
        for (int i = 0; i < count; ++i) {
          const std::string text = std::to_string(i);
          co_await s.send(text);
        }
      },
      std::move(one));
  bool in_order = true;
  for (int i = 0; i < count;) {
    auto came = co_await select(other.recv(), sleep(moment(d)));
    if (came.index() == 0) in_order = in_order && std::get<0>(came).text() == std::to_string(i++);
  }
  co_await sending;
  co_return in_order;
}

task<bool> files(dice& d, const std::string& path) {
  std::string text(1 + d.below(30'000), ' ');
  for (std::size_t i = 0; i < text.size(); ++i) text[i] = numbered(i);
  co_await write_file(path, text);
  bool is_right = true;
  for (int i = 0; i < 3; ++i) {
    auto lost = co_await select(read_file(path), sleep(moment(d)));
    if (lost.index() == 0) is_right = is_right && std::get<0>(lost) == text;
    auto opening = co_await select(file::open(path), sleep(moment(d)));
    (void)opening;
  }
  is_right = is_right && co_await read_file(path) == text;
  co_await remove_file(path);
  co_return is_right;
}

task<bool> readiness(dice& d) {
  pipe_pair p;
  auto waiting = readable(p.reader.native_handle());
  auto lost = co_await select(waiting, sleep(moment(d)));
  co_await p.writer.send("x");
  if (lost.index() == 1) co_await waiting;
  std::array<char, 1> byte{};
  co_await p.reader.read_exactly(byte);
  co_return byte[0] == 'x';
}

// Everything waits, and is closed or cancelled while it does.
task<bool> ended_under_way(dice& d) {
  connected c = co_await connect_pair();
  auto listener = listen_locally();
  auto [one, other] = unix_datagram::pair();
  unix_datagram datagrams = std::move(one), peer = std::move(other);
  pipe_pair p;
  const std::string much(200'000, 'm');
  const auto use_and_end = [&](group& busy) -> task<> {
    busy.go([&]() -> task<> {
      for (;;) co_await c.here.send(much);
    });
    busy.go([&]() -> task<> { (void)co_await c.here.recv(); });
    busy.go([&]() -> task<> { (void)co_await listener.accept(); });
    busy.go([&]() -> task<> { (void)co_await datagrams.recv(); });
    busy.go([&]() -> task<> { (void)co_await p.reader.recv(); });
    co_await sleep(moment(d));
    switch (d.below(3)) {
      case 0:
        break;
      case 1:
        co_await all(c.here.close(), listener.close(), datagrams.close(), p.reader.close());
        break;
      default:
        reset_when_closed(c.there);
        co_await c.there.close();
    }
    context(busy.ctx()).cancel();
  };
  (void)co_await outcome(scope(use_and_end));
  co_return true;
}

task<> storm(std::atomic<int>& wrong, const std::string& in, int number) {
  dice d(static_cast<std::uint64_t>(number) + 11);
  const std::string path = in + "/" + std::to_string(number);
  for (int i = 0; i < 8; ++i) {
    bool is_right = true;
    switch ((static_cast<std::uint64_t>(number) + d.below(3)) % 8) {
      case 0: {
        connected c = co_await connect_pair();
        is_right = co_await numbered_through(std::move(c.here), std::move(c.there), d);
        break;
      }
      case 1: {
        auto [one, other] = unix_stream::pair();
        is_right = co_await numbered_through(std::move(one), std::move(other), d);
        break;
      }
      case 2: {
        pipe_pair p;
        is_right = co_await numbered_through(std::move(p.reader), std::move(p.writer), d);
        break;
      }
      case 3:
        is_right = co_await connections(d);
        break;
      case 4:
        is_right = co_await datagrams(d);
        break;
      case 5:
        is_right = co_await files(d, path);
        break;
      case 6:
        is_right = co_await readiness(d);
        break;
      default:
        is_right = co_await ended_under_way(d);
    }
    if (!is_right) ++wrong;
  }
}

}  // namespace

TEST_CASE("A storm over every kind of descriptor loses and doubles nothing") {
  const folder in;
  const std::string path = in.path();
  const int routines = static_cast<int>(stressed(24));
  const auto live = testing::live();
  std::vector<std::size_t> memory;
  for (int round = 0; round < 3; ++round) {
    std::atomic<int> wrong = 0;
    on_the_network([&]() -> task<> {
      wait_group all;
      for (int i = 0; i < routines; ++i) all.go(storm, std::ref(wrong), std::cref(path), i);
      co_await all.wait();
    });
    CHECK(wrong == 0);
    CHECK(testing::live().frames == live.frames);
    CHECK(testing::live().operations == live.operations);
    CHECK(std::filesystem::is_empty(path));
    memory.push_back(::mallinfo2().uordblks);  // 0 with a sanitizer's allocator, which looks for leaks itself
  }
  CHECK(memory[2] < memory[1] + 500'000);
}

TEST_CASE("Programs that end in the middle of a storm leave nothing") {
  const folder in;
  const std::string path = in.path();
  const auto live = testing::live();
  for (std::size_t i = 0; i < stressed(6); ++i) {
    std::atomic<int> wrong = 0;
    on_the_network([&]() -> task<> {
      for (int k = 0; k < 16; ++k) go(storm, std::ref(wrong), std::cref(path), k);
      co_await sleep(std::chrono::microseconds(300 * i));
    });
    CHECK(wrong == 0);
    CHECK(testing::live().frames == live.frames);
    CHECK(testing::live().operations == live.operations);
  }
}
