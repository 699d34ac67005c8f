// Sockets as they are made and set up, before they belong to a stream or a listener.
#pragma once
#include <string>
#include <utility>

#include <ringo/tcp.hpp>

namespace ringo::detail {

class socket_descriptor {
 public:
  socket_descriptor() noexcept = default;
  explicit socket_descriptor(int number) noexcept : number_(number) {}
  socket_descriptor(socket_descriptor&& from) noexcept : number_(from.release()) {}
  socket_descriptor& operator=(socket_descriptor&& from) noexcept {
    std::swap(number_, from.number_);
    return *this;
  }
  ~socket_descriptor();

  int number() const noexcept { return number_; }
  int release() noexcept { return std::exchange(number_, -1); }

 private:
  int number_ = -1;
};

// `doing` begins the message of what they throw.
socket_descriptor make_socket(int family, int type, const std::string& doing);
void set_option(int socket, int level, int option, int value, const std::string& doing);
void set_buffers(int socket, const socket_options& o, const std::string& doing);

// That it is a socket of that kind; makes it one that waits. Throws std::system_error.
void check_adopted(int descriptor, bool listens, const char* call);

// Nobody will send on the stream any more: the peer is told, when what is being sent has gone out. Any thread.
void end_sending_soon(const stream_handle& of) noexcept;

}  // namespace ringo::detail
