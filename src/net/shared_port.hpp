// Listeners of this process at one address (socket_options::reuse_port). The kernel deals the connections out to their
// queues, and resets those that wait in the queue of one that is closed: so it hands them to another.
#pragma once
#include <vector>

#include <ringo/detail/listener_operation.hpp>

namespace ringo::detail {

// Any thread. Lock order: a listener's lock before the list's.
void share_port(listener_core& l);  // throws std::bad_alloc
void stop_sharing_port(listener_core& l) noexcept;

// Takes all connections out of a listening socket's queue, into which no more come from then on. Throws std::bad_alloc.
void drain_queue(int listening_socket, std::vector<int>& into);

// Gives the connections to another listener at that one's address, soon. False, and nothing has happened, if there is
// none. Under the lock of `from`, which is not in the list any more: so of two that are being closed one at the most
// finds the other, and neither's last handle is dropped under the lock of the other.
bool hand_over(const listener_core& from, const std::vector<int>& connections) noexcept;
bool has_another_at_port_of(const listener_core& l) noexcept;

}  // namespace ringo::detail
