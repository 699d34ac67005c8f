// How datagrams are sent and received. What stands behind it is in src/net/datagram_core.hpp.
#pragma once
#include <cstddef>
#include <span>
#include <string>
#include <type_traits>
#include <utility>

#include <ringo/chunk.hpp>
#include <ringo/detail/byte_ranges.hpp>
#include <ringo/detail/io_operation.hpp>
#include <ringo/endpoint.hpp>

namespace ringo::detail {

class datagram_core;

// At the other end: an endpoint, or the name of a Unix socket; neither where it has none, or the socket is connected.
class datagram_peer {
 public:
  datagram_peer() noexcept = default;
  explicit datagram_peer(const endpoint& e) noexcept : address(e) {}
  explicit datagram_peer(std::string n) noexcept : name(std::move(n)) {}

  endpoint address;
  std::string name;
};

// Waits for a datagram.
struct datagram_reading : io_request {
  static constexpr const char* source_noun = "socket";
  datagram_reading() noexcept : io_request(io_side::in) {}

  bool is_truncated = false;
  buffer* got = nullptr;  // null: a datagram without bytes
  datagram_peer from;
};

// Waits until one has been sent.
struct datagram_sending : io_request {
  static constexpr const char* source_noun = "socket";
  datagram_sending(std::span<const std::byte> b, datagram_peer peer) noexcept
      : io_request(io_side::out), bytes(b), to(std::move(peer)) {}

  std::span<const std::byte> bytes;
  datagram_peer to;
};

// Message: a chunk, or what is made of one, a datagram_peer and whether it was truncated.
template <class Message>
class RINGO_AWAITABLE datagram_recv_operation final
    : public io_operation<datagram_recv_operation<Message>, Message, datagram_reading> {
 public:
  static constexpr const char* call_name = "recv of a datagram";
  static constexpr const char* awaits = "a datagram to ";
  explicit datagram_recv_operation(descriptor_source* of) noexcept
      : io_operation<datagram_recv_operation, Message, datagram_reading>(of) {}
  Message result() {
    chunk bytes(std::exchange(this->got, nullptr));
    if constexpr (std::is_same_v<Message, chunk>) {
      return bytes;
    } else {
      return Message(std::move(bytes), std::move(this->from), this->is_truncated);
    }
  }
};

class RINGO_AWAITABLE datagram_send_operation final
    : public io_operation<datagram_send_operation, void, datagram_sending> {
 public:
  static constexpr const char* call_name = "send of a datagram";
  static constexpr const char* awaits = "a datagram to be sent by ";
  datagram_send_operation(descriptor_source* through, std::span<const std::byte> b, datagram_peer peer) noexcept
      : io_operation(through, b, std::move(peer)) {}
};

using datagram_handle = descriptor_handle<datagram_core>;

}  // namespace ringo::detail
