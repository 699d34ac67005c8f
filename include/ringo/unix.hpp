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
#include <ringo/detail/byte_stream.hpp>
#include <ringo/detail/listener_operation.hpp>
#include <ringo/detail/one_shot.hpp>

namespace ringo {

struct unix_options {
  int backlog = 1024;  // how many connections wait to be accepted (the system's somaxconn limits it)
  int mode = -1;       // of the file, 0660 for example; -1: as the umask has it
};
static_assert(std::is_trivially_destructible_v<unix_options>);

// Of the program at the other end, when it connected, listened or made the pair.
struct peer_credentials {
  int process = 0;
  unsigned user = 0, group = 0;
};

// Bytes of a stream, and the descriptors that have come with them.
class unix_message {
 public:
  unix_message(chunk b, std::vector<descriptor> d, bool lost) noexcept
      : bytes(std::move(b)), descriptors(std::move(d)), some_lost(lost) {}

  chunk bytes;
  std::vector<descriptor> descriptors;
  bool some_lost;  // of the descriptors: this process may have no more of them
};

namespace detail {

struct unix_access;  // makes the streams

class RINGO_AWAITABLE message_recv_operation final
    : public reading_operation<message_recv_operation, std::optional<unix_message>> {
 public:
  static constexpr const char* call_name = "recv_message from a stream";
  explicit message_recv_operation(descriptor_source* from) noexcept
      : reading_operation(from, reading::kind::a_chunk, {}) {}
  std::optional<unix_message> result();
};

class unix_source : public stream_source {
 public:
  // As recv(), with the descriptors that have come beside the bytes; where others read, those are closed. Where one
  // message ends and the next begins is not told: a stream keeps only the order.
  message_recv_operation recv_message() const noexcept { return message_recv_operation(core_.source()); }

 protected:
  using stream_source::stream_source;
};

class unix_sink : public stream_sink {
 public:
  // As send(), with these descriptors, at most 253, beside the first of the bytes, of which there must be one. They are
  // duplicated at once, and stay the caller's, who may close them.
  // Throws std::invalid_argument; std::system_error with EBADF for what is none, and where there is none left.
  stream_send_operation send_message(std::span<const std::byte> bytes, std::span<const int> descriptors) const;
  stream_send_operation send_message(std::string_view text, std::span<const int> descriptors) const {
    return send_message(std::as_bytes(std::span(text)), descriptors);
  }
  template <std::same_as<int>... More>
  stream_send_operation send_message(std::string_view text, int descriptor_to_pass, More... more) const {
    const std::array<int, 1 + sizeof...(More)> all{descriptor_to_pass, more...};
    return send_message(text, std::span<const int>(all));
  }
  template <std::size_t N, class... More>
  stream_send_operation send_message(char (&)[N], More&&...) const = delete;  // a buffer is no string: pass a span

 protected:
  using stream_sink::stream_sink;
};

}  // namespace detail

// The half of a stream that bytes come from.
class unix_reader : public detail::unix_source {
 public:
  unix_reader() noexcept = default;

 private:
  friend class unix_stream;
  explicit unix_reader(detail::unix_source&& half) noexcept : unix_source(std::move(half)) {}
};

// The half of a stream that bytes go to. Destroying it tells the peer that no more will come, as shutdown_send does.
class unix_writer : public detail::unix_sink {
 public:
  unix_writer() noexcept = default;
  unix_writer(unix_writer&&) noexcept = default;
  unix_writer& operator=(unix_writer&& from) noexcept {
    unix_writer(std::move(from)).core_.swap(core_);
    return *this;
  }
  ~unix_writer();

  detail::stream_send_operation shutdown_send() const noexcept {
    return {core_.source(), detail::sending::kind::shutdown};
  }

 private:
  friend class unix_stream;
  explicit unix_writer(detail::unix_sink&& half) noexcept : unix_sink(std::move(half)) {}
};

// A connection. Move-only; its destructor closes it, in the background. recv, read, read_exactly:
// detail::stream_source; send: detail::stream_sink. Thread: workers; destroyed on any.
class unix_stream : public detail::unix_source, public detail::unix_sink {
 public:
  unix_stream() noexcept = default;

  // Throws std::invalid_argument for what is no name, or too long a one; std::system_error that names it. Cancel
  // safety: what has been connected is closed.
  static detail::one_shot_operation<unix_stream> connect(std::string_view name);

  // Two that are connected to each other.
  static std::pair<unix_stream, unix_stream> pair();

  // Takes a connected socket. Throws std::system_error if it is none, and leaves it then.
  static unix_stream adopt(int descriptor);

  // For two routines. The connection is closed when both halves have gone.
  std::pair<unix_reader, unix_writer> split() && {
    return {unix_reader(static_cast<unix_source&&>(*this)), unix_writer(static_cast<unix_sink&&>(*this))};
  }

  // Tells the peer that no more will come, after all that has been sent; receiving goes on (semantics of shutdown(2)).
  detail::stream_send_operation shutdown_send() const noexcept {
    return {stream_source::core_.source(), detail::sending::kind::shutdown};
  }

  // Who is at the other end. Throws std::system_error.
  peer_credentials peer() const;

  using stream_source::close;
  using stream_source::native_handle;
  using stream_source::operator bool;

 private:
  template <class Stream>
  friend class detail::accept_operation;
  friend struct detail::unix_access;
  explicit unix_stream(detail::stream_handle core) noexcept : unix_source(core.another()), unix_sink(std::move(core)) {}
};

// Where connections come in. Move-only; several routines may accept, and are served in their order. Its destructor
// closes it, in the background.
class unix_listener {
 public:
  unix_listener() noexcept = default;

  // The file that this makes is removed when the listener is closed, if it is still the same. One that is there already
  // is an error (EADDRINUSE), though nobody may listen there any more: then it is the program's to remove.
  // Throws std::invalid_argument for what is no name, or too long a one; std::system_error that names it.
  static unix_listener bind(std::string_view name, unix_options options = {});

  // Takes a listening socket, whose file stays. Throws std::system_error if it is none, and leaves it then.
  static unix_listener adopt(int descriptor);

  // As tcp_listener's.
  detail::accept_operation<unix_stream> accept() const noexcept {
    return detail::accept_operation<unix_stream>(core_.source());
  }
  detail::close_operation close() const { return core_.close(); }

  std::string local() const;  // its name
  int native_handle() const noexcept { return core_.native_handle(); }
  explicit operator bool() const noexcept { return static_cast<bool>(core_); }  // false: default-made or moved from

 private:
  explicit unix_listener(detail::listener_handle core) noexcept : core_(std::move(core)) {}

  detail::listener_handle core_;
};

}  // namespace ringo
