// Asks an inspector as a plain client does, from a thread that is no worker.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstddef>
#include <cstring>
#include <ringo/descriptor.hpp>
#include <stdexcept>
#include <string>
#include <string_view>

struct http_reply {
  int status = 0;  // 0: the connection has ended without an answer
  std::string head, body;
};

// To "127.0.0.1:6060", "unix:@name" or "unix:/path".
inline ringo::descriptor connect_to(const std::string& address) {
  if (address.starts_with("unix:")) {
    const std::string name = address.substr(5);
    ringo::descriptor s(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un to{};
    to.sun_family = AF_UNIX;
    std::memcpy(to.sun_path, name.data(), name.size());
    if (name.front() == '@') to.sun_path[0] = '\0';
    const auto length = offsetof(sockaddr_un, sun_path) + name.size();
    if (::connect(s.native_handle(), reinterpret_cast<sockaddr*>(&to), static_cast<socklen_t>(length)) == 0) return s;
  } else {
    ringo::descriptor s(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(static_cast<std::uint16_t>(std::stoi(address.substr(address.rfind(':') + 1))));
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::connect(s.native_handle(), reinterpret_cast<sockaddr*>(&to), sizeof to) == 0) return s;
  }
  throw std::runtime_error("no connection to " + address);
}

inline void send_all(const ringo::descriptor& to, std::string_view text) {
  while (!text.empty()) {
    const ssize_t n = ::send(to.native_handle(), text.data(), text.size(), MSG_NOSIGNAL);
    if (n <= 0) return;  // the answer says why
    text.remove_prefix(static_cast<std::size_t>(n));
  }
}

inline http_reply read_reply(const ringo::descriptor& from) {
  std::string all;
  char buffer[4096];
  for (ssize_t n; (n = ::read(from.native_handle(), buffer, sizeof buffer)) > 0;) {
    all.append(buffer, static_cast<std::size_t>(n));
  }
  http_reply r;
  const auto end = all.find("\r\n\r\n");
  if (all.empty()) return r;
  if (end == all.npos || !all.starts_with("HTTP/1.1 ")) throw std::runtime_error("this is no answer: " + all);
  r.head = all.substr(0, end + 2);
  r.body = all.substr(end + 4);
  r.status = std::stoi(r.head.substr(9));
  return r;
}

inline http_reply ask(const std::string& address, std::string_view request) {
  const ringo::descriptor s = connect_to(address);
  send_all(s, request);
  return read_reply(s);
}

inline http_reply get(const std::string& address, const std::string& path) {
  return ask(address, "GET " + path + " HTTP/1.1\r\nHost: localhost\r\n\r\n");
}
