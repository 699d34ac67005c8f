// A call as an entry of io_uring's submission queue.
#pragma once
#include <cerrno>

#include "driver/kernel_call.hpp"

struct io_uring_sqe;

namespace ringo::detail {

// The entry is zero, except for its user_data.
void translate(const kernel_call& call, io_uring_sqe& entry) noexcept;

// io_uring passes on, of open(2) for example, what the kernel says to itself when a system call is to be begun anew
// after a signal (ERESTARTSYS and its like).
inline int in_errno(int result) noexcept { return result <= -512 && result >= -516 ? -EINTR : result; }

}  // namespace ringo::detail
