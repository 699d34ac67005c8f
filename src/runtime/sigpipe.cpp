#include "runtime/sigpipe.hpp"

#include <poll.h>
#include <unistd.h>

namespace ringo::detail {
namespace {

bool standard_output_is_broken() noexcept {
  pollfd outputs[] = {{STDOUT_FILENO, 0, 0}, {STDERR_FILENO, 0, 0}};
  if (::poll(outputs, 2, 0) <= 0) return false;
  for (const pollfd& each : outputs) {
    if ((each.revents & POLLNVAL) == 0 && (each.revents & (POLLERR | POLLHUP)) != 0) return true;
  }
  return false;
}

}  // namespace

void end_where_output_is_broken() noexcept {
  sigset_t waiting;
  if (::sigpending(&waiting) != 0 || ::sigismember(&waiting, SIGPIPE) != 1) return;
  struct sigaction now{};
  if (::sigaction(SIGPIPE, nullptr, &now) != 0 || now.sa_handler != SIG_DFL)
    return;  // the program handles or ignores it
  sigset_t it;
  ::sigemptyset(&it);
  ::sigaddset(&it, SIGPIPE);
  if (standard_output_is_broken()) {
    ::pthread_sigmask(SIG_UNBLOCK, &it, nullptr);  // the pending signal ends the process
  } else {
    constexpr timespec at_once{};
    (void)::sigtimedwait(&it, nullptr, &at_once);  // it came from another write, which has returned its error
  }
}

}  // namespace ringo::detail
