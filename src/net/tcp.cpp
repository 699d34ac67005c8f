#include <ringo/tcp.hpp>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <fcntl.h>
#include <cerrno>
#include <cstdint>
#include <ctime>
#include <limits>
#include <stdexcept>
#include <system_error>

#include "net/listener_core.hpp"
#include "net/socket.hpp"
#include "net/socket_address.hpp"
#include "net/stream_core.hpp"
#include "platform/standard_streams.hpp"
#include "runtime/outside_error.hpp"

namespace ringo {
namespace detail {

descriptor make_socket(int family, int type, const std::string& doing) {
  hold_standard_streams();
  const int number = ::socket(family, type | SOCK_CLOEXEC, 0);
  if (number < 0) throw std::system_error(errno, std::generic_category(), doing + ": no socket");
  return descriptor(number);
}

void set_option(int socket, int level, int option, int value, const std::string& doing) {
  if (::setsockopt(socket, level, option, &value, sizeof value) == 0) return;
  throw std::system_error(errno, std::generic_category(), doing + ": a socket option");
}

void set_buffers(int socket, int send_buffer, int receive_buffer, const std::string& doing) {
  if (send_buffer < 0 || receive_buffer < 0) {
    throw std::invalid_argument(doing + ": the options: a buffer of less than 0 bytes");
  }
  if (send_buffer != 0) set_option(socket, SOL_SOCKET, SO_SNDBUF, send_buffer, doing);
  if (receive_buffer != 0) set_option(socket, SOL_SOCKET, SO_RCVBUF, receive_buffer, doing);
}

int bind_patiently(int socket, const sockaddr* address, socklen_t size) noexcept {
  for (int i = 0;; ++i) {
    const int result = ::bind(socket, address, size);
    if (result == 0 || errno != EADDRINUSE || i == 20) return result;
    const timespec a_millisecond{0, 1'000'000};
    ::nanosleep(&a_millisecond, nullptr);
    errno = EADDRINUSE;
  }
}

namespace {

// Sets it unless it is 0.
void set_tcp_option(int socket, int option, std::int64_t value, std::int64_t most, const char* name,
                    const std::string& doing) {
  if (value < 0 || value > most) {
    throw std::invalid_argument(doing + ": tcp_options::" + name + " is not from 0 to " + std::to_string(most));
  }
  if (value != 0) set_option(socket, IPPROTO_TCP, option, static_cast<int>(value), doing);
}

}  // namespace

void set_stream_options(int socket, const tcp_options& o, const std::string& doing) {
  if (o.no_delay) set_option(socket, IPPROTO_TCP, TCP_NODELAY, 1, doing);
  set_buffers(socket, o.send_buffer, o.receive_buffer, doing);
  constexpr int most_seconds = 32767, most_questions = 127;  // what the kernel takes (include/net/tcp.h)
  set_tcp_option(socket, TCP_KEEPIDLE, o.keep_alive_idle.count(), most_seconds, "keep_alive_idle", doing);
  set_tcp_option(socket, TCP_KEEPINTVL, o.keep_alive_interval.count(), most_seconds, "keep_alive_interval", doing);
  set_tcp_option(socket, TCP_KEEPCNT, o.keep_alive_count, most_questions, "keep_alive_count", doing);
  set_tcp_option(socket, TCP_USER_TIMEOUT, o.user_timeout.count(), std::numeric_limits<int>::max(), "user_timeout",
                 doing);
  if (o.keep_alive_idle.count() != 0) {
    set_option(socket, SOL_SOCKET, SO_KEEPALIVE, 1, doing);
  } else if (o.keep_alive_interval.count() != 0 || o.keep_alive_count != 0) {
    throw std::invalid_argument(doing + ": tcp_options: without keep_alive_idle there is no keep-alive");
  }
}

void check_adopted(int descriptor, bool listens, const char* call) {
  int value = 0;
  socklen_t size = sizeof value;
  const std::string doing = std::string("ringo: ") + call + ": descriptor " + std::to_string(descriptor);
  if (::getsockopt(descriptor, SOL_SOCKET, SO_ACCEPTCONN, &value, &size) != 0) {
    throw std::system_error(errno, std::generic_category(), doing);
  }
  if ((value != 0) != listens) throw_outside_error(listens ? not_listening : listening, doing);
  // The ring waits; a descriptor that does not would answer at once, and again and again.
  const int flags = ::fcntl(descriptor, F_GETFL);
  if (flags < 0 || ((flags & O_NONBLOCK) != 0 && ::fcntl(descriptor, F_SETFL, flags & ~O_NONBLOCK) != 0)) {
    throw std::system_error(errno, std::generic_category(), doing);
  }
}

}  // namespace detail

tcp_stream tcp_stream::adopt(int descriptor) {
  detail::check_not_simulated("tcp_stream::adopt");
  int type = 0;
  socklen_t size = sizeof type;
  if (::getsockopt(descriptor, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type != SOCK_STREAM) {
    detail::throw_outside_error(detail::no_stream,
                                "ringo: tcp_stream::adopt: descriptor " + std::to_string(descriptor));
  }
  detail::check_adopted(descriptor, false, "tcp_stream::adopt");
  const endpoint peer = detail::peer_endpoint(descriptor);
  return tcp_stream(detail::make_stream(descriptor, detail::stream_core::kind::socket, peer, "an adopted socket"));
}

endpoint tcp_stream::local() const {
  return native_handle() >= 0 ? detail::local_endpoint(native_handle()) : endpoint();
}
endpoint tcp_stream::peer() const noexcept {
  const detail::stream_core* core = core_.get();
  return core != nullptr ? core->peer() : endpoint();
}

tcp_listener tcp_listener::bind(std::string_view text, tcp_options o) {
  return bind(detail::own_endpoint(text, "tcp_listener::bind"), o);
}

tcp_listener tcp_listener::bind(const endpoint& at, tcp_options o) {
  detail::check_not_simulated("tcp_listener::bind");
  const std::string doing = "ringo: tcp_listener::bind to " + at.to_string();
  if (!at) throw std::invalid_argument(doing + ": the endpoint is empty");
  if (o.backlog < 0) throw std::invalid_argument(doing + ": tcp_options::backlog is less than 0");
  const auto any_of_v4 = [&] { return bind(endpoint("0.0.0.0:" + std::to_string(at.port())), o); };
  const bool of_all = at.is_v6() && at.address() == "::";
  descriptor s;
  try {
    s = detail::make_socket(at.is_v6() ? AF_INET6 : AF_INET, SOCK_STREAM, doing);
  } catch (const std::system_error& e) {
    if (of_all && e.code() == std::errc::address_family_not_supported) return any_of_v4();
    throw;
  }
  detail::set_option(s.native_handle(), SOL_SOCKET, SO_REUSEADDR, 1, doing);
  if (o.reuse_port) detail::set_option(s.native_handle(), SOL_SOCKET, SO_REUSEPORT, 1, doing);
  if (at.is_v6()) detail::set_option(s.native_handle(), IPPROTO_IPV6, IPV6_V6ONLY, of_all ? 0 : 1, doing);
  // Connections have these from their listener.
  detail::set_stream_options(s.native_handle(), o, doing);
  const detail::socket_address address = detail::to_socket_address(at);
  if (detail::bind_patiently(s.native_handle(), address.get(), address.length) != 0) {
    if (of_all && errno == EADDRNOTAVAIL) return any_of_v4();  // IPv6 is there, and switched off
    throw std::system_error(errno, std::generic_category(), doing);
  }
  if (::listen(s.native_handle(), o.backlog) != 0) throw std::system_error(errno, std::generic_category(), doing);
  std::string name = detail::local_endpoint(s.native_handle()).to_string();
  tcp_listener made(detail::make_listener(s.release(), false, std::move(name)));
  if (o.reuse_port) made.core_.get()->share_port();
  return made;
}

tcp_listener tcp_listener::adopt(int descriptor) {
  detail::check_not_simulated("tcp_listener::adopt");
  detail::check_adopted(descriptor, true, "tcp_listener::adopt");
  std::string name = detail::local_endpoint(descriptor).to_string();
  return tcp_listener(detail::make_listener(descriptor, false, std::move(name)));
}

endpoint tcp_listener::local() const {
  return native_handle() >= 0 ? detail::local_endpoint(native_handle()) : endpoint();
}

}  // namespace ringo
