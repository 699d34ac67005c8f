// A stream of bytes over a descriptor: what lies between the kernel and those who read and write it.
//
// Receiving. At most one receive is in flight, and only from when somebody waits for bytes that are not there; so at
// most one block comes that nobody has asked for, which is the next reader's: a peer that is faster than its readers
// fills the kernel's buffer and then waits, and a reader that loses a select has taken nothing. The kernel chooses a
// block of its worker's only when it has bytes: a stream that waits holds none.
//
// Sending. At most one send is in flight: of the first in the list of those who send. Its bytes are copied into memory
// of the stream's own, a piece at a time: so whoever sends may be cancelled or destroyed at any moment, though the
// kernel reads on. What has been given to the kernel only in part when its sender leaves has cut the stream short. A
// case of a select is sent at once, by a system call of its own, where it is little and the kernel has room for it:
// given to the ring, it could go out when another case has won.
//
// Whose turn it is: both lists are served from the front only. Invariant, whenever the lock is free: if the list of
// readers is not empty, nothing that is there satisfies its first, and a receive is in flight, or a send behind which
// too much of what a filter has to answer waits, so that a peer that does not read is not read from; if that of senders
// is not empty, a send is in flight. (But for a stream that is being closed, where both are empty, and a runtime that
// ends.)
#pragma once
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <ringo/detail/stream_operation.hpp>
#include <ringo/endpoint.hpp>

#include "net/descriptor_core.hpp"
#include "net/passed_descriptors.hpp"
#include "net/request_list.hpp"
#include "net/stream_filter.hpp"

namespace ringo::detail {

class stream_core final : public descriptor_core {
 public:
  // A Unix socket passes descriptors, too.
  enum class kind : std::uint8_t { socket, unix_socket, other };

  // Takes the descriptor. The peer, or where there is none that has an address the name, is what the errors and the
  // reports call it.
  stream_core(int descriptor, kind k, const endpoint& peer, std::string name)
      : descriptor_core(descriptor), kind_(k), peer_(peer), name_(std::move(name)) {
    if (k != kind::unix_socket) return;
    incoming_ = std::make_unique<message_in_flight>();
    outgoing_ = std::make_unique<message_in_flight>();
  }

  // Under the lock.
  bool can_read(const reading& r) const noexcept;
  bool try_read(reading& r, waiter& as) noexcept;
  void begin(reading& r, worker& w) noexcept;
  void end(reading& r) noexcept;
  void put_back(block& b) noexcept;
  void receive(scheduler& w) noexcept;                          // unless that is in flight
  bool serve_readers(worker& w, routine_list& woken) noexcept;  // true: more is to be received
  bool can_send(const sending& s) const noexcept;
  bool try_send(sending& s, waiter& as, scheduler& w) noexcept;
  void begin(sending& s, worker& w) noexcept;
  void end(sending& s) noexcept;
  void shut_down_when_sent(worker* w) noexcept;  // nobody will send any more
  // From here on all passes through it, what has been received and not read first. False, and nothing has changed,
  // while somebody waits for bytes or sends.
  bool set_filter(std::unique_ptr<stream_filter>& filter, scheduler& w) noexcept;
  std::exception_ptr filter_error() const noexcept { return filter_ != nullptr ? filter_->error() : nullptr; }
  stream_filter* filter() const noexcept { return filter_.get(); }

  std::string name() const { return peer_ ? peer_.to_string() : name_; }
  const endpoint& peer() const noexcept { return peer_; }

  stream_core* next_accepted = nullptr;  // in a listener's list of those that no case has taken

 private:
  static constexpr std::size_t most_at_once = 128 * 1024;  // of what is sent
  static constexpr std::size_t most_pieces_at_once = 16;
  static constexpr std::size_t most_answers = 64 * 1024;  // bytes of a filter's own that may wait to be sent

  ~stream_core() override;
  void stop(worker* w) noexcept override;
  bool quiet() const noexcept override { return !receive_.in_flight() && !send_.in_flight(); }

  void fill_receive(io_uring_sqe& entry) noexcept;
  void received(int result, unsigned flags) noexcept;
  void accept_answer(int result, unsigned flags, scheduler& w) noexcept;
  void give(reading& r) noexcept;
  void append(block& b) noexcept;
  void decode_all(scheduler& w) noexcept;
  static std::span<const std::byte> next_part(sending& s, std::size_t most) noexcept;
  void say_last_words() noexcept;
  bool send_coded(scheduler& w) noexcept;  // false: there is nothing to be sent
  block& pop_block() noexcept;
  void copy_out(std::byte* to, std::size_t n) noexcept;

  bool can_send_at_once(const sending& s) const noexcept;
  bool send_at_once(sending& s, scheduler& w) noexcept;  // false: there is no room, and nothing has happened
  void fill_send(io_uring_sqe& entry) noexcept;
  void sent(int result, unsigned flags) noexcept;
  int error_of(const sending& s) const noexcept;  // with which it fails at once; 0: none
  void note_sent(int result) noexcept;
  void note_loss() noexcept;  // of a send that has begun
  void serve_senders(worker& w, routine_list& woken, const sending* linked_now = nullptr) noexcept;
  bool gather(sending& s) noexcept;  // the next piece of it into `piece_`; false: no memory
  void shut_down() noexcept;

  const kind kind_;
  bool at_end_ = false;         // of what is received
  bool more_is_there_ = false;  // the kernel has said so with its last answer
  bool can_borrow_ = true;      // the kernel chooses the block
  bool is_cut_ = false;         // what is sent
  bool is_shut_ = false;        // the direction
  bool shut_when_sent_ = false;
  bool was_left_ = false;    // the sender of what is in flight has gone
  bool is_put_off_ = false;  // what is in flight asks for nothing: the first piece is made when it has been answered
  int receive_error_ = 0;    // sticky, as the next, but for want of memory
  int send_error_ = 0;
  request_list<reading> readers_;
  block* first_ = nullptr;  // received, and not read
  block* last_ = nullptr;
  std::size_t there_ = 0;  // bytes in those
  block* own_ = nullptr;   // into which is received where the kernel cannot choose
  request_list<sending> senders_;
  block* piece_ = nullptr;                // what is in flight is in it; of a sender of much it is a big one
  const std::byte* in_flight_ = nullptr;  // the part of it that the kernel has yet to take
  std::size_t in_flight_size_ = 0;
  std::unique_ptr<stream_filter> filter_;
  std::vector<std::byte> coded_;   // what is in flight, with a filter
  bool has_ended_output_ = false;  // of the filter
  std::size_t progress_ = 0;       // bytes of the first sender that the kernel has taken
  operation_of<stream_core, &stream_core::fill_receive, &stream_core::received, POLLIN> receive_{*this};
  operation_of<stream_core, &stream_core::fill_send, &stream_core::sent, POLLOUT> send_{*this};
  std::unique_ptr<message_in_flight> incoming_, outgoing_;  // of a Unix socket
  const endpoint peer_;
  const std::string name_;
};

// A handle of a new stream over the descriptor, which it takes, also where it throws std::bad_alloc.
stream_handle make_stream(int descriptor, stream_core::kind k, const endpoint& peer, std::string name = {});

}  // namespace ringo::detail
