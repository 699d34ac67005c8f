// stream_reader and stream_writer: the two sides of a stream of bytes, of TCP, TLS, Unix sockets and pipes.
#pragma once
#include <ringo/detail/cpp20.hpp>

#include <cstddef>
#include <initializer_list>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <ringo/detail/byte_ranges.hpp>
#include <ringo/detail/stream_operation.hpp>

namespace ringo {

namespace detail {
template <class Reader, class Writer>
class duplex_stream;
}

/// The side that bytes come from: a byte_source (bytes.hpp). Move-only; its destructor closes it in the background.
///
///     while (auto piece = co_await in.recv()) use(piece->text());
///
/// Throws: cancelled; disconnected if the peer is gone without an end of the stream, or if the stream is closed by this
/// program meanwhile; std::system_error for other errors of the kernel; std::logic_error if the stream is empty.
/// Cancel safety: an operation that is cancelled or loses a select has taken nothing.
/// Fairness: several routines may read; they are served one after the other, in the order in which they began to wait.
/// Thread: workers; destroyed on any.
class stream_reader {
 public:
  stream_reader() noexcept = default;
  explicit stream_reader(detail::stream_handle of) noexcept : core_(std::move(of)) {}

  /// The bytes that have come, as soon as there are any; nullopt at the end of the stream, each time. A stream that
  /// waits here holds no buffer.
  detail::stream_recv_operation recv() const noexcept { return detail::stream_recv_operation(core_.source()); }

  /// As many bytes as have come and fit into `into`; 0 at the end of the stream. `into` is written when the operation
  /// has won.
  detail::stream_read_operation read(std::span<std::byte> into) const noexcept { return {core_.source(), into}; }
  template <detail::bytes_to_fill R>
  detail::stream_read_operation read(R&& into) const noexcept {
    return read(detail::as_writable_bytes_of(into));
  }

  /// Fills `into`. Throws disconnected if the stream ends before; the bytes that have come can still be read then.
  detail::stream_read_exactly_operation read_exactly(std::span<std::byte> into) const noexcept {
    return {core_.source(), into};
  }
  template <detail::bytes_to_fill R>
  detail::stream_read_exactly_operation read_exactly(R&& into) const noexcept {
    return read_exactly(detail::as_writable_bytes_of(into));
  }

  /// Closes both sides of the stream, and waits until the descriptor is closed. Routines that wait on either side throw
  /// disconnected. A second close does nothing.
  detail::close_operation close() const { return core_.close(); }
  int native_handle() const noexcept { return core_.native_handle(); }          ///< -1 if it is empty
  explicit operator bool() const noexcept { return static_cast<bool>(core_); }  ///< false: default-made or moved from

 protected:
  detail::stream_handle core_;
};

/// The side that bytes go to: a byte_sink (bytes.hpp). Move-only. Its destructor closes it in the background; that of a
/// half which split() has made tells the peer that no more will come, as shutdown_send() does.
///
///     co_await out.send("HTTP/1.1 200 OK\r\n", headers, "\r\n", body);
///
/// Throws: as a stream_reader's operations.
/// Cancel safety: nothing is sent if a send that is cancelled or loses a select has not begun. If some of its bytes
/// have gone out, even if all have, every later send throws disconnected: the next bytes would be wrong for the peer.
/// Fairness: several routines may send; the bytes of each send go out whole, in the order of the sends.
/// Thread: workers; destroyed on any.
class stream_writer {
 public:
  stream_writer() noexcept = default;
  explicit stream_writer(detail::stream_handle of) noexcept : core_(std::move(of)) {}
  stream_writer(stream_writer&& from) noexcept
      : core_(std::move(from.core_)), is_half_(std::exchange(from.is_half_, false)) {}
  stream_writer& operator=(stream_writer&& from) noexcept {
    stream_writer whole(std::move(from));
    core_.swap(whole.core_);
    std::swap(is_half_, whole.is_half_);
    return *this;
  }
  ~stream_writer() {
    if (is_half_ && core_) end();
  }

  /// Waits until the kernel has taken all of the bytes, which the caller keeps unchanged until then. A send of at most
  /// 16 KiB that wins a select is not waited for: what the kernel has no room for is copied, and follows.
  detail::stream_send_operation send(std::span<const std::byte> bytes) const noexcept {
    return {core_.source(), bytes};
  }
  detail::stream_send_operation send(std::string_view text) const noexcept {
    return send(std::as_bytes(std::span(text)));
  }
  template <detail::bytes_to_send R>
  detail::stream_send_operation send(const R& bytes) const noexcept {
    return send(detail::as_bytes_of(bytes));
  }
  /// Several pieces, strings and ranges of bytes, one after the other, as one send.
  template <detail::piece_of_text First, detail::piece_of_text Second, detail::piece_of_text... More>
  detail::stream_send_operation send(First&& first, Second&& second, More&&... more) const {
    static_assert(!detail::is_buffer<First> && !detail::is_buffer<Second> && !(detail::is_buffer<More> || ...),
                  "a buffer is no string: pass a span");
    const auto bytes = [](const auto& piece) { return std::as_bytes(std::span(detail::text_to_write(piece))); };
    return {core_.source(), std::vector<std::span<const std::byte>>{bytes(first), bytes(second), bytes(more)...}};
  }
  detail::stream_send_operation send(std::span<const std::span<const std::byte>> pieces) const {
    return {core_.source(), std::vector<std::span<const std::byte>>(pieces.begin(), pieces.end())};
  }
  template <class Text = std::string_view>
  detail::stream_send_operation send(std::initializer_list<std::type_identity_t<Text>>) const {
    static_assert(!std::is_same_v<Text, std::string_view>, "write it without braces: send(first, second)");
    return {core_.source(), detail::sending::kind::bytes};
  }
  template <std::size_t N>
  detail::stream_send_operation send(char (&)[N]) const = delete;  // a buffer is no string: pass a span

  /// Tells the peer that no more will come, after all that has been sent; receiving goes on (shutdown(2)). A second one
  /// does nothing.
  detail::stream_send_operation shutdown_send() const noexcept {
    return {core_.source(), detail::sending::kind::shutdown};
  }

  detail::close_operation close() const { return core_.close(); }  ///< as stream_reader::close()
  int native_handle() const noexcept { return core_.native_handle(); }
  explicit operator bool() const noexcept { return static_cast<bool>(core_); }

 protected:
  detail::stream_handle core_;

 private:
  template <class Reader, class Writer>
  friend class detail::duplex_stream;
  void end() noexcept;

  bool is_half_ = false;
};

namespace detail {

// A stream that can be read and written, until it is split.
template <class Reader, class Writer>
class duplex_stream : public Reader, public Writer {
 public:
  duplex_stream() noexcept = default;
  explicit duplex_stream(stream_handle core) noexcept : Reader(core.another()), Writer(std::move(core)) {}

  /// Two halves, for two routines. The connection is closed when both are gone.
  std::pair<Reader, Writer> split() && {
    std::pair<Reader, Writer> halves(static_cast<Reader&&>(*this), static_cast<Writer&&>(*this));
    static_cast<stream_writer&>(halves.second).is_half_ = true;
    return halves;
  }

  using Reader::close;
  using Reader::native_handle;
  using Reader::operator bool;

 protected:
  using Reader::core_;
};

}  // namespace detail
}  // namespace ringo
