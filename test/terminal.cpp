// Terminals: a write waits in the kernel until all of its bytes have room, though the terminal says that it is ready.
#include <doctest/doctest.h>

#include <pty.h>
#include <termios.h>
#include <unistd.h>
#include <chrono>
#include <cstdlib>
#include <ringo/file.hpp>
#include <ringo/pipe.hpp>
#include <ringo/ringo.hpp>
#include <string>
#include <utility>

#include "network.hpp"
#include "reached.hpp"
#include "states.hpp"

using namespace std::chrono_literals;

namespace {

// The two ends of a terminal that passes bytes on as they are.
struct terminal {
  terminal() {
    char path[256];
    if (::openpty(&master, &slave, path, nullptr, nullptr) != 0) std::abort();
    termios how{};
    ::tcgetattr(slave, &how);
    ::cfmakeraw(&how);
    ::tcsetattr(slave, TCSANOW, &how);
    name = path;
  }
  int master = -1, slave = -1;
  std::string name;
};

std::string many_bytes() {
  std::string text(300'000, ' ');  // a terminal holds some kilobytes
  for (std::size_t i = 0; i < text.size(); ++i) text[i] = static_cast<char>(i * 2654435761u >> 13);
  return text;
}

// Bytes pass through a pipe meanwhile, so the worker is not held up.
ringo::task<> do_something_else() {
  ringo::pipe_pair p;
  for (int i = 0; i < 20; ++i) {
    co_await p.writer.send("x");
    (void)co_await p.reader.recv();
  }
  co_await ringo::sleep(1ms);
}

ringo::task<std::string> read_so_many(ringo::pipe_reader& from, std::size_t size) {
  std::string all;
  while (all.size() < size) all += (co_await from.recv())->text();
  co_return all;
}

ringo::task<> send_all(ringo::pipe_writer& to, const std::string& text) { co_await to.send(text); }

}  // namespace

TEST_CASE("a send to either end of a terminal that nobody reads yet holds up no other routine") {
  const std::string text = many_bytes();
  on_the_network([&text]() -> ringo::task<> {
    for (const bool from_slave : {true, false}) {
      const terminal t;
      ringo::pipe_writer to = ringo::pipe_writer::adopt(from_slave ? t.slave : t.master);
      ringo::pipe_reader from = ringo::pipe_reader::adopt(from_slave ? t.master : t.slave);
      auto sending = ringo::go(send_all, std::ref(to), std::cref(text));
      co_await until_parked("to be taken by");
      co_await do_something_else();
      CHECK_FALSE(sending.is_done());
      const std::string got = co_await read_so_many(from, text.size());
      CHECK((got == text));
      co_await sending;
    }
  });
}

TEST_CASE("a write to a terminal that was opened as a file holds up no other routine") {
  const std::string text = many_bytes();
  on_the_network([&text]() -> ringo::task<> {
    const terminal t;
    ::close(t.slave);
    ringo::pipe_reader from = ringo::pipe_reader::adopt(t.master);
    ringo::open_options o;
    o.write = true;
    const ringo::file f = co_await ringo::file::open(t.name, o);
    auto writing = ringo::go([&]() -> ringo::task<> { co_await f.append(text); });
    co_await until_parked("writing");
    co_await do_something_else();
    CHECK_FALSE(writing.is_done());
    const std::string got = co_await read_so_many(from, text.size());
    CHECK((got == text));
    co_await writing;
    co_await f.close();
  });
}

TEST_CASE("a send that waits for a terminal's reader loses a select and is cancelled, and the terminal is closed") {
  const std::string text = many_bytes();
  on_the_network([&text]() -> ringo::task<> {
    for (const bool from_slave : {true, false}) {
      const terminal t;
      const ringo::descriptor other(from_slave ? t.master : t.slave);
      ringo::pipe_writer to = ringo::pipe_writer::adopt(from_slave ? t.slave : t.master);
      auto either = co_await ringo::select(to.send(text), ringo::readable(other.native_handle()));
      CHECK(either.index() == 1);
      auto again = co_await ringo::outcome(to.send("more"));
      CHECK_FALSE(again.has_value());  // the first send was cut short
      co_await to.close();
    }
  });
}

TEST_CASE("a runtime ends though a send waits for a terminal's reader") {
  const std::string text = many_bytes();
  const terminal t;
  const ringo::descriptor master(t.master);
  on_the_network([&]() -> ringo::task<> {
    ringo::pipe_writer to = ringo::pipe_writer::adopt(::dup(t.slave));
    ringo::go([](ringo::pipe_writer w, const std::string& all) -> ringo::task<> { co_await w.send(all); },
              std::move(to), std::cref(text));
    co_await until_parked("to be taken by");
  });
  reached("each runtime has ended");
  ::close(t.slave);
}
