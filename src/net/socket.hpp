// How sockets are made and set up, before they belong to a stream or a listener.
#pragma once
#include <sys/socket.h>

#include <functional>
#include <string>
#include <utility>

#include <ringo/descriptor.hpp>
#include <ringo/tcp.hpp>

namespace ringo::detail {

// These throw std::system_error, with a message that `doing` begins.
descriptor make_socket(int family, int type, const std::string& doing);
std::pair<descriptor, descriptor> make_unix_pair(int type, const std::string& doing);
// What make(v6) makes, bound to the address. "[::]" is every address, and where the system lacks IPv6, or has it
// switched off, every address of IPv4. Throws std::invalid_argument, too.
descriptor bound_socket(const endpoint& at, const std::string& doing, const std::function<descriptor(bool v6)>& make);
// An integer option of SOL_SOCKET; -1 if the descriptor is no socket.
int option_of(int socket, int option) noexcept;
void set_option(int socket, int level, int option, int value, const std::string& doing);
void set_buffers(int socket, int send_buffer, int receive_buffer, const std::string& doing);
// Of a TCP stream, or of a listener, from which its streams inherit them. Throws std::invalid_argument, too.
void set_stream_options(int socket, const tcp_options& o, const std::string& doing);

// As bind(2), but an address in use is tried again for 20 ms, in which the thread waits: a program that was killed may
// hold its address for some milliseconds more.
int bind_patiently(int socket, const sockaddr* address, socklen_t size) noexcept;

// Throws std::system_error unless the descriptor is a socket that listens, or one that does not. Clears O_NONBLOCK.
void check_adopted(int descriptor, bool listens, const char* call);

}  // namespace ringo::detail
