// unix_datagram: datagrams between programs of one machine, in order; a sender that is too fast waits. Names: unix.hpp.
#pragma once
#include <ringo/detail/cpp20.hpp>

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include <ringo/detail/datagram_operation.hpp>

namespace ringo {

struct unix_datagram_options {
  int mode = -1;                     ///< of the file, 0660 for example; -1: as the umask has it
  std::size_t max_datagram = 65535;  ///< bytes; a longer datagram is cut off when it is received
};
static_assert(std::is_trivially_destructible_v<unix_datagram_options>);

class named_datagram {
 public:
  named_datagram(chunk b, detail::datagram_peer&& p, bool truncated) noexcept
      : bytes(std::move(b)), from(std::move(p.name)), is_truncated(truncated) {}

  chunk bytes;
  std::string from;   ///< empty: the sender has no name
  bool is_truncated;  ///< it was longer than unix_datagram_options::max_datagram
};

/// A socket. Move-only; its destructor closes it in the background. It passes no descriptors.
///
///     auto log = unix_datagram::bind("/run/log");
///     const named_datagram d = co_await log.recv_from();
///
/// Thread: workers; destroyed on any.
class unix_datagram {
 public:
  unix_datagram() noexcept = default;

  /// As unix_listener::bind, with the same errors; the file that this makes is removed in the same way.
  static unix_datagram bind(std::string_view name, unix_datagram_options options = {});

  /// A socket that sends to that name only, and receives from it only. The kernel gives it an abstract name, so that
  /// the peer can answer. Throws as bind does.
  static unix_datagram connect(std::string_view name, unix_datagram_options options = {});

  /// Two sockets that are connected to each other.
  static std::pair<unix_datagram, unix_datagram> pair(unix_datagram_options options = {});

  /// Takes a Unix socket of datagrams. Throws std::system_error if it is none, and does not take it then.
  static unix_datagram adopt(int descriptor);

  /// As udp_socket's. A send waits while the receiver's queue is full.
  detail::datagram_recv_operation<named_datagram> recv_from() const noexcept {
    return detail::datagram_recv_operation<named_datagram>(core_.source());
  }
  detail::datagram_recv_operation<chunk> recv() const noexcept {
    return detail::datagram_recv_operation<chunk>(core_.source());
  }
  detail::datagram_send_operation send_to(std::span<const std::byte> bytes, std::string_view name) const;
  detail::datagram_send_operation send_to(std::string_view text, std::string_view name) const {
    return send_to(std::as_bytes(std::span(text)), name);
  }
  template <detail::bytes_to_send R>
  detail::datagram_send_operation send_to(const R& bytes, std::string_view name) const {
    return send_to(detail::as_bytes_of(bytes), name);
  }
  template <std::size_t N>
  detail::datagram_send_operation send_to(char (&)[N], std::string_view) const = delete;  // as with send
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

  detail::close_operation close() const { return core_.close(); }

  std::string local() const;  ///< its name; empty if it has none
  int native_handle() const noexcept { return core_.native_handle(); }
  explicit operator bool() const noexcept { return core_.source() != nullptr; }  ///< false: default-made or moved from

 private:
  explicit unix_datagram(detail::datagram_handle core) noexcept : core_(std::move(core)) {}

  detail::datagram_handle core_;
};

}  // namespace ringo
