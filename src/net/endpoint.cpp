#include <ringo/endpoint.hpp>

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>

#include "net/socket_address.hpp"

namespace ringo {

endpoint::endpoint(std::string_view text) {
  *this = detail::parse_endpoint(text, "endpoint",
                                 "the host is no IPv4 or IPv6 address; names are resolved by resolve() and connect()");
}

std::string endpoint::address() const {
  char text[INET6_ADDRSTRLEN] = "";
  if (family_ == family::none) return text;
  ::inet_ntop(family_ == family::v6 ? AF_INET6 : AF_INET, address_.data(), text, sizeof text);
  std::string all = text;
  if (scope_ != 0) {
    char interface[IF_NAMESIZE];
    const char* name = ::if_indextoname(scope_, interface);
    all += '%';
    all += name != nullptr ? name : std::to_string(scope_);
  }
  return all;
}

std::string endpoint::to_string() const {
  if (family_ == family::none) return "nowhere";
  const std::string port = ':' + std::to_string(port_);
  return family_ == family::v6 ? '[' + address() + ']' + port : address() + port;
}

}  // namespace ringo
