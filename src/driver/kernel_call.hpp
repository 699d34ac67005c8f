// What an operation asks the kernel for, and what the kernel answers, in words that do not depend on the driver.
#pragma once
#include <sys/types.h>

#include <cstddef>
#include <cstdint>

struct msghdr;
struct sockaddr;
struct statx;

namespace ringo::detail {

struct buffer;

// A length of time in memory that lives until the last answer, as the kernel reads it.
struct pause_length {
  long long seconds = 0;
  long long nanoseconds = 0;
};

// One call. The memory that it names must live until its last answer.
struct kernel_call {
  enum class kind : std::uint8_t {
    nothing,          // is answered with 0
    pause,            // is answered with ETIME after the length
    poll,             // waits for events on a descriptor; the answer is poll(2)'s revents
    receive,          // recv(2)
    receive_message,  // recvmsg(2)
    send,             // send(2)
    send_message,     // sendmsg(2)
    accept,           // accept4(2)
    connect,          // connect(2)
    read,             // pread(2), or read(2) at the current position
    write,            // pwritev2(2), or write(2) at the current position
    sync,             // fsync(2), or fdatasync(2)
    open,             // open(2)
    close,            // close(2)
    stat,             // statx(2)
    rename,           // rename(2)
    remove,           // unlink(2)
    remove_folder,    // rmdir(2)
    make_folder       // mkdir(2)
  };
  static constexpr std::uint64_t current_position = ~std::uint64_t{0};  // of a pipe, a terminal, or a file

  // Each sets the whole call. `how` is the flags of the call's man page.
  void set_nothing() noexcept { *this = {}; }
  void set_pause(const pause_length& length) noexcept { *this = {.what = kind::pause, .from = &length}; }
  void set_poll(int fd, short events) noexcept {
    *this = {.what = kind::poll, .descriptor = fd, .flags = static_cast<std::uint16_t>(events)};
  }
  // `into` is null if the driver lends a buffer (lends).
  void set_receive(int fd, void* into, std::size_t length) noexcept {
    *this = {.what = kind::receive, .descriptor = fd, .to = into, .size = length};
  }
  void set_receive(int fd, msghdr& into, unsigned how = 0) noexcept {
    *this = {.what = kind::receive_message, .descriptor = fd, .flags = how, .to = &into, .size = 1};
  }
  void set_send(int fd, const void* bytes, std::size_t length, unsigned how) noexcept {
    *this = {.what = kind::send, .descriptor = fd, .flags = how, .from = bytes, .size = length};
  }
  void set_send(int fd, const msghdr& message, unsigned how) noexcept {
    *this = {.what = kind::send_message, .descriptor = fd, .flags = how, .from = &message, .size = 1};
  }
  // `length` is that of the address, a socklen_t, which the kernel writes, too.
  void set_accept(int fd, sockaddr* peer, unsigned& length, unsigned how) noexcept {
    *this = {.what = kind::accept, .descriptor = fd, .flags = how, .to = peer, .also_to = &length};
  }
  void set_connect(int fd, const sockaddr* peer, unsigned length) noexcept {
    *this = {.what = kind::connect, .descriptor = fd, .from = peer, .size = length};
  }
  void set_read(int fd, void* into, std::size_t length, std::uint64_t at) noexcept {
    *this = {.what = kind::read, .descriptor = fd, .to = into, .size = length, .offset = at};
  }
  void set_write(int fd, const void* bytes, std::size_t length, std::uint64_t at, unsigned how = 0) noexcept {
    *this = {.what = kind::write, .descriptor = fd, .flags = how, .from = bytes, .size = length, .offset = at};
  }
  void set_sync(int fd, bool data_only) noexcept { *this = {.what = kind::sync, .descriptor = fd, .flags = data_only}; }
  void set_open(const char* path, int how, mode_t permissions) noexcept {
    *this = {.what = kind::open, .flags = static_cast<unsigned>(how), .from = path, .size = permissions};
  }
  void set_close(int fd) noexcept { *this = {.what = kind::close, .descriptor = fd}; }
  // `mask` says which fields are wanted. Of the file at the path, or (path "", flags AT_EMPTY_PATH) of the descriptor.
  void set_stat(int fd, const char* path, unsigned how, unsigned mask, struct statx& into) noexcept {
    *this = {.what = kind::stat, .descriptor = fd, .flags = how, .from = path, .to = &into, .size = mask};
  }
  void set_rename(const char* before, const char* after) noexcept {
    *this = {.what = kind::rename, .from = before, .also_from = after};
  }
  void set_remove(const char* path) noexcept { *this = {.what = kind::remove, .from = path}; }
  void set_remove_folder(const char* path) noexcept { *this = {.what = kind::remove_folder, .from = path}; }
  void set_make_folder(const char* path, mode_t permissions) noexcept {
    *this = {.what = kind::make_folder, .from = path, .size = permissions};
  }

  bool is_of_socket() const noexcept { return what >= kind::receive && what <= kind::accept; }

  kind what = kind::nothing;
  bool lends = false;          // into a buffer that the driver lends when bytes are there (answer::filled)
  bool waits_first = false;    // a first attempt would probably be in vain: nothing is there yet
  bool may_take_long = false;  // a thread that carries this out may wait for long, as in opening a FIFO
  bool needs_thread = false;   // may wait although the descriptor is ready, as a write to a terminal; for io_uring
  bool is_shared = false;      // accept: other processes may accept from the same listener
  // The driver may ask the request again until its answer, in the worker's thread and without the source's lock, and is
  // told the same. So it need not keep the call while it waits.
  bool can_ask_again = false;
  // Calls with the same number are of the same open file, which only ringo closes. 0: not known.
  std::uint32_t owner = 0;
  int descriptor = -1;         // AT_FDCWD for paths
  unsigned flags = 0;          // poll: the events
  const void* from = nullptr;  // bytes, an address, a path, a message: what the kernel reads
  const void* also_from = nullptr;
  void* to = nullptr;  // what the kernel writes
  unsigned* also_to = nullptr;
  std::uint64_t size = 0;  // open, make_folder: the permissions; stat: the mask
  std::uint64_t offset = current_position;
};

// The kernel's answer.
struct kernel_answer {
  int result = 0;              // the system call's result, or a negative errno
  bool more_is_there = false;  // of a receive: the socket had more
  buffer* filled = nullptr;    // of a call that `lends`: the buffer with the bytes, which is the caller's now
};

}  // namespace ringo::detail
