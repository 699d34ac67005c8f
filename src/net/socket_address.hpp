// Between endpoints and what the kernel calls addresses.
#pragma once
#include <sys/socket.h>

#include <cstdint>
#include <string_view>
#include <utility>

#include <ringo/endpoint.hpp>

namespace ringo::detail {

struct socket_address {
  sockaddr_storage storage{};
  socklen_t length = sizeof storage;

  sockaddr* get() noexcept { return reinterpret_cast<sockaddr*>(&storage); }
  const sockaddr* get() const noexcept { return reinterpret_cast<const sockaddr*>(&storage); }
};

socket_address to_socket_address(const endpoint& of) noexcept;
endpoint to_endpoint(const sockaddr* from) noexcept;  // of nothing if it is neither v4 nor v6

endpoint local_endpoint(int socket) noexcept;  // of nothing if there is none
endpoint peer_endpoint(int socket) noexcept;

// "host:port" in its parts, without the brackets. Throws std::invalid_argument that says what is wrong; `what_for`
// names the call.
struct host_and_port {
  std::string_view host;
  std::uint16_t port;
};
host_and_port split_host_and_port(std::string_view text, std::string_view what_for);

// Without names; of nothing if the host is none.
endpoint numeric_endpoint(std::string_view host, std::uint16_t port);

// Where to bind: "" is all of this machine, with both families; else throws std::invalid_argument for what is no
// address.
endpoint own_endpoint(std::string_view address_and_port, const char* what_for);

}  // namespace ringo::detail
