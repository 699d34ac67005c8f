#include <ringo/unix_datagram.hpp>

#include <sys/socket.h>

#include <cerrno>
#include <stdexcept>

#include "net/datagram_core.hpp"
#include "net/socket.hpp"
#include "net/unix_address.hpp"
#include "runtime/outside_error.hpp"

namespace ringo {
namespace {

void check(const unix_datagram_options& o, const std::string& doing) {
  if (o.max_datagram == 0) throw std::invalid_argument(doing + ": unix_datagram_options::max_datagram is 0");
}

}  // namespace

unix_datagram unix_datagram::bind(std::string_view name, unix_datagram_options o) {
  detail::check_not_simulated("unix_datagram::bind");
  const std::string doing = "ringo: unix_datagram::bind to " + std::string(name);
  check(o, doing);
  descriptor s = detail::make_socket(AF_UNIX, SOCK_DGRAM, doing);
  detail::socket_file file = detail::bind_to_name(s.native_handle(), name, o.mode, doing);
  return unix_datagram(detail::make_datagrams(s.release(), o.max_datagram, std::string(name), std::move(file)));
}

unix_datagram unix_datagram::connect(std::string_view name, unix_datagram_options o) {
  detail::check_not_simulated("unix_datagram::connect");
  const std::string doing = "ringo: unix_datagram::connect to " + std::string(name);
  check(o, doing);
  const detail::socket_address to = detail::to_unix_address(name, doing);
  descriptor s = detail::make_socket(AF_UNIX, SOCK_DGRAM, doing);
  detail::socket_address any;
  any.storage.ss_family = AF_UNIX;
  any.length = sizeof any.storage.ss_family;  // unix(7), autobind
  if (::bind(s.native_handle(), any.get(), any.length) != 0 || ::connect(s.native_handle(), to.get(), to.length) != 0) {
    detail::throw_outside_error(errno, doing);
  }
  return unix_datagram(detail::make_datagrams(s.release(), o.max_datagram, std::string(name)));
}

std::pair<unix_datagram, unix_datagram> unix_datagram::pair(unix_datagram_options o) {
  detail::check_not_simulated("unix_datagram::pair");
  const std::string doing = "ringo: unix_datagram::pair";
  check(o, doing);
  auto [one, other] = detail::make_unix_pair(SOCK_DGRAM, doing);
  unix_datagram first(detail::make_datagrams(one.release(), o.max_datagram, "one of a pair"));
  return {std::move(first), unix_datagram(detail::make_datagrams(other.release(), o.max_datagram, "one of a pair"))};
}

unix_datagram unix_datagram::adopt(int descriptor) {
  detail::check_not_simulated("unix_datagram::adopt");
  detail::check_datagrams(descriptor, true, "unix_datagram::adopt");
  std::string name = detail::local_unix_name(descriptor);
  return unix_datagram(detail::make_datagrams(descriptor, unix_datagram_options().max_datagram,
                                              name.empty() ? "an adopted socket" : std::move(name)));
}

detail::datagram_send_operation unix_datagram::send_to(std::span<const std::byte> bytes, std::string_view name) const {
  (void)detail::to_unix_address(name, "ringo: unix_datagram::send_to " + std::string(name));
  return {core_.get(), bytes, detail::datagram_peer(std::string(name))};
}

std::string unix_datagram::local() const { return detail::local_unix_name(native_handle()); }

}  // namespace ringo
