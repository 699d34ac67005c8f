// runtime_options::driver, RINGO_DRIVER, and what automatic takes where io_uring is refused.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>
#include <vector>

#include <ringo/ringo.hpp>

#include "driver_sandbox.hpp"

using ringo::driver;
using ringo::runtime;
using ringo::runtime_options;
using namespace std::chrono_literals;

namespace {

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

// Sets RINGO_DRIVER for a test; nullopt: not set.
class environment {
 public:
  explicit environment(std::optional<std::string> value) {
    if (const char* old = std::getenv("RINGO_DRIVER")) before_ = old;
    set(value);
  }
  environment(const environment&) = delete;
  environment& operator=(const environment&) = delete;
  ~environment() { set(before_); }

 private:
  static void set(const std::optional<std::string>& value) {
    if (value) {
      ::setenv("RINGO_DRIVER", value->c_str(), 1);
    } else {
      ::unsetenv("RINGO_DRIVER");
    }
  }
  std::optional<std::string> before_;
};

// Returns the number of bytes that a pipe brought.
ringo::task<int> uses_the_kernel() {
  ringo::pipe_pair ends;
  ringo::go(
      [](ringo::pipe_writer to) -> ringo::task<> {
        co_await ringo::sleep(1ms);
        co_await to.send("abc");
      },
      std::move(ends.writer));
  const auto got = co_await ends.reader.recv();
  co_return static_cast<int>(got ? got->size() : 0);
}

std::string name_of(driver d) {
  return d == driver::io_uring ? "io_uring" : d == driver::epoll ? "epoll" : "automatic";
}

// The driver of a runtime that has run a program, and what on_warning was told; or what the constructor throws.
std::string outcome(driver wanted, unsigned workers = 2) {
  std::string told;
  runtime_options o{.workers = workers, .driver = wanted};
  o.on_warning = [&told](std::string_view text) { told.append(text) += '\n'; };
  try {
    runtime rt(std::move(o));
    const std::string name = name_of(rt.driver());
    return (rt.run(uses_the_kernel) == 3 ? name : "wrong") + ' ' + told;
  } catch (const std::system_error& refused) {
    return std::string("refused: ") + refused.what();
  }
}

bool io_uring_works() { return outcome(driver::io_uring) == "io_uring "; }

[[maybe_unused]] constexpr int ring_calls[] = {SYS_io_uring_setup, SYS_io_uring_enter, SYS_io_uring_register};

}  // namespace

TEST_CASE("a runtime tells which driver its workers use, and runs on the one that was asked for (D31)") {
  const environment none({});
  CHECK(outcome(driver::epoll) == "epoll ");
  if (!io_uring_works()) return;
  CHECK(outcome(driver::io_uring) == "io_uring ");
  CHECK(outcome(driver::automatic) == "io_uring ");
}

TEST_CASE("RINGO_DRIVER decides for automatic, and only for it") {
  {
    const environment epoll("epoll");
    CHECK(outcome(driver::automatic) == "epoll ");
    if (io_uring_works()) CHECK(outcome(driver::io_uring) == "io_uring ");
  }
  const environment ring("io_uring");
  CHECK(outcome(driver::epoll) == "epoll ");
  CHECK(outcome(driver::automatic) == outcome(driver::io_uring));
  for (const char* same : {"", "automatic"}) {
    const environment as_usual(same);
    CHECK(outcome(driver::automatic).starts_with(io_uring_works() ? "io_uring " : "epoll "));
  }
}

TEST_CASE("an unknown RINGO_DRIVER is refused, and the error names those that are known") {
  const environment unknown("kqueue");
  try {
    const runtime rt;
    FAIL("accepted");
  } catch (const std::invalid_argument& problem) {
    CHECK(has(problem.what(), "RINGO_DRIVER"));
    for (const char* part : {"\"kqueue\"", "automatic", "io_uring", "epoll"}) CHECK(has(problem.what(), part));
  }
  CHECK(outcome(driver::epoll) == "epoll ");
}

TEST_CASE("a ring without entries is an error on each driver") {
  for (const driver each : {driver::automatic, driver::io_uring, driver::epoll}) {
    CHECK_THROWS_AS(runtime(runtime_options{.driver = each, .ring_entries = 0}), std::invalid_argument);
  }
}

#ifndef RINGO_WITHOUT_URING

TEST_CASE("where a filter refuses any of io_uring's calls, automatic takes epoll and tells why in one line") {
  const environment none({});
  if (!io_uring_works()) return;
  for (const int call : ring_calls) {
    for (const int error : {EPERM, ENOSYS}) {
      const auto end = sandbox::in_child([call, error] {
        sandbox::filter_calls({call}, SECCOMP_RET_ERRNO | static_cast<std::uint32_t>(error));
        return outcome(driver::automatic, 4);
      });
      CAPTURE(end.text);
      CHECK(end.text.starts_with("epoll this runtime uses epoll, since io_uring_"));
      CHECK(has(end.text, "a seccomp filter of this process"));
      CHECK_FALSE(has(end.text, "Allow"));
      CHECK(end.text.find('\n') == end.text.size() - 1);
    }
  }
}

TEST_CASE("where io_uring is refused, a program that asks for it gets the error with the remedy") {
  const environment none({});
  const auto end = sandbox::in_child([] {
    sandbox::filter_calls({SYS_io_uring_setup}, SECCOMP_RET_ERRNO | EPERM);
    std::string text = outcome(driver::io_uring);
    ::setenv("RINGO_DRIVER", "io_uring", 1);
    return text + '\n' + outcome(driver::automatic);
  });
  CAPTURE(end.text);
  const std::string error = end.text.substr(0, end.text.find('\n'));
  CHECK(error.starts_with("refused: ringo: io_uring_setup was refused: a seccomp filter of this process"));
  CHECK(has(error, "Allow io_uring_setup"));
  CHECK(end.text == error + '\n' + error);
}

TEST_CASE("stderr hears of the fallback once in a process, and each hook once") {
  const environment none({});
  const auto end = sandbox::in_child([] {
    sandbox::filter_calls({SYS_io_uring_setup}, SECCOMP_RET_ERRNO | EPERM);
    for (int i = 0; i < 3; ++i) const runtime rt(runtime_options{.workers = 2});
    std::string told;
    for (int i = 0; i < 2; ++i) {
      runtime_options o{.workers = 2};
      o.on_warning = [&told](std::string_view) { told += '!'; };
      const runtime rt(std::move(o));
    }
    return told;
  });
  CAPTURE(end.text);
  CHECK(end.text.starts_with("ringo: warning: this runtime uses epoll, since io_uring_setup was refused: "));
  CHECK(end.text.find("this runtime") == end.text.rfind("this runtime"));
  CHECK(end.text.ends_with("\n!!"));
}

TEST_CASE("where there is no memory for all rings, all workers use epoll") {
  const environment none({});
  const auto end = sandbox::in_child([]() -> std::string {
    const rlimit limit{64 << 10, 64 << 10};
    ::setrlimit(RLIMIT_MEMLOCK, &limit);
    if (::setuid(65534) != 0) return "not root";
    return outcome(driver::automatic, 64);
  });
  CAPTURE(end.text);
  if (end.text == "not root" || end.text == "io_uring ") return;  // rings do not count as locked memory in each kernel
  CHECK(end.text.starts_with("epoll this runtime uses epoll, since io_uring_setup was refused: "));
}

// UndefinedBehaviorSanitizer needs a descriptor of its own to check a virtual call.
#if defined(__has_feature)
#if __has_feature(undefined_behavior_sanitizer)
#define RINGO_TEST_NEEDS_DESCRIPTORS
#endif
#endif

#ifndef RINGO_TEST_NEEDS_DESCRIPTORS
TEST_CASE("too many open descriptors are no reason for epoll") {
  const environment none({});
  if (!io_uring_works()) return;
  const auto end = sandbox::in_child([] {
    const int lowest_free = ::dup(0);
    ::close(lowest_free);
    const rlimit limit{static_cast<rlim_t>(lowest_free), static_cast<rlim_t>(lowest_free)};
    ::setrlimit(RLIMIT_NOFILE, &limit);
    return outcome(driver::automatic);
  });
  CAPTURE(end.text);
  CHECK(end.text.starts_with("refused: ringo: io_uring_setup was refused: "));
  CHECK(has(end.text, "the limit is"));
}
#endif

#else

TEST_CASE("a library without io_uring takes epoll and warns of nothing; a program that asks for io_uring is told why") {
  const environment none({});
  CHECK(outcome(driver::automatic) == "epoll ");
  const std::string refused = outcome(driver::io_uring);
  CHECK(refused.starts_with("refused: ringo: this library was built without io_uring (RINGO_URING=OFF)"));
  const environment ring("io_uring");
  CHECK(outcome(driver::automatic) == refused);
}

#endif
