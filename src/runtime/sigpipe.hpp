// A write to a pipe whose reader has gone brings SIGPIPE upon the thread that makes it, and ends the process where
// the program has not said otherwise. In workers and in calls of blocking() it is the write's error alone, unless
// standard output or standard error is such a pipe: then the process ends by SIGPIPE, as a filter has to whose reader
// has seen enough (Go does the same). What the process does at SIGPIPE stays as it is.
//
// The signal does not tell of which descriptor it is, so it stays blocked, and the thread looks from time to time
// whether one has come and whether descriptor 1 or 2 is broken.
#pragma once
#include <pthread.h>
#include <signal.h>
#include <time.h>

namespace ringo::detail {

// If a SIGPIPE is pending for the calling thread, which blocks it: ends the process where standard output or standard
// error is broken, and forgets the signal otherwise. Nothing where the program ignores or handles SIGPIPE.
void end_where_output_is_broken() noexcept;

// Of the calling thread; afterwards its mask is as it was, and none is left pending.
class sigpipe_blocked {
 public:
  sigpipe_blocked() noexcept {
    ::sigemptyset(&it_);
    ::sigaddset(&it_, SIGPIPE);
    ::pthread_sigmask(SIG_BLOCK, &it_, &before_);
  }
  sigpipe_blocked(const sigpipe_blocked&) = delete;
  sigpipe_blocked& operator=(const sigpipe_blocked&) = delete;
  // Not where the thread had it blocked before.
  void look() noexcept {
    if (::sigismember(&before_, SIGPIPE) != 1) end_where_output_is_broken();
  }
  ~sigpipe_blocked() {
    if (::sigismember(&before_, SIGPIPE) == 1) return;
    look();
    constexpr timespec at_once{};
    while (::sigtimedwait(&it_, nullptr, &at_once) == SIGPIPE) {
    }
    ::pthread_sigmask(SIG_UNBLOCK, &it_, nullptr);
  }

 private:
  sigset_t it_;
  sigset_t before_;
};

}  // namespace ringo::detail
