#include "net/shared_port.hpp"

#include <fcntl.h>
#include <linux/filter.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <exception>
#include <memory>
#include <mutex>

#include <ringo/detail/foreign_threads.hpp>

namespace ringo::detail {
namespace {

ranked<std::mutex, lock_rank::shared_port> list_lock;
std::vector<listener_core*>& all_shared() {
  static auto* const all = new std::vector<listener_core*>;  // never destroyed: a listener may outlive the statics
  return *all;
}

// Drops each segment that asks for a new connection (the flag SYN: RFC 9293, 3.1). Its sender asks again in a second,
// and finds another listener. Handshakes that have begun go on.
void refuse_new_connections(int socket) noexcept {
  constexpr std::uint32_t flags_at = 13, syn = 2, all = 0xffffffff;
  std::array<sock_filter, 4> program{{BPF_STMT(BPF_LD | BPF_B | BPF_ABS, flags_at),
                                      BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, syn, 0, 1), BPF_STMT(BPF_RET | BPF_K, 0),
                                      BPF_STMT(BPF_RET | BPF_K, all)}};
  const sock_fprog filter{program.size(), program.data()};
  // Without the filter, a connection that comes between the last accept and the close is reset.
  (void)::setsockopt(socket, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof filter);
}

// A handle of another listener that is still open; empty if there is none.
listener_handle another_at_port_of(const listener_core& l) noexcept {
  const std::lock_guard guard(list_lock);
  for (listener_core* each : all_shared()) {
    if (each != &l && each->address() == l.address() && each->try_add_handle()) return listener_handle(each);
  }
  return {};
}

}  // namespace

void share_port(listener_core& l) {
  const std::lock_guard guard(list_lock);
  all_shared().push_back(&l);
}

void stop_sharing_port(listener_core& l) noexcept {
  const std::lock_guard guard(list_lock);
  std::erase(all_shared(), &l);
}

bool has_another_at_port_of(const listener_core& l) noexcept { return another_at_port_of(l).get() != nullptr; }

void drain_queue(int listening_socket, std::vector<bare_connection>& into) {
  without_locks("accept4");
  refuse_new_connections(listening_socket);
  const int flags = ::fcntl(listening_socket, F_GETFL);
  if (flags < 0 || ::fcntl(listening_socket, F_SETFL, flags | O_NONBLOCK) != 0) return;
  for (;;) {
    into.reserve(into.size() + 1);
    socket_address peer;
    const int connection = ::accept4(listening_socket, peer.get(), &peer.length, SOCK_CLOEXEC);
    if (connection >= 0) {
      into.push_back({connection, to_endpoint(peer.get())});
    } else if (errno != EINTR && errno != ECONNABORTED && errno != EPROTO) {
      return;  // it is empty, or there is no descriptor for more
    }
  }
}

bool hand_over(const listener_core& from, std::span<const bare_connection> connections) noexcept {
  try {
    const auto to = std::make_shared<listener_handle>(another_at_port_of(from));
    if (to->get() == nullptr) return false;
    const std::vector<bare_connection> all(connections.begin(), connections.end());
    do_where_used(to->get()->owner, [to, all](worker*) { to->get()->take_over(all); });
    return true;
  } catch (const std::exception&) {  // without memory
    return false;
  }
}

}  // namespace ringo::detail
