// unix_listener, unix_stream: connections within the machine, their files, and descriptors that are passed through
// them.
#include <doctest/doctest.h>

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <optional>
#include <ringo/ringo.hpp>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "descriptor_limit.hpp"
#include "error_told.hpp"
#include "every_scheduler.hpp"
#include "process_counts.hpp"

using namespace ringo;
using namespace std::chrono_literals;

namespace {

// A folder that goes with all that is in it.
class folder {
 public:
  folder() {
    char name[] = "/tmp/ringo-unix-XXXXXX";
    path_ = ::mkdtemp(name);
  }
  folder(const folder&) = delete;
  folder& operator=(const folder&) = delete;
  ~folder() { std::filesystem::remove_all(path_); }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

std::string abstract_name(const std::string& of) { return "@ringo-test-" + std::to_string(::getpid()) + "-" + of; }

bool is_there(const std::string& path) { return std::filesystem::exists(path); }

bool is_open(int number) { return ::fcntl(number, F_GETFD) >= 0; }

// A pipe, to be passed on and written to at the other end.
class pipe_ends {
 public:
  pipe_ends() {
    int both[2];
    CHECK(::pipe2(both, O_CLOEXEC) == 0);
    from = descriptor(both[0]);
    to = descriptor(both[1]);
  }
  std::string read() const {
    char text[100];
    const auto n = ::read(from.native_handle(), text, sizeof text);
    return std::string(text, static_cast<std::size_t>(n > 0 ? n : 0));
  }
  descriptor from, to;
};

void write_to(int number, std::string_view text) {
  CHECK(::write(number, text.data(), text.size()) == static_cast<ssize_t>(text.size()));
}

// What a program without ringo does with a Unix socket.
int plain_connection(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  const int s = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  CHECK(::connect(s, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  return s;
}

task<> echo(unix_stream s) {
  while (auto c = co_await s.recv()) co_await s.send(*c);
}

task<> accept_and_echo(unix_listener& from, int count) {
  for (int i = 0; i < count; ++i) {
    unix_stream s = co_await from.accept();
    go(echo, std::move(s));
  }
}

}  // namespace

TEST_CASE("connections by a path and by an abstract name") {
  const folder at;
  for (const std::string& name : {at / "socket", abstract_name("echo")}) {
    on_real_schedulers([&]() -> task<> {
      auto listener = unix_listener::bind(name);
      CHECK(listener.local() == name);
      auto serving = go(accept_and_echo, std::ref(listener), 3);
      for (int i = 0; i < 3; ++i) {
        unix_stream s = co_await unix_stream::connect(name);
        co_await s.send("hello ");
        std::array<char, 6> back{};
        co_await s.read_exactly(back);
        CHECK(std::string_view(back.data(), back.size()) == "hello ");
        const auto who = s.credentials();
        CHECK(who.process == ::getpid());
        CHECK(who.user == ::getuid());
        CHECK(who.group == ::getgid());
        co_await s.shutdown_send();
        const auto end = co_await s.recv();
        CHECK(!end);
      }
      co_await serving;
      co_await listener.close();
      CHECK(!is_there(name));
    });
  }
}

TEST_CASE("the socket's file goes when its listener is destroyed, outside a runtime, too") {
  const folder at;
  {
    auto listener = unix_listener::bind(at / "a");
    auto moved = std::move(listener);
    CHECK(is_there(at / "a"));
  }
  CHECK(!is_there(at / "a"));
}

TEST_CASE("a file that has taken the place of the socket's stays, and so does that of an adopted one") {
  const folder at;
  {
    auto first = unix_listener::bind(at / "a");
    CHECK(::unlink((at / "a").c_str()) == 0);
    auto second = unix_listener::bind(at / "a");
    {
      auto gone = std::move(first);
    }
    CHECK(is_there(at / "a"));
  }
  CHECK(!is_there(at / "a"));

  const int plain = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strcpy(address.sun_path, (at / "b").c_str());
  CHECK(::bind(plain, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  CHECK(error_thrown_by([&] { (void)unix_listener::adopt(plain); }).find("does not listen") != std::string::npos);
  CHECK(::listen(plain, 1) == 0);
  {
    auto adopted = unix_listener::adopt(plain);
    CHECK(adopted.local() == at / "b");
  }
  CHECK(is_there(at / "b"));
}

TEST_CASE("what is no name, or too long a one, is refused with the reason; what is there already is said") {
  const folder at;
  const std::string too_long(108, 'x'), fits_abstract = abstract_name(std::string(200, 'y')).substr(0, 108);
  CHECK(error_thrown_by([&] {
          (void)unix_listener::bind(too_long);
        }).find("108 bytes, and the kernel has room for 107") != std::string::npos);
  CHECK_THROWS_AS((void)unix_stream::connect(too_long), std::invalid_argument);
  CHECK_THROWS_AS((void)unix_stream::connect(fits_abstract + "y"), std::invalid_argument);
  CHECK_THROWS_AS((void)unix_listener::bind(""), std::invalid_argument);
  CHECK_THROWS_AS((void)unix_listener::bind("@"), std::invalid_argument);
  CHECK_THROWS_AS((void)unix_listener::bind(std::string("a\0b", 3)), std::invalid_argument);
  CHECK(error_thrown_by([] { (void)unix_listener::bind(std::string("a\0b", 3)); }).find("zero byte") !=
        std::string::npos);
  {
    auto longest = unix_listener::bind(fits_abstract);
    CHECK(longest.local() == fits_abstract);
  }
  auto listener = unix_listener::bind(at / "a");
  const auto again = error_thrown_by([&] { (void)unix_listener::bind(at / "a"); });
  CHECK(again.find(at / "a") != std::string::npos);
  CHECK(again.find("the file is there already") != std::string::npos);
  const auto nowhere = error_thrown_by([&] { (void)unix_listener::bind(at / "none/a"); });
  CHECK(nowhere.find(std::strerror(ENOENT)) != std::string::npos);
}

TEST_CASE("the mode of the file is as asked for") {
  const folder at;
  auto listener = unix_listener::bind(at / "a", {.mode = 0600});
  struct stat there{};
  CHECK(::stat((at / "a").c_str(), &there) == 0);
  CHECK((there.st_mode & 0777) == 0600);
}

TEST_CASE("connecting to nobody says to whom") {
  const folder at;
  on_real_schedulers([&]() -> task<> {
    auto o = co_await outcome(unix_stream::connect(at / "nobody"));
    CHECK(told(o).find("connecting to " + (at / "nobody")) != std::string::npos);
    auto gone = unix_listener::bind(at / "gone");
    CHECK(::link((at / "gone").c_str(), (at / "left").c_str()) == 0);
    co_await gone.close();
    o = co_await outcome(unix_stream::connect(at / "left"));
    CHECK(told(o).find(std::strerror(ECONNREFUSED)) != std::string::npos);
    ::unlink((at / "left").c_str());
  });
}

TEST_CASE("a connect waits where the listener's queue is full, and can be given up") {
  on_real_schedulers([]() -> task<> {
    const auto before = open_descriptors();
    {
      auto listener = unix_listener::bind(abstract_name("full"), {.backlog = 0});
      std::vector<unix_stream> all;
      for (bool full = false; !full;) {
        auto first = co_await select(prefer_first, unix_stream::connect(abstract_name("full")), sleep(20ms));
        full = first.index() == 1;
        if (!full) all.push_back(std::move(std::get<0>(first)));
        CHECK(all.size() < 10);
      }
      CHECK(!all.empty());
      auto waiting = go([]() -> task<> { unix_stream s = co_await unix_stream::connect(abstract_name("full")); });
      for (std::size_t i = 0; i <= all.size(); ++i) (void)co_await listener.accept();
      co_await waiting;
      for (auto& each : all) co_await each.close();
      co_await listener.close();
    }
    while (open_descriptors() > before) co_await yield();
  });
}

TEST_CASE("a pair is connected, and its halves are for two routines") {
  on_real_schedulers([]() -> task<> {
    auto [a, b] = unix_stream::pair();
    auto [from, to] = std::move(a).split();
    auto echoing = go(echo, std::move(b));
    auto sending = go(
        [](unix_writer w) -> task<> {
          for (int i = 0; i < 1000; ++i) co_await w.send("0123456789");
        },
        std::move(to));
    std::size_t n = 0;
    while (auto c = co_await from.recv()) n += c->size();  // the end: the writer has gone, and so has the echo
    CHECK(n == 10000);
    co_await sending;
    co_await echoing;
  });
}

TEST_CASE("descriptors pass through a stream with the bytes beside which they were sent") {
  on_real_schedulers([]() -> task<> {
    const auto before = open_descriptors();
    {
      auto [a, b] = unix_stream::pair();
      pipe_ends one, two;
      const std::array<int, 2> both{one.to.native_handle(), two.to.native_handle()};
      auto sending = a.send_message("two of them", both);
      one.to = descriptor();  // they were duplicated at once
      co_await sending;
      co_await a.send("none");
      std::string text;
      std::vector<descriptor> got;
      while (text.size() < 15) {
        auto m = co_await b.recv_message();
        CHECK(m.has_value());
        text += m->bytes.text();
        CHECK(!m->some_lost);
        for (auto& d : m->descriptors) got.push_back(std::move(d));
      }
      CHECK(text == "two of themnone");
      CHECK(got.size() == 2);
      CHECK((::fcntl(got[0].native_handle(), F_GETFD) & FD_CLOEXEC) != 0);
      write_to(got[0].native_handle(), "first");
      write_to(got[1].native_handle(), "second");
      CHECK(one.read() == "first");
      CHECK(two.read() == "second");
      co_await a.close();
      const auto end = co_await b.recv_message();
      CHECK(!end);
    }
    while (open_descriptors() > before) co_await yield();
  });
}

TEST_CASE("descriptors that come with bytes which are only read are closed, and none is kept of what is never read") {
  on_real_schedulers([]() -> task<> {
    const auto before = open_descriptors();
    {
      auto [a, b] = unix_stream::pair();
      pipe_ends p;
      for (int i = 0; i < 3; ++i) co_await a.send_message("x", p.to.native_handle());
      p.to = descriptor();
      (void)co_await b.recv();
      char c;
      co_await b.read_exactly(std::span(&c, 1));
      auto m = co_await b.recv_message();
      CHECK(m->descriptors.size() == 1);
      for (int i = 0; i < 3; ++i) co_await a.send_message("y", m->descriptors[0].native_handle());
      m.reset();
      co_await b.close();
      co_await a.close();
      CHECK(p.read().empty());  // nobody has the other end any more
    }
    while (open_descriptors() > before) co_await yield();
  });
}

TEST_CASE("descriptors are not lost with a case that loses") {
  on_real_schedulers([]() -> task<> {
    auto [a, b] = unix_stream::pair();
    pipe_ends p;
    auto sending = go(
        [](unix_stream s, int number) -> task<> {
          for (int i = 0; i < 200; ++i) {
            co_await s.send_message(std::string(1, static_cast<char>('a' + i % 26)), number);
            if (i % 3 == 0) co_await yield();
          }
        },
        std::move(a), p.to.native_handle());
    std::string text;
    std::size_t descriptors = 0;
    for (bool open = true; open;) {
      auto first = co_await select(b.recv_message(), sleep(1us), b.recv_message());
      std::optional<unix_message> m;
      if (first.index() == 1) continue;
      m = first.index() == 0 ? std::move(std::get<0>(first)) : std::move(std::get<2>(first));
      open = m.has_value();
      if (!open) break;
      text += m->bytes.text();
      descriptors += m->descriptors.size();
    }
    CHECK(text.size() == 200);
    for (std::size_t i = 0; i < text.size(); ++i) CHECK(text[i] == static_cast<char>('a' + i % 26));
    CHECK(descriptors == 200);
    co_await sending;
  });
}

TEST_CASE("of descriptors for which this process has no room it is told that they are lost; the bytes are not") {
  on_real_schedulers([]() -> task<> {
    auto [a, b] = unix_stream::pair();
    const std::array<int, 2> both{0, 1};
    co_await a.send_message("bytes", both);
    std::optional<descriptor_limit> none(0);
    const auto m = co_await b.recv_message();
    none.reset();
    CHECK(m->bytes.text() == "bytes");
    CHECK(m->descriptors.empty());
    CHECK(m->some_lost);
  });
}

TEST_CASE("what cannot pass is refused") {
  on_real_schedulers([]() -> task<> {
    auto [a, b] = unix_stream::pair();
    const std::array<int, 1> closed{-1};
    const std::vector<int> too_many(254, 0);
    CHECK(error_thrown_by([&] { (void)a.send_message("x", closed); }).find("descriptor -1") != std::string::npos);
    CHECK_THROWS_AS((void)a.send_message("x", too_many), std::invalid_argument);
    CHECK_THROWS_AS((void)a.send_message("", 0), std::invalid_argument);
    const std::vector<int> as_many_as_can(253, 0);
    co_await a.send_message("x", as_many_as_can);
    const auto m = co_await b.recv_message();
    CHECK(m->descriptors.size() == 253);
  });
}

TEST_CASE("a plain program at the other end: its bytes and its descriptors, and ours") {
  const folder at;
  on_real_schedulers([&]() -> task<> {
    auto listener = unix_listener::bind(at / "socket");
    pipe_ends p;
    std::string got;
    std::thread plain([&] {
      const int s = plain_connection(at / "socket");
      // One of ours to it, and its own back.
      char text[10], control[CMSG_SPACE(sizeof(int))];
      iovec part{text, sizeof text};
      msghdr m{};
      m.msg_iov = &part;
      m.msg_iovlen = 1;
      m.msg_control = control;
      m.msg_controllen = sizeof control;
      const auto n = ::recvmsg(s, &m, MSG_CMSG_CLOEXEC);
      got.assign(text, static_cast<std::size_t>(n > 0 ? n : 0));
      CHECK(m.msg_controllen == sizeof control);
      part.iov_len = static_cast<std::size_t>(n);
      m.msg_flags = 0;
      CHECK(::sendmsg(s, &m, 0) == n);
      int number;
      std::memcpy(&number, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof number);
      ::close(number);
      ::close(s);
    });
    unix_stream s = co_await listener.accept();
    co_await s.send_message("pipe", p.to.native_handle());
    p.to = descriptor();
    auto m = co_await s.recv_message();
    plain.join();
    CHECK(got == "pipe");
    CHECK(m->bytes.text() == "pipe");
    CHECK(m->descriptors.size() == 1);
    write_to(m->descriptors[0].native_handle(), "back");
    CHECK(p.read() == "back");
    const auto end = co_await s.recv();
    CHECK(!end);
  });
}

TEST_CASE("an adopted stream is one of ours, and what is none is left to its owner") {
  on_real_schedulers([]() -> task<> {
    int both[2];
    CHECK(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, both) == 0);
    unix_stream s = unix_stream::adopt(both[0]);
    write_to(both[1], "hello");
    const auto c = co_await s.recv();
    CHECK(c->text() == "hello");
    ::close(both[1]);
    const auto end = co_await s.recv();
    CHECK(!end);
    int datagrams[2];
    CHECK(::socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, datagrams) == 0);
    CHECK(error_thrown_by([&] { (void)unix_stream::adopt(datagrams[0]); }).find("no stream") != std::string::npos);
    const descriptor a(datagrams[0]), b(datagrams[1]);
    CHECK(is_open(datagrams[0]));
  });
}

TEST_CASE("lines over a Unix socket") {
  on_real_schedulers([]() -> task<> {
    auto [a, b] = unix_stream::pair();
    buffered_reader in(std::move(a));
    buffered_writer out(std::move(b));
    co_await out.write("one\n", "two\n");
    co_await out.flush();
    const auto one = co_await in.read_line(), two = co_await in.read_line();
    CHECK(one == "one");
    CHECK(two == "two");
  });
}

TEST_CASE("a simulation has no Unix sockets") {
  const auto s = scheduler_under_test::simulated(1, 0);
  CHECK_THROWS_AS(s.run([]() -> task<> {
    auto [a, b] = unix_stream::pair();
    (void)co_await a.recv();
  }),
                  std::logic_error);
}

TEST_CASE("A worker that has time to spin waits for another thread's bytes without a sleep") {
  int both[2];
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, both) == 0);
  std::thread peer([end = both[1]] {
    for (char one; ::read(end, &one, 1) == 1;) {
      if (::write(end, &one, 1) != 1) break;
    }
    ::close(end);
  });
  runtime rt({.workers = 1, .spin = 1h});
  rt.run([&]() -> task<> {
    auto s = unix_stream::adopt(both[0]);
    const std::uint64_t before = rt.metrics().parks;
    for (int i = 0; i < 20; ++i) {
      co_await s.send("x");
      const auto answer = co_await s.recv();
      CHECK(answer->text() == "x");
    }
    CHECK(rt.metrics().parks == before);
  });
  peer.join();
}
