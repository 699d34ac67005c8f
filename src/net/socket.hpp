// Sockets as they are made and set up, before they belong to a stream or a listener.
#pragma once
#include <sys/socket.h>

#include <string>

#include <ringo/descriptor.hpp>
#include <ringo/tcp.hpp>

namespace ringo::detail {

// `doing` begins the message of what they throw.
descriptor make_socket(int family, int type, const std::string& doing);
void set_option(int socket, int level, int option, int value, const std::string& doing);
void set_buffers(int socket, int send_buffer, int receive_buffer, const std::string& doing);
// What a stream of TCP has, or has from its listener. Throws std::invalid_argument, too.
void set_stream_options(int socket, const tcp_options& o, const std::string& doing);

// As bind(2). What is in use is tried again for 20 ms, in which the thread waits: a program that was killed may hold
// its address for some ms more.
int bind_patiently(int socket, const sockaddr* address, socklen_t size) noexcept;

// That it is a socket of that kind; makes it one that waits. Throws std::system_error.
void check_adopted(int descriptor, bool listens, const char* call);

}  // namespace ringo::detail
