// The driver over epoll, for kernels and sandboxes without io_uring. Each worker has one epoll instance.
#pragma once
#include <memory>

#include "driver/driver.hpp"

namespace ringo::detail {

// Thread: attach() binds the driver to the calling thread. After it, all calls must come from that thread, except those
// that say "Thread: any". wake() may be called from a signal handler, too.
//
// The destructor runs in the owner's thread, or after that thread has ended; in any thread if attach() was never
// called. In the owner's thread it ends the operations in flight, and waits for their answers. In a forked child it
// only closes the child's descriptors.
//
// Thread: any. Throws std::system_error if the kernel refuses a descriptor.
std::unique_ptr<driver> make_epoll();

}  // namespace ringo::detail
