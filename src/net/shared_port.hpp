// The listeners of this process that share an address (tcp_options::reuse_port). The kernel distributes connections
// among their queues. If a listener is closed, the kernel resets the connections in its queue; so the listener first
// hands them to another one.
#pragma once
#include <span>
#include <vector>

#include "net/listener_core.hpp"

namespace ringo::detail {

// Thread: any. No lock is taken under the list's.
void share_port(listener_core& l);  // throws std::bad_alloc
void stop_sharing_port(listener_core& l) noexcept;

// Takes all connections out of a listening socket's queue, and keeps further ones out. Throws: std::bad_alloc.
void drain_queue(int listening_socket, std::vector<bare_connection>& into);

// Gives the connections to another listener at the same address, soon. False, without effect, if there is none. Called
// without the lock of `from`, which is being closed.
bool hand_over(const listener_core& from, std::span<const bare_connection> connections) noexcept;
bool has_another_at_port_of(const listener_core& l) noexcept;

}  // namespace ringo::detail
