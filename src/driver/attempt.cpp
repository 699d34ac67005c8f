#include "driver/attempt.hpp"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdio>

namespace ringo::detail {
namespace {

// The result of a system call, as the kernel gives it to io_uring.
template <class F>
int call_result(F call) noexcept {
  for (;;) {
    const auto result = call();
    if (result >= 0) return static_cast<int>(result);
    if (errno != EINTR) return -errno;
  }
}

bool would_wait(int result) noexcept { return result == -EAGAIN || result == -EWOULDBLOCK; }

int ready_events(int descriptor, short events) noexcept {
  pollfd one{descriptor, events, 0};
  const int result = call_result([&] { return ::poll(&one, 1, 0); });
  return result < 0 ? result : one.revents;
}

// The kind of file, as S_IFMT; 0 for an eventfd and its like, and for a number that is closed.
mode_t file_kind_of_descriptor(int descriptor) noexcept {
  struct stat s{};
  return ::fstat(descriptor, &s) == 0 ? s.st_mode & S_IFMT : 0;
}

bool is_on_disk(mode_t file_kind) noexcept { return S_ISREG(file_kind) || S_ISDIR(file_kind) || S_ISBLK(file_kind); }

attempted settle(int result, kernel_answer& answer) noexcept {
  if (would_wait(result)) return attempted::must_wait;
  answer.result = result;
  return attempted::answered;
}

attempted receive(const kernel_call& c, kernel_answer& answer) noexcept {
  int result;
  if (c.what == kernel_call::kind::receive) {
    result = call_result([&] { return ::recv(c.descriptor, c.to, c.size, static_cast<int>(c.flags) | MSG_DONTWAIT); });
    answer.more_is_there = result > 0 && static_cast<std::uint64_t>(result) == c.size;
  } else {
    msghdr& message = *static_cast<msghdr*>(c.to);
    result = call_result([&] { return ::recvmsg(c.descriptor, &message, static_cast<int>(c.flags) | MSG_DONTWAIT); });
    // A message ends where the next one begins: its length does not say whether there is one.
    answer.more_is_there = result >= 0;
  }
  return settle(result, answer);
}

attempted send(const kernel_call& c, kernel_answer& answer) noexcept {
  const int flags = (static_cast<int>(c.flags) & ~MSG_WAITALL) | MSG_DONTWAIT;
  return settle(call_result([&] {
                  return c.what == kernel_call::kind::send
                             ? ::send(c.descriptor, c.from, c.size, flags)
                             : ::sendmsg(c.descriptor, static_cast<const msghdr*>(c.from), flags);
                }),
                answer);
}

bool listens(int descriptor) noexcept {
  int value = 0;
  socklen_t size = sizeof value;
  return ::getsockopt(descriptor, SOL_SOCKET, SO_ACCEPTCONN, &value, &size) == 0 && value != 0;
}

int accept(const kernel_call& c) noexcept {
  // EINTR is passed on: the connection may be another process' by now.
  const int result =
      ::accept4(c.descriptor, static_cast<sockaddr*>(c.to), c.also_to, static_cast<int>(c.flags) & SOCK_CLOEXEC);
  return result >= 0 ? result : -errno;
}

attempted connect(const kernel_call& c, bool has_connected, kernel_answer& answer) noexcept {
  int result;
  if (has_connected) {
    int error = 0;
    socklen_t size = sizeof error;
    if (::getsockopt(c.descriptor, SOL_SOCKET, SO_ERROR, &error, &size) != 0) error = errno;
    sockaddr_storage peer;
    size = sizeof peer;
    if (error == 0 && ::getpeername(c.descriptor, reinterpret_cast<sockaddr*>(&peer), &size) != 0 && errno == ENOTCONN)
      return attempted::must_wait;
    // The kernel notes that the connection is made only when it is asked once more.
    if (error == 0) (void)::connect(c.descriptor, static_cast<const sockaddr*>(c.from), static_cast<socklen_t>(c.size));
    result = -error;
  } else {
    // The socket is ringo's own and new, so no other process shares its mode, which is restored at once.
    const int mode = ::fcntl(c.descriptor, F_GETFL);
    const bool changes = mode >= 0 && (mode & O_NONBLOCK) == 0;
    if (changes) ::fcntl(c.descriptor, F_SETFL, mode | O_NONBLOCK);
    result =
        ::connect(c.descriptor, static_cast<const sockaddr*>(c.from), static_cast<socklen_t>(c.size)) == 0 ? 0 : -errno;
    if (changes) ::fcntl(c.descriptor, F_SETFL, mode);
    if (result == -EINPROGRESS || result == -EINTR) return attempted::must_wait;
    // The listener of a Unix socket has no room, of which the kernel does not tell.
    if (would_wait(result)) return attempted::needs_thread;
  }
  answer.result = result;
  return attempted::answered;
}

bool is_positioned(const kernel_call& c) noexcept { return c.offset != kernel_call::current_position; }

int transfer(const kernel_call& c, std::size_t size, int flags) noexcept {
  const iovec bytes{c.what == kernel_call::kind::read ? c.to : const_cast<void*>(c.from), size};
  const auto at = static_cast<off_t>(c.offset);  // -1: the current position
  const ssize_t result = c.what == kernel_call::kind::read ? ::preadv2(c.descriptor, &bytes, 1, at, flags)
                                                           : ::pwritev2(c.descriptor, &bytes, 1, at, flags);
  return result >= 0 ? static_cast<int>(result) : -errno;
}

// EPERM: from a sandbox that does not know the call. The C library makes EOPNOTSUPP of some other refusals.
bool is_unknown(int result) noexcept { return result == -EOPNOTSUPP || result == -ENOSYS || result == -EPERM; }

// On a thread. Where RWF_APPEND is unknown (gVisor, qemu's emulation of system calls), the file is opened once more to
// append: the kernel chooses the end for each write, as with the flag.
int transfer_on_thread(const kernel_call& c) noexcept {
  const auto flags = static_cast<int>(c.flags);
  const int result = transfer(c, c.size, flags);
  if (flags == 0 || !is_unknown(result)) return result;
  char path[32];
  std::snprintf(path, sizeof path, "/proc/self/fd/%d", c.descriptor);
  const int again = ::open(path, O_WRONLY | O_APPEND | O_NOCTTY | O_CLOEXEC);
  if (again < 0) return result;
  const int written = call_result([&] { return ::write(again, c.from, c.size); });
  ::close(again);
  return written;
}

// Of a descriptor that does not know RWF_NOWAIT.
attempted transfer_when_ready(kernel_call& c, kernel_answer& answer) noexcept {
  const mode_t file_kind = file_kind_of_descriptor(c.descriptor);
  // A pipe or a terminal has no other position than the current one.
  if (is_positioned(c) && ::lseek(c.descriptor, 0, SEEK_CUR) < 0 && errno == ESPIPE)
    c.offset = kernel_call::current_position;
  if (is_positioned(c) || is_on_disk(file_kind)) return attempted::needs_thread;
  const bool reads = c.what == kernel_call::kind::read;
  if (S_ISSOCK(file_kind)) {
    return settle(call_result([&] {
                    return reads ? ::recv(c.descriptor, c.to, c.size, MSG_DONTWAIT)
                                 : ::send(c.descriptor, c.from, c.size, MSG_DONTWAIT);
                  }),
                  answer);
  }
  if (ready_events(c.descriptor, reads ? POLLIN : POLLOUT) == 0) {
    // The end of a pipe that is not for this is never ready.
    if (const int mode = ::fcntl(c.descriptor, F_GETFL);
        mode >= 0 && (mode & O_ACCMODE) == (reads ? O_WRONLY : O_RDONLY))
      return settle(-EBADF, answer);
    return attempted::must_wait;
  }
  // A terminal that is ready may have less room than there are bytes, and then waits.
  if (!reads && S_ISCHR(file_kind)) return attempted::needs_thread;
  // A pipe that is ready has room for so much.
  const std::size_t size = !reads && S_ISFIFO(file_kind) ? std::min<std::size_t>(c.size, PIPE_BUF) : c.size;
  return settle(
      call_result([&] { return reads ? ::read(c.descriptor, c.to, size) : ::write(c.descriptor, c.from, size); }),
      answer);
}

attempted transfer_at_once(kernel_call& c, kernel_answer& answer) noexcept {
  int result;
  do {
    result = transfer(c, c.size, static_cast<int>(c.flags) | RWF_NOWAIT);
    if (result != -ESPIPE || !is_positioned(c)) continue;
    c.offset = kernel_call::current_position;  // a pipe or a terminal has no other
    result = -EINTR;
  } while (result == -EINTR);
  if (is_unknown(result)) return transfer_when_ready(c, answer);
  if (would_wait(result) && is_positioned(c)) return attempted::needs_thread;
  return settle(result, answer);
}

attempted attempt_on(kernel_call& c, bool has_connected, kernel_answer& answer) noexcept {
  switch (c.what) {
    case kernel_call::kind::receive:
    case kernel_call::kind::receive_message:
      return receive(c, answer);
    case kernel_call::kind::send:
    case kernel_call::kind::send_message:
      return send(c, answer);
    case kernel_call::kind::accept:
      if (ready_events(c.descriptor, POLLIN) == 0 && listens(c.descriptor)) return attempted::must_wait;
      return c.is_shared ? attempted::needs_thread : settle(accept(c), answer);
    case kernel_call::kind::connect:
      return connect(c, has_connected, answer);
    case kernel_call::kind::poll: {
      const int events = ready_events(c.descriptor, static_cast<short>(c.flags));
      if (events == 0) return attempted::must_wait;
      answer.result = events < 0 ? events : (events & POLLNVAL) != 0 ? -EBADF : events;
      return attempted::answered;
    }
    case kernel_call::kind::read:
    case kernel_call::kind::write:
      return transfer_at_once(c, answer);
    default:
      return attempted::needs_thread;
  }
}

}  // namespace

void put_in(kernel_call& c, buffer& lent) noexcept {
  if (c.what == kernel_call::kind::receive_message) {
    iovec& bytes = *static_cast<msghdr*>(c.to)->msg_iov;
    bytes = {lent.bytes(), std::min<std::size_t>(bytes.iov_len, lent.room)};
  } else {
    c.to = lent.bytes();
    c.size = std::min<std::uint64_t>(c.size, lent.room);
  }
}

attempted attempt(kernel_call& c, bool has_connected, buffer_pool& buffers, kernel_answer& answer) noexcept {
  if (!c.lends) return attempt_on(c, has_connected, answer);
  buffer* const lent = buffers.take();
  if (lent == nullptr) {
    answer.result = -ENOBUFS;
    return attempted::answered;
  }
  kernel_call with_buffer = c;
  put_in(with_buffer, *lent);
  const attempted how = attempt_on(with_buffer, has_connected, answer);
  c.offset = with_buffer.offset;
  if (how == attempted::answered && answer.result > 0) {
    answer.filled = lent;
  } else {
    buffers.give_back(*lent);
  }
  return how;
}

short events_for(const kernel_call& c) noexcept {
  switch (c.what) {
    case kernel_call::kind::poll:
      return static_cast<short>(c.flags);
    case kernel_call::kind::send:
    case kernel_call::kind::send_message:
    case kernel_call::kind::connect:
    case kernel_call::kind::write:
      return POLLOUT;
    default:
      return POLLIN;
  }
}

bool has_no_event(const kernel_call& c) noexcept {
  return c.what == kernel_call::kind::send_message && static_cast<const msghdr*>(c.from)->msg_name != nullptr &&
         ready_events(c.descriptor, POLLOUT) != 0;
}

bool may_be_interrupted(const kernel_call& c) noexcept {
  const bool moves_bytes = c.what == kernel_call::kind::read || c.what == kernel_call::kind::write;
  return c.may_take_long || (moves_bytes && !is_positioned(c)) || c.what == kernel_call::kind::accept ||
         c.what == kernel_call::kind::connect;
}

bool may_wait_to_close(int descriptor) noexcept {
  const mode_t file_kind = file_kind_of_descriptor(descriptor);
  return is_on_disk(file_kind) || S_ISCHR(file_kind);
}

int carry_out(const kernel_call& c) noexcept {
  const auto path = static_cast<const char*>(c.from);
  const auto flags = static_cast<int>(c.flags);
  const auto permissions = static_cast<mode_t>(c.size);
  const auto outcome = [](int result) { return result >= 0 ? result : -errno; };
  switch (c.what) {
    case kernel_call::kind::read:
    case kernel_call::kind::write:
      return transfer_on_thread(c);
    case kernel_call::kind::accept:
      return accept(c);
    case kernel_call::kind::connect:
      return outcome(::connect(c.descriptor, static_cast<const sockaddr*>(c.from), static_cast<socklen_t>(c.size)));
    case kernel_call::kind::sync:
      return outcome(c.flags != 0 ? ::fdatasync(c.descriptor) : ::fsync(c.descriptor));
    case kernel_call::kind::open:
      return outcome(::openat(AT_FDCWD, path, flags, permissions));
    case kernel_call::kind::close:
      return outcome(::close(c.descriptor));
    case kernel_call::kind::stat:
      return outcome(
          ::statx(c.descriptor, path, flags, static_cast<unsigned>(c.size), static_cast<struct statx*>(c.to)));
    case kernel_call::kind::rename:
      return outcome(::rename(path, static_cast<const char*>(c.also_from)));
    case kernel_call::kind::remove:
      return outcome(::unlink(path));
    case kernel_call::kind::remove_folder:
      return outcome(::rmdir(path));
    case kernel_call::kind::make_folder:
      return outcome(::mkdir(path, permissions));
    default:
      return -EINVAL;
  }
}

}  // namespace ringo::detail
