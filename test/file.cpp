#include <doctest/doctest.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <ringo/file.hpp>
#include <ringo/ringo.hpp>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "error_told.hpp"
#include "folder.hpp"
#include "network.hpp"

using namespace std::chrono_literals;

namespace {

std::string pattern(std::size_t size) {
  std::string text(size, '\0');
  std::uint32_t x = 1;
  for (char& each : text) each = static_cast<char>((x = x * 1664525 + 1013904223) >> 24);
  return text;
}

constexpr ringo::open_options made{.write = true, .create = true};

template <class A>
ringo::task<> awaited(A operation) {
  co_await operation;
}

template <class A>
ringo::task<std::string> what_of(A operation) {
  auto o = co_await ringo::outcome(std::move(operation));
  co_return told(o);
}

}  // namespace

TEST_CASE("what has been written is read at any offset, less at the end, nothing behind it") {
  on_the_network([]() -> ringo::task<> {
    const folder in;
    ringo::file f = co_await ringo::file::open(in / "a", made);
    co_await f.write_at(0, "hello world");
    co_await f.write_at(6, std::string_view("there"));
    char text[32];
    std::size_t n = co_await f.read_at(0, text);
    CHECK(std::string_view(text, n) == "hello there");
    n = co_await f.read_at(9, text);
    CHECK(std::string_view(text, n) == "re");
    n = co_await f.read_at(1000, text);
    CHECK(n == 0);
    n = co_await f.read_at(0, std::span(text).first(4));
    CHECK(std::string_view(text, n) == "hell");
    const std::uint64_t size = co_await f.size();
    CHECK(size == 11);
    co_await f.sync();
    co_await f.sync(false);
    co_await f.close();
  });
}

TEST_CASE("more than fits into one piece is written and read whole") {
  on_the_network([]() -> ringo::task<> {
    const folder in;
    const std::string text = pattern(1'000'003);
    co_await ringo::write_file(in / "much", text);
    const std::string all = co_await ringo::read_file(in / "much");
    CHECK((all == text));
    ringo::file f = co_await ringo::file::open(in / "much");
    std::vector<std::byte> part(600'000);
    const std::size_t n = co_await f.read_at(123'456, part);
    CHECK(n == part.size());
    CHECK(std::memcmp(part.data(), text.data() + 123'456, n) == 0);
    co_await ringo::write_file(in / "much", "short");  // replaces all of it
    const std::string less = co_await ringo::read_file(in / "much");
    CHECK(less == "short");
  });
}

TEST_CASE("a file that tells no size is read to its end") {
  const std::string version =
      ringo::run([]() -> ringo::task<std::string> { co_return co_await ringo::read_file("/proc/self/status"); });
  CHECK(version.find("Name:") == 0);
  CHECK(version.size() > 100);
  CHECK(version.find('\0') == std::string::npos);
}

TEST_CASE("appends of several routines are whole, and none is lost") {
  on_the_network([]() -> ringo::task<> {
    const folder in;
    ringo::file f = co_await ringo::file::open(in / "log", made);
    ringo::group g;
    for (int i = 0; i < 20; ++i) {
      g.go(
          [&f](int id) -> ringo::task<> {
            const std::string line = std::string(100, static_cast<char>('a' + id)) + "\n";
            co_await f.append(line);
          },
          i);
    }
    co_await g.wait();
    const std::string all = co_await ringo::read_file(in / "log");
    CHECK(all.size() == 20 * 101);
    for (int i = 0; i < 20; ++i) {
      CHECK(all.find(std::string(100, static_cast<char>('a' + i)) + "\n") != std::string::npos);
    }
  });
}

TEST_CASE("status, truncation, permissions and adopted descriptors") {
  on_the_network([]() -> ringo::task<> {
    const folder in;
    const std::string path = in / "s";
    ringo::open_options o = made;
    o.permissions = 0600;
    ringo::file f = co_await ringo::file::open(path, o);
    co_await f.write_at(0, "0123456789");
    co_await f.truncate(4);
    const ringo::file_status s = co_await f.status();
    CHECK((s.kind == ringo::file_kind::regular));
    CHECK(s.permissions == 0600);
    CHECK(s.size == 4);
    CHECK((s.modified > std::chrono::sys_days(std::chrono::year(2020) / 1 / 1)));
    co_await f.truncate(6);
    const std::string text = co_await ringo::read_file(path);
    CHECK(text == std::string("0123\0\0", 6));
    const ringo::file_status of_folder = co_await ringo::status_of(in.path());
    CHECK((of_folder.kind == ringo::file_kind::directory));

    const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    ringo::file adopted = ringo::file::adopt(descriptor);
    CHECK(adopted.native_handle() == descriptor);
    const std::uint64_t size = co_await adopted.size();
    CHECK(size == 6);
    co_await adopted.close();
    CHECK(::fcntl(descriptor, F_GETFD) < 0);
  });
}

TEST_CASE("directories are made, listed by name with the kinds of what is in them, and removed") {
  on_the_network([]() -> ringo::task<> {
    const folder in;
    co_await ringo::make_directory(in / "d");
    co_await ringo::write_file(in / "d/b", "1");
    co_await ringo::write_file(in / "d/a", "2");
    co_await ringo::make_directory(in / "d/c", 0700);
    std::filesystem::create_symlink("a", in / "d/e");
    const auto entries = co_await ringo::list_directory(in / "d");
    std::string told_entries;
    for (const auto& each : entries) told_entries += each.name + std::to_string(static_cast<int>(each.kind)) + " ";
    CHECK(told_entries == "a0 b0 c1 e2 ");
    co_await ringo::rename_file(in / "d/b", in / "d/a");  // replaces
    const std::string text = co_await ringo::read_file(in / "d/a");
    CHECK(text == "1");
    co_await ringo::remove_file(in / "d/a");
    co_await ringo::remove_file(in / "d/e");
    co_await ringo::remove_directory(in / "d/c");
    co_await ringo::remove_directory(in / "d");
    CHECK_FALSE(std::filesystem::exists(in / "d"));
  });
}

TEST_CASE("errors say what was being done to what") {
  on_the_network([]() -> ringo::task<> {
    const folder in;
    const std::string none = in / "none";
    const auto check = [](const std::string& got, std::string_view doing, const std::string& to) {
      CHECK(got.find(doing) != std::string::npos);
      CHECK(got.find(to) != std::string::npos);
      CHECK(got.find("No such file") != std::string::npos);
    };
    check(co_await what_of(ringo::file::open(none)), "opening ", none);
    check(co_await what_of(ringo::read_file(none)), "opening ", none);
    check(co_await what_of(ringo::remove_file(none)), "removing ", none);
    check(co_await what_of(ringo::rename_file(none, in / "x")), "renaming ", none);
    check(co_await what_of(ringo::list_directory(none)), "listing ", none);
    check(co_await what_of(ringo::status_of(none)), "status of ", none);
    check(co_await what_of(ringo::make_directory(none + "/x")), "making the directory ", none);

    ringo::file f = co_await ringo::file::open(in / "r", made);
    ringo::open_options again = made;
    again.exclusive = true;
    const std::string there = co_await what_of(ringo::file::open(in / "r", again));
    CHECK(there.find("File exists") != std::string::npos);
    ringo::file reads = co_await ringo::file::open(in / "r");
    const std::string written = co_await what_of(reads.write_at(0, "x"));
    CHECK(written.find("writing") != std::string::npos);
    CHECK(written.find("Bad file descriptor") != std::string::npos);
    char c[1];
    ringo::file directory = co_await ringo::file::open(in.path());
    const std::string read = co_await what_of(directory.read_at(0, c));
    CHECK(read.find("Is a directory") != std::string::npos);
  });
}

TEST_CASE("a full device is an error, and not for ever tried again") {
  const std::string got = ringo::run([]() -> ringo::task<std::string> {
    ringo::open_options o;
    o.write = true;
    ringo::file f = co_await ringo::file::open("/dev/full", o);
    co_return co_await what_of(f.write_at(0, "x"));
  });
  CHECK(got.find("No space left") != std::string::npos);
}

TEST_CASE("misuse of a file is a std::logic_error that says which") {
  CHECK_THROWS_AS((void)ringo::file().sync(), std::logic_error);
  CHECK_THROWS_AS(ringo::file::adopt(-1), std::system_error);
  CHECK_THROWS_AS((void)ringo::file::open(std::string_view("a\0b", 3)), std::invalid_argument);
  CHECK_THROWS_AS((void)ringo::remove_file(std::string_view("a\0b", 3)), std::invalid_argument);
  const auto refused = [](ringo::open_options o) {
    try {
      (void)ringo::file::open("x", o);
    } catch (const std::invalid_argument&) {
      return true;
    }
    return false;
  };
  CHECK(refused({.read = false}));
  CHECK(refused({.create = true}));
  CHECK(refused({.truncate = true}));
  CHECK(refused({.write = true, .exclusive = true}));
  on_the_network([]() -> ringo::task<> {
    const folder in;
    ringo::file f = co_await ringo::file::open(in / "m", made);
    CHECK_THROWS_AS((void)f.write_at(~std::uint64_t{0}, "x"), std::invalid_argument);
    CHECK_THROWS_AS((void)f.truncate(~std::uint64_t{0}), std::invalid_argument);
    auto made_before = f.sync();
    co_await f.close();
    co_await f.close();  // a second does nothing
    const std::string before = co_await what_of(std::move(made_before));
    CHECK(before.find("it has been closed") != std::string::npos);
    const std::string written = co_await what_of(f.write_at(0, "x"));
    CHECK(written.find("it has been closed") != std::string::npos);
    const std::string cut = co_await what_of(f.truncate(0));
    CHECK(cut.find("it has been closed") != std::string::npos);
  });
}

TEST_CASE("reads and writes that are cancelled at any moment harm nothing, and leave no descriptor") {
  const folder in;  // until the runtime has ended: a file may still be made after who asked for it has been cancelled
  on_the_network([&in]() -> ringo::task<> {
    const std::string text = pattern(700'000);
    co_await ringo::write_file(in / "c", text);
    for (int i = 0; i < 30; ++i) {
      std::vector<ringo::handle<void>> handles;
      for (int k = 0; k < 4; ++k) {
        handles.push_back(ringo::go(
            [](std::string path) -> ringo::task<> {
              const std::string whole = co_await ringo::read_file(path);
              co_await ringo::write_file(path + ".copy", whole);
            },
            in / "c"));
      }
      for (int k = 0; k < i % 5; ++k) co_await ringo::yield();
      if (i % 3 == 0) co_await ringo::sleep(100us);
      for (auto& each : handles) each.cancel();
      for (auto& each : handles) co_await each.wait();
    }
    const std::string whole = co_await ringo::read_file(in / "c");
    CHECK((whole == text));
  });
}

TEST_CASE("an open that loses closes what it has opened") {
  on_the_network([]() -> ringo::task<> {
    const folder in;
    co_await ringo::write_file(in / "o", "x");
    co_await ringo::yield();
    for (int i = 0; i < 50; ++i) {
      auto r = co_await ringo::select(ringo::file::open(in / "o"), ringo::sleep(0s));
      CHECK(r.index() < 2);
    }
  });
}

TEST_CASE("a file that is dropped serves what is being done with it to its end") {
  on_the_network([]() -> ringo::task<> {
    const folder in;
    const std::string text = pattern(700'000);
    ringo::file f = co_await ringo::file::open(in / "d", made);
    auto writing = ringo::go(awaited<ringo::detail::one_shot_operation<void>>, f.write_at(0, text));
    f = {};
    co_await writing;
    const std::string all = co_await ringo::read_file(in / "d");
    CHECK((all == text));
  });
}

TEST_CASE("a close waits for what is being done, and ends what would be begun after it") {
  on_the_network([]() -> ringo::task<> {
    const folder in;
    const std::string text = pattern(700'000);  // three pieces
    for (int yields = 0; yields < 10; ++yields) {
      ringo::file f = co_await ringo::file::open(in / "d", made);
      co_await f.truncate(0);
      auto writing = ringo::go(awaited<ringo::detail::one_shot_operation<void>>, f.write_at(0, text));
      for (int i = 0; i < yields; ++i) co_await ringo::yield();
      co_await f.close();
      const ringo::outcome_of<void> o = co_await ringo::outcome(writing.join());
      const std::string all = co_await ringo::read_file(in / "d");
      if (o.has_value()) {
        CHECK((all == text));
      } else {
        CHECK(told(o).find("it has been closed") != std::string::npos);
        CHECK(all.size() % (256 * 1024) == 0);
        CHECK((text.compare(0, all.size(), all) == 0));
      }
    }
  });
}

TEST_CASE("every call of files is awaited by name, once, and is a case of a select by name") {
  on_the_network([]() -> ringo::task<> {
    const folder in;
    const ringo::file f = co_await ringo::file::open(in / "a", made);
    char text[4];
    const auto by_name = [](auto make) -> ringo::task<> {
      auto alone = make();
      co_await alone;
      CHECK_THROWS_AS((void)co_await alone, std::logic_error);
      auto as_case = make();
      const auto won = co_await ringo::select(as_case, ringo::never());
      CHECK(won.index() == 0);
    };
    co_await by_name([&] { return f.write_at(0, "text"); });
    co_await by_name([&] { return f.append("more"); });
    co_await by_name([&] { return f.read_at(0, text); });
    co_await by_name([&] { return f.size(); });
    co_await by_name([&] { return f.status(); });
    co_await by_name([&] { return f.sync(); });
    co_await by_name([&] { return f.truncate(1); });
    const ringo::file_reader from = f.reader();
    co_await by_name([&] { return from.recv(); });
    ringo::file_writer to = f.writer();
    co_await by_name([&] { return to.send("text"); });
    int made_directories = 0, removed = 0;
    co_await by_name([&] { return ringo::make_directory(in / std::to_string(made_directories++)); });
    co_await by_name([&] { return ringo::remove_directory(in / std::to_string(removed++)); });
    co_await by_name([&] { return ringo::list_directory(in / "."); });
    co_await by_name([&] { return ringo::write_file(in / "b", "text"); });
    co_await by_name([&] { return ringo::read_file(in / "b"); });
    co_await by_name([&] { return ringo::status_of(in / "b"); });
  });
}

TEST_CASE("a read or a write that has lost a select goes on from there when it is awaited again") {
  on_the_network([]() -> ringo::task<> {
    const folder in;
    const std::string text = pattern(3'000'003);
    const ringo::file f = co_await ringo::file::open(in / "a", made);
    const auto until_it_wins = [](auto& op) -> ringo::task<> {
      for (;;) {
        const auto won = co_await ringo::select(op, ringo::sleep(1us));
        if (won.index() == 0) co_return;
      }
    };
    auto writing = f.write_at(0, text);
    co_await until_it_wins(writing);
    std::string all(text.size(), ' ');
    auto reading = f.read_at(0, all);
    co_await until_it_wins(reading);
    CHECK((all == text));
  });
}

TEST_CASE("a simulation has no files") {
  int refused = 0;
  ringo::testing::simulate({}, [&]() -> ringo::task<> {
    const auto refuses = [&](auto operation) -> ringo::task<> {
      try {
        co_await std::move(operation);
      } catch (const std::logic_error&) {
        ++refused;
      }
    };
    co_await refuses(ringo::file::open("x"));
    co_await refuses(ringo::list_directory("/"));
    co_await refuses(ringo::make_directory("/ringo"));
    co_await refuses(ringo::read_file("/etc/passwd"));
  });
  CHECK(refused == 4);
}
