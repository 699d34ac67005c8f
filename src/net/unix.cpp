#include <ringo/unix.hpp>

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <stdexcept>
#include <system_error>

#include "driver/buffer_pool.hpp"
#include "io/one_shot.hpp"
#include "io/passed_descriptors.hpp"
#include "io/stream_core.hpp"
#include "net/listener_core.hpp"
#include "net/socket.hpp"
#include "net/unix_address.hpp"
#include "runtime/outside_error.hpp"

namespace ringo {
namespace detail {

namespace {

unix_stream make_unix_stream(int socket, std::string name) {
  return unix_stream(make_stream(socket, stream_core::kind::unix_socket, {}, std::move(name)));
}

void check_is_unix(int descriptor, bool listens, const char* call) {
  check_adopted(descriptor, listens, call);
  if (option_of(descriptor, SO_DOMAIN) == AF_UNIX && option_of(descriptor, SO_TYPE) == SOCK_STREAM) return;
  throw_outside_error(no_unix_stream, std::string("ringo: ") + call + ": descriptor " + std::to_string(descriptor));
}

}  // namespace

std::optional<unix_message> message_recv_operation::result() {
  buffer* b = std::exchange(got, nullptr);
  if (b == nullptr) return std::nullopt;
  chunk bytes(b);
  const std::unique_ptr<passed_descriptors> passed(std::exchange(b->passed, nullptr));
  if (passed == nullptr)
    return std::optional<unix_message>(std::in_place, std::move(bytes), std::vector<descriptor>(), false);
  return std::optional<unix_message>(std::in_place, std::move(bytes), std::move(passed->all), passed->some_lost);
}

}  // namespace detail

detail::stream_send_operation unix_writer::send_message(std::span<const std::byte> bytes,
                                                        std::span<const int> descriptors) const {
  detail::check_not_simulated("send_message");
  if (bytes.empty() && !descriptors.empty()) {
    throw std::invalid_argument("ringo: send_message: descriptors pass beside bytes, and there is none");
  }
  return {core_.source(), bytes,
          descriptors.empty() ? detail::shared<detail::passed_descriptors>() : detail::duplicate(descriptors)};
}

detail::one_shot_operation<unix_stream> unix_stream::connect(std::string_view name) {
  detail::check_not_simulated("unix_stream::connect");
  const std::string doing = "ringo: connecting to " + std::string(name);
  const detail::socket_address to = detail::to_unix_address(name, doing);
  descriptor s = detail::make_socket(AF_UNIX, SOCK_STREAM, doing);
  struct connecting {
    descriptor socket;
    std::string name;
    detail::socket_address address;
  };
  return detail::ask_once<unix_stream>(
      connecting{std::move(s), std::string(name), to},
      [](connecting& c, detail::kernel_call& call) {
        call.set_connect(c.socket.native_handle(), c.address.get(), c.address.length);
      },
      [](const connecting& c) { return "connecting to " + c.name; },
      [](connecting& c, int) { return detail::make_unix_stream(c.socket.release(), std::move(c.name)); });
}

std::pair<unix_stream, unix_stream> unix_stream::pair() {
  detail::check_not_simulated("unix_stream::pair");
  auto [one, other] = detail::make_unix_pair(SOCK_STREAM, "ringo: unix_stream::pair");
  unix_stream first = detail::make_unix_stream(one.release(), "the other of a pair");
  return {std::move(first), detail::make_unix_stream(other.release(), "the other of a pair")};
}

unix_stream unix_stream::adopt(int descriptor) {
  detail::check_not_simulated("unix_stream::adopt");
  detail::check_is_unix(descriptor, false, "unix_stream::adopt");
  std::string peer = detail::peer_unix_name(descriptor);
  return detail::make_unix_stream(descriptor, peer.empty() ? "an adopted socket" : std::move(peer));
}

peer_credentials unix_stream::credentials() const {
  ucred of{};
  socklen_t size = sizeof of;
  if (::getsockopt(native_handle(), SOL_SOCKET, SO_PEERCRED, &of, &size) != 0) {
    throw std::system_error(errno, std::generic_category(), "ringo: unix_stream::credentials");
  }
  return {of.pid, of.uid, of.gid};
}

unix_listener unix_listener::bind(std::string_view name, unix_options o) {
  detail::check_not_simulated("unix_listener::bind");
  const std::string doing = "ringo: unix_listener::bind to " + std::string(name);
  if (o.backlog < 0) throw std::invalid_argument(doing + ": unix_options::backlog is less than 0");
  descriptor s = detail::make_socket(AF_UNIX, SOCK_STREAM, doing);
  detail::socket_file file = detail::bind_to_name(s.native_handle(), name, o.mode, doing);
  if (::listen(s.native_handle(), o.backlog) != 0) {  // until then no client can connect
    const int error = errno;
    file.remove();
    throw std::system_error(error, std::generic_category(), doing);
  }
  return unix_listener(detail::make_listener(s.release(), detail::stream_core::kind::unix_socket,
                                             detail::listener_core::origin::made_here, std::string(name),
                                             std::move(file)));
}

unix_listener unix_listener::adopt(int descriptor) {
  detail::check_not_simulated("unix_listener::adopt");
  detail::check_is_unix(descriptor, true, "unix_listener::adopt");
  return unix_listener(detail::make_listener(descriptor, detail::stream_core::kind::unix_socket,
                                             detail::listener_core::origin::adopted,
                                             detail::local_unix_name(descriptor)));
}

std::string unix_listener::local() const { return detail::local_unix_name(native_handle()); }

}  // namespace ringo
