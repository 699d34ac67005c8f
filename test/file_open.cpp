// Opening what has to be waited for: FIFOs, and files that another has a lease of.
#include <doctest/doctest.h>

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <ringo/file.hpp>
#include <ringo/ringo.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "folder.hpp"
#include "network.hpp"

using namespace std::chrono_literals;

namespace {

constexpr ringo::open_options for_writing{.read = false, .write = true};
constexpr ringo::open_options made{.read = false, .write = true, .create = true};

ringo::task<ringo::file> open_file(std::string path, ringo::open_options o) {
  co_return co_await ringo::file::open(path, o);
}

std::string first_bytes(const std::filesystem::path& of) {
  char text[64] = {};
  const int number = ::open(of.c_str(), O_RDONLY | O_CLOEXEC);
  if (number < 0) return {};
  const ssize_t size = ::read(number, text, sizeof text);
  ::close(number);
  return {text, static_cast<std::size_t>(std::max<ssize_t>(size, 0))};
}

// Returns when so many threads wait for the other side of a FIFO: io_uring's, or those of the epoll driver.
ringo::task<> until_waiting(std::size_t count) {
  for (;;) {
    std::size_t waiting = 0;
    for (const auto& thread : std::filesystem::directory_iterator("/proc/self/task")) {
      const std::string name = first_bytes(thread.path() / "comm");
      if (name.starts_with("iou-wrk") ||
          (name.starts_with("ringo files") &&
           first_bytes(thread.path() / "syscall").starts_with(std::to_string(SYS_openat) + " "))) {
        ++waiting;
      }
    }
    if (waiting >= count) co_return;
    co_await ringo::sleep(1ms);
  }
}

}  // namespace

TEST_CASE("the reader of a FIFO waits for a writer, and the writer for a reader") {
  on_the_network([]() -> ringo::task<> {
    const folder in;
    for (const bool reader_first : {true, false}) {
      for (const ringo::open_options& writing : {for_writing, made}) {
        const std::string path = in.fifo(std::to_string(reader_first) + std::to_string(writing.create));
        auto first = ringo::go(open_file, path, reader_first ? ringo::open_options() : writing);
        co_await until_waiting(1);
        CHECK_FALSE(first.is_done());
        ringo::file second = co_await ringo::file::open(path, reader_first ? writing : ringo::open_options());
        ringo::file other = co_await first;
        ringo::file& from = reader_first ? other : second;
        ringo::file& to = reader_first ? second : other;
        co_await to.append("hello");
        char text[5];
        const std::size_t got = co_await from.read_at(0, text);
        CHECK(std::string_view(text, got) == "hello");
      }
    }
  });
}

TEST_CASE("a FIFO is read and written as a whole file is") {
  on_the_network([]() -> ringo::task<> {
    const folder in;
    const std::string path = in.fifo("f"), text(300'000, 'x');
    auto reads = ringo::go([&path] { return ringo::read_file(path); });
    co_await ringo::write_file(path, text);
    const std::string all = co_await reads;
    CHECK((all == text));
    auto lines = ringo::lines(path);
    co_await ringo::write_file(path, "one\ntwo\n");
    auto one = co_await lines.recv();
    CHECK(one == "one");
    auto two = co_await lines.recv();
    CHECK(two == "two");
    auto end = co_await lines.recv();
    CHECK_FALSE(end.has_value());
  });
}

TEST_CASE("an open that waits loses a select, is cancelled, and may be awaited again") {
  on_the_network([]() -> ringo::task<> {
    const folder in;
    const std::string path = in.fifo("f");
    // The kernel may still be ending an open that has lost. A writer of the same FIFO would meet that reader, and both
    // opens would succeed. So the writers that have to wait open a FIFO without a reader.
    const std::string unread = in.fifo("g");
    auto opening = ringo::file::open(path);
    for (int i = 0; i < 3; ++i) {
      auto r = co_await ringo::select(opening, ringo::sleep(1ms));
      CHECK(r.index() == 1);
    }
    auto h = ringo::go(open_file, unread, for_writing);
    co_await ringo::yield();
    h.cancel();
    co_await h.wait();
    auto late = ringo::go(open_file, unread, for_writing);
    co_await until_waiting(1);
    late.cancel();
    auto o = co_await ringo::outcome(late.join());
    CHECK_FALSE(o.has_value());
    auto writes = ringo::go(open_file, path, for_writing);
    const ringo::file reader = co_await opening;
    const ringo::file writer = co_await writes;
    CHECK(static_cast<bool>(reader));
  });
}

TEST_CASE("many opens that wait hold up no other file") {
  on_the_network([]() -> ringo::task<> {
    const folder in;
    constexpr int count = 60;
    std::vector<std::string> paths;
    std::vector<ringo::handle<ringo::file>> readers;
    for (int i = 0; i < count; ++i) {
      paths.push_back(in.fifo(std::to_string(i)));
      readers.push_back(ringo::go(open_file, paths.back(), ringo::open_options()));
    }
    co_await until_waiting(count);
    co_await ringo::write_file(in / "other", "text");
    const std::string text = co_await ringo::read_file(in / "other");
    CHECK(text == "text");
    for (int i = 0; i < count; ++i) {
      const ringo::file writer = co_await ringo::file::open(paths[static_cast<std::size_t>(i)], for_writing);
      const ringo::file reader = co_await readers[static_cast<std::size_t>(i)];
      CHECK(static_cast<bool>(reader));
    }
  });
}

TEST_CASE("a runtime ends though an open waits") {
  const folder in;
  const std::string path = in.fifo("f");
  on_the_network([&path]() -> ringo::task<> {
    ringo::go([](std::string at) -> ringo::task<> { co_await ringo::file::open(at); }, path);
    co_await until_waiting(1);
  });
  CHECK(::open(path.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC) == -1);
  CHECK(errno == ENXIO);  // no reader waits any more
}

TEST_CASE("a file that another has a lease of is opened when that has let go") {
  on_the_network([]() -> ringo::task<> {
    const folder in;
    const std::string path = in / "leased";
    co_await ringo::write_file(path, "x");
    const int holder = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    REQUIRE(holder >= 0);
    ::signal(SIGIO, SIG_IGN);
    if (::fcntl(holder, F_SETLEASE, F_RDLCK) != 0) {
      ::close(holder);
      co_return;  // not every file system has them
    }
    auto opens = ringo::go(open_file, path, for_writing);
    co_await until_waiting(1);
    CHECK_FALSE(opens.is_done());
    CHECK(::fcntl(holder, F_SETLEASE, F_UNLCK) == 0);
    const ringo::file f = co_await opens;
    CHECK(static_cast<bool>(f));
    ::close(holder);
  });
}

TEST_CASE("devices and links to them are opened, and what is not there says so") {
  on_the_network([]() -> ringo::task<> {
    const folder in;
    REQUIRE(::symlink("/dev/zero", (in / "link").c_str()) == 0);
    const ringo::file zero = co_await ringo::file::open(in / "link");
    char byte[1] = {'x'};
    const std::size_t got = co_await zero.read_at(0, byte);
    CHECK(got == 1);
    CHECK(byte[0] == '\0');
    REQUIRE(::symlink("nowhere", (in / "dangling").c_str()) == 0);
    for (const char* name : {"none", "dangling", "none/below"}) {
      auto o = co_await ringo::outcome(ringo::file::open(in / name));
      CHECK_FALSE(o.has_value());
    }
    const ringo::file through = co_await ringo::file::open(in / "dangling", made);
    CHECK(std::filesystem::exists(in / "nowhere"));
  });
}
