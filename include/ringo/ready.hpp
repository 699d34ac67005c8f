// readable, writable: for C libraries that have their own sockets (libpq, hiredis, libcurl, c-ares).
#pragma once
#include <ringo/detail/cpp20.hpp>

#include <ringo/detail/one_shot.hpp>

namespace ringo {

/// Waits until a read of the descriptor, or a write, would not block (poll(2)): there are bytes, the end of the stream,
/// a connection to accept, or an error. The caller keeps the descriptor, and keeps it open meanwhile. The descriptor
/// may not be ready any more when the routine runs: another reader was first, or a datagram was dropped for its
/// checksum. So set O_NONBLOCK, and wait again after EAGAIN.
///
///     co_await ringo::readable(fd);
///     const ssize_t n = ::read(fd, buffer, sizeof buffer);
///
/// Throws: cancelled; std::system_error with EBADF if it is not open, with EPERM if it is always ready (a regular
/// file). Cancel safety: waiting changes nothing. Thread: workers.
detail::one_shot_operation<void> readable(int descriptor);
detail::one_shot_operation<void> writable(int descriptor);

}  // namespace ringo
