#include <ringo/tls.hpp>

#include <openssl/err.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <array>
#include <cstring>
#include <new>
#include <stdexcept>
#include <system_error>
#include <vector>

#include "io/stream_core.hpp"
#include "net/socket_address.hpp"
#include "runtime/outside_error.hpp"

namespace ringo {

// ---- errors

namespace {

class openssl_errors final : public std::error_category {
 public:
  const char* name() const noexcept override { return "OpenSSL"; }
  std::string message(int code) const override {
    const auto number = static_cast<unsigned long>(static_cast<unsigned>(code));
    if (const char* reason = ::ERR_reason_error_string(number)) return reason;
    char text[256];
    ::ERR_error_string_n(number, text, sizeof text);
    return text;
  }
};

const std::error_category& openssl_category() {
  static const auto& category = *new openssl_errors;  // never destroyed: workers may run while the process exits
  return category;
}

// The first error of this thread's last call of OpenSSL; the others follow from it.
std::system_error openssl_error(const std::string& doing) {
  const unsigned long first = ::ERR_get_error();
  ::ERR_clear_error();
  const std::string what = "ringo: " + doing;
  if (first == 0) return std::system_error(std::make_error_code(std::errc::protocol_error), what);
  if (ERR_SYSTEM_ERROR(first)) return std::system_error(ERR_GET_REASON(first), std::generic_category(), what);
  return std::system_error(static_cast<int>(first), openssl_category(), what);
}

struct freeing {
  void operator()(SSL_CTX* c) const noexcept { ::SSL_CTX_free(c); }
  void operator()(SSL* s) const noexcept { ::SSL_free(s); }
};
using ssl_pointer = std::unique_ptr<SSL, freeing>;

}  // namespace

// ---- the context

struct tls_context::state {
  std::unique_ptr<SSL_CTX, freeing> ssl;
  std::string protocols;  // in RFC 7301's form: each after its length

  explicit state(const SSL_METHOD* method) : ssl(::SSL_CTX_new(method)) {
    if (ssl == nullptr) throw openssl_error("TLS");
    ::SSL_CTX_set_min_proto_version(ssl.get(), TLS1_2_VERSION);
    ::SSL_CTX_set_options(ssl.get(), SSL_OP_NO_RENEGOTIATION);
    ::SSL_CTX_set_mode(ssl.get(), SSL_MODE_RELEASE_BUFFERS);  // an idle connection holds no buffers
  }

  void read(const tls_options& o, const char* what_for) {
    if (!o.certificate_file.empty()) {
      const std::string certificate(o.certificate_file), key(o.key_file.empty() ? o.certificate_file : o.key_file);
      if (::SSL_CTX_use_certificate_chain_file(ssl.get(), certificate.c_str()) != 1) {
        throw openssl_error(std::string(what_for) + ": certificate_file " + certificate);
      }
      if (::SSL_CTX_use_PrivateKey_file(ssl.get(), key.c_str(), SSL_FILETYPE_PEM) != 1 ||
          ::SSL_CTX_check_private_key(ssl.get()) != 1) {
        throw openssl_error(std::string(what_for) + ": key_file " + key);
      }
    }
    if (!o.trust_file.empty()) {
      const std::string trust(o.trust_file);
      if (::SSL_CTX_load_verify_locations(ssl.get(), trust.c_str(), nullptr) != 1) {
        throw openssl_error(std::string(what_for) + ": trust_file " + trust);
      }
    } else if (::SSL_CTX_set_default_verify_paths(ssl.get()) != 1) {
      throw openssl_error(std::string(what_for) + ": the system's certificates");
    }
    for (const std::string_view each : o.alpn) {
      if (each.empty() || each.size() > 255) {
        throw std::invalid_argument("ringo: " + std::string(what_for) +
                                    ": alpn: the name of a protocol has from 1 to 255 bytes");
      }
      protocols += static_cast<char>(each.size());
      protocols += each;
    }
  }
};

tls_context tls_context::client(tls_options o) {
  detail::check_not_simulated("tls_context::client");
  auto made = std::make_shared<state>(::TLS_client_method());
  made->read(o, "tls_context::client");
  ::SSL_CTX_set_verify(made->ssl.get(), o.verify_peer ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, nullptr);
  if (!made->protocols.empty()) {
    ::SSL_CTX_set_alpn_protos(made->ssl.get(), reinterpret_cast<const unsigned char*>(made->protocols.data()),
                              static_cast<unsigned>(made->protocols.size()));
  }
  return tls_context(std::move(made));
}

tls_context tls_context::server(tls_options o) {
  detail::check_not_simulated("tls_context::server");
  if (o.certificate_file.empty()) {
    throw std::invalid_argument("ringo: tls_context::server: without a certificate_file no client would trust it");
  }
  auto made = std::make_shared<state>(::TLS_server_method());
  made->read(o, "tls_context::server");
  ::SSL_CTX_set_verify(made->ssl.get(),
                       o.verify_client ? SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT : SSL_VERIFY_NONE, nullptr);
  // If clients have certificates, a session is resumed only in a context of the same name. So each context has a name
  // of its own, and does not trust a client because another context has.
  std::array<unsigned char, SSL_MAX_SID_CTX_LENGTH> name;
  if (::RAND_bytes(name.data(), static_cast<int>(name.size())) != 1 ||
      ::SSL_CTX_set_session_id_context(made->ssl.get(), name.data(), static_cast<unsigned>(name.size())) != 1) {
    throw openssl_error("tls_context::server");
  }
  const auto choose = [](SSL*, const unsigned char** chosen, unsigned char* length, const unsigned char* offered,
                         unsigned offered_length, void* of) -> int {
    const std::string& ours = static_cast<const state*>(of)->protocols;
    unsigned char* found = nullptr;
    if (::SSL_select_next_proto(&found, length, reinterpret_cast<const unsigned char*>(ours.data()),
                                static_cast<unsigned>(ours.size()), offered,
                                offered_length) != OPENSSL_NPN_NEGOTIATED) {
      return SSL_TLSEXT_ERR_ALERT_FATAL;  // RFC 7301, 3.2
    }
    *chosen = found;
    return SSL_TLSEXT_ERR_OK;
  };
  if (!made->protocols.empty()) ::SSL_CTX_set_alpn_select_cb(made->ssl.get(), choose, made.get());
  return tls_context(std::move(made));
}

// ---- the filter

namespace detail {
namespace {

class tls_filter final : public stream_filter {
 public:
  // Keeps the context's state alive.
  tls_filter(ssl_pointer ssl, std::shared_ptr<const void> context, std::string name)
      : ssl_(std::move(ssl)), context_(std::move(context)), name_(std::move(name)) {
    in_ = ::BIO_new(::BIO_s_mem());
    out_ = ::BIO_new(::BIO_s_mem());
    ::SSL_set_bio(ssl_.get(), in_, out_);  // the SSL owns them
    if (in_ == nullptr || out_ == nullptr) throw std::bad_alloc();
    ::BIO_set_mem_eof_return(in_, -1);  // an empty buffer means: wait
  }

  bool put_in(std::span<const std::byte> coded) noexcept override {
    const int size = static_cast<int>(coded.size());
    return ::BIO_write(in_, coded.data(), size) == size;
  }

  void advance() noexcept override {
    if (is_established() || error_ != nullptr) return;
    ::ERR_clear_error();
    without_locks("OpenSSL");
    note(::SSL_do_handshake(ssl_.get()));
  }
  bool is_established() const noexcept override { return ::SSL_is_init_finished(ssl_.get()) == 1; }

  std::size_t decode(std::span<std::byte> into) noexcept override {
    if (!is_established() || error_ != nullptr || has_ended_) return 0;
    ::ERR_clear_error();
    std::size_t n = 0;
    without_locks("OpenSSL");
    const int result = ::SSL_read_ex(ssl_.get(), into.data(), into.size(), &n);
    if (result == 1) return n;
    note(result);
    return 0;
  }
  bool has_ended() const noexcept override { return has_ended_; }

  void encode(std::span<const std::byte> plain) noexcept override {
    if (error_ != nullptr || plain.empty()) return;
    ::ERR_clear_error();
    std::size_t written = 0;
    without_locks("OpenSSL");
    const int result = ::SSL_write_ex(ssl_.get(), plain.data(), plain.size(), &written);
    if (result != 1) note(result);
  }
  void end_output() noexcept override {
    ::ERR_clear_error();
    without_locks("OpenSSL");
    if (error_ == nullptr) (void)::SSL_shutdown(ssl_.get());
    ::ERR_clear_error();
  }
  bool take_coded(std::vector<std::byte>& into) noexcept override {
    const std::size_t there = ::BIO_ctrl_pending(out_);
    if (there == 0) return true;
    try {
      into.resize(there);
    } catch (const std::bad_alloc&) {
      return false;
    }
    return ::BIO_read(out_, into.data(), static_cast<int>(there)) == static_cast<int>(there);
  }
  std::exception_ptr error() const noexcept override { return error_; }

  SSL* ssl() const noexcept { return ssl_.get(); }

 private:
  void note(int result) noexcept {
    if (result == 1) return;
    switch (::SSL_get_error(ssl_.get(), result)) {
      case SSL_ERROR_WANT_READ:
      case SSL_ERROR_WANT_WRITE:
        return;
      case SSL_ERROR_ZERO_RETURN:
        has_ended_ = true;
        return;
      default:
        break;
    }
    try {
      std::string doing = "TLS with " + name_;
      if (ERR_GET_REASON(::ERR_peek_error()) == SSL_R_CERTIFICATE_VERIFY_FAILED) {
        doing += std::string(", whose certificate is refused: ") +
                 ::X509_verify_cert_error_string(::SSL_get_verify_result(ssl_.get()));
      }
      error_ = std::make_exception_ptr(openssl_error(doing));
    } catch (const std::bad_alloc&) {
      error_ = std::current_exception();
    }
  }

  const ssl_pointer ssl_;
  const std::shared_ptr<const void> context_;
  const std::string name_;
  BIO* in_;
  BIO* out_;
  bool has_ended_ = false;
  std::exception_ptr error_;
};

ssl_pointer make_ssl(SSL_CTX* context) {
  ssl_pointer ssl(::SSL_new(context));
  if (ssl == nullptr) throw std::bad_alloc();
  return ssl;
}

// Sets the name that the certificate has to be for, and that the server is told.
void expect(SSL* ssl, const std::string& name) {
  if (name.empty()) {
    if (::SSL_get_verify_mode(ssl) == SSL_VERIFY_NONE) return;
    throw std::invalid_argument("ringo: TLS: without a name for the server its certificate could be anyone's");
  }
  const endpoint numeric = numeric_endpoint(name, 0);
  // A certificate does not name this machine's interfaces.
  const std::string address = name.substr(0, name.find('%'));
  const bool done = numeric
                        ? ::X509_VERIFY_PARAM_set1_ip_asc(::SSL_get0_param(ssl), address.c_str()) == 1
                        : ::SSL_set1_host(ssl, name.c_str()) == 1 && ::SSL_set_tlsext_host_name(ssl, name.c_str()) == 1;
  if (!done) throw openssl_error("TLS with the name \"" + name + "\"");
}

void put_on(const stream_handle& over, std::unique_ptr<stream_filter> filter) {
  worker& w = require_worker("TLS");
  if (!over) throw_empty_or_ended("TLS", "stream");
  over.source()->enter(&w, "TLS");
  if (over.get()->put_on(std::move(filter), w)) return;
  throw std::logic_error("ringo: TLS on a stream that is closed, or is being used, or has it already");
}

const tls_filter* filter_of(stream_core* core) noexcept {
  return core != nullptr ? static_cast<const tls_filter*>(core->filter()) : nullptr;
}

}  // namespace
}  // namespace detail

// ---- the stream

namespace {

task<tls_stream> connect_by_name(std::string to, std::string name, tls_context with, tcp_options o,
                                 std::source_location where) {
  tcp_stream over = co_await tcp_stream::connect(to, o, where);
  co_return co_await tls_stream::client(std::move(over), name, std::move(with), where);
}

}  // namespace

detail::deferred_task<tls_stream> tls_stream::connect(std::string_view host_and_port, tls_context with, tcp_options o,
                                                      std::source_location where) {
  const auto [host, port] = detail::split_host_and_port(host_and_port, "tls_stream::connect");
  return connect_by_name(std::string(host_and_port), host.empty() ? "localhost" : std::string(host), std::move(with), o,
                         where);
}

detail::deferred_task<tls_stream> tls_stream::client(tcp_stream over, std::string_view name, tls_context with,
                                                     std::source_location where) {
  return begin_client(std::move(over), std::string(name), std::move(with), where);
}
detail::deferred_task<tls_stream> tls_stream::server(tcp_stream over, tls_context with, std::source_location where) {
  return begin_server(std::move(over), std::move(with), where);
}

task<tls_stream> tls_stream::begin_client(tcp_stream over, std::string name, tls_context with,
                                          std::source_location where) {
  tls_stream s(std::move(over));
  ssl_pointer ssl = detail::make_ssl(with.state_->ssl.get());
  detail::expect(ssl.get(), name);
  ::SSL_set_connect_state(ssl.get());
  detail::put_on(s.core_, std::make_unique<detail::tls_filter>(std::move(ssl), with.state_, name));
  co_await detail::in_name_of(where, detail::stream_established_operation(s.core_.source()));
  co_return s;
}

task<tls_stream> tls_stream::begin_server(tcp_stream over, tls_context with, std::source_location where) {
  const std::string peer = over.peer().to_string();
  tls_stream s(std::move(over));
  ssl_pointer ssl = detail::make_ssl(with.state_->ssl.get());
  ::SSL_set_accept_state(ssl.get());
  detail::put_on(s.core_, std::make_unique<detail::tls_filter>(std::move(ssl), with.state_, peer));
  co_await detail::in_name_of(where, detail::stream_established_operation(s.core_.source()));
  co_return s;
}

std::string tls_stream::alpn() const {
  const unsigned char* chosen = nullptr;
  unsigned length = 0;
  if (const auto* f = detail::filter_of(core_.get())) {
    ::SSL_get0_alpn_selected(f->ssl(), &chosen, &length);
  }
  return std::string(reinterpret_cast<const char*>(chosen), length);
}

std::string tls_stream::version() const {
  const auto* f = detail::filter_of(core_.get());
  return f != nullptr ? ::SSL_get_version(f->ssl()) : "";
}

endpoint tls_stream::local() const {
  return native_handle() >= 0 ? detail::local_endpoint(native_handle()) : endpoint();
}
endpoint tls_stream::peer() const noexcept {
  const detail::stream_core* core = core_.get();
  return core != nullptr ? core->peer() : endpoint();
}

}  // namespace ringo
