// TCP streams: what is sent arrives whole and in order, whoever waits, loses, is cancelled or leaves.
#include <doctest/doctest.h>
#include <fcntl.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <ringo/ringo.hpp>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "dice.hpp"
#include "error_told.hpp"
#include "network.hpp"
#include "states.hpp"

using namespace ringo;
using namespace std::chrono_literals;

namespace {

std::string numbered_bytes(std::size_t from, std::size_t count) {
  std::string text(count, '\0');
  for (std::size_t i = 0; i < count; ++i) text[i] = numbered(from + i);
  return text;
}

task<> echo(tcp_stream s) {
  while (auto some = co_await s.recv()) co_await s.send(*some);
}

}  // namespace

TEST_CASE("an echo server gives back what it gets, until its clients leave") {
  on_the_network([]() -> task<> {
    auto listener = listen_locally();
    const endpoint at = listener.local();
    auto server = go(
        [](tcp_listener l) -> task<> {
          for (;;) go(echo, co_await l.accept());
        },
        std::move(listener));
    wait_group clients;
    for (int c = 0; c < 10; ++c) {
      clients.go(
          [](endpoint to, int id) -> task<> {
            tcp_stream s = co_await tcp_stream::connect(to);
            std::array<char, 64> answer{};
            for (int i = 0; i < 20; ++i) {
              const std::string asked = "client " + std::to_string(id) + " says " + std::to_string(i);
              co_await s.send(asked);
              co_await s.read_exactly(std::span(answer).first(asked.size()));
              CHECK(std::string_view(answer.data(), asked.size()) == asked);
            }
            co_await s.shutdown_send();
            const auto end = co_await s.recv();
            CHECK(!end);
          },
          at, c);
    }
    co_await clients.wait();
    server.cancel();
    const auto ended = co_await outcome(server.join());
    CHECK(!ended.has_value());
  });
}

TEST_CASE("recv, read and read_exactly take from one stream, each where the last one stopped") {
  on_the_network([]() -> task<> {
    connected c = co_await connect_pair();
    co_await c.here.send(numbered_bytes(0, 100));
    std::array<char, 10> ten{};
    co_await c.there.read_exactly(ten);
    CHECK(std::string_view(ten.data(), 10) == numbered_bytes(0, 10));
    std::vector<std::byte> five(5);
    const std::size_t read = co_await c.there.read(five);
    CHECK(read == 5);
    CHECK(static_cast<char>(five[4]) == numbered(14));
    const auto rest = co_await c.there.recv();
    REQUIRE(rest);
    CHECK(rest->text() == numbered_bytes(15, 85));
    const std::size_t none = co_await c.there.read(std::span<std::byte>());
    CHECK(none == 0);
    co_await c.there.read_exactly(std::span<std::byte>());
  });
}

TEST_CASE("at the end of a stream recv gives nothing, and read 0, each time") {
  on_the_network([]() -> task<> {
    connected c = co_await connect_pair();
    co_await c.here.send("last words");
    co_await c.here.close();
    const auto last = co_await c.there.recv();
    REQUIRE(last);
    CHECK(last->text() == "last words");
    for (int i = 0; i < 3; ++i) {
      const auto end = co_await c.there.recv();
      CHECK(!end);
      std::array<char, 4> some{};
      const std::size_t read = co_await c.there.read(some);
      CHECK(read == 0);
    }
  });
}

TEST_CASE("read_exactly at an early end throws disconnected, and what had come can be read") {
  on_the_network([]() -> task<> {
    connected c = co_await connect_pair();
    co_await c.here.send("abc");
    co_await c.here.shutdown_send();
    std::array<char, 4> four{};
    auto came = co_await outcome(c.there.read_exactly(four));
    CHECK_THROWS_AS(std::move(came).value(), disconnected);
    const auto rest = co_await c.there.recv();
    REQUIRE(rest);
    CHECK(rest->text() == "abc");
  });
}

TEST_CASE("read_exactly takes more than any one piece that comes") {
  on_the_network([]() -> task<> {
    connected c = co_await connect_pair();
    constexpr std::size_t size = 1'000'000;
    auto sending = go(
        [](tcp_stream& to) -> task<> {
          for (std::size_t sent = 0; sent < size; sent += 1000) {
            const std::string piece = numbered_bytes(sent, 1000);
            co_await to.send(piece);
          }
        },
        std::ref(c.here));
    std::string all(size, '\0');
    co_await c.there.read_exactly(all);
    CHECK(all == numbered_bytes(0, size));
    co_await sending;
  });
}

TEST_CASE("the other direction goes on when one has ended") {
  on_the_network([]() -> task<> {
    connected c = co_await connect_pair();
    co_await c.here.shutdown_send();
    const auto end = co_await c.there.recv();
    CHECK(!end);
    for (int i = 0; i < 3; ++i) {
      co_await c.there.send("still here");
      std::array<char, 10> text{};
      co_await c.here.read_exactly(text);
      CHECK(std::string_view(text.data(), text.size()) == "still here");
    }
    auto more = co_await outcome(c.here.send("too late"));
    CHECK_THROWS_AS(std::move(more).value(), disconnected);
  });
}

TEST_CASE("numbered bytes through receives that time out at random arrive each, once and in order (H3)") {
  on_the_network([]() -> task<> {
    connected c = co_await connect_pair();
    constexpr std::size_t size = 200'000;
    auto sending = go(
        [](tcp_stream& to) -> task<> {
          for (std::size_t sent = 0; sent < size; sent += 997) {
            const std::string piece = numbered_bytes(sent, std::min<std::size_t>(997, size - sent));
            co_await to.send(piece);
            if (sent % 7 == 0) co_await sleep(50us);
          }
          co_await to.shutdown_send();
        },
        std::ref(c.here));
    std::size_t at = 0;
    bool right = true, ended = false;
    for (std::size_t turn = 0; !ended; ++turn) {
      if (turn % 3 == 0) {
        auto came = co_await select(c.there.recv(), sleep(std::chrono::microseconds(turn % 90)));
        if (came.index() == 1) continue;
        const auto& some = std::get<0>(came);
        ended = !some;
        if (some) {
          for (const char b : some->text()) right = right && b == numbered(at++);
        }
      } else if (turn % 3 == 1 || size - at < 500) {
        std::array<char, 1500> into{};
        auto came = co_await outcome(with_timeout(std::chrono::microseconds(turn % 70), c.there.read(into)));
        if (!came.has_value()) continue;
        const std::size_t n = std::move(came).value();
        for (std::size_t i = 0; i < n; ++i) right = right && into[i] == numbered(at++);
        ended = n == 0;
      } else {
        std::array<char, 500> into{};
        auto came = co_await select(c.there.read_exactly(into), sleep(std::chrono::microseconds(turn % 50)));
        if (came.index() == 1) continue;
        for (const char b : into) right = right && b == numbered(at++);
      }
    }
    CHECK(right);
    CHECK(at == size);
    co_await sending;
  });
}

TEST_CASE("a send that loses has sent nothing, or is the last of which anything arrives") {
  on_the_network([]() -> task<> {
    for (int round = 0; round < 20; ++round) {
      connected c = co_await connect_pair();
      auto arriving = go(
          [](tcp_stream from) -> task<std::vector<int>> {
            std::vector<int> numbers;
            buffered_reader in(from);
            while (auto line = co_await in.read_line()) numbers.push_back(std::stoi(*line));
            co_return numbers;
          },
          std::move(c.there));
      std::vector<int> won;
      for (int i = 0; i < 30; ++i) {
        const channel<int> other;
        auto rival = go(
            [](channel<int> to, int turns) -> task<> {
              while (turns-- > 0) co_await yield();
              co_await to.send(0);
            },
            other, i % 3);
        // So much is given to the ring; what is less is decided at once.
        const std::string message = std::string(20'000, '0') + std::to_string(i) + "\n";
        auto first = co_await outcome(select(c.here.send(message), other.recv()));
        const bool lost_for_good = !first.has_value();
        if (!lost_for_good && std::move(first).value().index() == 0) won.push_back(i);
        rival.cancel();
        if (!lost_for_good) continue;
        CHECK_THROWS_AS(std::rethrow_exception(first.error()), disconnected);
        break;
      }
      co_await c.here.close();
      std::vector<int> arrived = co_await arriving;
      if (arrived.size() == won.size() + 1) arrived.pop_back();
      CHECK(arrived == won);
    }
  });
}

TEST_CASE("a short send is decided at once: what has lost never arrives, and what follows is whole") {
  on_the_network([]() -> task<> {
    tcp_options small;
    small.send_buffer = small.receive_buffer = 4096;
    connected c = co_await connect_pair(small);
    std::vector<int> arrived;
    auto arriving = go(
        [](tcp_stream from, std::vector<int>& numbers) -> task<> {
          buffered_reader in(from);
          while (auto line = co_await in.read_line()) {
            numbers.push_back(std::stoi(*line));
            if (numbers.size() % 50 == 0) co_await sleep(200us);  // the sender finds no room now and then
          }
        },
        std::move(c.there), std::ref(arrived));
    std::vector<int> won;
    int no_room = 0;
    for (int i = 0; i < 2000; ++i) {
      const std::string number = std::to_string(i);
      const std::string_view zeros = "00000000000000000000000000000000";
      const std::vector<std::span<const std::byte>> pieces{
          std::as_bytes(std::span(zeros)), std::as_bytes(std::span(number)), std::as_bytes(std::span("\n", 1))};
      const auto first = co_await select(c.here.send(pieces), otherwise);
      if (first.index() == 0) {
        won.push_back(i);
      } else if (++no_room % 8 == 0) {
        co_await sleep(50us);
      } else {
        co_await yield();
      }
    }
    co_await c.here.shutdown_send();
    co_await arriving;
    CHECK(!won.empty());
    CHECK(arrived == won);
  });
}

TEST_CASE("with one worker a send that loses before the kernel has it sends nothing, and the next one is whole") {
  run(
      []() -> task<> {
        connected c = co_await connect_pair();
        for (int i = 0; i < 10; ++i) {
          const channel<int> other(1);
          auto rival = go([](channel<int> to) -> task<> { co_await to.send(0); }, other);
          const std::string much(20'000, 'l');
          const auto first = co_await select(c.here.send(much), other.recv());
          CHECK(first.index() == 1);
          co_await rival;
        }
        co_await c.here.send("sent");
        co_await c.here.shutdown_send();
        const std::string all = co_await read_all(c.there);
        CHECK(all == "sent");
      },
      {.workers = 1});
}

TEST_CASE("two that send on one stream never interleave") {
  on_the_network([]() -> task<> {
    tcp_options small;
    small.send_buffer = small.receive_buffer = 4096;
    connected c = co_await connect_pair(small);
    constexpr int rounds = 20;
    constexpr std::size_t length = 50'000;
    wait_group senders;
    for (const char letter : {'a', 'b', 'c'}) {
      senders.go(
          [](tcp_stream& to, char l) -> task<> {
            const std::string text = std::string(length - 1, l) + '\n';
            for (int i = 0; i < rounds; ++i) co_await to.send(text);
          },
          std::ref(c.here), letter);
    }
    std::string line(length, '\0');
    int whole = 0;
    for (int i = 0; i < 3 * rounds; ++i) {
      co_await c.there.read_exactly(line);
      if (line == std::string(length - 1, line[0]) + '\n') ++whole;
    }
    CHECK(whole == 3 * rounds);
    co_await senders.wait();
  });
}

TEST_CASE("several pieces are one send") {
  on_the_network([]() -> task<> {
    connected c = co_await connect_pair();
    const std::string head = "head ", body(40'000, 'x');
    co_await c.here.send(head, "", body);
    const std::array<std::span<const std::byte>, 2> spans = {std::as_bytes(std::span(head)),
                                                             std::as_bytes(std::span(body))};
    co_await c.here.send(std::span<const std::span<const std::byte>>(spans));
    co_await c.here.send("");
    co_await c.here.shutdown_send();
    const std::string all = co_await read_all(c.there);
    CHECK(all == head + body + head + body);
  });
}

TEST_CASE("64 MiB pass through small buffers to a reader that is slower") {
  const std::size_t size = 64 << 20;
  const auto before = open_descriptors();
  scheduler_under_test::real(2).run([size]() -> task<> {
    tcp_options small;
    small.send_buffer = small.receive_buffer = 4096;
    connected c = co_await connect_pair(small);
    auto sending = go(
        [](tcp_stream to, std::size_t n) -> task<> {
          const std::string all = numbered_bytes(0, n);
          co_await to.send(all);
        },
        std::move(c.here), size);
    std::size_t at = 0;
    bool right = true;
    while (auto some = co_await c.there.recv()) {
      for (const char b : some->text()) right = right && b == numbered(at++);
      if (at % 64 == 0) co_await yield();
    }
    CHECK(right);
    CHECK(at == size);
    co_await sending;
  });
  CHECK(open_descriptors() == before);
}

TEST_CASE("a send that is cut short makes the later ones throw disconnected, and one that has not begun does not") {
  on_the_network([]() -> task<> {
    tcp_options small;
    small.send_buffer = small.receive_buffer = 4096;
    connected c = co_await connect_pair(small);
    const std::string much(8 << 20, 'm');
    auto waiting_first = go([](tcp_stream& to, const std::string& text) -> task<> { co_await to.send(text); },
                            std::ref(c.here), std::cref(much));
    const auto first_has_begun = co_await c.there.recv();
    CHECK(first_has_begun);
    // It waits for its turn, and leaves before that comes.
    auto second = co_await select(c.here.send("never sent"), sleep(0s));
    CHECK(second.index() == 1);
    waiting_first.cancel();
    auto first = co_await outcome(waiting_first.join());
    CHECK_THROWS_AS(std::move(first).value(), cancelled);
    for (int i = 0; i < 2; ++i) {
      auto later = co_await outcome(c.here.send("later"));
      CHECK_THROWS_AS(std::move(later).value(), disconnected);
    }
  });
  on_the_network([]() -> task<> {
    connected c = co_await connect_pair();
    const context over = context::with_cancel();
    context(over).cancel();
    auto never = co_await outcome(with_context(over, c.here.send("never")));
    CHECK_THROWS_AS(std::move(never).value(), cancelled);
    co_await c.here.send("sent");
    const auto came = co_await c.there.recv();
    REQUIRE(came);
    CHECK(came->text() == "sent");
  });
}

TEST_CASE("a connection that is reset is disconnected, to who receives and to who sends (c6)") {
  on_the_network([]() -> task<> {
    connected c = co_await connect_pair();
    reset_when_closed(c.there);
    co_await c.there.close();
    auto came = co_await outcome(c.here.recv());
    CHECK_THROWS_AS(std::move(came).value(), disconnected);
    auto sent = co_await outcome(c.here.send("anybody?"));
    CHECK_THROWS_AS(std::move(sent).value(), disconnected);
    try {
      co_await c.here.recv();
    } catch (const std::system_error& e) {
      const std::string text = e.what();
      CHECK(text.find(c.here.peer().to_string()) != text.npos);
    }
  });
}

// The kernel tells the error of a connection once: here a send has it, and a receive would find an end.
TEST_CASE("a reset is no end of the stream, though a send has heard of it first (c6, H25)") {
  for (const bool reads_meanwhile : {false, true}) {
    CAPTURE(reads_meanwhile);
    on_the_network([reads_meanwhile]() -> task<> {
      connected c = co_await connect_pair({.send_buffer = 8192, .receive_buffer = 8192});
      co_await c.there.send("the first half");
      const std::string much(8 << 20, 'm');
      auto sender = go([](tcp_stream& s, const std::string& text) -> task<> { co_await s.send(text); },
                       std::ref(c.here), std::cref(much));
      const auto has_begun = co_await c.there.recv();
      CHECK(has_begun);
      std::optional<handle<std::string>> reader;
      if (reads_meanwhile) reader = go(read_all<tcp_stream>, std::ref(c.here));
      reset_when_closed(c.there);
      co_await c.there.close();
      auto sent = co_await outcome(sender.join());
      CHECK_THROWS_AS(std::move(sent).value(), disconnected);
      if (!reads_meanwhile) reader = go(read_all<tcp_stream>, std::ref(c.here));
      auto read = co_await outcome(reader->join());
      CHECK_THROWS_AS(std::move(read).value(), disconnected);
      auto later = co_await outcome(c.here.recv());
      CHECK_THROWS_AS(std::move(later).value(), disconnected);
    });
  }
}

TEST_CASE("the end of a peer that has closed stays its end, though sends to it fail") {
  on_the_network([]() -> task<> {
    connected c = co_await connect_pair();
    co_await c.there.send("all");
    co_await c.there.close();
    for (bool fails = false; !fails;) {
      auto sent = co_await outcome(c.here.send("more"));
      fails = !sent.has_value();
      if (!fails) co_await yield();
    }
    const std::string all = co_await read_all(c.here);
    CHECK(all == "all");
  });
}

TEST_CASE("close ends those who wait, lets the peer know, and a second close does nothing") {
  on_the_network([]() -> task<> {
    connected c = co_await connect_pair();
    auto reader = go([](tcp_stream& s) -> task<> { co_await s.recv(); }, std::ref(c.here));
    auto exact = go(
        [](tcp_stream& s) -> task<> {
          std::array<char, 8> eight{};
          co_await s.read_exactly(eight);
        },
        std::ref(c.here));
    const std::string much(8 << 20, 'm');
    auto sender = go([](tcp_stream& s, const std::string& text) -> task<> { co_await s.send(text); }, std::ref(c.here),
                     std::cref(much));
    const auto has_begun = co_await c.there.recv();
    CHECK(has_begun);
    co_await c.here.close();
    for (handle<>* each : {&reader, &exact, &sender}) {
      auto ended = co_await outcome(each->join());
      CHECK_THROWS_AS(std::move(ended).value(), disconnected);
    }
    co_await c.here.close();
    auto later = co_await outcome(c.here.recv());
    CHECK_THROWS_AS(std::move(later).value(), disconnected);
    // The end, or a reset for what the peer had not read.
    auto rest = co_await outcome(read_all(c.there));
    CHECK((rest.has_value() || rest.error() != nullptr));
  });
}

TEST_CASE("a stream that is destroyed is closed, also while another routine waits on it") {
  // With one worker: it waits when it is destroyed, and does not just begin to.
  const auto before = open_descriptors();
  scheduler_under_test::real(1).run([]() -> task<> {
    connected c = co_await connect_pair();
    std::optional<tcp_stream> owned = std::move(c.here);
    auto waits = go([](tcp_stream& s) -> task<> { co_await s.recv(); }, std::ref(*owned));
    co_await yield();
    owned.reset();
    auto ended = co_await outcome(waits.join());
    CHECK_THROWS_AS(std::move(ended).value(), disconnected);
    const auto end = co_await c.there.recv();
    CHECK(!end);
  });
  CHECK(open_descriptors() == before);
}

TEST_CASE("a stream may be destroyed on a thread that is no worker") {
  on_the_network([]() -> task<> {
    connected c = co_await connect_pair();
    auto elsewhere = blocking([](tcp_stream s) { (void)s; }, std::move(c.here));
    co_await elsewhere;
    const auto end = co_await c.there.recv();
    CHECK(!end);
  });
}

TEST_CASE("the halves of a stream serve two routines, and the writer's end is the peer's end") {
  on_the_network([]() -> task<> {
    connected c = co_await connect_pair();
    auto [reader, writer] = std::move(c.here).split();
    auto reading = go([](stream_reader r) -> task<std::string> { co_return co_await read_all(r); }, std::move(reader));
    co_await writer.send("question");
    {
      const stream_writer gone = std::move(writer);
    }
    const std::string asked = co_await read_all(c.there);
    CHECK(asked == "question");
    co_await c.there.send("answer");
    co_await c.there.close();
    const std::string answer = co_await reading;
    CHECK(answer == "answer");
  });
}

TEST_CASE("a send after shutdown_send is told so, and a second shutdown_send does nothing") {
  on_the_network([]() -> task<> {
    connected c = co_await connect_pair();
    co_await c.here.shutdown_send();
    for (int i = 0; i < 2; ++i) {
      const auto refused = co_await outcome(c.here.send("too late"));
      CHECK(told(refused).find("shutdown_send") != std::string::npos);
      co_await c.here.shutdown_send();
    }
    co_await c.there.send("still heard");
    co_await c.there.close();
    const std::string heard = co_await read_all(c.here);
    CHECK(heard == "still heard");
  });
}

TEST_CASE("what waits when the runtime ends is ended, and its descriptors are closed (H28)") {
  for (const unsigned workers : {1u, 2u, 4u}) {
    for (int again = 0; again < 20; ++again) {
      const auto before = open_descriptors();
      scheduler_under_test::real(workers).run([]() -> task<> {
        auto listener = listen_locally();
        const endpoint at = listener.local();
        go(
            [](tcp_listener l) -> task<> {
              for (;;) {
                go(
                    [](tcp_stream s) -> task<> {
                      std::string much(1 << 20, 'm');
                      go([](tcp_stream from) -> task<> { co_await from.recv(); },
                         co_await tcp_stream::connect(s.local()));
                      co_await s.send(much);
                      co_await s.recv();
                    },
                    co_await l.accept());
              }
            },
            std::move(listener));
        tcp_stream s = co_await tcp_stream::connect(at);
        co_await s.recv();
      });
      CHECK(open_descriptors() == before);
    }
  }
}

TEST_CASE("a stream outlives its runtime, and serves the next one") {
  const auto before = open_descriptors();
  {
    std::optional<tcp_stream> here, there;
    run([&]() -> task<> {
      connected c = co_await connect_pair();
      here = std::move(c.here);
      there = std::move(c.there);
      auto lost = co_await select(here->recv(), sleep(1ms));  // leaves a receive in flight
      CHECK(lost.index() == 1);
    });
    run([&]() -> task<> {
      co_await there->send("again");
      const auto came = co_await here->recv();
      REQUIRE(came);
      CHECK(came->text() == "again");
    });
  }
  CHECK(open_descriptors() == before);
}

TEST_CASE("a stream that is empty says so") {
  run([]() -> task<> {
    tcp_stream none;
    CHECK(!none);
    CHECK(none.native_handle() == -1);
    auto recv = co_await outcome(none.recv());
    CHECK_THROWS_AS(std::move(recv).value(), std::logic_error);
    auto send = co_await outcome(none.send("x"));
    CHECK_THROWS_AS(std::move(send).value(), std::logic_error);
    connected c = co_await connect_pair();
    tcp_stream moved = std::move(c.here);
    auto closed = co_await outcome(c.here.close());
    CHECK_THROWS_AS(std::move(closed).value(), std::logic_error);
  });
}

TEST_CASE("a socket of the caller's is adopted, also one that does not wait; what is none is refused and left") {
  on_the_network([]() -> task<> {
    int pair[2];
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) == 0);
    tcp_stream one = tcp_stream::adopt(pair[0]), other = tcp_stream::adopt(pair[1]);
    auto answer = go(
        [](tcp_stream& s) -> task<> {
          const auto came = co_await s.recv();
          co_await s.send(*came);
        },
        std::ref(other));
    co_await one.send("round");
    const auto came = co_await one.recv();
    REQUIRE(came);
    CHECK(came->text() == "round");
    co_await answer;
    int pipe[2];
    REQUIRE(::pipe2(pipe, O_CLOEXEC) == 0);
    CHECK_THROWS_AS(tcp_stream::adopt(pipe[0]), std::system_error);
    CHECK_THROWS_AS(tcp_stream::adopt(-1), std::system_error);
    CHECK_THROWS_AS(tcp_listener::adopt(one.native_handle()), std::system_error);
    CHECK(::close(pipe[0]) == 0);
    CHECK(::close(pipe[1]) == 0);
    const int datagrams = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    REQUIRE(datagrams >= 0);
    CHECK_THROWS_AS(tcp_stream::adopt(datagrams), std::system_error);
    CHECK(::close(datagrams) == 0);
  });
}

TEST_CASE("in a simulation there is no outside world, and it says so") {
  tcp_listener listener = listen_locally();
  const auto main = [&]() -> task<> {
    auto accepted = co_await outcome(listener.accept());
    CHECK_THROWS_AS(std::move(accepted).value(), std::logic_error);
    auto connecting = co_await outcome(tcp_stream::connect(listener.local()));
    CHECK_THROWS_AS(std::move(connecting).value(), std::logic_error);
  };
  testing::simulate({}, main);
}

TEST_CASE("who waits for bytes that do not come is no deadlock") {
  for (const unsigned workers : {1u, 2u, 4u}) {
    int ends[2];
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    other_process sender([to = ends[1]] { (void)!::write(to, "late", 4); });
    scheduler_under_test::real(workers).run([&]() -> task<> {
      tcp_stream here = tcp_stream::adopt(ends[0]);
      sender.act_when_this_sleeps();
      const auto came = co_await here.recv();
      REQUIRE(came);
      CHECK(came->text() == "late");
    });
    ::close(ends[1]);
  }
}

TEST_CASE("who only tries finds bytes, and connections, when they have come (78)") {
  on_the_network([]() -> task<> {
    auto listener = listen_locally();
    tcp_stream here = co_await tcp_stream::connect(listener.local());
    std::optional<tcp_stream> there;
    while (!there) {
      auto tried = co_await select(listener.accept(), otherwise);
      if (tried.index() == 0) there = std::move(std::get<0>(tried));
    }
    co_await here.send("found");
    for (;;) {
      auto tried = co_await select(there->recv(), otherwise);
      if (tried.index() == 1) continue;
      CHECK(std::get<0>(tried)->text() == "found");
      break;
    }
    auto ready = co_await select(writable(here.native_handle()), otherwise);
    CHECK(ready.index() == 0);
    auto unready = co_await select(readable(here.native_handle()), otherwise);
    CHECK(unready.index() == 1);
  });
}
