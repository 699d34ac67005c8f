#include "runtime/reaper.hpp"

#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <mutex>
#include <new>

#include <ringo/detail/lock_rank.hpp>

namespace ringo::detail {
namespace {

// Of the process, and never destroyed: its thread may outlive main().
class reaper {
 public:
  void add(int pidfd) noexcept {
    const std::lock_guard guard(mutex_);
    reap_unwatched();
    if (has_reaped(pidfd)) {
      ::close(pidfd);
    } else if (!watch(pidfd)) {
      keep_unwatched(pidfd);
    }
  }

  void list(std::vector<pid_t>& threads) {
    const std::lock_guard guard(mutex_);
    if (thread_ != 0) threads.push_back(thread_);
  }

 private:
  // False: its end is not there to be taken note of. It runs, or has ended and is its tracer's still.
  static bool has_reaped(int pidfd) noexcept {
    siginfo_t info{};
    int result;
    do {
      result = ::waitid(static_cast<idtype_t>(P_PIDFD), static_cast<id_t>(pidfd), &info, WEXITED | WNOHANG);
    } while (result != 0 && errno == EINTR);
    return result != 0 || info.si_pid != 0;  // it has ended, or is no child of this process any more
  }

  bool watch(int pidfd) noexcept {
    if (epoll_ < 0 && !start()) return false;
    // Edge-triggered: the descriptor of a traced child that has ended is readable for as long as its tracer likes, and
    // the kernel tells of it again when the tracer lets it go.
    epoll_event event{};
    event.events = EPOLLIN | EPOLLET;
    event.data.fd = pidfd;
    if (::epoll_ctl(epoll_, EPOLL_CTL_ADD, pidfd, &event) != 0) return false;
    ++watched_;
    return true;
  }

  // The thread cannot end before the lock is free.
  bool start() noexcept {
    epoll_ = ::epoll_create1(EPOLL_CLOEXEC);
    if (epoll_ < 0) return false;
    pthread_attr_t how;
    ::pthread_attr_init(&how);
    ::pthread_attr_setdetachstate(&how, PTHREAD_CREATE_DETACHED);
    sigset_t all, before;
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_t thread;
    const int error = ::pthread_create(
        &thread, &how,
        [](void* self) -> void* {
          static_cast<reaper*>(self)->run();
          return nullptr;
        },
        this);
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
    ::pthread_attr_destroy(&how);
    if (error == 0) return true;
    stop();
    return false;
  }
  void stop() noexcept {
    ::close(epoll_);
    epoll_ = -1;
    thread_ = 0;
  }

  void run() noexcept {
    int epoll;
    {
      const std::lock_guard guard(mutex_);
      thread_ = ::gettid();
      epoll = epoll_;
      if (watched_ == 0) return stop();
    }
    for (;;) {
      epoll_event event{};
      if (::epoll_wait(epoll, &event, 1, -1) != 1) continue;
      const std::lock_guard guard(mutex_);
      const int pidfd = event.data.fd;
      if (!has_reaped(pidfd)) continue;
      // Closing it would not take it out while a program that is being started has a copy of it: it would be told of
      // again, by a number that is another's.
      ::epoll_ctl(epoll, EPOLL_CTL_DEL, pidfd, nullptr);
      ::close(pidfd);
      if (--watched_ == 0) return stop();
    }
  }

  // Without a thread or memory: tried again when the next one comes.
  void keep_unwatched(int pidfd) noexcept {
    try {
      unwatched_.push_back(pidfd);
    } catch (const std::bad_alloc&) {
      ::close(pidfd);
    }
  }
  void reap_unwatched() noexcept {
    for (std::size_t i = 0; i < unwatched_.size();) {
      if (has_reaped(unwatched_[i])) {
        ::close(unwatched_[i]);
      } else if (!watch(unwatched_[i])) {
        ++i;
        continue;
      }
      unwatched_[i] = unwatched_.back();
      unwatched_.pop_back();
    }
  }

  ranked<std::mutex, lock_rank::leaf> mutex_;
  int epoll_ = -1;  // while the thread runs
  pid_t thread_ = 0;
  std::size_t watched_ = 0;
  std::vector<int> unwatched_;
};

reaper& the_reaper() {
  static reaper* const one = new reaper;
  return *one;
}

}  // namespace

void reap_in_background(int pidfd) noexcept { the_reaper().add(pidfd); }
void list_reaper(std::vector<pid_t>& threads) { the_reaper().list(threads); }

}  // namespace ringo::detail
