// Unix sockets: streams and datagrams between programs of one machine, which can pass descriptors to each other.
//
// A socket's name is a path, of 107 bytes at the most, or an abstract name, "@name", which is gone with its socket and
// has no file. A path that begins with an @ is written "./@name".
#pragma once
#include <ringo/detail/cpp20.hpp>

#include <array>
#include <concepts>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <ringo/chunk.hpp>
#include <ringo/descriptor.hpp>
#include <ringo/detail/listener_operation.hpp>
#include <ringo/detail/one_shot.hpp>
#include <ringo/stream.hpp>

namespace ringo {

struct unix_options {
  int backlog = 1024;  ///< connections that wait to be accepted (the system's somaxconn limits it)
  int mode = -1;       ///< of the file, 0660 for example; -1: as the umask has it
};
static_assert(std::is_trivially_destructible_v<unix_options>);

/// Of the program at the other end, when it connected, listened or made the pair.
struct peer_credentials {
  int process = 0;
  unsigned user = 0, group = 0;
};

/// Bytes of a stream, and the descriptors that have come with them.
class unix_message {
 public:
  unix_message(chunk b, std::vector<descriptor> d, bool lost) noexcept
      : bytes(std::move(b)), descriptors(std::move(d)), some_lost(lost) {}

  chunk bytes;
  std::vector<descriptor> descriptors;
  bool some_lost;  ///< of the descriptors: this process may have no more of them
};

namespace detail {

class RINGO_AWAITABLE message_recv_operation final
    : public reading_operation<message_recv_operation, std::optional<unix_message>> {
 public:
  static constexpr const char* call_name = "recv_message from a stream";
  explicit message_recv_operation(descriptor_source* from) noexcept
      : reading_operation(from, reading::kind::a_chunk, {}) {}
  std::optional<unix_message> result();
};

}  // namespace detail

/// The side of a Unix stream that bytes and descriptors come from.
class unix_reader : public stream_reader {
 public:
  using stream_reader::stream_reader;

  /// As recv(), with the descriptors that have come beside the bytes; the other reads close them. Where one message
  /// ends and the next begins is not told: a stream keeps only the order.
  detail::message_recv_operation recv_message() const noexcept {
    return detail::message_recv_operation(core_.source());
  }
};

/// The side of a Unix stream that bytes and descriptors go to.
class unix_writer : public stream_writer {
 public:
  using stream_writer::stream_writer;

  /// As send(), with these descriptors, at most 253, beside the first byte, which there must be. The call duplicates
  /// them, so the caller may close its own. Throws std::invalid_argument; std::system_error with EBADF if one is no
  /// descriptor, and if this process may have no more of them.
  detail::stream_send_operation send_message(std::span<const std::byte> bytes, std::span<const int> descriptors) const;
  detail::stream_send_operation send_message(std::string_view text, std::span<const int> descriptors) const {
    return send_message(std::as_bytes(std::span(text)), descriptors);
  }
  template <std::same_as<int>... More>
  detail::stream_send_operation send_message(std::string_view text, int descriptor_to_pass, More... more) const {
    const std::array<int, 1 + sizeof...(More)> all{descriptor_to_pass, more...};
    return send_message(text, std::span<const int>(all));
  }
  template <std::size_t N, class... More>
  detail::stream_send_operation send_message(char (&)[N], More&&...) const = delete;  // a buffer is no string
};

/// A connection. Move-only; its destructor closes it in the background. Thread: workers; destroyed on any.
///
///     unix_stream s = co_await unix_stream::connect("/run/service");
///     co_await s.send_message("here it is", file.native_handle());
class unix_stream : public detail::duplex_stream<unix_reader, unix_writer> {
 public:
  using duplex_stream::duplex_stream;

  /// Throws: std::invalid_argument if it is no name, or too long; std::system_error that names it; cancelled. Cancel
  /// safety: what has been connected is closed, or, if the operation is awaited again, its result.
  static detail::one_shot_operation<unix_stream> connect(std::string_view name);

  /// Two that are connected to each other.
  static std::pair<unix_stream, unix_stream> pair();

  /// Takes a connected socket. Throws std::system_error if it is none, and does not take it then.
  static unix_stream adopt(int descriptor);

  /// Of the program at the other end. Throws std::system_error.
  peer_credentials credentials() const;
};

/// A listener. Move-only; its destructor closes it in the background. Thread: workers; destroyed on any.
class unix_listener {
 public:
  unix_listener() noexcept = default;

  /// The file that this makes is removed when the listener is closed, if it is still the same. If a file of that name
  /// is there already, bind throws (EADDRINUSE), even if no program listens there any more: the caller has to remove
  /// it. Throws std::invalid_argument if it is no name, or too long; std::system_error that names it.
  static unix_listener bind(std::string_view name, unix_options options = {});

  /// Takes a listening socket, whose file stays. Throws std::system_error if it is none, and does not take it then.
  static unix_listener adopt(int descriptor);

  /// As tcp_listener::accept() and close().
  detail::accept_operation<unix_stream> accept() const noexcept {
    return detail::accept_operation<unix_stream>(core_.source());
  }
  detail::close_operation close() const { return core_.close(); }

  std::string local() const;  ///< its name
  int native_handle() const noexcept { return core_.native_handle(); }
  explicit operator bool() const noexcept { return static_cast<bool>(core_); }  ///< false: default-made or moved from

 private:
  explicit unix_listener(detail::listener_handle core) noexcept : core_(std::move(core)) {}

  detail::listener_handle core_;
};

}  // namespace ringo
