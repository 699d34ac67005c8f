#include "net/socket.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstdint>
#include <ctime>
#include <limits>
#include <stdexcept>
#include <system_error>

#include "io/descriptor_core.hpp"
#include "net/socket_address.hpp"
#include "platform/standard_streams.hpp"
#include "runtime/outside_error.hpp"

namespace ringo::detail {

descriptor make_socket(int family, int type, const std::string& doing) {
  hold_standard_streams();
  const int number = ::socket(family, type | SOCK_CLOEXEC, 0);
  if (number < 0) throw std::system_error(errno, std::generic_category(), doing + ": no socket");
  return descriptor(number);
}

std::pair<descriptor, descriptor> make_unix_pair(int type, const std::string& doing) {
  int both[2];
  hold_standard_streams();
  if (::socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, both) != 0) throw_outside_error(errno, doing);
  return {descriptor(both[0]), descriptor(both[1])};
}

descriptor bound_socket(const endpoint& at, const std::string& doing, const std::function<descriptor(bool v6)>& make) {
  if (!at) throw std::invalid_argument(doing + ": the endpoint is empty");
  const bool of_all = at.is_v6() && at.address() == "::";
  const auto any_of_v4 = [&] { return bound_socket(endpoint("0.0.0.0:" + std::to_string(at.port())), doing, make); };
  descriptor s;
  try {
    s = make(at.is_v6());
  } catch (const std::system_error& e) {
    if (of_all && e.code() == std::errc::address_family_not_supported) return any_of_v4();
    throw;
  }
  if (at.is_v6()) set_option(s.native_handle(), IPPROTO_IPV6, IPV6_V6ONLY, of_all ? 0 : 1, doing);
  const socket_address address = to_socket_address(at);
  if (bind_patiently(s.native_handle(), address.get(), address.length) == 0) return s;
  if (of_all && errno == EADDRNOTAVAIL) return any_of_v4();  // the system has IPv6, but switched off
  throw_outside_error(errno, doing);
}

int option_of(int socket, int option) noexcept {
  int value = -1;
  socklen_t size = sizeof value;
  ::getsockopt(socket, SOL_SOCKET, option, &value, &size);
  return value;
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

// Sets the option unless the value is 0, the system's default.
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
  const std::string doing = std::string("ringo: ") + call + ": descriptor " + std::to_string(descriptor);
  const int value = option_of(descriptor, SO_ACCEPTCONN);
  if (value < 0) throw std::system_error(errno, std::generic_category(), doing);
  if ((value != 0) != listens) throw_outside_error(listens ? not_listening : listening, doing);
  if (make_waiting(descriptor) < 0) throw std::system_error(errno, std::generic_category(), doing);
}

}  // namespace ringo::detail
