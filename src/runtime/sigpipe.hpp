// A write to a pipe without a reader sends SIGPIPE to its thread, which by default ends the process. In workers and in
// calls of blocking() such a write only fails. But if standard output or standard error is such a pipe, the process
// ends by SIGPIPE, as a filter must when its reader has ended (Go does the same). The process's handler of SIGPIPE
// stays.
//
// The signal does not say which descriptor it is about. So it stays blocked, and the thread checks from time to time
// whether one is pending, and whether descriptor 1 or 2 is broken.
#pragma once
#include <pthread.h>
#include <signal.h>
#include <time.h>

namespace ringo::detail {

// If a SIGPIPE is pending for the calling thread, which blocks it: ends the process if standard output or standard
// error is broken, else drops the signal. Does nothing if the program ignores or handles SIGPIPE.
void end_where_output_is_broken() noexcept;

// Blocks SIGPIPE in the calling thread. Its destructor restores the mask, and leaves no SIGPIPE pending.
class sigpipe_blocked {
 public:
  sigpipe_blocked() noexcept {
    ::sigemptyset(&it_);
    ::sigaddset(&it_, SIGPIPE);
    ::pthread_sigmask(SIG_BLOCK, &it_, &before_);
  }
  sigpipe_blocked(const sigpipe_blocked&) = delete;
  sigpipe_blocked& operator=(const sigpipe_blocked&) = delete;
  // Does nothing if the thread had blocked SIGPIPE before.
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
