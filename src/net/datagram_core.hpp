// A datagram socket: it stands between the kernel and the routines that send and receive.
//
// Receiving. At most one receive is in flight, and it is submitted only when a routine waits. So if a case loses, at
// most one datagram comes that no routine waits for; the next receive gets it. The kernel writes into memory of the
// socket that has room for any datagram, and the bytes are then copied into a buffer of their size.
//
// Sending. At most one send is in flight: that of the first sender. Its bytes and address are copied into memory of the
// socket, so a sender may be cancelled or destroyed at any time. Only the first sender gets the answer.
//
// Invariants: check().
#pragma once
#include <sys/socket.h>
#include <sys/uio.h>

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include <ringo/detail/datagram_operation.hpp>

#include "io/descriptor_core.hpp"
#include "net/socket_address.hpp"
#include "net/unix_address.hpp"

namespace ringo::detail {

class datagram_core final : public descriptor_core {
 public:
  // Takes the descriptor. `largest`: so many bytes of a datagram are received. `name` is for errors and reports.
  datagram_core(int descriptor, std::size_t largest, std::string name, socket_file file) noexcept
      : descriptor_core(descriptor), largest_(largest), name_(std::move(name)), file_(std::move(file)) {}

  std::string name() const override { return name_; }

 private:
  struct datagram {
    buffer* bytes = nullptr;
    bool is_truncated = false;
    datagram_peer from;
  };

  ~datagram_core() override;
  bool stop(worker* w) noexcept override;
  void farewell(worker*) noexcept override { file_.remove(); }
  void check() const override;
  bool quiet() const noexcept override { return !receive_.in_flight() && !send_.in_flight(); }

  bool can(const io_request& r) const noexcept override {  // a send never ends at once
    return r.side == io_side::in && (!there_.empty() || pending_error_ != 0);
  }
  void give(io_request& r) noexcept override;
  void ask(io_request& r, worker& w) noexcept override;
  void left(io_request& r) noexcept override;
  void put_back(io_request& r) noexcept override;
  std::string doing(const io_request& r) const override;

  bool keep(datagram& d, bool as_next) noexcept;  // moves it; false: no memory, and nothing has been moved
  void receive(scheduler& w) noexcept;            // unless that is in flight
  void fill_receive(kernel_call& call) noexcept;
  void received(const kernel_answer& answer) noexcept;
  int take_in(std::size_t size, datagram& into) noexcept;

  void send(scheduler& w) noexcept;  // of the first sender
  void fill_send(kernel_call& call) noexcept;
  void sent(const kernel_answer& answer) noexcept;

  const std::size_t largest_;
  int pending_error_ = 0;        // an error that the next receive throws
  bool more_is_there_ = false;   // the kernel has said so with its last answer
  std::vector<datagram> there_;  // received and not taken; the next one last
  std::unique_ptr<std::byte[]> incoming_;
  msghdr incoming_header_{};
  iovec incoming_bytes_{};
  socket_address incoming_from_;
  bool is_starved_ = false;                   // there was no memory for the datagram to send
  const io_request* of_in_flight_ = nullptr;  // the request of the send in flight; null if its sender has gone
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

// Clears O_NONBLOCK. Throws std::system_error if it is not a datagram socket.
void check_datagrams(int descriptor, bool of_unix, const char* call);

// A handle of a new socket over the descriptor, which it takes, also where it throws std::bad_alloc.
datagram_handle make_datagrams(int descriptor, std::size_t largest, std::string name, socket_file file = {});

}  // namespace ringo::detail
