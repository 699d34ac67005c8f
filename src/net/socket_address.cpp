#include "net/socket_address.hpp"

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>

#include <charconv>
#include <cstring>
#include <stdexcept>
#include <string>

namespace ringo::detail {

struct endpoint_access {
  using family = endpoint::family;

  static endpoint v4(const in_addr& address, std::uint16_t port) noexcept {
    endpoint e;
    e.family_ = family::v4;
    e.port_ = port;
    std::memcpy(e.address_.data(), &address, sizeof address);
    return e;
  }
  static endpoint v6(const in6_addr& address, std::uint16_t port, std::uint32_t scope) noexcept {
    endpoint e;
    e.family_ = family::v6;
    e.port_ = port;
    e.scope_ = scope;
    std::memcpy(e.address_.data(), &address, sizeof address);
    return e;
  }
  static family family_of(const endpoint& e) noexcept { return e.family_; }
  static std::uint32_t scope(const endpoint& e) noexcept { return e.scope_; }
  static const std::uint8_t* address(const endpoint& e) noexcept { return e.address_.data(); }
};

socket_address to_socket_address(const endpoint& of) noexcept {
  socket_address to;
  if (of.is_v6()) {
    auto& in = reinterpret_cast<sockaddr_in6&>(to.storage);
    in.sin6_family = AF_INET6;
    in.sin6_port = htons(of.port());
    in.sin6_scope_id = endpoint_access::scope(of);
    std::memcpy(&in.sin6_addr, endpoint_access::address(of), sizeof in.sin6_addr);
    to.length = sizeof in;
  } else {
    auto& in = reinterpret_cast<sockaddr_in&>(to.storage);
    in.sin_family = AF_INET;
    in.sin_port = htons(of.port());
    std::memcpy(&in.sin_addr, endpoint_access::address(of), sizeof in.sin_addr);
    to.length = sizeof in;
  }
  return to;
}

endpoint to_endpoint(const sockaddr* from) noexcept {
  if (from->sa_family == AF_INET) {
    const auto& in = *reinterpret_cast<const sockaddr_in*>(from);
    return endpoint_access::v4(in.sin_addr, ntohs(in.sin_port));
  }
  if (from->sa_family == AF_INET6) {
    const auto& in = *reinterpret_cast<const sockaddr_in6*>(from);
    return endpoint_access::v6(in.sin6_addr, ntohs(in.sin6_port), in.sin6_scope_id);
  }
  return {};
}

endpoint local_endpoint(int socket) noexcept {
  socket_address a;
  return ::getsockname(socket, a.get(), &a.length) == 0 ? to_endpoint(a.get()) : endpoint();
}

endpoint peer_endpoint(int socket) noexcept {
  socket_address a;
  return ::getpeername(socket, a.get(), &a.length) == 0 ? to_endpoint(a.get()) : endpoint();
}

namespace {

[[noreturn]] void refuse(std::string_view text, std::string_view what_for, std::string_view why) {
  throw std::invalid_argument("ringo: " + std::string(what_for) + ": \"" + std::string(text) +
                              "\": " + std::string(why));
}

}  // namespace

host_and_port split_host_and_port(std::string_view text, std::string_view what_for) {
  if (const std::size_t zero = text.find('\0'); zero != text.npos) {
    refuse(text.substr(0, zero), what_for, "a zero byte follows this");
  }
  const std::size_t colon = text.rfind(':');
  if (colon == text.npos) refuse(text, what_for, "there is no port: it is written host:port, as in 127.0.0.1:80");
  std::string_view host = text.substr(0, colon);
  const std::string_view digits = text.substr(colon + 1);
  if (host.starts_with('[')) {
    if (!host.ends_with(']')) {
      refuse(text, what_for, "an IPv6 address and its port are written with ]: between them, as in [::1]:80");
    }
    host = host.substr(1, host.size() - 2);
  } else if (host.find(':') != host.npos) {
    refuse(text, what_for, "an IPv6 address is written in brackets, as in [::1]:80");
  }
  std::uint16_t port = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  if (error != std::errc() || end != digits.data() + digits.size() || digits.empty()) {
    refuse(text, what_for, "the port is a number from 0 to 65535");
  }
  return {host, port};
}

endpoint numeric_endpoint(std::string_view host, std::uint16_t port) {
  const std::size_t percent = host.find('%');
  const std::string address(host.substr(0, percent));
  if (in_addr v4{}; percent == host.npos && ::inet_pton(AF_INET, address.c_str(), &v4) == 1) {
    return endpoint_access::v4(v4, port);
  }
  in6_addr v6{};
  if (::inet_pton(AF_INET6, address.c_str(), &v6) != 1) return {};
  std::uint32_t scope = 0;
  if (percent != host.npos) {
    const std::string interface(host.substr(percent + 1));
    scope = ::if_nametoindex(interface.c_str());
    if (scope == 0) {
      const auto [end, error] = std::from_chars(interface.data(), interface.data() + interface.size(), scope);
      if (error != std::errc() || end != interface.data() + interface.size()) return {};
    }
  }
  return endpoint_access::v6(v6, port, scope);
}

endpoint parse_endpoint(std::string_view text, std::string_view what_for, std::string_view why_not) {
  const auto [host, port] = split_host_and_port(text, what_for);
  const endpoint at = numeric_endpoint(host, port);
  if (!at) refuse(text, what_for, why_not);
  return at;
}

endpoint own_endpoint(std::string_view text, const char* what_for) {
  const auto [host, port] = split_host_and_port(text, what_for);
  if (host.empty()) return numeric_endpoint("::", port);
  if (host == "localhost") return numeric_endpoint("127.0.0.1", port);
  return parse_endpoint(text, what_for, "the host is no IPv4 or IPv6 address of this machine");
}

}  // namespace ringo::detail
