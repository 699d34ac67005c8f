// UDP: datagrams between programs, each of which arrives whole or not at all, and in any order.
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
  bool reuse_address = false;               // others may bind the same port: several receivers of a multicast group
  bool reuse_port = false;                  // the same, and the kernel shares the datagrams out
  bool broadcast = false;                   // may be sent to broadcast addresses
  bool multicast_loop = true;               // what is sent to a group is received on this machine, too
  int multicast_hops = 1;                   // how many routers it may pass, and one
  int send_buffer = 0, receive_buffer = 0;  // bytes in the kernel; 0: as the system has it
  std::size_t largest = 65535;              // bytes of a datagram that are received
};
static_assert(std::is_trivially_destructible_v<udp_options>);

class udp_datagram {
 public:
  udp_datagram(chunk b, detail::datagram_peer&& p, bool truncated) noexcept
      : bytes(std::move(b)), from(p.address), is_truncated(truncated) {}

  chunk bytes;
  endpoint from;
  bool is_truncated;  // it was larger than udp_options::largest
};

// A socket. Move-only; its destructor closes it, in the background. Thread: workers; destroyed on any.
class udp_socket {
 public:
  udp_socket() noexcept = default;

  // "127.0.0.1:8080", "[::]:8080" (IPv4 as well, where the system has both; its addresses are like ::ffff:192.0.2.1
  // then), ":8080" (the same), "localhost:8080"; port 0: one that is free, which local() tells. Throws
  // std::invalid_argument for what is no address, std::system_error that names the address and what is wrong.
  static udp_socket bind(std::string_view address_and_port, udp_options options = {});
  static udp_socket bind(const endpoint& at, udp_options options = {});

  // One that sends to that endpoint and receives from it only, which never waits; for a name there is resolve(). What
  // the peer's machine answers to a datagram that nobody receives there is the error of a later send or receive
  // (std::errc::connection_refused).
  static udp_socket connect(std::string_view address_and_port, udp_options options = {});
  static udp_socket connect(const endpoint& to, udp_options options = {});

  // Takes a socket of datagrams over IP. Throws std::system_error if it is none, and leaves it then.
  static udp_socket adopt(int descriptor);

  // The next datagram: several may wait, and are served in their order. Throws: cancelled; disconnected where its own
  // side closes it meanwhile; std::system_error. Cancel safety: what has come for a case that loses is the next one's.
  detail::datagram_recv_operation<udp_datagram> recv_from() const noexcept {
    return detail::datagram_recv_operation<udp_datagram>(core_.get());
  }
  // Its bytes alone.
  detail::datagram_recv_operation<chunk> recv() const noexcept {
    return detail::datagram_recv_operation<chunk>(core_.get());
  }

  // Until the kernel has taken it, whole; the bytes stay the caller's, unchanged until then. Throws as recv does,
  // message_size for one that is too large (65507 bytes over IPv4). Cancel safety: one that is cancelled or loses a
  // select may have been sent.
  detail::datagram_send_operation send_to(std::span<const std::byte> bytes, const endpoint& to) const noexcept {
    return {core_.get(), bytes, detail::datagram_peer(to)};
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
  // On a connected one.
  detail::datagram_send_operation send(std::span<const std::byte> bytes) const noexcept {
    return {core_.get(), bytes, detail::datagram_peer()};
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

  // What is sent to a group, "239.1.2.3" or "ff02::1", is received as well, from an interface ("eth0") or that of the
  // system's choice. Throws std::invalid_argument, std::system_error.
  void join(std::string_view group, std::string_view interface = {}) const;
  void leave(std::string_view group, std::string_view interface = {}) const;
  void send_groups_through(std::string_view interface) const;  // what is sent to groups

  // Ends what waits, which throws disconnected there, and waits until the descriptor is closed. A second close does
  // nothing.
  detail::close_operation close() const { return core_.close(); }

  endpoint local() const;
  endpoint peer() const;  // of nothing where it is not connected
  int native_handle() const noexcept { return core_.native_handle(); }
  explicit operator bool() const noexcept { return core_.get() != nullptr; }  // false: default-made or moved from

 private:
  explicit udp_socket(detail::datagram_handle core) noexcept : core_(std::move(core)) {}

  detail::datagram_handle core_;
};

}  // namespace ringo
