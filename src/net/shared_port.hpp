// The listeners of this process that share an address (socket_options::reuse_port). The kernel distributes connections
// among their queues. If a listener is closed, the kernel resets the connections in its queue; so the listener first
// hands them to another one.
#pragma once
#include <vector>

#include <ringo/detail/listener_operation.hpp>

namespace ringo::detail {

// Thread: any. Lock order: a listener's lock before the list's.
void share_port(listener_core& l);  // throws std::bad_alloc
void stop_sharing_port(listener_core& l) noexcept;

// Takes all connections out of a listening socket's queue, and keeps further ones out. Throws: std::bad_alloc.
void drain_queue(int listening_socket, std::vector<int>& into);

// Gives the connections to another listener at the same address, soon. False, without effect, if there is none. Called
// under the lock of `from`, which is not in the list any more. So of two listeners that are being closed at most one
// finds the other, and neither's last handle is dropped under the lock of the other.
bool hand_over(const listener_core& from, const std::vector<int>& connections) noexcept;
bool has_another_at_port_of(const listener_core& l) noexcept;

}  // namespace ringo::detail
