#include <ringo/udp.hpp>

#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <stdexcept>
#include <string>
#include <system_error>

#include "net/datagram_core.hpp"
#include "net/socket.hpp"
#include "net/socket_address.hpp"
#include "runtime/outside_error.hpp"

namespace ringo {
namespace detail {

namespace {

descriptor make_udp_socket(bool v6, const udp_options& o, const std::string& doing) {
  if (o.max_datagram == 0) throw std::invalid_argument(doing + ": udp_options::max_datagram is 0");
  if (o.multicast_hops < 0 || o.multicast_hops > 255) {
    throw std::invalid_argument(doing + ": udp_options::multicast_hops is not from 0 to 255");
  }
  descriptor s = make_socket(v6 ? AF_INET6 : AF_INET, SOCK_DGRAM, doing);
  if (o.reuse_address) set_option(s.native_handle(), SOL_SOCKET, SO_REUSEADDR, 1, doing);
  if (o.reuse_port) set_option(s.native_handle(), SOL_SOCKET, SO_REUSEPORT, 1, doing);
  if (o.broadcast) set_option(s.native_handle(), SOL_SOCKET, SO_BROADCAST, 1, doing);
  set_option(s.native_handle(), IPPROTO_IP, IP_MULTICAST_LOOP, o.multicast_loop ? 1 : 0, doing);
  set_option(s.native_handle(), IPPROTO_IP, IP_MULTICAST_TTL, o.multicast_hops, doing);
  if (v6) {
    set_option(s.native_handle(), IPPROTO_IPV6, IPV6_MULTICAST_LOOP, o.multicast_loop ? 1 : 0, doing);
    set_option(s.native_handle(), IPPROTO_IPV6, IPV6_MULTICAST_HOPS, o.multicast_hops, doing);
  }
  set_buffers(s.native_handle(), o.send_buffer, o.receive_buffer, doing);
  return s;
}

// 0 for the system's choice.
int interface_number(std::string_view name, const std::string& doing) {
  if (name.empty()) return 0;
  const unsigned number = ::if_nametoindex(std::string(name).c_str());
  if (number != 0) return static_cast<int>(number);
  throw_outside_error(errno, doing + ": the interface " + std::string(name));
}

void change_membership(int socket, bool joins, std::string_view group, std::string_view interface) {
  const std::string doing =
      std::string("ringo: udp_socket::") + (joins ? "join_group " : "leave_group ") + std::string(group);
  const endpoint at = numeric_endpoint(group, 0);
  if (!at) throw std::invalid_argument(doing + ": it is no IPv4 or IPv6 address");
  const socket_address address = to_socket_address(at);
  const int number = interface_number(interface, doing);
  int result;
  if (at.is_v6()) {
    const auto& in = reinterpret_cast<const sockaddr_in6&>(address.storage);
    ipv6_mreq request{};
    request.ipv6mr_multiaddr = in.sin6_addr;
    request.ipv6mr_interface = number != 0 ? static_cast<unsigned>(number) : in.sin6_scope_id;
    result = ::setsockopt(socket, IPPROTO_IPV6, joins ? IPV6_JOIN_GROUP : IPV6_LEAVE_GROUP, &request, sizeof request);
  } else {
    ip_mreqn request{};
    request.imr_multiaddr = reinterpret_cast<const sockaddr_in&>(address.storage).sin_addr;
    request.imr_ifindex = number;
    result = ::setsockopt(socket, IPPROTO_IP, joins ? IP_ADD_MEMBERSHIP : IP_DROP_MEMBERSHIP, &request, sizeof request);
  }
  if (result != 0) throw_outside_error(errno, doing);
}

}  // namespace
}  // namespace detail

udp_socket udp_socket::bind(std::string_view text, udp_options o) {
  return bind(detail::own_endpoint(text, "udp_socket::bind"), o);
}

udp_socket udp_socket::bind(const endpoint& at, udp_options o) {
  detail::check_not_simulated("udp_socket::bind");
  const std::string doing = "ringo: udp_socket::bind to " + at.to_string();
  descriptor s = detail::bound_socket(at, doing, [&](bool v6) { return detail::make_udp_socket(v6, o, doing); });
  std::string name = detail::local_endpoint(s.native_handle()).to_string();
  return udp_socket(detail::make_datagrams(s.release(), o.max_datagram, std::move(name)));
}

udp_socket udp_socket::connect(std::string_view text, udp_options o) { return connect(endpoint(text), o); }

udp_socket udp_socket::connect(const endpoint& to, udp_options o) {
  detail::check_not_simulated("udp_socket::connect");
  const std::string doing = "ringo: udp_socket::connect to " + to.to_string();
  if (!to) throw std::invalid_argument(doing + ": the endpoint is empty");
  const detail::socket_address address = detail::to_socket_address(to);
  for (int i = 0; i < 3; ++i) {
    descriptor s = detail::make_udp_socket(to.is_v6(), o, doing);
    if (::connect(s.native_handle(), address.get(), address.length) != 0) {
      detail::throw_outside_error(errno, doing);
    }
    // The kernel may choose the port that it connects to as its own, if no other socket has it: it would hear itself.
    const endpoint peer = detail::peer_endpoint(s.native_handle());
    if (peer && peer == detail::local_endpoint(s.native_handle())) continue;
    return udp_socket(detail::make_datagrams(s.release(), o.max_datagram, to.to_string()));
  }
  detail::throw_outside_error(ECONNREFUSED, doing);
}

udp_socket udp_socket::adopt(int descriptor) {
  detail::check_not_simulated("udp_socket::adopt");
  detail::check_datagrams(descriptor, false, "udp_socket::adopt");
  std::string name = detail::local_endpoint(descriptor).to_string();
  return udp_socket(detail::make_datagrams(descriptor, udp_options().max_datagram, std::move(name)));
}

void udp_socket::join_group(std::string_view group, std::string_view interface) const {
  detail::check_not_simulated("udp_socket::join_group");
  detail::change_membership(native_handle(), true, group, interface);
}
void udp_socket::leave_group(std::string_view group, std::string_view interface) const {
  detail::check_not_simulated("udp_socket::leave_group");
  detail::change_membership(native_handle(), false, group, interface);
}

void udp_socket::set_multicast_interface(std::string_view interface) const {
  detail::check_not_simulated("udp_socket::set_multicast_interface");
  const std::string doing = "ringo: udp_socket::set_multicast_interface " + std::string(interface);
  const int number = detail::interface_number(interface, doing);
  if (detail::option_of(native_handle(), SO_DOMAIN) == AF_INET6) {
    detail::set_option(native_handle(), IPPROTO_IPV6, IPV6_MULTICAST_IF, number, doing);
    return;
  }
  ip_mreqn request{};
  request.imr_ifindex = number;
  if (::setsockopt(native_handle(), IPPROTO_IP, IP_MULTICAST_IF, &request, sizeof request) != 0) {
    detail::throw_outside_error(errno, doing);
  }
}

endpoint udp_socket::local() const { return detail::local_endpoint(native_handle()); }
endpoint udp_socket::peer() const { return detail::peer_endpoint(native_handle()); }

}  // namespace ringo
