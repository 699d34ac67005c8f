// TLS (1.2 and 1.3) over a stream, by OpenSSL: a component of its own, linked as ringo::tls. It is not in ringo.hpp.
#pragma once
#include <ringo/detail/cpp20.hpp>

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include <ringo/tcp.hpp>

namespace ringo {

struct tls_options {
  /// PEM files. A server needs both; a client only if the server asks for them. The chain goes into the certificate's.
  std::string_view certificate_file = {}, key_file = {};
  std::string_view trust_file = {};             ///< PEM file of certificates that are trusted; empty: the system's own
  std::span<const std::string_view> alpn = {};  ///< application protocols (RFC 7301), best first: "h2", "http/1.1"
  bool verify_peer = true;                      ///< of a client: checks the server's chain and name. false is for tests
  bool verify_client = false;                   ///< of a server: clients need a certificate that is trusted
};
static_assert(std::is_trivially_destructible_v<tls_options>);

/// What connections have in common: keys, trust, protocols. A handle: copies are the same. Thread: any.
class tls_context {
 public:
  /// Reads all that the options name now. Throws std::system_error that says which file, or what in it, is wrong, and
  /// std::invalid_argument for a server without a certificate.
  static tls_context client(tls_options options = {});
  static tls_context server(tls_options options);

 private:
  friend class tls_stream;
  struct state;
  explicit tls_context(std::shared_ptr<const state> s) noexcept : state_(std::move(s)) {}

  std::shared_ptr<const state> state_;
};

/// A connection with TLS on it, with the operations and promises of a tcp_stream.
///
///     tls_stream s = co_await tls_stream::connect("example.org:443");
///
/// Errors of TLS are a std::system_error with OpenSSL's text. A connection that ends before TLS has ended throws
/// disconnected: an attacker may have cut it. Closing and destroying it end TLS first. A send that is cancelled or
/// loses after it has been encrypted counts as one of which bytes have gone out.
///
/// close() and the destructor may lose what has been sent: if bytes of the peer have not been received, the kernel
/// resets the connection. Over TLS 1.3 those can be a session, which a server sends unasked. So a client that only
/// sends waits, before it closes, for an answer, or for the end of the stream after shutdown_send().
///
/// Thread: workers; destroyed on any.
class tls_stream : public detail::duplex_stream<stream_reader, stream_writer> {
 public:
  using duplex_stream::duplex_stream;

  // The three below may be awaited by name, once; in a select they are plain tasks, since a handshake that has begun
  // cannot be taken back. Cancel safety: the connection is closed.

  /// Connects, and agrees with the server, whose certificate has to be for that host. Throws as tcp_stream::connect and
  /// client().
  static detail::deferred_task<tls_stream> connect(std::string_view host_and_port,
                                                   tls_context with = tls_context::client(), tcp_options options = {},
                                                   std::source_location where = std::source_location::current());

  /// Begins TLS on a connection, also after it has been used (STARTTLS). `name` is what the server's certificate has to
  /// be for: a host or a numeric address. Throws: std::system_error, disconnected, cancelled; std::invalid_argument if
  /// there is no name and the certificate is verified; std::logic_error if the stream is being used.
  static detail::deferred_task<tls_stream> client(tcp_stream over, std::string_view name,
                                                  tls_context with = tls_context::client(),
                                                  std::source_location where = std::source_location::current());
  static detail::deferred_task<tls_stream> server(tcp_stream over, tls_context with,
                                                  std::source_location where = std::source_location::current());

  std::string alpn() const;     ///< the protocol that was agreed upon; empty: none
  std::string version() const;  ///< "TLSv1.3"
  endpoint local() const;
  endpoint peer() const noexcept;

 private:
  static task<tls_stream> begin_client(tcp_stream over, std::string name, tls_context with, std::source_location where);
  static task<tls_stream> begin_server(tcp_stream over, tls_context with, std::source_location where);
  explicit tls_stream(tcp_stream&& over) noexcept : duplex_stream(std::move(over)) {}
};

}  // namespace ringo
