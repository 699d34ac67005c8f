// A socket of datagrams: what lies between the kernel and those who send and receive.
//
// Receiving. At most one receive is in flight, and only from when somebody waits; so at most one datagram comes that
// nobody has asked for, when a case has lost, and it is the next one's. It comes into memory of the socket's own that
// is large enough for any, and goes on in a block of its own size.
//
// Sending. At most one send is in flight: of the first of those who send, copied, with its address, into memory of the
// socket's own; so whoever sends may be cancelled or destroyed at any moment. What it came to is that one's alone.
//
// Invariant, whenever the lock is free: if somebody waits for a datagram, none is there, and a receive is in flight; if
// somebody waits to send, a send is in flight. (But for a socket that is being closed, where nobody waits, and a
// runtime that ends.)
#pragma once
#include <sys/socket.h>
#include <sys/uio.h>

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include <ringo/detail/datagram_operation.hpp>

#include "net/descriptor_core.hpp"
#include "net/socket_address.hpp"
#include "net/unix_address.hpp"

namespace ringo::detail {

class datagram_core final : public descriptor_core {
 public:
  // Takes the descriptor. `largest`: as many bytes of a datagram are received; `name` is what the errors and the
  // reports call the socket.
  datagram_core(int descriptor, std::size_t largest, std::string name, socket_file file) noexcept
      : descriptor_core(descriptor), largest_(largest), name_(std::move(name)), file_(std::move(file)) {}

  std::string name() const override { return name_; }

 private:
  struct datagram {
    block* bytes;
    bool is_truncated;
    datagram_peer from;
  };

  ~datagram_core() override;
  bool stop(worker* w) noexcept override;
  bool quiet() const noexcept override { return !receive_.in_flight() && !send_.in_flight(); }

  bool can(const io_request& r) const noexcept override {  // what is sent is never done at once
    return r.side == io_side::in && (!there_.empty() || pending_error_ != 0);
  }
  void give(io_request& r) noexcept override;
  void ask(io_request& r, worker& w) noexcept override;
  void left(io_request& r) noexcept override;
  void put_back(io_request& r) noexcept override;
  std::string doing(const io_request& r) const override;

  bool keep(datagram d, bool as_next) noexcept;  // false: no memory
  void receive(scheduler& w) noexcept;           // unless that is in flight
  void fill_receive(io_uring_sqe& entry) noexcept;
  void received(int result, unsigned flags) noexcept;
  void accept_answer(int result, unsigned flags, scheduler& w) noexcept;

  void send(scheduler& w) noexcept;  // of the first sender
  void fill_send(io_uring_sqe& entry) noexcept;
  void sent(int result, unsigned flags) noexcept;

  const std::size_t largest_;
  int pending_error_ = 0;        // of a receive: the next one's
  bool more_is_there_ = false;   // the kernel has said so with its last answer
  std::vector<datagram> there_;  // received, and taken by nobody; the next one last
  std::unique_ptr<std::byte[]> incoming_;
  msghdr incoming_header_{};
  iovec incoming_bytes_{};
  socket_address incoming_from_;
  bool is_starved_ = false;                   // there is no memory for what is to be sent
  const io_request* of_in_flight_ = nullptr;  // whose datagram is in flight; null: its sender has gone
  std::unique_ptr<std::byte[]> outgoing_;
  std::size_t outgoing_room_ = 0;
  msghdr outgoing_header_{};
  iovec outgoing_bytes_{};
  socket_address outgoing_to_;
  operation_of<datagram_core, &datagram_core::fill_receive, &datagram_core::received, POLLIN> receive_{*this};
  operation_of<datagram_core, &datagram_core::fill_send, &datagram_core::sent, POLLOUT> send_{*this};
  const std::string name_;
  socket_file file_;
};

// That it is a socket of datagrams; makes it one that waits. Throws std::system_error.
void check_datagrams(int descriptor, bool of_unix, const char* call);

// A handle of a new socket over the descriptor, which it takes, also where it throws std::bad_alloc.
datagram_handle make_datagrams(int descriptor, std::size_t largest, std::string name, socket_file file = {});

}  // namespace ringo::detail
