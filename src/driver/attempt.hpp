// Carries out calls by ordinary system calls: at once, without waiting; or on a thread that may wait.
#pragma once
#include <cstdint>

#include "driver/buffer_pool.hpp"
#include "driver/kernel_call.hpp"

namespace ringo::detail {

enum class attempted : std::uint8_t {
  answered,
  must_wait,     // until the descriptor is ready
  needs_thread,  // readiness says nothing, or not enough
};

// Tries a call on a descriptor without waiting, and without a change of the descriptor's modes that lasts: other
// processes may share the open file. `has_connected`: of a connect that an earlier attempt has begun.
//
// Two attempts rest on poll(2), since the kernel has no flag for the one call: accept, and a read or write of a
// descriptor that does not know RWF_NOWAIT (terminals; pipes before Linux 6.4). If another process takes the connection
// or the bytes between the two calls, the worker waits in the kernel for the next ones. So a listener that was adopted,
// which other processes may share, needs a thread.
//
// May correct the offset of a call: a pipe has only the current position.
attempted attempt(kernel_call& c, bool has_connected, buffer_pool& buffers, kernel_answer& answer) noexcept;

// Lets a call that `lends` receive into this buffer.
void put_in(kernel_call& c, buffer& lent) noexcept;

// The events that a call waits for, as poll(2) and epoll name them.
short events_for(const kernel_call& c) noexcept;

// After an attempt that must wait: whether the descriptor is ready all the same, and no event will come. So it is with
// a Unix datagram socket that is not connected: its peer has no room.
bool has_no_event(const kernel_call& c) noexcept;

// Whether a thread that carries it out may wait for more than a disk, and an interruption has no effect.
bool may_be_interrupted(const kernel_call& c) noexcept;

// Whether close(2) of this descriptor may wait for a disk or a server.
bool may_wait_to_close(int descriptor) noexcept;

// Carries the call out, however long that takes. Returns the result, or a negative errno.
int carry_out(const kernel_call& c) noexcept;

}  // namespace ringo::detail
