// buffered_reader, buffered_writer: lines and records of what comes in pieces of any size, and many pieces sent as one.
#include <doctest/doctest.h>

#include <array>
#include <cstddef>
#include <ringo/ringo.hpp>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "error_told.hpp"
#include "every_scheduler.hpp"

using namespace ringo;
using namespace std::chrono_literals;

namespace {

using pieces = channel<std::string>;

// A stream that brings these pieces, and ends.
receiver<std::string> stream_of(std::vector<std::string> all) {
  pieces ch(all.size() + 1);
  for (auto& each : all) ch.try_send(std::move(each));
  ch.close();
  return ch;
}

// In pieces of n bytes.
std::vector<std::string> cut(std::string_view text, std::size_t n) {
  std::vector<std::string> all;
  for (; !text.empty(); text.remove_prefix(std::min(n, text.size()))) all.emplace_back(text.substr(0, n));
  return all;
}

task<> feed(pieces to, std::vector<std::string> all) {
  for (auto& each : all) {
    co_await to.send(std::move(each));
    co_await yield();
  }
  to.close();
}

template <class Reader>
task<std::vector<std::string>> all_lines(Reader& in) {
  std::vector<std::string> all;
  while (auto line = co_await in.read_line()) all.push_back(std::move(*line));
  co_return all;
}

template <class Op>
task<std::string> error_of(Op op) {
  auto o = co_await outcome(std::move(op));
  co_return told(o);
}

}  // namespace

TEST_CASE("lines are the same however the stream is cut into pieces") {
  const std::string text = "one\n\ntwo two\r\n\r\nwith \r within\nlast";
  const std::vector<std::string> lines{"one", "", "two two", "", "with \r within", "last"};
  on_every_scheduler([&]() -> task<> {
    for (const std::size_t size : {1u, 2u, 3u, 5u, 8u, 100u}) {
      buffered_reader in(stream_of(cut(text, size)));
      const auto got = co_await all_lines(in);
      CHECK(got == lines);
      const auto after = co_await in.read_line();
      CHECK(!after);
    }
  });
}

TEST_CASE("lines() is a source of lines: alone, with a limit, and as a case of a select") {
  on_every_scheduler([]() -> task<> {
    buffered_reader in(stream_of(cut("one\r\ntwo\nthree\nfar too long\n", 4)));
    auto lines = in.lines();
    const auto first = co_await lines.recv();
    CHECK(first == "one");
    channel<void> never;
    const auto second = co_await select(lines.recv(), never.recv());
    REQUIRE(second.index() == 0);
    CHECK(std::get<0>(second) == "two");
    auto short_lines = in.lines(5);
    const auto third = co_await short_lines.recv();
    CHECK(third == "three");
    const std::string refused = co_await error_of(short_lines.recv());
    CHECK(refused.find("more than 5 bytes") != std::string::npos);
    const auto last = co_await lines.recv();
    CHECK(last == "far too long");
    const auto end = co_await lines.recv();
    CHECK(!end);
  });
}

TEST_CASE("an empty stream has no lines, and an end of line alone is one") {
  on_every_scheduler([]() -> task<> {
    buffered_reader none(stream_of({}));
    const auto nothing = co_await none.read_line();
    CHECK(!nothing);
    buffered_reader empty_line(stream_of({"\r", "\n"}));
    const auto got = co_await all_lines(empty_line);
    CHECK(got == std::vector<std::string>{""});
  });
}

TEST_CASE("a line may be as long as the limit, and one byte more is an error that leaves what has come to be read") {
  on_every_scheduler([]() -> task<> {
    for (const std::size_t size : {1u, 4u, 100u}) {
      buffered_reader in(stream_of(cut("12345\r\n12345\n123456\nx", size)));
      for (int i = 0; i < 2; ++i) {
        const auto line = co_await in.read_line(5);
        CHECK(line == "12345");
      }
      for (int i = 0; i < 2; ++i) {
        bool thrown = false;
        try {
          (void)co_await in.read_line(5);
        } catch (const std::system_error& e) {
          thrown = true;
          CHECK(e.code() == std::errc::message_size);
          CHECK(std::string(e.what()).find("more than 5 bytes") != std::string::npos);
        }
        CHECK(thrown);
      }
      const auto line = co_await in.read_line(6);
      CHECK(line == "123456");
      const auto last = co_await in.read_line(1);
      CHECK(last == "x");
    }
  });
}

TEST_CASE("a stream without an end of line is refused before it has all come") {
  on_every_scheduler([]() -> task<> {
    pieces ch;
    auto endless = go([ch]() -> task<> {
      for (;;) co_await ch.send(std::string(100, 'x'));
    });
    buffered_reader in(ch);
    const auto error = co_await error_of(in.read_line(1000));
    CHECK(error.find("more than 1000 bytes") != std::string::npos);
    CHECK(in.buffered().size() <= 1100);
    endless.cancel();
  });
}

TEST_CASE("records end with a delimiter of several bytes, wherever the pieces are cut") {
  on_every_scheduler([]() -> task<> {
    for (const std::size_t size : {1u, 2u, 3u, 7u, 100u}) {
      buffered_reader in(stream_of(cut("head: 1\r\n\r\nbody\r\n\r\r\n\r\ncut", size)));
      const auto head = co_await in.read_until("\r\n\r\n");
      CHECK(head == "head: 1");
      const auto body = co_await in.read_until("\r\n\r\n");
      CHECK(body == "body\r\n\r");
      const auto error = co_await error_of(in.read_until("\r\n\r\n"));
      CHECK(error.find("ended before") != std::string::npos);
      const auto rest = co_await in.read_some();
      CHECK(rest == "cut");
      const auto end = co_await in.read_until("\r\n\r\n");
      CHECK(!end);
    }
    buffered_reader limited(stream_of({"123;1234;", "5"}));
    const auto fits = co_await limited.read_until(";", 3);
    CHECK(fits == "123");
    const auto error = co_await error_of(limited.read_until(";", 3));
    CHECK(error.find("more than 3 bytes") != std::string::npos);
    CHECK_THROWS_AS((void)limited.read_until(""), std::invalid_argument);
  });
}

TEST_CASE("so many bytes, some bytes and a look ahead") {
  on_every_scheduler([]() -> task<> {
    for (const std::size_t size : {1u, 2u, 3u, 100u}) {
      buffered_reader in(stream_of(cut("abcdefghijklmn", size)));
      const std::string_view ahead = co_await in.peek(3);
      CHECK(ahead == "abc");
      const auto three = co_await in.read_exactly(3);
      CHECK(three == "abc");
      std::array<char, 4> four{};
      co_await in.read_exactly(four);
      CHECK(std::string_view(four.data(), 4) == "defg");
      (void)co_await in.peek(2);
      in.consume(2);
      std::string rest;
      std::array<char, 2> two{};
      const auto none = co_await in.read(std::span<std::byte>());
      CHECK(none == 0);
      const auto read = co_await in.read(two);
      rest.append(two.data(), read);
      const auto error = co_await error_of(in.read_exactly(100));
      CHECK(error.find("ended before") != std::string::npos);
      const std::string_view all = co_await in.peek(100);
      CHECK(rest + std::string(all) == "jklmn");
      while (auto some = co_await in.read_some(2)) {
        CHECK(some->size() <= 2);
        rest += *some;
      }
      CHECK(rest == "jklmn");
      const auto end = co_await in.read(two);
      CHECK(end == 0);
      CHECK_THROWS_AS(in.consume(1), std::logic_error);
    }
  });
}

TEST_CASE("no byte is lost by reads that are cancelled or lose a select") {
  on_every_scheduler(
      []() -> task<> {
        std::string text;
        std::vector<std::string> lines;
        for (int i = 0; i < 60; ++i) {
          lines.push_back("line " + std::to_string(i));
          text += lines.back() + "\n";
        }
        pieces ch;
        channel<int> other;
        auto feeding = go(feed, ch, cut(text, 7));
        auto disturbing = go([other]() -> task<> {
          for (;;) {
            co_await other.send(1);
            co_await yield();
          }
        });
        buffered_reader in(ch);
        std::vector<std::string> got;
        for (bool open = true; open;) {
          auto first = co_await select(other.recv(), in.read_line());
          if (first.index() == 1) {
            auto& line = std::get<1>(first);
            open = line.has_value();
            if (open) got.push_back(std::move(*line));
          }
          if (!open) break;
          context stop = context::with_cancel();
          stop.cancel();
          auto o = co_await outcome(with_context(stop, in.read_until("\n")));
          CHECK(told(o) == "cancelled");
        }
        CHECK(got == lines);
        disturbing.cancel();
      },
      5);
}

TEST_CASE("a read may be a case with a handler, beside others") {
  on_every_scheduler([]() -> task<> {
    buffered_reader in(stream_of({"a", "b\n"}));
    std::string got;
    co_await select(on(in.read_line(), [&](auto line) { got = line.value(); }), on(never(), [] {}));
    CHECK(got == "ab");
    co_await select(on(in.read_line(), [&](auto line) -> task<> {
      co_await yield();
      got = line ? "more" : "end";
    }));
    CHECK(got == "end");
  });
}

TEST_CASE("a second reader at the same time is a mistake that is told") {
  on_simulated_schedulers([]() -> task<> {
    pieces ch;
    buffered_reader in(ch);
    auto first = go([&in]() -> task<> { (void)co_await in.read_line(); });
    co_await testing::settle();
    const auto error = co_await error_of(in.read_line());
    CHECK(error.find("another routine") != std::string::npos);
    ch.close();
    co_await first;
    const auto end = co_await in.read_line();
    CHECK(!end);
  });
}

TEST_CASE("small pieces are sent as one, by flush or when they would not fit any more") {
  on_every_scheduler([]() -> task<> {
    pieces ch(10);
    buffered_writer out(ch, 10);
    co_await out.write("abc", std::string("de"), std::string_view("f"));
    CHECK(ch.size() == 0);
    CHECK(out.buffered() == "abcdef");
    co_await out.flush();
    co_await out.flush();
    CHECK(ch.size() == 1);
    co_await out.write("0123456789");
    CHECK(ch.size() == 1);
    const std::vector<std::byte> bytes{std::byte{'a'}, std::byte{'b'}};
    co_await out.write(bytes, "c");
    CHECK(ch.size() == 2);
    CHECK(out.buffered().empty());
    co_await out.write(std::string(25, 'x'));
    co_await out.write();
    const auto first = ch.try_recv(), second = ch.try_recv(), third = ch.try_recv(), fourth = ch.try_recv();
    CHECK(first == "abcdef");
    CHECK(second == "0123456789abc");
    CHECK(third == std::string(25, 'x'));
    CHECK(!fourth);
  });
}

TEST_CASE("a flush or a write that is cancelled before anything was sent leaves all as it was") {
  on_every_scheduler([]() -> task<> {
    pieces ch;
    buffered_writer out(ch, 4);
    co_await out.write("abc");
    context stop = context::with_cancel();
    auto cancelling = go([stop]() mutable -> task<> {
      co_await yield();
      stop.cancel();
    });
    auto o = co_await outcome(with_context(stop, out.write("def")));
    CHECK(told(o) == "cancelled");
    o = co_await outcome(with_context(stop, out.flush()));
    CHECK(told(o) == "cancelled");
    auto chosen = co_await select(out.flush(), sleep(0s));
    CHECK(chosen.index() == 1);
    CHECK(out.buffered() == "abc");
    co_await cancelling;
  });
}

TEST_CASE("a text protocol over TCP: lines there and back, by value and by reference") {
  on_real_schedulers([]() -> task<> {
    auto listener = tcp_listener::bind("127.0.0.1:0");
    auto server = go(
        [](tcp_listener& l) -> task<> {
          tcp_stream s = co_await l.accept();
          buffered_reader in(s);
          buffered_writer out(s);
          while (auto line = co_await in.read_line()) {
            co_await out.write("you said: ", *line, "\n");
            if (in.buffered().empty()) co_await out.flush();
          }
          co_await out.flush();
        },
        std::ref(listener));
    auto [from, to] = (co_await tcp_stream::connect(listener.local())).split();
    buffered_reader in(std::move(from));
    buffered_writer out(std::move(to), 1000);
    auto sending = go(
        [](buffered_writer<stream_writer>& o) -> task<> {
          for (int i = 0; i < 500; ++i) co_await o.write("line ", std::to_string(i), "\r\n");
          const auto chosen = co_await select(o.flush(), never());
          CHECK(chosen.index() == 0);
          co_await o.sink().shutdown_send();
        },
        std::ref(out));
    for (int i = 0; i < 500; ++i) {
      const auto line = co_await in.read_line();
      CHECK(line == "you said: line " + std::to_string(i));
    }
    const auto end = co_await in.read_line();
    CHECK(!end);
    co_await sending;
    co_await server;
  });
}

TEST_CASE("lines are received in order however often a deadline interrupts") {
  on_real_schedulers([]() -> task<> {
    auto listener = tcp_listener::bind("127.0.0.1:0");
    auto connecting = go([](tcp_listener& l) -> task<tcp_stream> { co_return co_await tcp_stream::connect(l.local()); },
                         std::ref(listener));
    tcp_stream there = co_await listener.accept();
    tcp_stream here = co_await connecting;
    constexpr int count = 300;
    auto sending = go(
        [](tcp_stream s) -> task<> {
          for (int i = 0; i < count; ++i) {
            const std::string line = "a line, number " + std::to_string(i) + "\n";
            co_await s.send(std::string_view(line).substr(0, 9));
            co_await yield();
            co_await s.send(std::string_view(line).substr(9));
          }
        },
        std::move(there));
    buffered_reader in(std::move(here));
    int next = 0;
    while (next < count) {
      try {
        auto first = co_await select(in.read_line(), sleep(10us));
        if (first.index() == 1) continue;
        CHECK(std::get<0>(first) == "a line, number " + std::to_string(next++));
        const auto line = co_await with_timeout(20us, in.read_line());
        if (next < count) CHECK(line == "a line, number " + std::to_string(next++));
      } catch (const timed_out&) {
      }
    }
    co_await sending;
  });
}
