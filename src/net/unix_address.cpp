#include "net/unix_address.hpp"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <filesystem>
#include <stdexcept>
#include <utility>

#include "net/socket.hpp"
#include "runtime/outside_error.hpp"

namespace ringo::detail {
namespace {

constexpr std::size_t path_room = sizeof(sockaddr_un::sun_path);

template <class Get>
std::string name_from(int socket, Get get) {
  socket_address a;
  return get(socket, a.get(), &a.length) == 0 ? unix_name(a) : std::string();
}

}  // namespace

// Both kinds have one byte besides the name: a path ends with a zero, an abstract name begins with one.
socket_address to_unix_address(std::string_view name, const std::string& doing) {
  const bool is_abstract = name.starts_with('@');
  if (name.empty() || name == "@") throw std::invalid_argument(doing + ": the name is empty");
  if (!is_abstract && name.find('\0') != std::string_view::npos) {
    throw std::invalid_argument(doing.substr(0, doing.find('\0')) + ": a zero byte follows this");
  }
  const std::size_t most = is_abstract ? path_room : path_room - 1;
  if (name.size() > most) {
    throw std::invalid_argument(doing + ": the name has " + std::to_string(name.size()) +
                                " bytes, and the kernel has room for " + std::to_string(most) +
                                (is_abstract ? "" : ": choose a shorter path, or one relative to a folder"));
  }
  socket_address to;
  auto& address = reinterpret_cast<sockaddr_un&>(to.storage);
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, name.data(), name.size());
  if (is_abstract) address.sun_path[0] = '\0';
  to.length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size() + (is_abstract ? 0 : 1));
  return to;
}

std::string unix_name(const socket_address& of) {
  const auto& address = reinterpret_cast<const sockaddr_un&>(of.storage);
  if (of.length <= offsetof(sockaddr_un, sun_path) || address.sun_family != AF_UNIX) return {};
  const std::size_t size = of.length - offsetof(sockaddr_un, sun_path);
  if (address.sun_path[0] == '\0') {
    std::string name(address.sun_path, size);
    name[0] = '@';
    return name;
  }
  return std::string(address.sun_path, ::strnlen(address.sun_path, size));
}

std::string local_unix_name(int socket) { return name_from(socket, ::getsockname); }
std::string peer_unix_name(int socket) { return name_from(socket, ::getpeername); }

socket_file::socket_file(std::string_view name) {
  if (name.starts_with('@')) return;
  struct stat there{};
  std::string path = std::filesystem::absolute(name).string();
  if (::lstat(path.c_str(), &there) != 0) return;
  path_ = std::move(path);
  device_ = there.st_dev;
  number_ = there.st_ino;
}

socket_file bind_to_name(int socket, std::string_view name, int mode, const std::string& doing) {
  const socket_address at = to_unix_address(name, doing);
  const bool has_file = !name.starts_with('@');
  // An existing file stays.
  if ((has_file ? ::bind(socket, at.get(), at.length) : bind_patiently(socket, at.get(), at.length)) != 0) {
    throw_outside_error(errno == EADDRINUSE && has_file ? file_is_there : errno, doing);
  }
  socket_file file(name);
  if (has_file && mode >= 0 && ::chmod(std::string(name).c_str(), static_cast<mode_t>(mode)) != 0) {
    const int error = errno;
    file.remove();
    throw_outside_error(error, doing + ": the mode of its file");
  }
  return file;
}

void socket_file::remove() noexcept {
  without_locks("unlink");
  const std::string path = std::exchange(path_, {});
  struct stat there{};
  if (path.empty() || ::lstat(path.c_str(), &there) != 0) return;
  if (there.st_dev == device_ && there.st_ino == number_) ::unlink(path.c_str());
}

}  // namespace ringo::detail
