// Converts between endpoints and the kernel's addresses.
#pragma once
#include <sys/socket.h>

#include <cstdint>
#include <string_view>

#include <ringo/endpoint.hpp>

namespace ringo::detail {

struct socket_address {
  sockaddr_storage storage{};
  socklen_t length = sizeof storage;

  sockaddr* get() noexcept { return reinterpret_cast<sockaddr*>(&storage); }
  const sockaddr* get() const noexcept { return reinterpret_cast<const sockaddr*>(&storage); }
};

socket_address to_socket_address(const endpoint& of) noexcept;
endpoint to_endpoint(const sockaddr* from) noexcept;  // empty if it is neither IPv4 nor IPv6

endpoint local_endpoint(int socket) noexcept;  // empty if there is none
endpoint peer_endpoint(int socket) noexcept;

// The parts of "host:port", without brackets. `what_for` names the call in the message. Throws: std::invalid_argument,
// which says what is wrong.
struct host_and_port {
  std::string_view host;
  std::uint16_t port;
};
host_and_port split_host_and_port(std::string_view text, std::string_view what_for);

// The endpoint of a numeric host; empty if the host is not numeric.
endpoint numeric_endpoint(std::string_view host, std::uint16_t port);
// The same of "host:port". Throws: std::invalid_argument, which says why_not if the host is not numeric.
endpoint parse_endpoint(std::string_view text, std::string_view what_for, std::string_view why_not);

// The address to bind to. The host "" means all addresses of this machine, IPv4 and IPv6. Throws: std::invalid_argument
// if the host is not an address.
endpoint own_endpoint(std::string_view address_and_port, const char* what_for);

}  // namespace ringo::detail
