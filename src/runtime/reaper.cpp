#include "runtime/reaper.hpp"

#include <sys/epoll.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <exception>
#include <mutex>
#include <new>
#include <thread>

#include <ringo/detail/lock_rank.hpp>

#include "platform/never_destroyed.hpp"
#include "platform/signals_blocked.hpp"

namespace ringo::detail {
namespace {

std::uint64_t packed(const child& c) noexcept {
  return static_cast<std::uint64_t>(static_cast<std::uint32_t>(c.id)) << 32 | static_cast<std::uint32_t>(c.descriptor);
}
child unpacked(std::uint64_t both) noexcept {
  return {static_cast<pid_t>(both >> 32), static_cast<int>(static_cast<std::uint32_t>(both))};
}

// False: it runs, or has ended and its tracer has not seen that yet.
bool has_reaped(const child& c) noexcept {
  siginfo_t end{};
  return note_end(c, end) != 0 || end.si_pid != 0;  // an error: it is not a child of this process any more
}

// Of the process, and never destroyed: its thread may outlive main().
class reaper {
 public:
  void add(const child& c) noexcept {
    const std::lock_guard guard(mutex_);
    reap_unwatched();
    if (has_reaped(c)) {
      close_descriptor(c);
    } else if (!watch(c)) {
      keep_unwatched(c);
    }
  }

  void list(std::vector<pid_t>& threads) {
    const std::lock_guard guard(mutex_);
    if (thread_ != 0) threads.push_back(thread_);
  }

 private:
  bool watch(const child& c) noexcept {
    if (epoll_ < 0 && !start()) return false;
    // Edge-triggered: the descriptor of a traced child that has ended is readable for as long as its tracer likes, and
    // the kernel reports it again when the tracer lets it go.
    epoll_event event{};
    event.events = EPOLLIN | EPOLLET;
    event.data.u64 = packed(c);
    if (::epoll_ctl(epoll_, EPOLL_CTL_ADD, c.descriptor, &event) != 0) return false;
    ++watched_;
    return true;
  }

  // The thread cannot end before the lock is free.
  bool start() noexcept {
    epoll_ = ::epoll_create1(EPOLL_CLOEXEC);
    if (epoll_ < 0) return false;
    try {
      const signals_blocked while_it_starts;
      std::thread([this] { run(); }).detach();
      return true;
    } catch (const std::exception&) {  // no memory, or too many threads
      stop();
      return false;
    }
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
      const child c = unpacked(event.data.u64);
      if (!has_reaped(c)) continue;
      // Closing it alone would not take it out while a program that is being started has a copy of it: epoll would
      // report it again, by a number that is another descriptor's by then.
      ::epoll_ctl(epoll, EPOLL_CTL_DEL, c.descriptor, nullptr);
      close_descriptor(c);
      if (--watched_ == 0) return stop();
    }
  }

  // There is no thread or no memory: the next add() tries again.
  void keep_unwatched(const child& c) noexcept {
    try {
      unwatched_.push_back(c);
    } catch (const std::bad_alloc&) {
      close_descriptor(c);
    }
  }
  void reap_unwatched() noexcept {
    for (std::size_t i = 0; i < unwatched_.size();) {
      if (has_reaped(unwatched_[i])) {
        close_descriptor(unwatched_[i]);
      } else if (!watch(unwatched_[i])) {
        ++i;
        continue;
      }
      unwatched_[i] = unwatched_.back();
      unwatched_.pop_back();
    }
  }

  ranked<std::mutex, lock_rank::process> mutex_;  // closing a child's descriptor may take a lock of rank leaf
  int epoll_ = -1;                                // while the thread runs
  pid_t thread_ = 0;
  std::size_t watched_ = 0;
  std::vector<child> unwatched_;
};

reaper& the_reaper() {
  static never_destroyed<reaper> one;
  return *one;
}

}  // namespace

void reap_in_background(const child& c) noexcept { the_reaper().add(c); }
void list_reaper(std::vector<pid_t>& threads) { the_reaper().list(threads); }

}  // namespace ringo::detail
