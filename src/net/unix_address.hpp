// Names of Unix sockets: a path, or an abstract name, which is written with an @ before it.
#pragma once
#include <sys/types.h>

#include <string>
#include <string_view>

#include "net/socket_address.hpp"

namespace ringo::detail {

// Throws std::invalid_argument where the kernel has no room for the name, or it is none; `doing` begins the message.
socket_address to_unix_address(std::string_view name, const std::string& doing);
std::string unix_name(const socket_address& of);  // empty if there is none
std::string local_unix_name(int socket);
std::string peer_unix_name(int socket);

// The file of a bound socket, to be removed with it, unless another has taken its place.
class socket_file {
 public:
  socket_file() noexcept = default;  // of none
  explicit socket_file(std::string_view name);
  void remove() noexcept;  // once

 private:
  std::string path_;  // absolute; empty: none
  dev_t device_ = 0;
  ino_t number_ = 0;
};

// Binds it, with that mode of the file, or as the umask has it (less than 0). Throws std::system_error.
socket_file bind_to_name(int socket, std::string_view name, int mode, const std::string& doing);

}  // namespace ringo::detail
