// A file as a source of bytes and as a sink: reader, writer, lines.
#include <doctest/doctest.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <ringo/file.hpp>
#include <ringo/pipe.hpp>
#include <ringo/ringo.hpp>
#include <ringo/unix.hpp>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "error_told.hpp"
#include "folder.hpp"
#include "network.hpp"
#include "states.hpp"

using namespace std::chrono_literals;

namespace {

std::string numbers(int from, int to) {
  std::string text;
  for (int i = from; i < to; ++i) text += std::to_string(i) + "\n";
  return text;
}

constexpr ringo::open_options made{.write = true, .create = true};

template <class A>
ringo::task<std::string> what_of(A operation) {
  auto o = co_await ringo::outcome(std::move(operation));
  co_return told(o);
}

template <class Source>
ringo::task<std::string> all_lines(Source& from) {
  std::string all;
  while (auto line = co_await from.recv()) all += *line + "\n";
  co_return all;
}

}  // namespace

static_assert(ringo::byte_source<ringo::file_reader> && ringo::byte_source<ringo::tcp_stream> &&
              ringo::byte_source<ringo::pipe_reader> && ringo::byte_source<ringo::unix_stream> &&
              ringo::byte_source<ringo::receiver<std::string>> && ringo::byte_source<ringo::channel<std::string>>);
static_assert(ringo::byte_sink<ringo::file_writer> && ringo::byte_sink<ringo::stream_writer> &&
              ringo::byte_sink<ringo::pipe_writer> && ringo::byte_sink<ringo::sender<std::string>>);
static_assert(!ringo::byte_source<ringo::file> && !ringo::byte_source<ringo::channel<int>> &&
              !ringo::byte_source<int> && !ringo::byte_sink<ringo::file> && !ringo::byte_sink<ringo::sender<int>>);
static_assert(!std::is_copy_constructible_v<ringo::file_reader> && !std::is_copy_constructible_v<ringo::file_writer>);

TEST_CASE("a file is read line by line, from its start or from a position") {
  on_the_network([]() -> ringo::task<> {
    const folder in;
    const std::string text = numbers(0, 50'000);
    co_await ringo::write_file(in / "f", text);
    const ringo::file f = co_await ringo::file::open(in / "f");
    ringo::buffered_reader whole(f);
    auto lines = whole.lines();
    const std::string all = co_await all_lines(lines);
    CHECK((all == text));
    ringo::file_reader part = f.reader(text.size() - 6);
    CHECK(part.position() == text.size() - 6);
    ringo::buffered_reader rest(part);
    auto last = co_await rest.read_line();
    CHECK(last == "49999");
    CHECK(part.position() == text.size());
    auto end = co_await rest.read_line();
    CHECK_FALSE(end.has_value());
  });
}

TEST_CASE("a reader keeps its file open, yields the end each time, and then what has been written behind it") {
  on_the_network([]() -> ringo::task<> {
    const folder in;
    ringo::file_reader reader = co_await [](std::string path) -> ringo::task<ringo::file_reader> {
      co_await ringo::write_file(path, "first");
      const ringo::file f = co_await ringo::file::open(path);
      co_return f.reader();
    }(in / "f");
    auto first = co_await reader.recv();
    REQUIRE(first.has_value());
    CHECK(first->text() == "first");
    for (int i = 0; i < 2; ++i) {
      auto end = co_await reader.recv();
      CHECK_FALSE(end.has_value());
    }
    const ringo::file same = co_await ringo::file::open(in / "f", made);
    co_await same.append("second");
    auto second = co_await reader.recv();
    REQUIRE(second.has_value());
    CHECK(second->text() == "second");
  });
}

TEST_CASE("lines(path) is the first stage of a pipeline") {
  on_the_network([]() -> ringo::task<> {
    const folder in;
    co_await ringo::write_file(in / "f", numbers(0, 3000) + "end");
    auto lengths = ringo::map(ringo::lines(in / "f"), 3, [](std::string line) { return line.size(); });
    std::size_t sum = 0, count = 0;
    while (auto length = co_await lengths.recv()) {
      sum += *length;
      ++count;
    }
    CHECK(count == 3001);
    CHECK(sum == 10 + 90 * 2 + 900 * 3 + 2000 * 4 + 3);
    {
      auto abandoned = ringo::lines(in / "f");
      auto zero = co_await abandoned.recv();
      CHECK(zero == "0");
    }
    const std::string missing = co_await what_of(ringo::lines(in / "none").recv());
    CHECK(missing.find("opening") != std::string::npos);
    CHECK(missing.find("No such file") != std::string::npos);
    auto narrow = ringo::lines(in / "f", 3);
    std::string got = co_await what_of([](ringo::receiver<std::string> from) -> ringo::task<> {
      for (int i = 0; i < 1000; ++i) co_await from.recv();
      co_await from.recv();
    }(narrow));
    CHECK(got.find("more than 3 bytes") != std::string::npos);
    CHECK_THROWS_AS((void)ringo::lines(std::string_view("a\0b", 3)), std::invalid_argument);
  });
}

TEST_CASE("reads of a file that lose a select or are cancelled take nothing") {
  on_the_network([]() -> ringo::task<> {
    const folder in;
    const std::string text = numbers(0, 200'000);  // some twenty pieces
    co_await ringo::write_file(in / "f", text);
    const ringo::file f = co_await ringo::file::open(in / "f");
    ringo::file_reader reader = f.reader();
    std::string all;
    for (int i = 0;; ++i) {
      CHECK(reader.position() == all.size());
      std::optional<ringo::chunk> got;
      if (i % 4 == 0) {  // the other is ready, too
        ringo::channel<int> one(1);
        co_await one.send(1);
        auto r = co_await ringo::select(reader.recv(), one.recv());
        if (r.index() != 0) continue;
        got = std::move(std::get<0>(r));
      } else if (i % 4 == 1) {
        auto r = co_await ringo::select(reader.recv(), ringo::sleep(10us));
        if (r.index() != 0) continue;
        got = std::move(std::get<0>(r));
      } else if (i % 4 == 2) {
        const bool has_won = co_await [](ringo::file_reader& from, std::string& to) -> ringo::task<bool> {
          auto reads = ringo::go(
              [](ringo::file_reader& source, std::string& into) -> ringo::task<> {
                auto piece = co_await source.recv();
                if (piece) into += piece->text();
              },
              std::ref(from), std::ref(to));
          co_await ringo::yield();
          reads.cancel();
          auto o = co_await ringo::outcome(reads.join());
          co_return o.has_value();
        }(reader, all);
        CHECK((has_won || reader.position() == all.size()));
        continue;
      } else {
        got = co_await reader.recv();
      }
      if (!got) break;
      all += got->text();
    }
    CHECK((all == text));
  });
}

TEST_CASE("what a read that has lost took from a FIFO comes with the next") {
  on_the_network([]() -> ringo::task<> {
    const folder in;
    REQUIRE(::mkfifo((in / "fifo").c_str(), 0600) == 0);
    const int both = ::open((in / "fifo").c_str(), O_RDWR | O_CLOEXEC);
    REQUIRE(both >= 0);
    const ringo::file f = ringo::file::adopt(both);
    ringo::file_reader reader = f.reader();
    std::string sent, all;
    for (int i = 0; i < 200; ++i) {
      const std::string each = std::to_string(i) + ",";
      auto r = co_await ringo::select(reader.recv(), ringo::on(ringo::sleep(i % 3 * 10us), [&] {
                                        CHECK(::write(both, each.data(), each.size()) > 0);
                                        sent += each;
                                      }));
      if (r.index() == 0) all += std::get<0>(r)->text();
    }
    while (all.size() < sent.size()) {
      auto got = co_await reader.recv();
      all += got->text();
    }
    CHECK((all == sent));
  });
}

TEST_CASE("a writer appends, or writes from a position on") {
  on_the_network([]() -> ringo::task<> {
    const folder in;
    const ringo::file f = co_await ringo::file::open(in / "f", made);
    ringo::file_writer end = f.writer();
    co_await end.send("0123456789");
    co_await f.append("abc");
    co_await end.send(std::string("def"));
    ringo::file_writer at = f.writer(2);
    co_await at.send("--");
    const std::vector<char> plus(2, '+');
    co_await at.send(plus);
    const std::string all = co_await ringo::read_file(in / "f");
    CHECK(all == "01--++6789abcdef");
    ringo::buffered_writer out(f);
    for (int i = 0; i < 1000; ++i) co_await out.write("line ", std::to_string(i), "\n");
    co_await out.flush();
    auto lines = ringo::lines(in / "f");
    auto first = co_await lines.recv();
    CHECK(first == "01--++6789abcdefline 0");
    int count = 1;
    while (co_await lines.recv()) ++count;
    CHECK(count == 1000);
  });
}

TEST_CASE("a send that is cut short makes later ones throw") {
  on_the_network([]() -> ringo::task<> {
    int ends[2];
    REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
    const ringo::file f = ringo::file::adopt(ends[1]);
    const std::string much(3'000'000, 'x');  // more than the pipe holds
    ringo::file_writer w = f.writer();
    auto sends = ringo::go([&] { return w.send(much); });
    co_await ringo::readable(ends[0]);
    sends.cancel();
    co_await sends.wait();
    const std::string later = co_await what_of(w.send("y"));
    CHECK(later.find("cut short") != std::string::npos);
    ::close(ends[0]);
    const int full = ::open("/dev/full", O_WRONLY | O_CLOEXEC);
    REQUIRE(full >= 0);
    ringo::file_writer none = ringo::file::adopt(full).writer(0);
    const std::string first = co_await what_of(none.send("y"));
    CHECK(first.find("No space left") != std::string::npos);
    const std::string second = co_await what_of(none.send("y"));
    CHECK(second.find("cut short") != std::string::npos);
  });
}

TEST_CASE("a descriptor that was opened to append refuses an offset, and appends") {
  on_the_network([]() -> ringo::task<> {
    const folder in;
    co_await ringo::write_file(in / "f", "0123456789");
    const int descriptor = ::open((in / "f").c_str(), O_RDWR | O_APPEND | O_CLOEXEC);
    REQUIRE(descriptor >= 0);
    const ringo::file f = ringo::file::adopt(descriptor);
    CHECK_THROWS_AS((void)f.write_at(2, "xx"), std::logic_error);
    ringo::file_writer at = f.writer(2);
    const std::string refused =
        co_await what_of([](ringo::file_writer& w) -> ringo::task<> { co_await w.send("xx"); }(at));
    CHECK(refused.find("O_APPEND") != std::string::npos);
    co_await f.append("ab");
    ringo::file_writer end = f.writer();
    co_await end.send("cd");
    const std::string all = co_await ringo::read_file(in / "f");
    CHECK(all == "0123456789abcd");
  });
}

TEST_CASE("a descriptor that would not wait does as a file, too") {
  on_the_network([]() -> ringo::task<> {
    int ends[2];
    REQUIRE(::pipe2(ends, O_CLOEXEC | O_NONBLOCK) == 0);
    const ringo::file f = ringo::file::adopt(ends[0]);
    ringo::file_reader reader = f.reader();
    auto reads = ringo::go(
        [](ringo::file_reader& from) -> ringo::task<std::string> {
          auto got = co_await from.recv();
          co_return std::string(got->text());
        },
        std::ref(reader));
    co_await until_parked("waits for reading");
    CHECK_FALSE(reads.is_done());
    CHECK(::write(ends[1], "x", 1) == 1);
    const std::string got = co_await reads;
    CHECK(got == "x");
    // Of what does not wait although it was made to, the read is tried again.
    CHECK(::fcntl(ends[0], F_SETFL, O_NONBLOCK) == 0);
    auto again = ringo::go(
        [](ringo::file_reader& from) -> ringo::task<std::string> {
          auto read = co_await from.recv();
          co_return std::string(read->text());
        },
        std::ref(reader));
    co_await until_parked("waits for reading");
    CHECK(::write(ends[1], "y", 1) == 1);
    const std::string other = co_await again;
    CHECK(other == "y");
    ::close(ends[1]);
  });
}

TEST_CASE("two that use one reader or writer at a time are told so") {
  on_the_network([]() -> ringo::task<> {
    int ends[2];
    REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
    const ringo::file f = ringo::file::adopt(ends[0]);
    ringo::file_reader reader = f.reader();
    auto waits = ringo::go([](ringo::file_reader& from) -> ringo::task<> { co_await from.recv(); }, std::ref(reader));
    co_await until_parked("waits for reading");
    const std::string second = co_await what_of(reader.recv());
    CHECK(second.find("another routine") != std::string::npos);
    waits.cancel();
    co_await waits.wait();
    ::close(ends[1]);
    CHECK_THROWS_AS((void)ringo::file().reader(), std::logic_error);
    CHECK_THROWS_AS((void)ringo::file().writer(), std::logic_error);
    CHECK_THROWS_AS((void)f.reader(~std::uint64_t{0}), std::invalid_argument);
    ringo::file_reader moved = std::move(reader);
    CHECK_THROWS_AS((void)reader.recv(), std::logic_error);
  });
}
