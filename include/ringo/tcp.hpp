// TCP: streams of bytes between two programs, and where connections come in.
#pragma once
#include <ringo/detail/cpp20.hpp>

#include <chrono>
#include <cstdint>
#include <string_view>
#include <type_traits>
#include <utility>

#include <ringo/detail/awaited.hpp>
#include <ringo/detail/byte_stream.hpp>
#include <ringo/detail/listener_operation.hpp>
#include <ringo/endpoint.hpp>
#include <ringo/task.hpp>

namespace ringo {

struct socket_options {
  int backlog = 1024;  // of a listener: how many connections wait to be accepted (the system's somaxconn limits it)
  bool reuse_port = false;  // of a listener: others may bind the same port, and the kernel shares the connections out
  bool no_delay = true;     // no waiting for more to send (TCP_NODELAY)
  int send_buffer = 0, receive_buffer = 0;  // bytes in the kernel; 0: as the system has it

  // A peer can go without a word: switched off, unplugged, behind a lost network. Without the options below, a stream
  // that waits for it may wait for ever. With them the kernel gives the peer up, and every operation of the stream
  // throws disconnected (std::errc::timed_out, or host_unreachable). Connected and accepted streams have them; an
  // accepted stream has those of its listener.
  //
  // Keep-alive: when no byte has come for keep_alive_idle, the kernel asks the peer's kernel whether it is still there,
  // again every keep_alive_interval, and gives the peer up after keep_alive_count questions without an answer.
  // idle 0: no keep-alive; interval 0, count 0: as the system has it (75 s, 9 times). At most 32767 s, 32767 s, 127.
  std::chrono::seconds keep_alive_idle{0}, keep_alive_interval{0};
  int keep_alive_count = 0;
  // How long bytes that were sent may stay without the peer's acknowledgement (TCP_USER_TIMEOUT). 0: as the system has
  // it, some 15 minutes. With keep-alive it also limits the questions: it then replaces keep_alive_count.
  std::chrono::milliseconds user_timeout{0};
};
static_assert(std::is_trivially_destructible_v<socket_options>);

// The half of a stream that bytes come from.
class tcp_reader : public detail::stream_source {
 public:
  tcp_reader() noexcept = default;

 private:
  friend class tcp_stream;
  explicit tcp_reader(detail::stream_source&& half) noexcept : stream_source(std::move(half)) {}
};

// The half of a stream that bytes go to. Destroying it tells the peer that no more will come, as shutdown_send does.
class tcp_writer : public detail::stream_sink {
 public:
  tcp_writer() noexcept = default;
  tcp_writer(tcp_writer&&) noexcept = default;
  tcp_writer& operator=(tcp_writer&& from) noexcept {
    tcp_writer(std::move(from)).core_.swap(core_);
    return *this;
  }
  ~tcp_writer();

  detail::stream_send_operation shutdown_send() const noexcept {
    return {core_.source(), detail::sending::kind::shutdown};
  }

 private:
  friend class tcp_stream;
  explicit tcp_writer(detail::stream_sink&& half) noexcept : stream_sink(std::move(half)) {}
};

// A connection. Move-only; its destructor closes it, in the background. recv, read, read_exactly:
// detail::stream_source; send: detail::stream_sink. Thread: workers; destroyed on any.
class tcp_stream : public detail::stream_source, public detail::stream_sink {
 public:
  tcp_stream() noexcept = default;

  // "example.org:80", "192.0.2.1:80", "[::1]:80", ":80" (this machine). All of the host's addresses are tried, the two
  // families in turn, each a quarter of a second after the one before or when that has failed, and the first that
  // answers wins (RFC 8305). Throws std::invalid_argument for what is no host and port, or no option, std::system_error
  // that names what was tried, or that the name is not known. Cancel safety: what has been connected is closed. As a
  // case of a select it is a plain task.
  static detail::deferred_task<tcp_stream> connect(std::string_view host_and_port, socket_options options = {},
                                                   std::source_location where = std::source_location::current());
  static detail::deferred_task<tcp_stream> connect(const endpoint& to, socket_options options = {},
                                                   std::source_location where = std::source_location::current());

  // Takes a connected socket, of TCP or any other that is a stream. Throws std::system_error if it is none, and leaves
  // it then.
  static tcp_stream adopt(int descriptor);

  // For two routines. The connection is closed when both halves have gone.
  std::pair<tcp_reader, tcp_writer> split() && {
    return {tcp_reader(static_cast<stream_source&&>(*this)), tcp_writer(static_cast<stream_sink&&>(*this))};
  }

  // Tells the peer that no more will come, after all that has been sent; receiving goes on (semantics of shutdown(2)).
  detail::stream_send_operation shutdown_send() const noexcept {
    return {stream_source::core_.source(), detail::sending::kind::shutdown};
  }

  using stream_source::close;
  using stream_source::native_handle;
  using stream_source::operator bool;
  endpoint local() const;  // of nothing where the stream is empty or has been closed
  endpoint peer() const noexcept;

 private:
  template <class Stream>
  friend class detail::accept_operation;
  friend struct detail::stream_access;
  explicit tcp_stream(detail::stream_handle core) noexcept
      : stream_source(core.another()), stream_sink(std::move(core)) {}
};

// Where connections come in. Move-only; several routines may accept, and are served in their order. Its destructor
// closes it, in the background.
class tcp_listener {
 public:
  tcp_listener() noexcept = default;

  // "127.0.0.1:8080", "[::]:8080" (IPv4 as well, where the system has both), ":8080" (the same), "localhost:8080"; port
  // 0: one that is free, which local() tells. Throws std::invalid_argument for what is no address, std::system_error
  // that names the address and what is wrong.
  static tcp_listener bind(std::string_view address_and_port, socket_options options = {});
  static tcp_listener bind(const endpoint& at, socket_options options = {});

  // Takes a listening socket. Throws std::system_error if it is none, and leaves it then.
  static tcp_listener adopt(int descriptor);

  // The next connection. Without a free descriptor, or memory for the stream, it goes on waiting: connections wait in
  // the system's queue, it tries again from time to time, and options::on_warning hears of it once. Throws: cancelled;
  // disconnected where the listener is closed meanwhile; std::system_error. Cancel safety: a connection that has come
  // for a case that loses is the next one's.
  detail::accept_operation<tcp_stream> accept() const noexcept {
    return detail::accept_operation<tcp_stream>(core_.source());
  }

  // Ends who accepts, which throws disconnected there. With reuse_port, what still waits in its queue goes to another
  // listener of this process at its address, if there is one; else the kernel resets it.
  detail::close_operation close() const { return core_.close(); }

  endpoint local() const;
  int native_handle() const noexcept { return core_.native_handle(); }
  explicit operator bool() const noexcept { return static_cast<bool>(core_); }  // false: default-made or moved from

 private:
  explicit tcp_listener(detail::listener_handle core) noexcept : core_(std::move(core)) {}

  detail::listener_handle core_;
};

}  // namespace ringo
