#include <ringo/tcp.hpp>

#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <stdexcept>
#include <system_error>

#include "io/stream_core.hpp"
#include "net/listener_core.hpp"
#include "net/socket.hpp"
#include "net/socket_address.hpp"
#include "runtime/outside_error.hpp"

namespace ringo {

tcp_stream tcp_stream::adopt(int descriptor) {
  detail::check_not_simulated("tcp_stream::adopt");
  if (const int type = detail::option_of(descriptor, SO_TYPE); type >= 0 && type != SOCK_STREAM) {
    detail::throw_outside_error(detail::no_stream,
                                "ringo: tcp_stream::adopt: descriptor " + std::to_string(descriptor));
  }
  detail::check_adopted(descriptor, false, "tcp_stream::adopt");
  const endpoint peer = detail::peer_endpoint(descriptor);
  return tcp_stream(detail::make_stream(descriptor, detail::stream_core::kind::socket, peer, "an adopted socket"));
}

endpoint tcp_stream::local() const { return detail::local_endpoint(native_handle()); }
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
  if (o.backlog < 0) throw std::invalid_argument(doing + ": tcp_options::backlog is less than 0");
  descriptor s = detail::bound_socket(at, doing, [&](bool v6) {
    descriptor made = detail::make_socket(v6 ? AF_INET6 : AF_INET, SOCK_STREAM, doing);
    detail::set_option(made.native_handle(), SOL_SOCKET, SO_REUSEADDR, 1, doing);
    if (o.reuse_port) detail::set_option(made.native_handle(), SOL_SOCKET, SO_REUSEPORT, 1, doing);
    detail::set_stream_options(made.native_handle(), o, doing);  // which connections inherit from their listener
    return made;
  });
  if (::listen(s.native_handle(), o.backlog) != 0) throw std::system_error(errno, std::generic_category(), doing);
  std::string name = detail::local_endpoint(s.native_handle()).to_string();
  tcp_listener made(detail::make_listener(s.release(), detail::stream_core::kind::socket,
                                          detail::listener_core::origin::made_here, std::move(name)));
  if (o.reuse_port) made.core_.get()->share_port();
  return made;
}

tcp_listener tcp_listener::adopt(int descriptor) {
  detail::check_not_simulated("tcp_listener::adopt");
  detail::check_adopted(descriptor, true, "tcp_listener::adopt");
  std::string name = detail::local_endpoint(descriptor).to_string();
  return tcp_listener(detail::make_listener(descriptor, detail::stream_core::kind::socket,
                                            detail::listener_core::origin::adopted, std::move(name)));
}

endpoint tcp_listener::local() const { return detail::local_endpoint(native_handle()); }

}  // namespace ringo
