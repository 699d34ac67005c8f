#include "runtime/child.hpp"

#include <limits.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <list>
#include <mutex>
#include <new>
#include <string>
#include <system_error>
#include <thread>

#include <ringo/detail/lock_rank.hpp>

#include "platform/never_destroyed.hpp"
#include "platform/signals_blocked.hpp"
#include "platform/text_file.hpp"

namespace ringo::detail {
namespace {

constexpr auto by_pidfd = static_cast<idtype_t>(P_PIDFD);

// Each call is asked for something that it must refuse: the error tells whether the kernel knows the call, and no
// descriptor is needed.
bool has_pidfds() noexcept {
  static const bool has = ::syscall(SYS_pidfd_open, -1, 0) < 0 && errno == EINVAL &&
                          ::syscall(SYS_pidfd_send_signal, -1, 0, nullptr, 0) < 0 && errno == EBADF &&
                          ::waitid(by_pidfd, INT_MAX, nullptr, WEXITED | WNOHANG) < 0 && errno == EBADF;
  return has;
}

// Returns 0 or an errno.
int wait_for(idtype_t by, int which, siginfo_t& end, int how) noexcept {
  end.si_pid = 0;
  int result;
  do {
    result = ::waitid(by, static_cast<id_t>(which), &end, WEXITED | how);
  } while (result != 0 && errno == EINTR);
  return result == 0 ? 0 : errno;
}

// Whether it has ended for its tracer. Its main thread alone may have ended: then it has other threads.
bool is_zombie(pid_t id) {
  const auto status = read_text("/proc/" + std::to_string(id) + "/status");
  if (!status) return false;
  const auto state = value_after(*status, "State:"), threads = value_after(*status, "Threads:");
  return state && state->starts_with('Z') && threads && leading_number(*threads).value_or(0) <= 1;
}

bool has_ended(const child& c) {
  pollfd one{c.descriptor, POLLIN, 0};
  if (::poll(&one, 1, 0) == 1) return true;
  if (has_pidfds()) return false;
  siginfo_t end{};
  // An error: it is not a child any more, and its number may be another's.
  return wait_for(P_PID, c.id, end, WNOHANG | WNOWAIT) != 0 || end.si_pid != 0 || is_zombie(c.id);
}

// Of the process, and never destroyed: its threads may outlive main().
class end_watchers {
 public:
  // Starts a thread that raises this eventfd when the child has ended, unless it was told to forget() it by then.
  // Returns 0 or an errno.
  int add(pid_t child, int raises) noexcept {
    const std::lock_guard guard(mutex_);
    try {
      all_.push_front({child, raises});
      try {
        const signals_blocked while_it_starts;
        std::thread([this, self = all_.begin()] { watch(self); }).detach();
        return 0;
      } catch (...) {
        all_.pop_front();
        throw;
      }
    } catch (const std::system_error& problem) {
      return problem.code().value();
    } catch (const std::bad_alloc&) {
      return ENOMEM;
    }
  }

  void forget(int raises) noexcept {
    const std::lock_guard guard(mutex_);
    for (watcher& each : all_) {
      if (each.raises == raises) each.raises = -1;
    }
  }

  void list(std::vector<pid_t>& threads) {
    const std::lock_guard guard(mutex_);
    for (const watcher& each : all_) {
      if (each.thread != 0) threads.push_back(each.thread);
    }
  }

 private:
  struct watcher {
    pid_t child;
    int raises;  // -1: its owner has closed it, and the number may be another descriptor's
    pid_t thread = 0;
  };

  void watch(std::list<watcher>::iterator self) noexcept {
    {
      const std::lock_guard guard(mutex_);
      self->thread = ::gettid();
    }
    // An error means that other code of the process has taken the end, of which the owner learns by the same error.
    siginfo_t end{};
    (void)wait_for(P_PID, self->child, end, WNOWAIT);
    const std::lock_guard guard(mutex_);
    const std::uint64_t one = 1;
    if (self->raises >= 0) (void)!::write(self->raises, &one, sizeof one);
    all_.erase(self);
  }

  ranked<std::mutex, lock_rank::leaf> mutex_;
  std::list<watcher> all_;
};

end_watchers& the_end_watchers() {
  static never_destroyed<end_watchers> one;
  return *one;
}

}  // namespace

int open_descriptor(child& c) noexcept {
  if (has_pidfds()) {
    c.descriptor = static_cast<int>(::syscall(SYS_pidfd_open, c.id, 0));
    return c.descriptor >= 0 ? 0 : errno;
  }
  c.descriptor = ::eventfd(0, EFD_CLOEXEC);
  if (c.descriptor < 0) return errno;
  const int error = the_end_watchers().add(c.id, c.descriptor);
  if (error != 0) ::close(c.descriptor);
  return error;
}

void close_descriptor(const child& c) noexcept {
  if (!has_pidfds()) the_end_watchers().forget(c.descriptor);
  ::close(c.descriptor);
}

int note_end(const child& c, siginfo_t& end) noexcept {
  return has_pidfds() ? wait_for(by_pidfd, c.descriptor, end, WNOHANG) : wait_for(P_PID, c.id, end, WNOHANG);
}

int send_signal(const child& c, int signal) {
  // The kernel accepts a signal for a process that has ended until its end has been noted.
  if (has_ended(c)) return ESRCH;
  const auto result =
      has_pidfds() ? ::syscall(SYS_pidfd_send_signal, c.descriptor, signal, nullptr, 0) : ::kill(c.id, signal);
  return result == 0 ? 0 : errno;
}

void list_end_watchers(std::vector<pid_t>& threads) { the_end_watchers().list(threads); }

}  // namespace ringo::detail
