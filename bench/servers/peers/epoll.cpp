// By hand: level-triggered epoll, one receive and one send a request. Usage: epoll PORT WORKERS (1)
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>

#include "listener.hpp"

namespace {

struct connection {
  int descriptor;
  std::uint32_t waits_for;
  std::size_t size, sent;  // of the bytes that are to be sent
  char bytes[4096];
};

int poll;

void wait_for(connection& c, std::uint32_t events) {
  if (c.waits_for == events) return;
  epoll_event event{};
  event.events = events;
  event.data.ptr = &c;
  epoll_ctl(poll, c.waits_for == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, c.descriptor, &event);
  c.waits_for = events;
}

// False if the connection has ended.
bool answer(connection& c) {
  if (c.sent == c.size) {
    const ssize_t n = recv(c.descriptor, c.bytes, sizeof c.bytes, 0);
    if (n <= 0) return n < 0 && errno == EAGAIN;
    c.size = static_cast<std::size_t>(n);
    c.sent = 0;
  }
  while (c.sent < c.size) {
    const ssize_t n = send(c.descriptor, c.bytes + c.sent, c.size - c.sent, MSG_NOSIGNAL);
    if (n < 0) {
      wait_for(c, EPOLLOUT);
      return errno == EAGAIN;
    }
    c.sent += static_cast<std::size_t>(n);
  }
  wait_for(c, EPOLLIN);
  return true;
}

void accept_all(int listener) {
  for (;;) {
    const int descriptor = accept4(listener, nullptr, nullptr, SOCK_NONBLOCK);
    if (descriptor < 0) return;
    wait_for(*new connection{descriptor, 0, 0, 0, {}}, EPOLLIN);
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) return 2;
  const int listener = listen_on(argv[1], SOCK_STREAM | SOCK_NONBLOCK);
  if (listener < 0) return 1;
  poll = epoll_create1(0);
  connection listening{listener, 0, 0, 0, {}};
  wait_for(listening, EPOLLIN);
  epoll_event events[512];
  for (;;) {
    const int ready = epoll_wait(poll, events, 512, -1);
    for (int i = 0; i < ready; ++i) {
      auto* c = static_cast<connection*>(events[i].data.ptr);
      if (c == &listening) {
        accept_all(listener);
      } else if (!answer(*c)) {
        close(c->descriptor);
        delete c;
      }
    }
  }
}
