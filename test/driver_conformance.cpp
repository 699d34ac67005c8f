// What every driver must do (src/driver/driver.hpp): each call gets the answer that the system call would give.
#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <ringo/descriptor.hpp>
#include <string>
#include <vector>

#include "driver_requests.hpp"
#include "driver_sockets.hpp"
#include "folder.hpp"
#include "real_drivers.hpp"

using namespace std::chrono_literals;
using ringo::descriptor;
using ringo::time_point;
using ringo::detail::driver;
using ringo::detail::kernel_call;
using ringo::detail::pause_length;

namespace {

constexpr auto here = kernel_call::current_position;

#define ANSWER(...) answer_of(d, [&](kernel_call& call_) { call_.__VA_ARGS__; })

bool is_nonblocking(int number) { return (::fcntl(number, F_GETFL) & O_NONBLOCK) != 0; }

}  // namespace

TEST_CASE("Nothing is answered with 0, and a pause with ETIME, never early") {
  on_every_driver([](driver& d) {
    CHECK(ANSWER(set_nothing()) == 0);
    for (const long long length : {0LL, 1LL, 50'000LL, 1'000'000LL, 3'999'999LL}) {
      const pause_length pause{0, length};
      const auto before = d.now();
      CHECK(ANSWER(set_pause(pause)) == -ETIME);
      CHECK(d.now() - before >= std::chrono::nanoseconds(length));
    }
  });
}

TEST_CASE("A file is opened, written, read, synchronised, measured, renamed and removed") {
  on_every_driver([](driver& d) {
    const folder in;
    const std::string root = in.path(), path = in / "a", other = in / "b", inner = in / "inner";
    const int file = ANSWER(set_open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0640));
    REQUIRE(file >= 0);
    const descriptor owner(file);
    CHECK(::fcntl(file, F_GETFD) == FD_CLOEXEC);
    CHECK(ANSWER(set_write(file, "0123456789", 10, 0)) == 10);
    CHECK(ANSWER(set_write(file, "abc", 3, 4)) == 3);
    CHECK(ANSWER(set_write(file, "first", 5, here)) == 5);  // the position is still 0
    CHECK(ANSWER(set_sync(file, false)) == 0);
    CHECK(ANSWER(set_sync(file, true)) == 0);
    char bytes[20] = {};
    CHECK(ANSWER(set_read(file, bytes, sizeof bytes, here)) == 5);
    CHECK(std::string(bytes) == "bc789");
    CHECK(ANSWER(set_read(file, bytes, sizeof bytes, 0)) == 10);
    CHECK(std::string(bytes) == "firstbc789");
    CHECK(ANSWER(set_read(file, bytes, sizeof bytes, 10)) == 0);
    CHECK(ANSWER(set_write(file, "!", 1, 0, RWF_APPEND)) == 1);
    struct statx of{};
    CHECK(ANSWER(set_stat(AT_FDCWD, path.c_str(), 0, STATX_SIZE | STATX_MODE, of)) == 0);
    CHECK(of.stx_size == 11);
    CHECK((of.stx_mode & 0777) == 0640);
    of = {};
    CHECK(ANSWER(set_stat(file, "", AT_EMPTY_PATH, STATX_SIZE, of)) == 0);
    CHECK(of.stx_size == 11);
    CHECK(ANSWER(set_rename(path.c_str(), other.c_str())) == 0);
    CHECK(ANSWER(set_make_folder(inner.c_str(), 0700)) == 0);
    CHECK(ANSWER(set_make_folder(inner.c_str(), 0700)) == -EEXIST);
    CHECK(ANSWER(set_remove(path.c_str())) == -ENOENT);
    CHECK(ANSWER(set_remove(inner.c_str())) == -EISDIR);
    CHECK(ANSWER(set_remove_folder(root.c_str())) == -ENOTEMPTY);
    CHECK(ANSWER(set_remove_folder(inner.c_str())) == 0);
    CHECK(ANSWER(set_remove_folder(other.c_str())) == -ENOTDIR);
    CHECK(ANSWER(set_remove(other.c_str())) == 0);
    CHECK(ANSWER(set_stat(AT_FDCWD, other.c_str(), 0, STATX_SIZE, of)) == -ENOENT);
    CHECK(ANSWER(set_rename(path.c_str(), other.c_str())) == -ENOENT);
    CHECK(ANSWER(set_open(path.c_str(), O_RDONLY, 0)) == -ENOENT);
    CHECK(ANSWER(set_open(root.c_str(), O_WRONLY, 0)) == -EISDIR);
  });
}

TEST_CASE("Devices and folders answer as the system calls do") {
  on_every_driver([](driver& d) {
    const folder in;
    const descriptor zero(::open("/dev/zero", O_RDWR | O_CLOEXEC)), full(::open("/dev/full", O_RDWR | O_CLOEXEC));
    const descriptor folder(::open(in.path().c_str(), O_RDONLY | O_CLOEXEC));
    const descriptor proc(::open("/proc/self/status", O_RDONLY | O_CLOEXEC));
    char bytes[100] = {'x'};
    CHECK(ANSWER(set_read(zero.native_handle(), bytes, sizeof bytes, here)) == sizeof bytes);
    CHECK(bytes[0] == 0);
    CHECK(ANSWER(set_write(zero.native_handle(), bytes, sizeof bytes, here)) == sizeof bytes);
    CHECK(ANSWER(set_write(full.native_handle(), bytes, sizeof bytes, here)) == -ENOSPC);
    CHECK(ANSWER(set_read(folder.native_handle(), bytes, sizeof bytes, here)) == -EISDIR);
    CHECK(ANSWER(set_read(proc.native_handle(), bytes, 5, here)) == 5);
    CHECK(std::string(bytes, 5) == "Name:");
    CHECK(ANSWER(set_write(proc.native_handle(), bytes, 1, here)) == -EBADF);
    CHECK(ANSWER(set_poll(zero.native_handle(), POLLIN)) == POLLIN);
    const descriptor file(::open((in / "a").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    CHECK(ANSWER(set_poll(file.native_handle(), POLLIN | POLLOUT)) == (POLLIN | POLLOUT));
  });
}

TEST_CASE("A number that is not open, and a descriptor of the wrong kind, are told") {
  on_every_driver([](driver& d) {
    const pipe_ends pipe;
    const descriptor socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const internet_address nowhere(9);
    const int closed = 19'999;
    char byte = 0;
    unsigned length = 0;
    msghdr message{};
    struct statx of{};
    for (const int number : {-1, closed}) {
      CHECK(ANSWER(set_poll(number, POLLIN)) == -EBADF);
      CHECK(ANSWER(set_receive(number, &byte, 1)) == -EBADF);
      CHECK(ANSWER(set_receive(number, message)) == -EBADF);
      CHECK(ANSWER(set_send(number, &byte, 1, MSG_NOSIGNAL)) == -EBADF);
      CHECK(ANSWER(set_send(number, message, MSG_NOSIGNAL)) == -EBADF);
      CHECK(ANSWER(set_accept(number, nullptr, length, 0)) == -EBADF);
      CHECK(ANSWER(set_connect(number, nowhere.get(), nowhere.size)) == -EBADF);
      CHECK(ANSWER(set_read(number, &byte, 1, here)) == -EBADF);
      CHECK(ANSWER(set_read(number, &byte, 1, 0)) == -EBADF);
      CHECK(ANSWER(set_write(number, &byte, 1, here)) == -EBADF);
      CHECK(ANSWER(set_sync(number, false)) == -EBADF);
      CHECK(ANSWER(set_close(number)) == -EBADF);
      CHECK(ANSWER(set_stat(number, "", AT_EMPTY_PATH, STATX_SIZE, of)) == -EBADF);
    }
    CHECK(ANSWER(set_receive(pipe.read_end, &byte, 1)) == -ENOTSOCK);
    CHECK(ANSWER(set_receive(pipe.read_end, message)) == -ENOTSOCK);
    CHECK(ANSWER(set_send(pipe.write_end, &byte, 1, MSG_NOSIGNAL)) == -ENOTSOCK);
    CHECK(ANSWER(set_accept(pipe.read_end, nullptr, length, 0)) == -ENOTSOCK);
    CHECK(ANSWER(set_connect(pipe.read_end, nowhere.get(), nowhere.size)) == -ENOTSOCK);
    CHECK(ANSWER(set_read(pipe.write_end, &byte, 1, here)) == -EBADF);
    CHECK(ANSWER(set_write(pipe.read_end, &byte, 1, here)) == -EBADF);
    CHECK(ANSWER(set_sync(pipe.read_end, false)) == -EINVAL);
    CHECK(ANSWER(set_receive(socket.native_handle(), &byte, 1)) == -ENOTCONN);
    CHECK(ANSWER(set_accept(socket.native_handle(), nullptr, length, 0)) == -EINVAL);
  });
}

TEST_CASE("A connection is made, accepted, used and closed, over TCP and over Unix sockets") {
  on_every_driver([](driver& d) {
    for (const int family : {AF_INET, AF_UNIX}) {
      const local_listener listener(family);
      const int client = ::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
      asked accepting;
      sockaddr_storage peer{};
      unsigned peer_size = sizeof peer;
      ask(d, accepting, [&](kernel_call& c) {
        c.set_accept(listener.number(), reinterpret_cast<sockaddr*>(&peer), peer_size, SOCK_CLOEXEC);
      });
      d.poll(time_point::min());
      CHECK(!accepting.is_over());
      CHECK(ANSWER(set_connect(client, listener.address(), listener.address_size())) == 0);
      poll_until_over(d, accepting);
      const int server = accepting.result;
      REQUIRE(server >= 0);
      CHECK(peer.ss_family == family);
      CHECK(peer_size >= sizeof(sa_family_t));
      CHECK(::fcntl(server, F_GETFD) == FD_CLOEXEC);

      char bytes[10] = {};
      asked receiving;
      ask(d, receiving, [&](kernel_call& c) { c.set_receive(server, bytes, sizeof bytes); });
      d.poll(time_point::min());
      CHECK(!receiving.is_over());
      for (const int number : {client, server, listener.number()}) CHECK(!is_nonblocking(number));
      CHECK(ANSWER(set_send(client, "hello", 5, MSG_NOSIGNAL)) == 5);
      poll_until_over(d, receiving);
      CHECK(receiving.result == 5);
      CHECK(std::string(bytes) == "hello");
      CHECK(!receiving.more_is_there);
      CHECK(ANSWER(set_send(client, "more", 4, MSG_NOSIGNAL)) == 4);
      CHECK(ANSWER(set_receive(server, bytes, 3)) == 3);
      CHECK(ANSWER(set_receive(server, bytes, 3)) == 1);
      for (const int number : {client, server, listener.number()}) CHECK(!is_nonblocking(number));
      CHECK(ANSWER(set_close(client)) == 0);
      CHECK(ANSWER(set_receive(server, bytes, 3)) == 0);
      CHECK(ANSWER(set_close(server)) == 0);
      CHECK(ANSWER(set_close(server)) == -EBADF);
    }
  });
}

TEST_CASE("A connection that is refused, reset or nowhere is told") {
  on_every_driver([](driver& d) {
    internet_address at(0);
    {
      const local_listener gone(AF_INET);
      at = internet_address(gone.port());
    }
    const descriptor refused(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    CHECK(ANSWER(set_connect(refused.native_handle(), at.get(), at.size)) == -ECONNREFUSED);
    sockaddr_un none{AF_UNIX, "/nowhere/at/all"};
    const descriptor local(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    CHECK(ANSWER(set_connect(local.native_handle(), reinterpret_cast<sockaddr*>(&none), sizeof none)) == -ENOENT);

    tcp_pair pair;
    char byte = 0;
    asked receiving;
    ask(d, receiving, [&](kernel_call& call) { call.set_receive(pair.one, &byte, 1); });
    d.poll(time_point::min());
    pair.reset_other();
    poll_until_over(d, receiving);
    CHECK(receiving.result == -ECONNRESET);
    CHECK(ANSWER(set_receive(pair.one, &byte, 1)) == 0);
  });
}

TEST_CASE("A peer that has gone is EPIPE, without SIGPIPE where the flags say so or it is ignored") {
  on_every_driver([](driver& d) {
    static int signals = 0;
    signals = 0;
    const auto before = ::signal(SIGPIPE, [](int) { ++signals; });
    socket_pair pair;
    pair.close_other();
    msghdr message{};
    iovec bytes{const_cast<char*>("x"), 1};
    message.msg_iov = &bytes;
    message.msg_iovlen = 1;
    CHECK(ANSWER(set_send(pair.one, "x", 1, MSG_NOSIGNAL)) == -EPIPE);
    CHECK(ANSWER(set_send(pair.one, message, MSG_NOSIGNAL)) == -EPIPE);
    CHECK(signals == 0);
    ::signal(SIGPIPE, SIG_IGN);  // as a runtime has it: write(2) has no such flag
    int ends[2];
    REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
    const descriptor write_end(ends[1]);
    ::close(ends[0]);
    CHECK(ANSWER(set_write(write_end.native_handle(), "x", 1, here)) == -EPIPE);
    ::signal(SIGPIPE, before);
  });
}

TEST_CASE("Messages carry addresses, descriptors and flags") {
  on_every_driver([](driver& d) {
    const descriptor socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    internet_address own(0);
    REQUIRE(::bind(socket.native_handle(), own.get(), own.size) == 0);
    own.read_from(socket.native_handle());
    char bytes[4] = {};
    sockaddr_in from{};
    iovec into{bytes, sizeof bytes};
    msghdr incoming{};
    incoming.msg_name = &from;
    incoming.msg_namelen = sizeof from;
    incoming.msg_iov = &into;
    incoming.msg_iovlen = 1;
    asked receiving;
    ask(d, receiving, [&](kernel_call& c) { c.set_receive(socket.native_handle(), incoming); });
    d.poll(time_point::min());
    CHECK(!receiving.is_over());
    iovec text{const_cast<char*>("datagram"), 8};
    msghdr outgoing{};
    outgoing.msg_name = own.get();
    outgoing.msg_namelen = own.size;
    outgoing.msg_iov = &text;
    outgoing.msg_iovlen = 1;
    CHECK(ANSWER(set_send(socket.native_handle(), outgoing, MSG_NOSIGNAL)) == 8);
    poll_until_over(d, receiving);
    CHECK(receiving.result == 4);
    CHECK((incoming.msg_flags & MSG_TRUNC) != 0);
    CHECK(std::string(bytes, 4) == "data");
    CHECK(from.sin_port == own.port());

    socket_pair pair;
    const pipe_ends pipe;
    passing send(pipe.read_end), receive(-1);
    CHECK(ANSWER(set_send(pair.one, send.message, MSG_NOSIGNAL)) == 1);
    CHECK(ANSWER(set_receive(pair.other, receive.message, MSG_CMSG_CLOEXEC)) == 1);
    const descriptor passed(receive.passed());
    CHECK(::fcntl(passed.native_handle(), F_GETFD) == FD_CLOEXEC);
    pipe.put('p');
    CHECK(ANSWER(set_read(passed.native_handle(), bytes, 4, here)) == 1);
    CHECK(bytes[0] == 'p');
  });
}

TEST_CASE(
    "What waits for a pipe, an eventfd or a terminal is answered when it is ready, and none is made non-blocking") {
  on_every_driver([](driver& d) {
    const pipe_ends pipe;
    const descriptor event(::eventfd(0, EFD_CLOEXEC));
    int master = -1, slave = -1;
    REQUIRE(::openpty(&master, &slave, nullptr, nullptr, nullptr) == 0);
    const descriptor owners[] = {descriptor(master), descriptor(slave)};
    const int numbers[] = {pipe.read_end, pipe.write_end, event.native_handle(), master, slave};
    const auto none_is_nonblocking = [&] {
      bool none = true;
      for (const int each : numbers) none = none && !is_nonblocking(each);
      return none;
    };
    char bytes[8] = {}, line[20] = {};
    std::uint64_t count = 0;
    asked of_pipe, of_event, of_terminal;
    ask_to_read(d, of_pipe, pipe.read_end, bytes, sizeof bytes);
    ask_to_read(d, of_event, event.native_handle(), &count, sizeof count);
    ask_to_read(d, of_terminal, slave, line, sizeof line);
    for (int i = 0; i < 3; ++i) d.poll(d.now() + 100us);
    CHECK(none_is_nonblocking());
    CHECK(d.in_flight() == 3);
    CHECK(ANSWER(set_write(master, "a line\n", 7, here)) == 7);
    poll_until_over(d, of_terminal);
    CHECK(std::string(line) == "a line\n");
    const std::uint64_t seven = 7;
    CHECK(ANSWER(set_write(event.native_handle(), &seven, sizeof seven, here)) == sizeof seven);
    poll_until_over(d, of_event);
    CHECK(count == 7);
    CHECK(ANSWER(set_write(pipe.write_end, "12", 2, here)) == 2);
    poll_until_over(d, of_pipe);
    CHECK(of_pipe.result == 2);
    CHECK(none_is_nonblocking());
    // A full eventfd takes no more until it is read.
    const std::uint64_t most = ~std::uint64_t{1};
    CHECK(ANSWER(set_write(event.native_handle(), &most, sizeof most, here)) == sizeof most);
    asked waits;
    ask(d, waits, [&](kernel_call& c) { c.set_write(event.native_handle(), &seven, sizeof seven, here); });
    for (int i = 0; i < 3; ++i) d.poll(d.now() + 100us);
    CHECK(!waits.is_over());
    CHECK(ANSWER(set_read(event.native_handle(), &count, sizeof count, here)) == sizeof count);
    poll_until_over(d, waits);
    CHECK(waits.result == sizeof seven);
    CHECK(none_is_nonblocking());
  });
}

TEST_CASE("A read of a pipe into a lent buffer, and one with an offset, which a pipe does not have") {
  on_every_driver([](driver& d) {
    const pipe_ends pipe;
    char bytes[8] = {};
    CHECK(ANSWER(set_write(pipe.write_end, "offset", 6, 100)) == 6);
    CHECK(ANSWER(set_read(pipe.read_end, bytes, 6, 100)) == 6);
    CHECK(std::string(bytes) == "offset");
    if (!d.lends_buffers(false)) return;
    for (const bool waits : {false, true}) {
      asked reading;
      const auto read = [&] {
        ask(d, reading, [&](kernel_call& c) {
          c.set_read(pipe.read_end, nullptr, ringo::detail::buffer::size, here);
          c.lends = true;
        });
      };
      if (waits) {
        read();
        d.poll(d.now() + 100us);
        CHECK(!reading.is_over());
      }
      REQUIRE(::write(pipe.write_end, "lent", 4) == 4);
      if (!waits) read();
      poll_until_over(d, reading);
      CHECK(reading.result == 4);
      REQUIRE(reading.filled != nullptr);
      CHECK(std::memcmp(reading.filled->bytes(), "lent", 4) == 0);
      d.buffers.give_back(*reading.filled);
    }
  });
}

TEST_CASE("A write that is larger than there is room for does not hold up the worker") {
  on_every_driver([](driver& d) {
    int master = -1, slave = -1;
    REQUIRE(::openpty(&master, &slave, nullptr, nullptr, nullptr) == 0);
    termios how{};
    ::tcgetattr(slave, &how);
    ::cfmakeraw(&how);
    ::tcsetattr(slave, TCSANOW, &how);
    const descriptor owners[] = {descriptor(master), descriptor(slave)};
    const pipe_ends pipe;
    socket_pair stream;
    const struct {
      int from, to;
    } all[] = {{stream.one, stream.other}, {pipe.write_end, pipe.read_end}, {slave, master}};
    for (const auto& each : all) {
      CAPTURE(&each - all);
      constexpr std::size_t size = 300'000;
      std::vector<char> out(size), in(size);
      for (std::size_t i = 0; i < size; ++i) out[i] = static_cast<char>(i * 2654435761u >> 13);
      std::size_t sent = 0, received = 0;
      asked writing, reading;
      const auto write = [&] {
        ask(d, writing, [&](kernel_call& c) {
          if (each.from == stream.one) {
            c.set_send(each.from, &out[sent], size - sent, MSG_NOSIGNAL);
          } else {
            c.set_write(each.from, &out[sent], size - sent, here);
            c.needs_thread = each.from == slave;  // a terminal that says it can take bytes may take a part only
          }
        });
      };
      const auto read = [&] { ask_to_read(d, reading, each.to, &in[received], size - received); };
      bool is_right = true;
      writing.then = [&] {
        is_right = is_right && writing.result > 0;
        if (is_right) sent += static_cast<std::size_t>(writing.result);
        if (is_right && sent < size) write();
      };
      reading.then = [&] {
        is_right = is_right && reading.result > 0;
        if (is_right) received += static_cast<std::size_t>(reading.result);
        if (is_right && received < size) read();
      };
      write();
      for (int i = 0; i < 5; ++i) d.poll(d.now() + 200us);  // there is no reader yet
      CHECK(sent < size);
      read();
      poll_until_idle(d);
      CHECK(is_right);
      CHECK(sent == size);
      CHECK(in == out);
      CHECK(!is_nonblocking(each.from));
      CHECK(!is_nonblocking(each.to));
    }
  });
}

TEST_CASE("A poll answers with the events that came, hang-ups and errors among them") {
  on_every_driver([](driver& d) {
    socket_pair pair;
    CHECK(ANSWER(set_poll(pair.one, POLLIN | POLLOUT)) == POLLOUT);
    asked waits;
    ask_to_poll(d, waits, pair.one, POLLIN);
    d.poll(time_point::min());
    CHECK(!waits.is_over());
    REQUIRE(::write(pair.other, "x", 1) == 1);
    poll_until_over(d, waits);
    CHECK(waits.result == POLLIN);
    CHECK(ANSWER(set_poll(pair.one, POLLIN | POLLOUT)) == (POLLIN | POLLOUT));
    REQUIRE(::shutdown(pair.other, SHUT_WR) == 0);
    CHECK(ANSWER(set_poll(pair.one, POLLRDHUP)) == POLLRDHUP);
    pair.close_other();
    CHECK((ANSWER(set_poll(pair.one, 0)) & POLLHUP) != 0);
    int ends[2];
    REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
    const descriptor write_end(ends[1]);
    asked watches;
    ask_to_poll(d, watches, ends[1], 0);
    d.poll(time_point::min());
    CHECK(!watches.is_over());
    ::close(ends[0]);
    poll_until_over(d, watches);
    CHECK(watches.result == POLLERR);
    // The end of a process.
    const pid_t child = ::fork();
    if (child == 0) {
      char byte = 0;
      ::close(ends[1]);
      ::_exit(::read(pair.one, &byte, 1) == 1 ? 0 : 1);
    }
    const descriptor process(static_cast<int>(::syscall(SYS_pidfd_open, child, 0)));
    if (process.native_handle() < 0) {  // before Linux 5.3
      CHECK(::waitpid(child, nullptr, 0) == child);
      return;
    }
    CHECK((ANSWER(set_poll(process.native_handle(), POLLIN)) & POLLIN) != 0);
    CHECK(::waitpid(child, nullptr, WNOHANG) == child);
  });
}
