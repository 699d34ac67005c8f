// Sessions that clients resume: plain OpenSSL at the other end.
#include <doctest/doctest.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <memory>
#include <ringo/ringo.hpp>
#include <ringo/tls.hpp>
#include <string>
#include <string_view>
#include <utility>

#include "error_told.hpp"
#include "network.hpp"
#include "tls_certificate.hpp"

using namespace ringo;

namespace {

struct freeing {
  void operator()(SSL_CTX* c) const noexcept { ::SSL_CTX_free(c); }
  void operator()(SSL* s) const noexcept { ::SSL_free(s); }
  void operator()(SSL_SESSION* s) const noexcept { ::SSL_SESSION_free(s); }
};
using session = std::unique_ptr<SSL_SESSION, freeing>;

class visit {
 public:
  visit() noexcept {}  // no aggregate, which g++ 12 would destroy twice
  bool was_served = false, was_resumed = false;
  session got;
};

// Connects with the certificate, asks for an answer, and keeps the session. On a thread that may wait.
visit visit_plainly(std::uint16_t port, int version, const certificate& with, SSL_SESSION* resumed) {
  const std::unique_ptr<SSL_CTX, freeing> context(::SSL_CTX_new(::TLS_client_method()));
  ::SSL_CTX_set_max_proto_version(context.get(), version);
  ::SSL_CTX_use_certificate_file(context.get(), with.certificate_file.c_str(), SSL_FILETYPE_PEM);
  ::SSL_CTX_use_PrivateKey_file(context.get(), with.key_file.c_str(), SSL_FILETYPE_PEM);
  const descriptor s(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  visit v;
  if (::connect(s.native_handle(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) return v;
  const std::unique_ptr<SSL, freeing> ssl(::SSL_new(context.get()));
  ::SSL_set_fd(ssl.get(), s.native_handle());
  if (resumed != nullptr) ::SSL_set_session(ssl.get(), resumed);
  std::array<char, 6> answer{};
  v.was_served = ::SSL_connect(ssl.get()) == 1 && ::SSL_write(ssl.get(), "question", 8) == 8 &&
                 ::SSL_read(ssl.get(), answer.data(), answer.size()) == 6 &&
                 std::string_view(answer.data(), answer.size()) == "answer";
  v.was_resumed = ::SSL_session_reused(ssl.get()) == 1;
  v.got.reset(::SSL_get1_session(ssl.get()));
  ::SSL_shutdown(ssl.get());
  return v;
}

tls_context server_that_trusts(const certificate& clients) {
  tls_options o;
  o.certificate_file = own().certificate_file;
  o.key_file = own().key_file;
  o.trust_file = clients.certificate_file;
  o.verify_client = true;
  return tls_context::server(o);
}

task<visit> visited(tls_context server, int version, const certificate& client, SSL_SESSION* resumed) {
  tcp_listener listener = listen_locally();
  auto serving = go(
      [](tcp_listener& l, tls_context with) -> task<> {
        tcp_stream over = co_await l.accept();
        tls_stream s = co_await tls_stream::server(std::move(over), with);
        const auto question = co_await s.recv();
        if (question && question->text() == "question") co_await s.send("answer");
        (void)co_await s.recv();
      },
      std::ref(listener), std::move(server));
  auto visiting = blocking(visit_plainly, listener.local().port(), version, std::cref(client), resumed);
  visit v = co_await visiting;
  (void)co_await outcome(serving.join());
  co_return v;
}

}  // namespace

TEST_CASE("a client with a certificate resumes its session, over TLS 1.2 and 1.3") {
  on_the_network([]() -> task<> {
    const tls_context server = server_that_trusts(own());
    for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
      const visit first = co_await visited(server, version, own(), nullptr);
      CHECK(first.was_served);
      CHECK(!first.was_resumed);
      const visit second = co_await visited(server, version, own(), first.got.get());
      CHECK(second.was_served);
      CHECK(second.was_resumed);
    }
  });
}

TEST_CASE("a session that one context has trusted is not resumed under another, whose trust is its own") {
  on_the_network([]() -> task<> {
    const certificate stranger("tls_stranger");
    const tls_context trusts_us = server_that_trusts(own()), trusts_the_stranger = server_that_trusts(stranger);
    for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
      const visit trusted = co_await visited(trusts_us, version, own(), nullptr);
      CHECK(trusted.was_served);
      const visit refused = co_await visited(trusts_the_stranger, version, own(), trusted.got.get());
      CHECK(!refused.was_served);
      CHECK(!refused.was_resumed);
      // Under the same trust in a context of its own it begins anew, and is served.
      const visit anew = co_await visited(server_that_trusts(own()), version, own(), trusted.got.get());
      CHECK(anew.was_served);
      CHECK(!anew.was_resumed);
    }
  });
}
