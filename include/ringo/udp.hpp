// UDP: datagrams between programs. Each arrives whole or not at all, in any order.
#pragma once
#include <ringo/detail/cpp20.hpp>

#include <cstddef>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>

#include <ringo/detail/datagram_operation.hpp>
#include <ringo/endpoint.hpp>

namespace ringo {

struct udp_options {
  bool reuse_address = false;  ///< others may bind the same port: several receivers of a multicast group
  bool reuse_port = false;     ///< others may bind the same port, and the kernel distributes the datagrams among them
  bool broadcast = false;      ///< may send to broadcast addresses
  bool multicast_loop = true;  ///< datagrams to a group are received on this machine, too
  int multicast_hops = 1;      ///< routers that a datagram to a group may pass, plus one
  int send_buffer = 0, receive_buffer = 0;  ///< bytes in the kernel; 0: the system's default
  std::size_t max_datagram = 65535;         ///< bytes; a longer datagram is cut off when it is received
};
static_assert(std::is_trivially_destructible_v<udp_options>);

class udp_datagram {
 public:
  udp_datagram(chunk b, detail::datagram_peer&& p, bool truncated) noexcept
      : bytes(std::move(b)), from(p.address), is_truncated(truncated) {}

  chunk bytes;
  endpoint from;
  bool is_truncated;  ///< it was longer than udp_options::max_datagram
};

/// A socket. Move-only; its destructor closes it in the background.
///
///     auto server = udp_socket::bind(":5353");
///     for (;;) {
///       const udp_datagram d = co_await server.recv_from();
///       co_await server.send_to(d.bytes, d.from);
///     }
///
/// Thread: workers; destroyed on any.
class udp_socket {
 public:
  udp_socket() noexcept = default;

  /// To "127.0.0.1:8080", "[::]:8080" (also IPv4, where the system has both; its addresses then read
  /// ::ffff:192.0.2.1), ":8080" (the same), "localhost:8080"; port 0 is a free one, which local() tells. Throws
  /// std::invalid_argument if it is no address; std::system_error that names the address and what is wrong.
  static udp_socket bind(std::string_view address_and_port, udp_options options = {});
  static udp_socket bind(const endpoint& at, udp_options options = {});

  /// A socket that sends to that endpoint only, and receives from it only. Does not suspend; resolve() finds the
  /// address of a name. If the peer's machine answers that no socket receives there, a later send or receive throws
  /// std::errc::connection_refused.
  static udp_socket connect(std::string_view address_and_port, udp_options options = {});
  static udp_socket connect(const endpoint& to, udp_options options = {});

  /// Takes a socket of datagrams over IP. Throws std::system_error if it is none, and does not take it then.
  static udp_socket adopt(int descriptor);

  /// The next datagram. Throws: cancelled; disconnected if close() is called meanwhile; std::system_error. Cancel
  /// safety: a datagram that came for a case that loses is the next one's. Fairness: first come, first served.
  detail::datagram_recv_operation<udp_datagram> recv_from() const noexcept {
    return detail::datagram_recv_operation<udp_datagram>(core_.source());
  }
  /// Its bytes only.
  detail::datagram_recv_operation<chunk> recv() const noexcept {
    return detail::datagram_recv_operation<chunk>(core_.source());
  }

  /// Waits until the kernel has taken the datagram, whole; the caller keeps the bytes unchanged until then. Throws: as
  /// recv; std::errc::message_size if it is too long (more than 65507 bytes over IPv4). Cancel safety: a datagram whose
  /// send is cancelled or loses a select may have been sent.
  detail::datagram_send_operation send_to(std::span<const std::byte> bytes, const endpoint& to) const noexcept {
    return {core_.source(), bytes, detail::datagram_peer(to)};
  }
  detail::datagram_send_operation send_to(std::string_view text, const endpoint& to) const noexcept {
    return send_to(std::as_bytes(std::span(text)), to);
  }
  template <detail::bytes_to_send R>
  detail::datagram_send_operation send_to(const R& bytes, const endpoint& to) const noexcept {
    return send_to(detail::as_bytes_of(bytes), to);
  }
  template <std::size_t N>
  detail::datagram_send_operation send_to(char (&)[N], const endpoint&) const = delete;  // as with send
  /// As send_to, on a connected socket.
  detail::datagram_send_operation send(std::span<const std::byte> bytes) const noexcept {
    return {core_.source(), bytes, detail::datagram_peer()};
  }
  detail::datagram_send_operation send(std::string_view text) const noexcept {
    return send(std::as_bytes(std::span(text)));
  }
  template <detail::bytes_to_send R>
  detail::datagram_send_operation send(const R& bytes) const noexcept {
    return send(detail::as_bytes_of(bytes));
  }
  template <std::size_t N>
  detail::datagram_send_operation send(char (&)[N]) const = delete;  // a buffer is no string: pass a span

  /// Receives also the datagrams that are sent to a group, "239.1.2.3" or "ff02::1", and come in by an interface
  /// ("eth0"; empty: the system chooses). Throws std::invalid_argument, std::system_error.
  void join_group(std::string_view group, std::string_view interface = {}) const;
  void leave_group(std::string_view group, std::string_view interface = {}) const;
  /// The interface by which datagrams to groups go out. Throws std::system_error.
  void set_multicast_interface(std::string_view interface) const;

  /// Ends all that waits, which throws disconnected, and waits until the descriptor is closed. A second close does
  /// nothing.
  detail::close_operation close() const { return core_.close(); }

  endpoint local() const;
  endpoint peer() const;  ///< empty if it is not connected
  int native_handle() const noexcept { return core_.native_handle(); }
  explicit operator bool() const noexcept { return core_.source() != nullptr; }  ///< false: default-made or moved from

 private:
  explicit udp_socket(detail::datagram_handle core) noexcept : core_(std::move(core)) {}

  detail::datagram_handle core_;
};

}  // namespace ringo
