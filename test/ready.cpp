// readable and writable: for descriptors of other libraries.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <unistd.h>

#include <chrono>
#include <ringo/ringo.hpp>
#include <system_error>
#include <utility>

#include "network.hpp"

using namespace ringo;
using namespace std::chrono_literals;

namespace {

class pipe_under_test {
 public:
  pipe_under_test() { REQUIRE(::pipe2(ends_, O_CLOEXEC | O_NONBLOCK) == 0); }
  ~pipe_under_test() {
    ::close(ends_[0]);
    if (ends_[1] >= 0) ::close(ends_[1]);
  }
  int read_end() const { return ends_[0]; }
  int write_end() const { return ends_[1]; }
  void write() const { CHECK(::write(ends_[1], "x", 1) == 1); }
  void close_write_end() { ::close(std::exchange(ends_[1], -1)); }

 private:
  int ends_[2] = {-1, -1};
};

}  // namespace

TEST_CASE("a descriptor is readable when there are bytes, or when they have ended") {
  on_the_network([]() -> task<> {
    pipe_under_test p;
    auto nothing = co_await select(readable(p.read_end()), sleep(1ms));
    CHECK(nothing.index() == 1);
    auto waits = go([](int fd) -> task<> { co_await readable(fd); }, p.read_end());
    co_await yield();
    p.write();
    co_await waits;
    co_await readable(p.read_end());  // it still is
    char byte;
    CHECK(::read(p.read_end(), &byte, 1) == 1);
    p.close_write_end();
    co_await readable(p.read_end());
  });
}

TEST_CASE("a descriptor is writable when there is room") {
  on_the_network([]() -> task<> {
    pipe_under_test p;
    co_await writable(p.write_end());
    const char full[4096] = {};
    while (::write(p.write_end(), full, sizeof full) > 0) {
    }
    auto nothing = co_await select(writable(p.write_end()), sleep(1ms));
    CHECK(nothing.index() == 1);
    auto waits = go([](int fd) -> task<> { co_await writable(fd); }, p.write_end());
    char some[65536];
    CHECK(::read(p.read_end(), some, sizeof some) > 0);
    co_await waits;
  });
}

TEST_CASE("one that has lost may be awaited again") {
  on_the_network([]() -> task<> {
    pipe_under_test p;
    auto operation = readable(p.read_end());
    for (int i = 0; i < 3; ++i) {
      auto lost = co_await select(operation, sleep(100us));
      CHECK(lost.index() == 1);
    }
    p.write();
    co_await operation;
  });
}

TEST_CASE("a number that is no descriptor, and a file that is always ready, are errors of that wait only (c27)") {
  on_the_network([]() -> task<> {
    for (const int none : {-1, 9999}) {
      auto wait = co_await outcome(readable(none));
      REQUIRE(!wait.has_value());
      try {
        std::rethrow_exception(wait.error());
      } catch (const std::system_error& e) {
        CHECK(e.code() == std::errc::bad_file_descriptor);
      }
    }
  });
}

TEST_CASE("many waits on one descriptor that are cancelled leave nothing") {
  on_the_network([]() -> task<> {
    pipe_under_test p;
    group all;
    for (int i = 0; i < 200; ++i) all.go([](int fd) -> task<> { co_await readable(fd); }, p.read_end());
    co_await yield();
    context(all.ctx()).cancel();
    auto ended = co_await outcome(all.wait());
    CHECK_THROWS_AS(std::move(ended).value(), cancelled);
  });
}
