#include "runtime/crash_recording.hpp"

#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <mutex>
#include <thread>
#include <utility>

#include "runtime/recorder.hpp"

namespace ringo::detail {
namespace {

constexpr std::array crash_signals{SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT};

// The handler runs on any thread. It counts itself in `inside` before it reads `listed`, and remove() changes `listed`
// before it waits until `inside` is 0; both seq_cst, so one of the two sees the other.
struct {
  std::array<std::atomic<recorder*>, 16> listed;
  std::atomic<int> inside = 0;
  std::atomic<int> writing = 0;          // 1: a thread writes; 2: it has
  std::atomic<std::int64_t> second = 0;  // of the monotonic clock, in which it has
  std::atomic<int> written = 0;          // how many times a thread has
  // The handlers that ours replaced. A handler that was set over ours stays when ours goes, and may call it after ours
  // was set over it in turn: so ours, when it is called by the one that it has called, goes on to the oldest.
  std::array<struct sigaction, crash_signals.size()> before, oldest;
  std::array<bool, crash_signals.size()> is_below = {}, has_oldest = {};  // ours is below another; under the mutex
  std::array<std::atomic<long>, crash_signals.size()> calls_before = {};  // the thread that calls it
  int count = 0;                                                          // of those listed; under the mutex
} crash;
std::mutex& crash_mutex() noexcept {  // never destroyed: a thread may run a runtime while the process exits
  static auto& one = *new std::mutex;
  return one;
}

bool has_function(const struct sigaction& of) noexcept {
  return (of.sa_flags & SA_SIGINFO) != 0 || (of.sa_handler != SIG_IGN && of.sa_handler != SIG_DFL);
}

// Sets the mask that the kernel would have set for the program's handler, which may leave by longjmp: that keeps it.
void unblock_for(const struct sigaction& theirs, int signal, const void* context) noexcept {
  sigset_t mask = static_cast<const ucontext_t*>(context)->uc_sigmask;
  for (int each = 1; each < NSIG; ++each) {
    if (::sigismember(&theirs.sa_mask, each) == 1) ::sigaddset(&mask, each);
  }
  if ((static_cast<unsigned>(theirs.sa_flags) & SA_NODEFER) == 0) ::sigaddset(&mask, signal);
  ::pthread_sigmask(SIG_SETMASK, &mask, nullptr);
}

// A program may handle such signals as a matter of course, for memory that it protects: so after some recordings, at
// most one is written in two seconds.
constexpr int always_written = 16;
std::int64_t seconds_now() noexcept {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec;
}

void on_crash(int signal, siginfo_t* info, void* context) {
  const int saved = errno;
  crash.inside.fetch_add(1, std::memory_order_seq_cst);
  const auto i =
      static_cast<std::size_t>(std::find(crash_signals.begin(), crash_signals.end(), signal) - crash_signals.begin());
  const bool may_recover = !crash.has_oldest[i] && has_function(crash.before[i]);
  // A crash after one from which the program's handler has recovered is written, too.
  int stage = crash.writing.load(std::memory_order_seq_cst);
  const bool again = stage == 2;
  const std::int64_t second = seconds_now();
  const bool is_due = stage == 0 || (again && may_recover &&
                                     (crash.written.load(std::memory_order_relaxed) < always_written ||
                                      second > crash.second.load(std::memory_order_relaxed) + 1));
  if (is_due && crash.writing.compare_exchange_strong(stage, 1, std::memory_order_seq_cst)) {
    for (auto& each : crash.listed) {
      if (recorder* one = each.load(std::memory_order_seq_cst)) one->write_in_crash(again);
    }
    crash.second.store(second, std::memory_order_relaxed);
    crash.written.fetch_add(1, std::memory_order_relaxed);
    crash.writing.store(2, std::memory_order_seq_cst);
  } else {  // this thread's end would be the process's
    constexpr timespec moment{0, 1'000'000};
    while (crash.writing.load(std::memory_order_seq_cst) != 2) ::nanosleep(&moment, nullptr);
  }
  crash.inside.fetch_sub(1, std::memory_order_seq_cst);
  const long self = ::syscall(SYS_gettid);
  const bool is_called_back =
      crash.has_oldest[i] && crash.calls_before[i].exchange(self, std::memory_order_relaxed) == self;
  const struct sigaction& theirs = is_called_back ? crash.oldest[i] : crash.before[i];
  if (!may_recover) {
    ::sigaction(signal, &theirs, nullptr);
  } else if ((static_cast<unsigned>(theirs.sa_flags) & SA_RESETHAND) != 0) {
    ::signal(signal, SIG_DFL);
  }
  if (has_function(theirs)) unblock_for(theirs, signal, context);
  errno = saved;
  if ((theirs.sa_flags & SA_SIGINFO) != 0) return theirs.sa_sigaction(signal, info, context);
  if (theirs.sa_handler == SIG_IGN) return;
  if (theirs.sa_handler != SIG_DFL) return theirs.sa_handler(signal);
  ::raise(signal);  // comes when this handler has returned
}

}  // namespace

void crash_recordings::add(recorder& one) {
  const std::lock_guard guard(crash_mutex());
  const auto free = std::find(crash.listed.begin(), crash.listed.end(), nullptr);
  if (free == crash.listed.end()) return;  // of so many, the first are written
  free->store(&one, std::memory_order_seq_cst);
  if (++crash.count != 1) return;
  crash.writing.store(0, std::memory_order_seq_cst);
  for (std::size_t i = 0; i < crash_signals.size(); ++i) {
    struct sigaction ours{};
    ours.sa_sigaction = on_crash;
    ours.sa_flags = SA_SIGINFO | SA_ONSTACK;
    ::sigfillset(&ours.sa_mask);  // a fault in the handler ends the process
    crash.calls_before[i].store(0, std::memory_order_relaxed);
    struct sigaction there{};
    ::sigaction(crash_signals[i], &ours, &there);
    if (there.sa_sigaction == on_crash) continue;  // another handler has put it back
    if (crash.is_below[i] && !std::exchange(crash.has_oldest[i], true)) crash.oldest[i] = crash.before[i];
    crash.before[i] = there;
  }
}

void crash_recordings::remove(recorder& one) noexcept {
  const std::lock_guard guard(crash_mutex());
  const auto found = std::find(crash.listed.begin(), crash.listed.end(), &one);
  if (found == crash.listed.end()) return;
  found->store(nullptr, std::memory_order_seq_cst);
  if (--crash.count == 0) {
    for (std::size_t i = 0; i < crash_signals.size(); ++i) {
      struct sigaction now{};
      crash.is_below[i] = ::sigaction(crash_signals[i], nullptr, &now) != 0 || now.sa_sigaction != on_crash;
      if (!crash.is_below[i]) ::sigaction(crash_signals[i], &crash.before[i], nullptr);
    }
  }
  while (crash.inside.load(std::memory_order_seq_cst) != 0) std::this_thread::yield();
}

}  // namespace ringo::detail
