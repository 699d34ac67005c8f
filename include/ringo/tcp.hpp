// TCP: streams of bytes between two programs, and listeners for connections.
#pragma once
#include <ringo/detail/cpp20.hpp>

#include <source_location>
#include <string_view>
#include <type_traits>
#include <utility>

#include <ringo/detail/awaited.hpp>
#include <ringo/detail/library.hpp>
#include <ringo/detail/listener_operation.hpp>
#include <ringo/endpoint.hpp>
#include <ringo/stream.hpp>
#include <ringo/task.hpp>

namespace ringo {

struct tcp_options {
  int backlog = 1024;       ///< of a listener: connections that wait to be accepted (the system's somaxconn limits it)
  bool reuse_port = false;  ///< of a listener: others may bind the same port, and the kernel distributes connections
  bool no_delay = true;     ///< short sends go out at once (TCP_NODELAY)
  int send_buffer = 0, receive_buffer = 0;  ///< bytes in the kernel; 0: the system's default

  // A peer can go without a word: switched off, unplugged, behind a lost network. Without the options below, a stream
  // that waits for it may wait for ever. With them the kernel gives the peer up, and every operation of the stream
  // throws disconnected (std::errc::timed_out, or host_unreachable). Connected and accepted streams have them; an
  // accepted stream has those of its listener.

  /// Keep-alive: when no byte has come for keep_alive_idle, the kernel asks the peer's kernel whether it is still
  /// there, again every keep_alive_interval, and gives the peer up after keep_alive_count questions without an answer.
  /// 0: no keep-alive; the system's interval (75 s); the system's count (9). At most 32767 s, 32767 s, 127.
  std::chrono::seconds keep_alive_idle{0}, keep_alive_interval{0};
  int keep_alive_count = 0;
  /// How long sent bytes may stay without the peer's acknowledgement (TCP_USER_TIMEOUT). 0: the system's default, some
  /// 15 minutes. With keep-alive it also limits the questions: it then replaces keep_alive_count.
  std::chrono::milliseconds user_timeout{0};
};
static_assert(std::is_trivially_destructible_v<tcp_options>);

/// A connection. It is read as a stream_reader and written as a stream_writer (stream.hpp). Move-only; its destructor
/// closes it in the background.
///
///     tcp_stream s = co_await tcp_stream::connect("example.org:80");
///     co_await s.send("GET / HTTP/1.0\r\n\r\n");
///     while (auto piece = co_await s.recv()) std::cout << piece->text();
///
/// Thread: workers; destroyed on any.
class tcp_stream : public detail::duplex_stream<stream_reader, stream_writer> {
 public:
  using duplex_stream::duplex_stream;

  /// To "example.org:80", "192.0.2.1:80", "[::1]:80", ":80" (this machine). It tries all of the host's addresses, the
  /// two families in turn, each a quarter of a second after the one before or when that has failed, and the first that
  /// answers wins (RFC 8305). Throws: std::invalid_argument if it is no host and port, or an option is wrong;
  /// std::system_error that names what was tried, or says that the name is not known; cancelled. Cancel safety: what
  /// has been connected is closed. It may be awaited by name, once; in a select it is a plain task, because it may have
  /// to look a name up and to try several addresses.
  static detail::deferred_task<tcp_stream> connect(std::string_view host_and_port, tcp_options options = {},
                                                   std::source_location where = std::source_location::current());
  static detail::deferred_task<tcp_stream> connect(const endpoint& to, tcp_options options = {},
                                                   std::source_location where = std::source_location::current());

  /// Takes a connected socket, of TCP or any other that is a stream. Throws std::system_error if it is none, and does
  /// not take it then.
  static tcp_stream adopt(int descriptor);

  endpoint local() const;  ///< empty if the stream is empty or closed
  endpoint peer() const noexcept;
};

/// A listener. Move-only; its destructor closes it in the background.
///
///     auto listener = tcp_listener::bind(":8080");
///     for (;;) clients.go(serve, co_await listener.accept());
///
/// Thread: workers; destroyed on any.
class tcp_listener {
 public:
  tcp_listener() noexcept = default;

  /// At "127.0.0.1:8080", "[::]:8080" (also IPv4, where the system has both), ":8080" (the same), "localhost:8080";
  /// port 0 is a free one, which local() tells. Throws std::invalid_argument if it is no address, std::system_error
  /// that names the address and what is wrong.
  static tcp_listener bind(std::string_view address_and_port, tcp_options options = {});
  static tcp_listener bind(const endpoint& at, tcp_options options = {});

  /// Takes a listening socket. Throws std::system_error if it is none, and does not take it then.
  static tcp_listener adopt(int descriptor);

  /// The next connection. Without a free descriptor, or memory for the stream, it goes on waiting: connections wait in
  /// the system's queue, it tries again from time to time, and runtime_options::on_warning hears of it once. Throws:
  /// cancelled; disconnected if close() is called meanwhile; std::system_error. Cancel safety: a connection that came
  /// for a case that loses is the next one's. Fairness: first come, first served.
  detail::accept_operation<tcp_stream> accept() const noexcept {
    return detail::accept_operation<tcp_stream>(core_.source());
  }

  /// Closes the listener, and waits for that. Routines that accept throw disconnected. With reuse_port, the connections
  /// in its queue go to another listener of this process at its address, if there is one; else the kernel resets them.
  detail::close_operation close() const { return core_.close(); }

  endpoint local() const;
  int native_handle() const noexcept { return core_.native_handle(); }
  explicit operator bool() const noexcept { return static_cast<bool>(core_); }  ///< false: default-made or moved from

 private:
  explicit tcp_listener(detail::listener_handle core) noexcept : core_(std::move(core)) {}

  detail::listener_handle core_;
};

}  // namespace ringo
