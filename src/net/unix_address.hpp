// Names of Unix sockets: a path, or an abstract name, which is written with an @ in front.
#pragma once
#include <sys/types.h>

#include <string>
#include <string_view>

#include "net/socket_address.hpp"

namespace ringo::detail {

// `doing` begins the message. Throws: std::invalid_argument if the name is empty, is too long, or has a zero byte.
socket_address to_unix_address(std::string_view name, const std::string& doing);
std::string unix_name(const socket_address& of);  // empty: the socket has none
std::string local_unix_name(int socket);
std::string peer_unix_name(int socket);

// The file of a bound socket. It is removed with the socket, unless another file has taken its place.
class socket_file {
 public:
  socket_file() noexcept = default;  // no file
  explicit socket_file(std::string_view name);
  bool exists() const noexcept { return !path_.empty(); }
  void remove() noexcept;  // a second call does nothing

 private:
  std::string path_;  // absolute; empty: none
  dev_t device_ = 0;
  ino_t number_ = 0;
};

// Binds a socket. A negative `mode`: the file's mode is as the umask has it. Throws: std::system_error.
socket_file bind_to_name(int socket, std::string_view name, int mode, const std::string& doing);

}  // namespace ringo::detail
