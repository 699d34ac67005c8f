// endpoint: the address and the port of one end of a connection.
#pragma once
#include <ringo/detail/cpp20.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace ringo {

namespace detail {
struct endpoint_access;
}  // namespace detail

/// An IPv4 or IPv6 address and a port.
///
///     const endpoint at("127.0.0.1:80");
///
/// Thread: any.
class endpoint {
 public:
  endpoint() noexcept = default;  ///< empty: no address, port 0

  /// "127.0.0.1:80", "[::1]:80", "[fe80::1%eth0]:80" (RFC 3986, 3.2.2; RFC 4007, 11). Names are for resolve() and
  /// tcp_stream::connect(). Throws std::invalid_argument that says what is wrong.
  explicit endpoint(std::string_view numeric_address_and_port);

  std::uint16_t port() const noexcept { return port_; }
  std::string address() const;    ///< without brackets
  std::string to_string() const;  ///< as the constructor takes it
  bool is_v6() const noexcept { return family_ == family::v6; }
  explicit operator bool() const noexcept { return family_ != family::none; }

  friend bool operator==(const endpoint&, const endpoint&) = default;

 private:
  friend struct detail::endpoint_access;
  friend struct std::hash<endpoint>;
  enum class family : std::uint8_t { none, v4, v6 };

  family family_ = family::none;
  std::uint16_t port_ = 0;
  std::uint32_t scope_ = 0;                 // of a link-local address: the interface
  std::array<std::uint8_t, 16> address_{};  // in network order; of v4 the first four
};

}  // namespace ringo

template <>
struct std::hash<ringo::endpoint> {
  std::size_t operator()(const ringo::endpoint& e) const noexcept {
    const std::string_view address(reinterpret_cast<const char*>(e.address_.data()), e.address_.size());
    return std::hash<std::string_view>()(address) * 31 + e.port_;
  }
};
