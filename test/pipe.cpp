#include <doctest/doctest.h>

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <ringo/ringo.hpp>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "error_told.hpp"
#include "network.hpp"
#include "running_child.hpp"
#include "states.hpp"

using namespace std::chrono_literals;

namespace {

ringo::task<std::string> read_to_end(ringo::pipe_reader from) {
  std::string all;
  while (auto c = co_await from.recv()) all += c->text();
  co_return all;
}

std::string pattern(std::size_t size) {
  std::string text(size, '\0');
  std::uint32_t x = 1;
  for (char& each : text) each = static_cast<char>((x = x * 1664525 + 1013904223) >> 24);
  return text;
}

}  // namespace

TEST_CASE("what is sent into a pipe comes out in order, and its end when the writer has gone") {
  on_the_network([]() -> ringo::task<> {
    const std::string text = pattern(1 << 20);  // more than the pipe holds
    ringo::pipe_pair p;
    auto reading = ringo::go(read_to_end, std::move(p.reader));
    co_await p.writer.send(std::string_view(text).substr(0, 10));
    co_await p.writer.send(std::string_view(text).substr(10));
    p.writer = {};
    const std::string got = co_await reading;
    CHECK((got == text));
  });
}

TEST_CASE("a reader waits for bytes, loses a select without losing any, and can be cancelled") {
  on_the_network([]() -> ringo::task<> {
    ringo::pipe_pair p;
    for (int i = 0; i < 100; ++i) {
      std::string sent = std::to_string(i) + ";", got;
      auto none = co_await ringo::select(p.reader.recv(), ringo::sleep(0s));
      CHECK(none.index() == 1);
      co_await p.writer.send(sent);
      while (got.size() < sent.size()) {
        auto r = co_await ringo::select(p.reader.recv(), ringo::sleep(10us));
        if (r.index() == 0) got += std::get<0>(r)->text();
      }
      CHECK(got == sent);
    }
    auto reading = ringo::go(read_to_end, std::move(p.reader));
    co_await ringo::yield();
    reading.cancel();
    const ringo::outcome_of<std::string> o = co_await ringo::outcome(reading.join());
    CHECK(told(o) == "cancelled");
  });
}

TEST_CASE("a send into a pipe that nobody reads any more throws disconnected, and the process lives on") {
  const child_end end = run_in_a_child([] {
    ::signal(SIGPIPE, SIG_DFL);
    int caught = 0;
    for (unsigned workers : {1u, 3u}) {
      ringo::runtime_options o;
      o.workers = workers;
      ringo::run(
          [&]() -> ringo::task<> {
            ringo::pipe_pair p;
            co_await p.reader.close();
            try {
              co_await p.writer.send("x");
            } catch (const ringo::disconnected& e) {
              caught += e.code() == std::errc::broken_pipe;
            }
          },
          o);
    }
    // The thread is as it was: a write of its own ends the process.
    sigset_t now;
    ::pthread_sigmask(SIG_SETMASK, nullptr, &now);
    if (caught != 2 || ::sigismember(&now, SIGPIPE) != 0) return 1;
    int ends[2];
    if (::pipe(ends) != 0) return 2;
    ::close(ends[0]);
    return static_cast<int>(::write(ends[1], "x", 1)) + 4;
  });
  CHECK_FALSE(end.exited);
  CHECK((end.status == SIGPIPE));
}

TEST_CASE("a mask that the caller of run has set stays") {
  sigset_t pipe, before, after;
  ::sigemptyset(&pipe);
  ::sigaddset(&pipe, SIGPIPE);
  ::pthread_sigmask(SIG_BLOCK, &pipe, &before);
  ringo::run([]() -> ringo::task<> { co_return; });
  ::pthread_sigmask(SIG_SETMASK, &before, &after);
  CHECK(::sigismember(&after, SIGPIPE) == 1);
}

TEST_CASE("a cancelled send cuts the stream short, and later sends say so") {
  on_the_network([]() -> ringo::task<> {
    ringo::pipe_pair p;
    const std::string much = pattern(1 << 20);
    auto sends =
        ringo::go([](ringo::pipe_writer& to, const std::string& text) -> ringo::task<> { co_await to.send(text); },
                  std::ref(p.writer), std::cref(much));
    co_await ringo::readable(p.reader.native_handle());  // it has begun
    sends.cancel();
    const ringo::outcome_of<void> o = co_await ringo::outcome(sends.join());
    CHECK_FALSE(o.has_value());
    const ringo::outcome_of<void> later = co_await ringo::outcome(p.writer.send("y"));
    CHECK(told(later).find("cancelled") != std::string::npos);
  });
}

TEST_CASE("read and read_exactly take what they are asked for") {
  on_the_network([]() -> ringo::task<> {
    ringo::pipe_pair p;
    co_await p.writer.send("abcdefg");
    char three[3], four[4];
    co_await p.reader.read_exactly(three);
    const std::size_t rest = co_await p.reader.read(four);
    CHECK(std::string_view(three, 3) == "abc");
    CHECK(std::string_view(four, rest) == "defg");
    co_await p.writer.close();
    const std::size_t none = co_await p.reader.read(four);
    CHECK(none == 0);
    const ringo::outcome_of<void> o = co_await ringo::outcome(p.reader.read_exactly(four));
    CHECK(told(o).find("ended before") != std::string::npos);
  });
}

TEST_CASE("an adopted descriptor that would not wait does, and belongs to its stream") {
  on_the_network([]() -> ringo::task<> {
    int ends[2];
    REQUIRE(::pipe2(ends, O_NONBLOCK | O_CLOEXEC) == 0);
    auto reader = ringo::pipe_reader::adopt(ends[0]);
    auto writer = ringo::pipe_writer::adopt(ends[1]);
    auto late = ringo::go(
        [](ringo::pipe_writer w) -> ringo::task<> {
          co_await until_parked("waits for bytes from");
          co_await w.send("late");
        },
        std::move(writer));
    auto c = co_await reader.recv();
    CHECK(c->text() == "late");
    co_await late;
    co_await reader.close();
  });
}

TEST_CASE("what cannot be written although it is said to be writable is tried again without end, but not in a loop") {
  on_the_network([]() -> ringo::task<> {
    // Room for one more, so writable; no room for what is to be added.
    const int counter = ::eventfd(1, EFD_CLOEXEC);
    REQUIRE(counter >= 0);
    const ringo::pipe_writer out = ringo::pipe_writer::adopt(counter);
    REQUIRE(::fcntl(counter, F_SETFL, O_RDWR | O_NONBLOCK) == 0);
    const std::uint64_t most = ~std::uint64_t{0} - 1;
    auto sends = ringo::go([](const ringo::pipe_writer& to,
                              std::uint64_t n) -> ringo::task<> { co_await to.send(std::as_bytes(std::span(&n, 1))); },
                           std::cref(out), most);
    const auto cpu_time = [] {
      rusage used{};
      ::getrusage(RUSAGE_SELF, &used);
      return std::chrono::seconds(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
             std::chrono::microseconds(used.ru_utime.tv_usec + used.ru_stime.tv_usec);
    };
    const auto before = cpu_time();
    co_await ringo::sleep(300ms);
    CHECK_FALSE(sends.is_done());
    CHECK(cpu_time() - before < 150ms);  // a loop takes all of it
    std::uint64_t count = 0;
    CHECK(::read(counter, &count, sizeof count) == sizeof count);
    co_await sends;
    CHECK(::read(counter, &count, sizeof count) == sizeof count);
    CHECK(count == most);
  });
}

TEST_CASE("a terminal is read line by line, and a reader that has lost a select loses nothing") {
  on_the_network([]() -> ringo::task<> {
    const int keyboard = ::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    REQUIRE(keyboard >= 0);
    REQUIRE(::grantpt(keyboard) == 0);
    REQUIRE(::unlockpt(keyboard) == 0);
    const int terminal = ::open(::ptsname(keyboard), O_RDWR | O_NOCTTY | O_CLOEXEC);
    REQUIRE(terminal >= 0);
    auto reader = ringo::pipe_reader::adopt(terminal);
    for (int i = 0; i < 5; ++i) {
      auto none = co_await ringo::select(reader.recv(), ringo::sleep(200us));
      CHECK(none.index() == 1);
    }
    for (const std::string line : {"one\n", "two\n"}) {
      CHECK(::write(keyboard, line.data(), line.size()) == 4);
      auto c = co_await reader.recv();
      CHECK(c->text() == line);
    }
    auto waits = ringo::go([](ringo::pipe_reader& from) -> ringo::task<> { co_await from.recv(); }, std::ref(reader));
    co_await until_parked("waits for bytes from");
    waits.cancel();
    co_await waits.wait();
    co_await reader.close();
    ::close(keyboard);
  });
}

TEST_CASE("what cannot be adopted is refused, says why, and stays the caller's") {
  int ends[2];
  REQUIRE(::pipe(ends) == 0);
  const auto why = [](auto adopt) -> std::string {
    try {
      adopt();
    } catch (const std::system_error& e) {
      return e.what();
    }
    return "nothing";
  };
  CHECK(why([&] { ringo::pipe_reader::adopt(ends[1]); }).find("not for reading") != std::string::npos);
  CHECK(why([&] { ringo::pipe_writer::adopt(ends[0]); }).find("not for writing") != std::string::npos);
  CHECK(why([&] { ringo::pipe_reader::adopt(-1); }).find("descriptor -1") != std::string::npos);
  CHECK(::fcntl(ends[0], F_GETFD) >= 0);
  CHECK(::fcntl(ends[1], F_GETFD) >= 0);
  ::close(ends[0]);
  ::close(ends[1]);
}

TEST_CASE("the standard streams are the process' own, and stay open when a handle of one goes") {
  const child_end end = run_in_a_child([] {
    int in[2], out[2];
    if (::pipe(in) != 0 || ::pipe(out) != 0) return 1;
    ::dup2(in[0], STDIN_FILENO);
    ::dup2(out[1], STDOUT_FILENO);
    if (::write(in[1], "three", 5) != 5) return 2;
    ::close(in[1]);
    ringo::run([]() -> ringo::task<> {
      const std::string got = co_await read_to_end(ringo::standard_input());
      auto output = ringo::standard_output();
      co_await output.send(got);
      co_await output.close();
      auto errors = ringo::standard_error();
      co_await errors.send("to errors");
    });
    char back[16];
    if (::read(out[0], back, sizeof back) != 5 || std::string_view(back, 5) != "three") return 3;
    for (int each : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
      if (::fcntl(each, F_GETFD) < 0) return 4;
    }
    return 0;
  });
  CHECK(end.exited);
  CHECK((end.status == 0));
  CHECK(end.errors == "to errors");
}

TEST_CASE("a file as standard input is read to its end") {
  const child_end end = run_in_a_child([] {
    const int file = ::fileno(std::tmpfile());
    const std::string text = pattern(300'000);
    if (::write(file, text.data(), text.size()) != static_cast<ssize_t>(text.size())) return 1;
    ::lseek(file, 0, SEEK_SET);
    ::dup2(file, STDIN_FILENO);
    const std::string got =
        ringo::run([]() -> ringo::task<std::string> { co_return co_await read_to_end(ringo::standard_input()); });
    return got == text ? 0 : 2;
  });
  CHECK(end.exited);
  CHECK((end.status == 0));
}

TEST_CASE("a simulation has no pipes") {
  bool refused = false;
  ringo::testing::simulate({}, [&]() -> ringo::task<> {
    try {
      ringo::pipe_pair p;
      co_await p.reader.recv();
    } catch (const std::logic_error&) {
      refused = true;
    }
  });
  CHECK(refused);
}
