// readable, writable: what lets C libraries that have their own sockets (libpq, hiredis, libcurl, c-ares) run here.
#pragma once
#include <ringo/detail/cpp20.hpp>

#include <ringo/detail/one_shot.hpp>

namespace ringo {

// When a read of the descriptor, or a write, would not block: bytes, an end of the stream, a connection to be accepted,
// an error to be had (poll(2)). The descriptor stays the caller's, and open while it is waited for. Ready is no
// promise: another reader may be first, a datagram be dropped for its checksum. So let the descriptor not wait
// (O_NONBLOCK), and after EAGAIN wait again. Throws: cancelled; std::system_error with EBADF where it is none, and with
// EPERM where it is always ready (a regular file). Cancel safety: waiting changes nothing. Thread: workers.
detail::one_shot_operation<void> readable(int descriptor);
detail::one_shot_operation<void> writable(int descriptor);

}  // namespace ringo
