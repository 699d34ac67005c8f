// The main function of all test programs. To doctest's it adds
//   a watchdog: it names a test case that has not ended after 60 s (240 s in sanitizer and debug builds), times
//     RINGO_STRESS, dumps the routines of all runtimes, and aborts the process. The time for which a thread was ready
//     and the machine had no CPU for it does not count. RINGO_WATCHDOG=600 allows 600 s, 0 any time;
//   a count of checks: a test case that has checked nothing fails;
//   a runtime before the tests, if a filter may refuse io_uring: stderr is told of the fallback once in a process, and
//     tests compare what their children write there;
//   the hashes of simulations (trace_ledger.hpp);
//   a failure of INFO, CAPTURE and SUBCASE in routines (refused_in_routines.hpp);
//   no search for stalls unless a test asks for it: tests count warnings, and a busy machine makes routines late.
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <iostream>
#include <ringo/detail/checked.hpp>
#include <string_view>

#include "quiet_listener.hpp"
#include "refused_in_routines.hpp"
#include "runtime/registry.hpp"
#include "runtime/runtime_core.hpp"
#include "trace_ledger.hpp"

namespace {

// A timer and a signal, not a thread: with a foreign thread in the process there is no deadlock to be found.
class watchdog final : public quiet_listener {
 public:
  explicit watchdog(const doctest::ContextOptions&) {
    struct sigaction action{};
    action.sa_handler = bark;
    action.sa_flags = SA_RESTART;
    ::sigaction(number(), &action, nullptr);
    sigevent event{};
    event.sigev_notify = SIGEV_SIGNAL;
    event.sigev_signo = number();
    is_there_ = ::timer_create(CLOCK_MONOTONIC, &event, &timer()) == 0;
  }
  void test_case_start(const doctest::TestCaseData& data) override {
    running() = data.m_name;
    allowed() = limit();
    began() = seconds_now();
    delayed_before() = longest_delay();
    set(limit());
  }
  void test_case_end(const doctest::CurrentTestCaseStats&) override { set(0); }

 private:
  static int number() { return SIGRTMAX - 1; }
  static timer_t& timer() {
    static timer_t one;
    return one;
  }
  static const char*& running() {
    static const char* name = "";
    return name;
  }
  static long of_environment(const char* name, long otherwise) {
    const char* text = std::getenv(name);
    return text ? std::strtol(text, nullptr, 10) : otherwise;
  }
  static long limit() {
    const long times = of_environment("RINGO_STRESS", 1);
    constexpr long allowed = ringo::detail::checked_build ? 240 : 60;
    return of_environment("RINGO_WATCHDOG", allowed * (times > 1 ? times : 1));
  }
  void set(long seconds) {
    if (is_there_) arm(seconds);
  }
  static void arm(long seconds) {
    itimerspec when{};
    when.it_value.tv_sec = seconds;
    when.it_interval.tv_sec = seconds == 0 ? 0 : 5;  // for the workers to write their dumps
    ::timer_settime(timer(), 0, &when, nullptr);
  }
  static long seconds_now() {
    timespec now{};
    ::clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec;
  }
  // For how many seconds that thread of this process which has waited longest for a CPU has done so. By calls that a
  // handler may make.
  static long longest_delay() {
    const int tasks = ::open("/proc/self/task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (tasks < 0) return 0;
    long longest = 0;
    alignas(8) char entries[4096];
    for (long size = 0; (size = ::syscall(SYS_getdents64, tasks, entries, sizeof entries)) > 0;) {
      for (long at = 0; at < size;) {
        const char* const entry = entries + at;  // linux_dirent64: its length is at 16, its name at 19
        unsigned short length = 0;
        std::memcpy(&length, entry + 16, sizeof length);
        at += length;
        char name[64] = {};
        if (entry[19] == '.' || std::strlen(entry + 19) > 20) continue;
        std::strcat(std::strcpy(name, entry + 19), "/schedstat");
        const int file = ::openat(tasks, name, O_RDONLY | O_CLOEXEC);
        char text[96] = {};
        const bool is_read = file >= 0 && ::read(file, text, sizeof text - 1) > 0;
        if (file >= 0) ::close(file);
        const char* const delay = is_read ? std::strchr(text, ' ') : nullptr;  // "time-on-CPU delay times", in ns
        if (delay != nullptr) longest = std::max(longest, std::strtol(delay, nullptr, 10) / 1'000'000'000);
      }
    }
    ::close(tasks);
    return longest;
  }
  static long& allowed() {
    static long it = 0;
    return it;
  }
  static long& began() {
    static long it = 0;
    return it;
  }
  static long& delayed_before() {
    static long it = 0;
    return it;
  }
  static void say(const char* text) { (void)!::write(STDERR_FILENO, text, std::strlen(text)); }
  // The process ends by this: so what a handler must not do is tried, after what it may, and the second signal aborts.
  static void bark(int) {
    static volatile std::sig_atomic_t has_barked = 0;
    if (has_barked) std::abort();
    const int error = errno;
    const long counts = seconds_now() - began() - std::max(0L, longest_delay() - delayed_before());
    if (counts < allowed()) return arm(allowed() - counts), void(errno = error);
    has_barked = 1;
    say("\nthe watchdog: this test case does not end: ");
    say(running());
    say("\n");
    using registry = ringo::detail::runtime_registry;
    for (std::uint64_t id = 1, last = registry::next_id(); id < last; ++id) {
      registry::with(id, [](ringo::detail::runtime_core& rt) { rt.request_dump(); });
    }
  }

  bool is_there_ = false;
};

// Fails a test case in which no assertion of its own was reached. The helpers that run programs check after each that
// it left nothing behind; these checks do not count, for they say nothing about the property in the test case's name. A
// test case that cannot run on this machine says so by MESSAGE.
class check_counter final : public quiet_listener {
 public:
  explicit check_counter(const doctest::ContextOptions&) {}
  static int cases_without_checks() { return cases(); }

  void test_case_start(const doctest::TestCaseData& data) override {
    name_ = data.m_name;
    has_checked_ = false;
  }
  void log_assert(const doctest::AssertData& assertion) override {
    if (!has_checked_.load(std::memory_order_relaxed) && !is_in_a_helper(assertion.m_file)) has_checked_ = true;
  }
  void log_message(const doctest::MessageData&) override { has_checked_ = true; }
  void test_case_end(const doctest::CurrentTestCaseStats&) override {
    // Each leaves nothing of some test cases.
    if (has_checked_ || std::getenv("RINGO_ONLY_SIMULATED") || std::getenv("RINGO_ONLY_REAL")) return;
    ++cases();
    std::cout << "ERROR: this test case has checked nothing: " << name_ << std::endl;
  }

 private:
  static bool is_in_a_helper(std::string_view file) {
    return file.ends_with("/every_scheduler.hpp") || file.ends_with("/network.hpp");
  }
  static int& cases() {
    static int count = 0;
    return count;
  }

  const char* name_ = "";
  std::atomic<bool> has_checked_ = false;  // routines on all workers check
};

REGISTER_LISTENER("watchdog", 1, watchdog);
REGISTER_LISTENER("check_counter", 1, check_counter);
REGISTER_LISTENER("trace_ledger", 1, trace_ledger);

}  // namespace

int main(int argc, char** argv) {
  ringo::detail::runtime_core::usual_stall = {};
  if (::prctl(PR_GET_SECCOMP) != 0) (void)ringo::runtime(ringo::runtime_options{.workers = 1});
  const int status = doctest::Context(argc, argv).run();
  return status == 0 && check_counter::cases_without_checks() != 0 ? 1 : status;
}
