// For the tests of the drivers: sockets that are made without ringo.
#pragma once
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <stdexcept>
#include <utility>

// 127.0.0.1 with a port (0: any).
class internet_address {
 public:
  static constexpr unsigned size = sizeof(sockaddr_in);
  explicit internet_address(unsigned port) {
    address_.sin_family = AF_INET;
    address_.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address_.sin_port = htons(static_cast<std::uint16_t>(port));
  }
  void read_from(int socket) {
    socklen_t length = size;
    if (::getsockname(socket, get(), &length) != 0) throw std::runtime_error("no address");
  }
  sockaddr* get() { return reinterpret_cast<sockaddr*>(&address_); }
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&address_); }
  in_port_t port() const { return address_.sin_port; }  // in the network's order

 private:
  sockaddr_in address_{};
};

// A listener on 127.0.0.1, or on a Unix socket without a name in the file system.
class local_listener {
 public:
  explicit local_listener(int family, int waiting = 100) : number_(::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    if (family == AF_INET) {
      const internet_address any(0);
      size_ = internet_address::size;
      std::memcpy(&address_, any.get(), size_);
    } else {
      address_.ss_family = AF_UNIX;
      size_ = sizeof(sa_family_t);  // the kernel chooses a name
    }
    if (::bind(number_, address(), size_) != 0 || ::listen(number_, waiting) != 0)
      throw std::runtime_error("no listener");
    size_ = sizeof address_;
    if (::getsockname(number_, reinterpret_cast<sockaddr*>(&address_), &size_) != 0)
      throw std::runtime_error("no address");
  }
  local_listener(const local_listener&) = delete;
  local_listener& operator=(const local_listener&) = delete;
  ~local_listener() { ::close(number_); }

  int number() const { return number_; }
  const sockaddr* address() const { return reinterpret_cast<const sockaddr*>(&address_); }
  socklen_t address_size() const { return size_; }
  unsigned port() const { return ntohs(reinterpret_cast<const sockaddr_in*>(&address_)->sin_port); }

 private:
  int number_;
  sockaddr_storage address_{};
  socklen_t size_;
};

class two_ends {
 public:
  int one = -1, other = -1;
  two_ends(const two_ends&) = delete;
  two_ends& operator=(const two_ends&) = delete;
  ~two_ends() {
    for (const int each : {one, other})
      if (each >= 0) ::close(each);
  }
  void close_other() { ::close(std::exchange(other, -1)); }

 protected:
  two_ends() = default;
};

struct socket_pair : two_ends {
  explicit socket_pair(int kind = SOCK_STREAM) {
    int ends[2];
    if (::socketpair(AF_UNIX, kind | SOCK_CLOEXEC, 0, ends) != 0) throw std::runtime_error("no sockets");
    one = ends[0];
    other = ends[1];
  }
};

struct tcp_pair : two_ends {
  tcp_pair() {
    const local_listener listener(AF_INET);
    one = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (::connect(one, listener.address(), listener.address_size()) != 0) throw std::runtime_error("no connection");
    other = ::accept4(listener.number(), nullptr, nullptr, SOCK_CLOEXEC);
    if (other < 0) throw std::runtime_error("no connection");
  }
  void reset_other() {
    const linger now{1, 0};
    ::setsockopt(other, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    close_other();
  }
};

// A message of one byte, with a descriptor beside it.
class passing {
 public:
  explicit passing(int number) {
    bytes_ = {&byte_, 1};
    message.msg_iov = &bytes_;
    message.msg_iovlen = 1;
    message.msg_control = control_;
    message.msg_controllen = sizeof control_;
    if (number < 0) return;
    cmsghdr* const rights = CMSG_FIRSTHDR(&message);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof number);
    std::memcpy(CMSG_DATA(rights), &number, sizeof number);
  }
  passing(const passing&) = delete;
  passing& operator=(const passing&) = delete;
  int passed() {
    int number = -1;
    if (cmsghdr* const rights = CMSG_FIRSTHDR(&message); rights != nullptr && rights->cmsg_type == SCM_RIGHTS)
      std::memcpy(&number, CMSG_DATA(rights), sizeof number);
    return number;
  }
  msghdr message{};

 private:
  char byte_ = 'b';
  iovec bytes_{};
  alignas(cmsghdr) char control_[CMSG_SPACE(sizeof(int))] = {};
};
