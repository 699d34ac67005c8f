#include "driver/uring_call.hpp"

#include <fcntl.h>
#include <liburing.h>
#include <sys/socket.h>

#include <cstddef>
#include <type_traits>

// ThreadSanitizer does not see what a ring does. Unless it is told of a close, it takes the next descriptor with the
// same number for the closed one, and reports races of threads that have used the two. Defined if some part of the
// program was compiled for a sanitizer.
extern "C" void __sanitizer_syscall_pre_impl_close(long descriptor) __attribute__((weak));

namespace ringo::detail {

namespace {

// The kernel reads a pause_length as its own structure.
static_assert(sizeof(pause_length) == sizeof(__kernel_timespec) &&
              offsetof(pause_length, nanoseconds) == offsetof(__kernel_timespec, tv_nsec));

template <class T>
T* as(void* memory) noexcept {
  return static_cast<T*>(memory);
}
template <class T>
const T* as(const void* memory) noexcept {
  return static_cast<const T*>(memory);
}

}  // namespace

void translate(const kernel_call& c, io_uring_sqe& entry) noexcept {
  using kind = kernel_call::kind;
  const auto size = static_cast<unsigned>(c.size);
  const auto flags = static_cast<int>(c.flags);
  switch (c.what) {
    case kind::nothing:
      ::io_uring_prep_nop(&entry);
      break;
    case kind::pause:
      ::io_uring_prep_timeout(&entry, static_cast<__kernel_timespec*>(const_cast<void*>(c.from)), 0, 0);
      break;
    case kind::poll:
      ::io_uring_prep_poll_add(&entry, c.descriptor, c.flags);
      break;
    case kind::receive:
      ::io_uring_prep_recv(&entry, c.descriptor, c.to, c.size, flags);
      break;
    case kind::receive_message:
      ::io_uring_prep_recvmsg(&entry, c.descriptor, as<msghdr>(c.to), c.flags);
      break;
    case kind::send:
      ::io_uring_prep_send(&entry, c.descriptor, c.from, c.size, flags);
      break;
    case kind::send_message:
      ::io_uring_prep_sendmsg(&entry, c.descriptor, as<msghdr>(c.from), c.flags);
      break;
    case kind::accept:
      ::io_uring_prep_accept(&entry, c.descriptor, as<sockaddr>(c.to), c.also_to, flags);
      break;
    case kind::connect:
      ::io_uring_prep_connect(&entry, c.descriptor, as<sockaddr>(c.from), size);
      break;
    case kind::read:
      ::io_uring_prep_read(&entry, c.descriptor, c.to, size, c.offset);
      break;
    case kind::write:
      ::io_uring_prep_write(&entry, c.descriptor, c.from, size, c.offset);
      entry.rw_flags = flags;
      break;
    case kind::sync:
      ::io_uring_prep_fsync(&entry, c.descriptor, c.flags != 0 ? IORING_FSYNC_DATASYNC : 0);
      break;
    case kind::open:
      ::io_uring_prep_openat(&entry, AT_FDCWD, as<char>(c.from), flags, size);
      break;
    case kind::close:
      if (__sanitizer_syscall_pre_impl_close != nullptr) __sanitizer_syscall_pre_impl_close(c.descriptor);
      ::io_uring_prep_close(&entry, c.descriptor);
      break;
    case kind::stat:
      ::io_uring_prep_statx(&entry, c.descriptor, as<char>(c.from), flags, size, as<struct statx>(c.to));
      break;
    case kind::rename:
      ::io_uring_prep_renameat(&entry, AT_FDCWD, as<char>(c.from), AT_FDCWD, as<char>(c.also_from), 0);
      break;
    case kind::remove:
      ::io_uring_prep_unlinkat(&entry, AT_FDCWD, as<char>(c.from), 0);
      break;
    case kind::remove_folder:
      ::io_uring_prep_unlinkat(&entry, AT_FDCWD, as<char>(c.from), AT_REMOVEDIR);
      break;
    case kind::make_folder:
      ::io_uring_prep_mkdirat(&entry, AT_FDCWD, as<char>(c.from), size);
      break;
  }
  // Else the kernel makes the call in the worker's thread as soon as the descriptor is ready.
  if (c.may_take_long || c.needs_thread) entry.flags |= IOSQE_ASYNC;
  if (c.lends) {
    entry.flags |= IOSQE_BUFFER_SELECT;
    entry.buf_group = 0;
  }
}

}  // namespace ringo::detail
