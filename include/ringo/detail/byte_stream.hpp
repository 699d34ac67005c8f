// The verbs of everything that bytes come from and go to.
#pragma once
#include <cstddef>
#include <initializer_list>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <ringo/detail/byte_ranges.hpp>
#include <ringo/detail/stream_operation.hpp>

namespace ringo::detail {

// Bytes that come. Several may wait: they are served one after the other, in their order.
//
// All of these throw cancelled; disconnected where the peer has gone without an end of the stream, or its own side has
// closed it meanwhile; std::system_error for what else the kernel answers; std::logic_error on a stream that has been
// moved from. They lose nothing: what had come for one that is cancelled or loses a select is there for the next.
class stream_source {
 public:
  // Whatever has come, at once; nullopt at the end of the stream, each time. It waits without a buffer of its own.
  stream_recv_operation recv() const noexcept { return stream_recv_operation(core_.source()); }

  // As much of what has come as fits; 0 at the end of the stream. `into` is written when the operation has won.
  stream_read_operation read(std::span<std::byte> into) const noexcept { return {core_.source(), into}; }
  template <bytes_to_fill R>
  stream_read_operation read(R&& into) const noexcept {
    return {core_.source(), as_writable_bytes_of(into)};
  }

  // All of it. Throws disconnected if the stream ends before; what has come of it can still be read then.
  stream_read_exactly_operation read_exactly(std::span<std::byte> into) const noexcept {
    return {core_.source(), into};
  }
  template <bytes_to_fill R>
  stream_read_exactly_operation read_exactly(R&& into) const noexcept {
    return {core_.source(), as_writable_bytes_of(into)};
  }

  // Ends what waits, here and in the other half, which throws disconnected there, and waits until the descriptor is
  // closed. A second close does nothing. The destructor does it, too, and waits for nothing.
  close_operation close() const { return core_.close(); }
  int native_handle() const noexcept { return core_.native_handle(); }
  explicit operator bool() const noexcept { return static_cast<bool>(core_); }  // false: default-made or moved from

 protected:
  stream_source() noexcept = default;
  explicit stream_source(stream_handle of) noexcept : core_(std::move(of)) {}
  stream_source(stream_source&&) noexcept = default;
  stream_source& operator=(stream_source&&) noexcept = default;
  ~stream_source() = default;

  stream_handle core_;
};

// Where bytes go. Several may send: each one's bytes are sent whole, in their order.
//
// All of these throw as stream_source's do. A send that is cancelled or loses a select when bytes of it have gone out,
// though it be all of them, makes every later send throw disconnected: what came next would be wrong for the peer, or
// be there twice. Otherwise nothing of it is sent.
class stream_sink {
 public:
  // All of the bytes, which the kernel has taken when it returns. They stay the caller's, unchanged until then.
  stream_send_operation send(std::span<const std::byte> bytes) const noexcept { return {core_.source(), bytes}; }
  stream_send_operation send(std::string_view text) const noexcept {
    return {core_.source(), std::as_bytes(std::span(text))};
  }
  template <bytes_to_send R>
  stream_send_operation send(const R& bytes) const noexcept {
    return {core_.source(), as_bytes_of(bytes)};
  }
  // Several pieces, strings and ranges of bytes, one after the other, as one send: send("a", text, "\r\n").
  template <piece_of_text First, piece_of_text Second, piece_of_text... More>
  stream_send_operation send(First&& first, Second&& second, More&&... more) const {
    static_assert(!is_buffer<First> && !is_buffer<Second> && !(is_buffer<More> || ...),
                  "a buffer is no string: pass a span");
    const auto bytes = [](const auto& piece) { return std::as_bytes(std::span(text_to_write(piece))); };
    return {core_.source(), std::vector<std::span<const std::byte>>{bytes(first), bytes(second), bytes(more)...}};
  }
  // As many as there are.
  stream_send_operation send(std::span<const std::span<const std::byte>> pieces) const {
    return {core_.source(), std::vector<std::span<const std::byte>>(pieces.begin(), pieces.end())};
  }
  template <class Text = std::string_view>
  stream_send_operation send(std::initializer_list<std::type_identity_t<Text>>) const {
    static_assert(!std::is_same_v<Text, std::string_view>, "write it without braces: send(first, second)");
    return {core_.source(), sending::kind::bytes};
  }
  template <std::size_t N>
  stream_send_operation send(char (&)[N]) const = delete;  // a buffer is no string: pass a span

  close_operation close() const { return core_.close(); }
  int native_handle() const noexcept { return core_.native_handle(); }
  explicit operator bool() const noexcept { return static_cast<bool>(core_); }

 protected:
  stream_sink() noexcept = default;
  explicit stream_sink(stream_handle of) noexcept : core_(std::move(of)) {}
  stream_sink(stream_sink&&) noexcept = default;
  stream_sink& operator=(stream_sink&&) noexcept = default;
  ~stream_sink() = default;

  stream_handle core_;
};

}  // namespace ringo::detail
