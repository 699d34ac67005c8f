// runtime_options::stall: what on_warning is told of a routine that keeps its worker.
#include <doctest/doctest.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <functional>
#include <mutex>
#include <ringo/ringo.hpp>
#include <source_location>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "every_scheduler.hpp"
#include "runtime/runtime_core.hpp"
#include "runtime/stall_watch.hpp"
#include "states.hpp"

using namespace ringo;
using namespace std::chrono_literals;

namespace {

constexpr auto limit = 10ms;

// Keeps what on_warning hears of stalls, and lets the routine that stalls go on then.
class heard {
 public:
  std::function<void()> then;  // at the first words

  runtime_options how(unsigned workers = 1) {
    runtime_options o;
    o.workers = workers;
    o.stall = limit;
    o.on_warning = [this](std::string_view text) {
      if (text.find("kept") == std::string_view::npos) return;  // of the driver
      {
        const std::lock_guard guard(mutex_);
        texts_.emplace_back(text);
      }
      if (++count_ == 1 && then) then();
    };
    return o;
  }
  int count() const { return count_; }
  std::string all() const {
    const std::lock_guard guard(mutex_);
    std::string text;
    for (const std::string& each : texts_) text += each + "\n";
    return text;
  }
  // Whether one of the texts has all of these.
  template <class... Words>
  bool says(const Words&... words) const {
    const std::lock_guard guard(mutex_);
    return std::any_of(texts_.begin(), texts_.end(),
                       [&](const std::string& each) { return ((each.find(words) != std::string::npos) && ...); });
  }
  task<> until_told(std::string words) const {
    while (!says(words)) co_await sleep(1ms);
  }

 private:
  std::atomic<int> count_ = 0;
  mutable std::mutex mutex_;
  std::vector<std::string> texts_;
};

[[gnu::noinline]] void compute_until_told(const heard& of, int times = 1) {
  while (of.count() < times) {
  }
}

[[gnu::noinline]] void compute_until_said(const heard& of, const char* words) {
  for (int count = of.count(); !of.says(words); count = of.count()) {
    while (of.count() == count) {
    }
  }
}

std::string next_line(std::source_location here = std::source_location::current()) {
  return here.file_name() + (':' + std::to_string(here.line() + 1));
}

[[gnu::noinline]] char read_one(int descriptor) {
  char one = 0;
  const auto length = ::read(descriptor, &one, 1);
  return length == 1 ? one : '?';
}

// Leaves the address of a call of another function on the stack, where read_with_room() has what it does not write.
[[gnu::noinline]] bool writes_before(int descriptor) {
  char volatile room[1024];
  room[0] = 'x';
  const char byte = room[0];
  return ::write(descriptor, &byte, 1) == 1 && room[0] == 'x';
}
[[gnu::noinline]] char read_with_room(int descriptor) {
  char volatile room[4096];
  char byte = 0;
  if (::read(descriptor, &byte, 1) != 1) return '?';
  room[0] = byte;
  return room[0];
}

// AddressSanitizer's own functions keep old stacks on the stack, more than a report has lines.
#if (defined(__x86_64__) || defined(__aarch64__)) && !RINGO_ADDRESS_SANITIZER
constexpr bool guesses_stacks = true;
#else
constexpr bool guesses_stacks = false;
#endif

#if defined(__GLIBC__)
constexpr bool knows_owners = true;
#else
constexpr bool knows_owners = false;
#endif

std::size_t threads_that_watch() {
  std::size_t count = 0;
  for (const auto& each : std::filesystem::directory_iterator("/proc/self/task")) {
    std::ifstream file(each.path() / "comm");
    std::string name;
    std::getline(file, name);
    count += name == "ringo stalls" ? 1 : 0;
  }
  return count;
}

sighandler_t handler_of_sigurg() {
  struct sigaction now{};
  CHECK(::sigaction(SIGURG, nullptr, &now) == 0);
  return now.sa_handler;
}

}  // namespace

TEST_CASE("A routine that computes is told of, with its places and its stack, and when it lets its worker go") {
  for (const unsigned workers : {1u, 2u}) {
    heard warnings;
    std::string started, waited;
    run(
        [&]() -> task<> {
          started = next_line();
          auto h = go([&]() -> task<> {
            waited = next_line();
            co_await sleep(1us);
            compute_until_told(warnings);
          });
          co_await h;
          co_await warnings.until_told("goes on");
        },
        warnings.how(workers));
    CAPTURE(warnings.all());
    CHECK(warnings.says("a worker has been kept for ", "by the routine started at " + started,
                        "which last waited at " + waited, "It computes (", " of CPU in ", "compute_until_told"));
    // A later look may find the stack of the worker that has just gone on.
    CHECK(!warnings.says("compute_until_told", "ringo::detail::scheduler"));
    CHECK(warnings.says("the worker goes on after ", "by the routine started at " + started));
  }
  CHECK((handler_of_sigurg() == SIG_DFL));
}

TEST_CASE("A stall that lasts is told of again, and counted once") {
  heard warnings;
  runtime rt(warnings.how());
  rt.run([&]() -> task<> {
    compute_until_told(warnings, 3);
    co_return;
  });
  CHECK(rt.metrics().stalls == 1);
  CAPTURE(warnings.all());
  CHECK(warnings.says("a worker has been kept for ", "by the main routine, run at ", "which has not waited yet"));
  const auto says_again = [&](std::string_view words) {
    return warnings.says("a worker is still kept, after ", "by the main routine, run at ", words);
  };
  // The whole stack only if the innermost function is another one.
  CHECK((says_again("It is still in ") || says_again("compute_until_told")));
}

TEST_CASE("A call that blocks is named, with its descriptor and the function that calls it") {
  int ends[2];
  REQUIRE(::pipe(ends) == 0);
  heard warnings;
  warnings.then = [&] { CHECK(::write(ends[1], "x", 1) == 1); };
  std::string started;
  run(
      [&]() -> task<> {
        started = next_line();
        auto h = go([&]() -> task<> {
          CHECK(read_one(ends[0]) == 'x');
          co_return;
        });
        co_await h;
      },
      warnings.how());
  CAPTURE(warnings.all());
  CHECK(warnings.says("started at " + started, "blocking(f)",
                      "It is in the system call read (descriptor " + std::to_string(ends[0]) + ", pipe:["));
  if (guesses_stacks) CHECK(warnings.says("read_one"));
  ::close(ends[0]);
  ::close(ends[1]);
}

TEST_CASE("A call that has returned is not shown as one that has not, nor as one of ringo's") {
  int ends[2], other[2];
  REQUIRE(::pipe(ends) == 0);
  REQUIRE(::pipe(other) == 0);
  heard warnings;
  warnings.then = [&] { CHECK(::write(ends[1], "x", 1) == 1); };
  run(
      [&]() -> task<> {
        CHECK(writes_before(other[1]));
        CHECK(read_with_room(ends[0]) == 'x');
        co_return;
      },
      warnings.how());
  CAPTURE(warnings.all());
  CHECK(warnings.says("It is in the system call read"));
  // ThreadSanitizer puts a function of its own in between, which makes the caller uncertain.
  const std::string_view certain = RINGO_THREAD_SANITIZER ? "" : "    ";
  if (guesses_stacks) CHECK(warnings.says(std::string(certain) + "(anonymous namespace)::read_with_room(int)"));
  CHECK(!warnings.says("    (anonymous namespace)::writes_before(int)"));
  CHECK(!warnings.says("\n    ringo::"));
  // AddressSanitizer's functions have large frames, in which what has returned before leaves its words.
  if (!RINGO_ADDRESS_SANITIZER) CHECK(!warnings.says("\n  ? ringo::"));
  for (const int each : {ends[0], ends[1], other[0], other[1]}) ::close(each);
}

TEST_CASE("A call that a signal would end early is told of, and not ended") {
  heard warnings;
  run(
      [&]() -> task<> {
        const timespec some{0, 50'000'000};
        while (warnings.count() < 2) {
          const int result = ::nanosleep(&some, nullptr);
          CHECK(result == 0);
        }
        co_return;
      },
      warnings.how());
  CAPTURE(warnings.all());
  CHECK(warnings.says("It is in the system call clock_nanosleep ("));
}

// ThreadSanitizer runs a handler when the thread makes its next call, which then ends.
#if !RINGO_THREAD_SANITIZER
TEST_CASE("The calls of a routine that computes and makes calls in turn are not ended by the search for its stack") {
  const timespec short_time{0, 100'000};
  int ended = 0, stacks = 0;
  for (int i = 0; i < 20; ++i) {
    heard warnings;
    runtime_options how = warnings.how();
    how.stall = 1ms;
    run(
        [&]() -> task<> {
          while (warnings.count() < 3) {
            const auto end = std::chrono::steady_clock::now() + 200us;
            while (std::chrono::steady_clock::now() < end) {
            }
            if (::ppoll(nullptr, 0, &short_time, nullptr) != 0) ++ended;
          }
          co_return;
        },
        how);
    stacks += warnings.says("It computes (") ? 1 : 0;
  }
  CAPTURE(stacks);
  CHECK(stacks > 0);  // it has been interrupted while it computed
  CHECK(ended <= 5);  // the interrupt may come in the microsecond in which a call begins
}
#endif

// A ring closes the pipes, which ThreadSanitizer is told of: else it would report races of the search, which gets their
// numbers.
TEST_CASE("The search for stalls opens files while a routine opens and closes pipes") {
  heard warnings;
  run(
      [&]() -> task<> {
        auto computes = go([&]() -> task<> {
          compute_until_told(warnings, 3);
          co_return;
        });
        while (warnings.count() < 3) {
          const pipe_pair pipe;
          co_await sleep(100us);
        }
        co_await computes;
      },
      warnings.how(2));
  CHECK(warnings.says("It computes ("));
}

TEST_CASE("A routine that waits for a std::mutex that another one holds across a co_await is told of") {
  heard warnings;
  std::mutex held;
  std::string started;
  run(
      [&]() -> task<> {
        std::atomic<pid_t> holder = 0;
        auto holds = go([&]() -> task<> {
          held.lock();
          holder = ::gettid();
          // The other worker is blocked when that is told, so this goes on where it has locked.
          co_await warnings.until_told("futex");
          held.unlock();
        });
        started = next_line();
        auto waits = go([&]() -> task<> {
          while (holder == 0 || holder == ::gettid()) co_await sleep(100us);
          const std::lock_guard guard(held);
        });
        co_await holds;
        co_await waits;
      },
      warnings.how(2));
  CAPTURE(warnings.all());
  CHECK(warnings.says("started at " + started, "It is in the system call futex (",
                      "Hold a std::mutex neither across a co_await"));
}

TEST_CASE("A routine that waits for a std::mutex is told of together with the one that computes under it") {
  heard warnings;
  std::mutex held;
  std::atomic<int> arrived = 0;
  std::atomic<bool> is_held = false;
  run(
      [&]() -> task<> {
        const auto meets = [&](bool computes) -> task<> {  // each on a worker of its own
          ++arrived;
          while (arrived < 2) std::this_thread::yield();
          while (!computes && !is_held) std::this_thread::yield();
          const std::lock_guard guard(held);
          is_held = true;
          if (computes) compute_until_said(warnings, "futex");
          co_return;
        };
        auto waits = go(meets, false);
        auto computes = go(meets, true);
        co_await waits;
        co_await computes;
      },
      warnings.how(2));
  CAPTURE(warnings.all());
  CHECK(warnings.says("It is in the system call futex (", "\n  Worker ", "been kept", "It computes ("));
  if (knows_owners) CHECK(warnings.says("futex", " has locked this mutex, and has been kept for "));
  CHECK(warnings.says("futex", "compute_until_said"));
}

TEST_CASE("Stalls of routines that were started at one place are told apart by what their threads do") {
  int ends[2];
  REQUIRE(::pipe(ends) == 0);
  heard warnings;
  runtime rt(warnings.how());
  std::atomic<int> next_stall = 99;  // the one of the routine that reads; when it is counted, the read ends
  std::thread writer([&] {
    while (rt.metrics().stalls < static_cast<std::uint64_t>(next_stall)) std::this_thread::yield();
    CHECK(::write(ends[1], "x", 1) == 1);
  });
  rt.run([&]() -> task<> {
    for (const bool computes : {true, false}) {
      auto h = go([&, computes]() -> task<> {
        if (computes) {
          compute_until_told(warnings);
        } else {
          next_stall = static_cast<int>(rt.metrics().stalls) + 1;
          CHECK(read_one(ends[0]) == 'x');
        }
        co_return;
      });
      co_await h;
    }
  });
  writer.join();
  CAPTURE(warnings.all());
  CHECK(warnings.says("a worker has been kept for ", "It computes ("));
  CHECK(warnings.says("a worker has been kept for ", "It is in the system call read ("));
  ::close(ends[0]);
  ::close(ends[1]);
}

TEST_CASE("A destructor that keeps a worker after its routine's end is told of") {
  struct computes_at_the_end {
    const heard* of;
    explicit computes_at_the_end(const heard& h) : of(&h) {}
    computes_at_the_end(computes_at_the_end&& other) noexcept : of(std::exchange(other.of, nullptr)) {}
    ~computes_at_the_end() {
      if (of != nullptr) compute_until_told(*of);
    }
  };
  heard warnings;
  run(
      [&]() -> task<> {
        auto h = go([](computes_at_the_end) -> task<> { co_return; }, computes_at_the_end(warnings));
        co_await h;
      },
      warnings.how());
  CHECK(warnings.says("compute_until_told"));
}

TEST_CASE("Of a program that handles SIGURG no stack is told, and its handler stays and is not called") {
  static std::atomic<bool> called = false;
  const sighandler_t own = [](int) { called = true; };
  std::signal(SIGURG, own);
  heard warnings;
  run(
      [&]() -> task<> {
        compute_until_told(warnings);
        co_return;
      },
      warnings.how());
  CHECK(warnings.says("It computes (", "the program handles SIGURG"));
  CHECK((handler_of_sigurg() == own));
  CHECK(!called);
  std::signal(SIGURG, SIG_DFL);
}

TEST_CASE("A handler of SIGURG that the program sets while a runtime runs is neither called nor replaced") {
  static std::atomic<bool> called = false;
  const sighandler_t own = [](int) { called = true; };
  heard warnings;
  run(
      [&]() -> task<> {
        std::signal(SIGURG, own);
        compute_until_told(warnings);
        co_return;
      },
      warnings.how());
  CHECK(warnings.says("the program handles SIGURG"));
  CHECK((handler_of_sigurg() == own));
  CHECK(!called);
  std::signal(SIGURG, SIG_DFL);
}

TEST_CASE("Of a worker that blocks SIGURG no stack is told, and no signal is left for it") {
  sigset_t urgent;
  ::sigemptyset(&urgent);
  ::sigaddset(&urgent, SIGURG);
  ::pthread_sigmask(SIG_BLOCK, &urgent, nullptr);
  heard warnings;
  run(
      [&]() -> task<> {
        compute_until_told(warnings);
        co_return;
      },
      warnings.how());
  CHECK(warnings.says("its thread blocks SIGURG"));
  sigset_t pending;
  CHECK(::sigpending(&pending) == 0);
  CHECK(::sigismember(&pending, SIGURG) == 0);
  ::pthread_sigmask(SIG_UNBLOCK, &urgent, nullptr);
}

TEST_CASE("Two runtimes tell of their own stalls at the same time") {
  heard first, second;
  const auto stalls = [](heard& of) {
    run(
        [&]() -> task<> {
          compute_until_told(of, 2);
          co_return;
        },
        of.how());
  };
  std::thread other([&] { stalls(second); });
  stalls(first);
  other.join();
  CHECK(first.says("the main routine"));
  CHECK(second.says("the main routine"));
  CHECK((handler_of_sigurg() == SIG_DFL));
}

TEST_CASE("There is a thread that looks for stalls only while a runtime that wants it runs") {
  while (threads_that_watch() != 0) std::this_thread::yield();  // of the tests before: joined, and about to go
  std::size_t threads = 99;
  const auto counts = [&]() -> task<> {
    threads = threads_that_watch();
    co_return;
  };
  runtime_options how;
  how.stall = 0ms;
  run(counts, how);
  CHECK(threads == 0);
  CHECK((handler_of_sigurg() == SIG_DFL));
  how.stall = 1h;
  run(counts, how);
  CHECK(threads == 1);
  while (threads_that_watch() != 0) std::this_thread::yield();
  for (const ringo::duration usual : {0h, 1h}) {
    detail::runtime_core::usual_stall = usual;
    run(counts);
    CHECK(threads == (usual == 0s ? 0 : 1));
    while (threads_that_watch() != 0) std::this_thread::yield();
  }
  detail::runtime_core::usual_stall = {};
  threads = 99;
  testing::simulate({}, counts);
  CHECK(threads == 0);
}

TEST_CASE("RINGO_STALL decides where the program does not, and a value that cannot be read is told of once") {
  const auto watches = [](std::chrono::nanoseconds stall, const char* variable) {
    while (threads_that_watch() != 0) std::this_thread::yield();
    ::setenv("RINGO_STALL", variable, 1);
    runtime_options how;
    how.stall = stall;
    int told = 0;
    how.on_warning = [&](std::string_view text) { told += text.find("RINGO_STALL") != text.npos ? 1 : 0; };
    std::size_t threads = 99;
    run(
        [&]() -> task<> {
          threads = threads_that_watch();
          co_return;
        },
        how);
    ::unsetenv("RINGO_STALL");
    return std::pair(threads, told);
  };
  const auto before = std::exchange(detail::runtime_core::usual_stall, 0ms);
  for (const char* each : {"3600s", "3600000ms", "3600000000us"})
    CHECK((watches(-1ns, each) == std::pair(std::size_t{1}, 0)));
  CHECK((watches(0ns, "3600s") == std::pair(std::size_t{0}, 0)));
  for (const char* each : {"soon", "50", "ms", "-5ms", "5m", "50 ms", "9999999999999999s", "99999999999999999999us"}) {
    CAPTURE(each);
    CHECK((watches(-1ns, each) == std::pair(std::size_t{0}, 1)));
  }
  detail::runtime_core::usual_stall = 1h;
  CHECK((watches(-1ns, "0ms") == std::pair(std::size_t{0}, 0)));
  CHECK((watches(-1ns, "") == std::pair(std::size_t{1}, 0)));
  detail::runtime_core::usual_stall = before;
}

TEST_CASE("A deadlock is found although a thread looks for stalls") {
  heard warnings;
  CHECK_THROWS_AS(run([]() -> task<> { co_await never(); }, warnings.how()), const deadlock&);
}

TEST_CASE("on_warning may wait for a routine, and for the end of the runtime that stalls") {
  heard warnings;
  channel<int> values;
  std::atomic<bool> has_ended = false;
  warnings.then = [&] {
    values.send_blocking(1);
    try {
      values.send_blocking(2);
    } catch (const std::exception&) {
      has_ended = true;
    }
  };
  run(
      [&]() -> task<> {
        const auto none = values.try_recv();  // the channel is this runtime's from now on
        CHECK(!none.has_value());
        compute_until_told(warnings);
        const auto first = co_await values.recv();
        CHECK(first == 1);
        co_await until_parked("send");
      },
      warnings.how());
  CHECK(has_ended);
}

TEST_CASE("Of stalls that are alike the last one is kept, with their number, and the oldest kinds are forgotten") {
  detail::stall_log log;
  detail::noticed_stall one;
  const auto note = [&](std::uint64_t id, std::string started, duration lasts, std::string text) {
    one.id = id;
    one.started = std::move(started);
    one.lasts = lasts;
    one.text = std::move(text);
    log.note(one);
  };
  note(1, "a.cpp:1", 10ms, "first");
  note(1, "a.cpp:1", 90ms, "first");
  note(2, "a.cpp:1", 20ms, "");
  note(3, "b.cpp:1", 20ms, "other");
  note(1, "a.cpp:1", 95ms, "late");  // of another worker
  detail::stall_log::contents now = log.copy();
  REQUIRE(now.stalls.size() == 2);
  CHECK(now.stalls.front().text == "other");
  CHECK(now.stalls.back().text == "first");
  CHECK(now.stalls.back().id == 2);
  CHECK(now.stalls.back().times == 2);
  CHECK(now.stalls.back().lasts == 20ms);
  CHECK(now.stalls.back().longest == 95ms);
  for (std::uint64_t i = 4; i < 100; ++i) note(i, "c.cpp:" + std::to_string(i), 1ms, "many");
  now = log.copy();
  REQUIRE(now.stalls.size() == detail::stall_log::most);
  CHECK(now.stalls.front().id == 99);
  CHECK(now.stalls.back().id == 100 - detail::stall_log::most);
}

TEST_CASE("Time in which others have the CPU is no stall of the program's") {
  const detail::spent_time few{100ms, 5ms, 20ms};
  CHECK(detail::own_time(few, true) == 5ms);    // it is ready now, so the wait that goes on does not count yet
  CHECK(detail::own_time(few, false) == 80ms);  // it is blocked, and was all the while
}
