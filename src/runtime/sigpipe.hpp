// A write to a pipe whose reader has gone brings SIGPIPE upon the thread that makes it, and ends the process where
// nobody has said otherwise; here it is the write's error alone. What the process does at SIGPIPE stays as it is.
#pragma once
#include <pthread.h>
#include <signal.h>
#include <time.h>

namespace ringo::detail {

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
  ~sigpipe_blocked() {
    if (::sigismember(&before_, SIGPIPE) == 1) return;
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
