// The listening socket of the servers by hand.
#pragma once
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cstdint>
#include <cstdlib>

// Listens on that port of the loopback interface; `kind` may add SOCK_NONBLOCK. -1 if the port cannot be had.
inline int listen_on(const char* port, int kind = SOCK_STREAM) {
  const int listener = socket(AF_INET, kind, 0), on = 1;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_port = htons(static_cast<std::uint16_t>(std::atoi(port)));
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const bool listens = bind(listener, reinterpret_cast<sockaddr*>(&at), sizeof at) == 0 && listen(listener, 1024) == 0;
  return listens ? listener : -1;
}
