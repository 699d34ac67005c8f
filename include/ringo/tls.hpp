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
  // PEM files. A server needs both; a client only where the server asks for them. The chain goes into the
  // certificate's.
  std::string_view certificate_file = {}, key_file = {};
  std::string_view trust_file = {};             // of certificates that are trusted; none: the system's own
  std::span<const std::string_view> alpn = {};  // application protocols (RFC 7301), the best first: "h2", "http/1.1"
  bool verify_peer = true;                      // of a client: the server's chain and name. false is for tests
  bool verify_client = false;                   // of a server: clients need a certificate that is trusted
};
static_assert(std::is_trivially_destructible_v<tls_options>);

// What connections have in common: keys, trust, protocols. A handle: copies are the same. Any thread.
class tls_context {
 public:
  // All of what the options name is read now. Throw std::system_error that says which file, or what in it, is wrong,
  // and std::invalid_argument for a server without a certificate.
  static tls_context client(tls_options options = {});
  static tls_context server(tls_options options);

 private:
  friend class tls_stream;
  struct state;
  explicit tls_context(std::shared_ptr<const state> s) noexcept : state_(std::move(s)) {}

  std::shared_ptr<const state> state_;
};

// A connection with TLS on it, with a tcp_stream's verbs, which promise the same. Every error of TLS itself is a
// std::system_error whose text is OpenSSL's. A connection that ends without TLS having ended first throws disconnected:
// somebody may have cut it. Destroying and closing it end TLS before. A send that is cancelled or loses when it has
// been encrypted counts as one of which bytes have gone out.
class tls_stream : public detail::stream_source, public detail::stream_sink {
 public:
  tls_stream() noexcept = default;

  // Connects, and agrees with the server, whose certificate has to be for that host.
  static detail::deferred_task<tls_stream> connect(std::string_view host_and_port,
                                                   tls_context with = tls_context::client(),
                                                   socket_options options = {},
                                                   std::source_location where = std::source_location::current());

  // On a connection that is there, also when something has been said on it before (STARTTLS). What comes of it when
  // this fails or is cancelled: it is closed. `name` is what the server's certificate has to be for: a host or a
  // numeric address.
  static task<tls_stream> client(tcp_stream over, std::string_view name, tls_context with = tls_context::client(),
                                 std::source_location where = std::source_location::current());
  static task<tls_stream> server(tcp_stream over, tls_context with,
                                 std::source_location where = std::source_location::current());

  // Tells the peer that no more will come; receiving goes on.
  detail::stream_send_operation shutdown_send() const noexcept {
    return {stream_source::core_.source(), detail::sending::kind::shutdown};
  }

  // Closes the connection, as destroying it does. What has been sent may be lost where something that the peer has sent
  // has not been received: the kernel resets the connection then, and the peer need not hear more of it. Over TLS 1.3
  // that can be a session that the server has sent, which comes without being asked for: a client that only sends waits
  // for an answer, or for the end of the stream after shutdown_send(), before it closes.
  using stream_source::close;
  using stream_source::native_handle;
  using stream_source::operator bool;
  std::string alpn() const;     // what was agreed upon; empty: nothing
  std::string version() const;  // "TLSv1.3"
  endpoint local() const;
  endpoint peer() const noexcept;

 private:
  static task<tls_stream> agree(tls_stream s, std::source_location where);
  explicit tls_stream(tcp_stream&& over) noexcept
      : stream_source(static_cast<stream_source&&>(over)), stream_sink(static_cast<stream_sink&&>(over)) {}
};

}  // namespace ringo
