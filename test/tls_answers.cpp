// What a peer makes TLS answer is under back-pressure: one that does not read the answers is not read from either.
#include <doctest/doctest.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
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
using namespace std::chrono_literals;

namespace {

struct freeing {
  void operator()(SSL_CTX* c) const noexcept { ::SSL_CTX_free(c); }
  void operator()(SSL* s) const noexcept { ::SSL_free(s); }
};

constexpr int buffers = 64 * 1024;  // in the kernel, each

// A client that may send without ever reading. On a thread that may wait.
class plain_client {
 public:
  explicit plain_client(std::uint16_t port) : context_(::SSL_CTX_new(::TLS_client_method())) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ::setsockopt(socket_.native_handle(), SOL_SOCKET, SO_SNDBUF, &buffers, sizeof buffers);
    ::setsockopt(socket_.native_handle(), SOL_SOCKET, SO_RCVBUF, &buffers, sizeof buffers);
    is_connected_ = ::connect(socket_.native_handle(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
    ssl_.reset(::SSL_new(context_.get()));
    in_ = ::BIO_new(::BIO_s_mem());
    out_ = ::BIO_new(::BIO_s_mem());
    ::BIO_set_mem_eof_return(in_, -1);
    ::SSL_set_bio(ssl_.get(), in_, out_);
    ::SSL_set_connect_state(ssl_.get());
  }

  bool agree() {
    while (is_connected_ && ::SSL_do_handshake(ssl_.get()) != 1) {
      if (!flush(10s) || !read_some(10s)) return false;
    }
    return is_connected_ && flush(10s);
  }
  // Asks for new keys, and says a byte. False: the server takes no more.
  bool ask_for_keys() {
    return ::SSL_key_update(ssl_.get(), SSL_KEY_UPDATE_REQUESTED) == 1 && ::SSL_write(ssl_.get(), "x", 1) == 1 &&
           flush(1s);
  }
  // Reads all that there is until the server has taken what is left of this side's.
  bool catch_up() {
    while (!flush(0s)) {
      if (!read_some(10s)) return false;
    }
    return true;
  }
  bool say(std::string_view text) {
    return ::SSL_write(ssl_.get(), text.data(), static_cast<int>(text.size())) == static_cast<int>(text.size()) &&
           catch_up();
  }
  bool reads_to_the_end() {
    while (read_some(10s)) {
    }
    char nothing = 0;
    return ::recv(socket_.native_handle(), &nothing, 1, MSG_DONTWAIT) == 0;
  }
  std::size_t sent() const noexcept { return sent_; }

 private:
  static bool wait_for(int socket, short events, std::chrono::milliseconds at_most) {
    pollfd one{socket, events, 0};
    return ::poll(&one, 1, static_cast<int>(at_most.count())) == 1;
  }
  bool flush(std::chrono::milliseconds patience) {
    char* bytes = nullptr;
    for (;;) {
      if (unsent_.empty()) {
        const long there = BIO_get_mem_data(out_, &bytes);
        unsent_.assign(bytes, static_cast<std::size_t>(there));
        (void)BIO_reset(out_);
        if (unsent_.empty()) return true;
      }
      const ssize_t n = ::send(socket_.native_handle(), unsent_.data(), unsent_.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      if (n > 0) {
        sent_ += static_cast<std::size_t>(n);
        unsent_.erase(0, static_cast<std::size_t>(n));
      } else if (!wait_for(socket_.native_handle(), POLLOUT, patience)) {
        return false;
      }
    }
  }
  bool read_some(std::chrono::milliseconds patience) {
    if (!wait_for(socket_.native_handle(), POLLIN, patience)) return false;
    std::array<char, 16 * 1024> bytes{};
    const ssize_t n = ::recv(socket_.native_handle(), bytes.data(), bytes.size(), MSG_DONTWAIT);
    if (n <= 0) return false;
    // Of the answers it is enough that they are read.
    if (::SSL_is_init_finished(ssl_.get()) != 1) ::BIO_write(in_, bytes.data(), static_cast<int>(n));
    return true;
  }

  std::unique_ptr<SSL_CTX, freeing> context_;
  descriptor socket_{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  std::unique_ptr<SSL, freeing> ssl_;
  BIO* in_ = nullptr;
  BIO* out_ = nullptr;
  bool is_connected_ = false;
  std::string unsent_;
  std::size_t sent_ = 0;
};

class findings {
 public:
  findings() noexcept {}
  bool agreed = false, was_stopped = false, caught_up = false;
  std::size_t sent = 0;
};

constexpr std::size_t far_too_much = 8 << 20;  // all buffers of the kernel together hold less

findings ask_without_reading(std::uint16_t port) {
  findings f;
  plain_client client(port);
  f.agreed = client.agree();
  while (f.agreed && !f.was_stopped && client.sent() < far_too_much) f.was_stopped = !client.ask_for_keys();
  f.sent = client.sent();
  f.caught_up = client.catch_up() && client.say("!") && client.reads_to_the_end();
  return f;
}

}  // namespace

TEST_CASE("a peer that asks for new keys without end and reads no answer is not read from any more, until it reads") {
  for (const unsigned workers : {1u, 2u}) {
    scheduler_under_test::real(workers).run([]() -> task<> {
      tcp_listener listener = listen_locally({.send_buffer = buffers, .receive_buffer = buffers});
      std::atomic<bool> heard_the_end = false;
      auto serving = go(
          [](tcp_listener& l, std::atomic<bool>& heard) -> task<> {
            tcp_stream over = co_await l.accept();
            tls_stream s = co_await tls_stream::server(std::move(over), own().server());
            while (!heard) {
              const auto some = co_await s.recv();
              if (!some) co_return;
              heard = some->text().find('!') != std::string_view::npos;
            }
          },
          std::ref(listener), std::ref(heard_the_end));
      auto asking = blocking(ask_without_reading, listener.local().port());
      const findings f = co_await asking;
      (void)co_await outcome(serving.join());
      CHECK(f.agreed);
      CHECK(f.was_stopped);
      CHECK(f.caught_up);
      CHECK(heard_the_end);
    });
  }
}
