// A stream of bytes: it stands between the kernel and the routines that read and write. Its functions are in files by
// what they do: stream_core.cpp (its life), stream_receive.cpp, stream_send.cpp, stream_calls.cpp, stream_filter.cpp.
//
// Receiving. At most one receive is in flight, and the stream asks for it only while a routine waits for bytes. So at
// most one buffer comes after its reader has left, and it is for the next reader. A peer that is faster than its
// readers fills the kernel's buffers and then waits; a reader that loses a select has taken nothing. The kernel chooses
// one of its worker's buffers only when it has bytes, so a stream that waits holds no buffer.
//
// Sending. At most one send is in flight, that of the first sender. The stream copies the sender's bytes into its own
// memory, a piece at a time, so a sender may be cancelled or destroyed while the kernel still reads. A sender that
// leaves after the kernel has taken some of its bytes has cut the stream short. In a select, a short send wins if the
// kernel seems to have room, and its routine makes the system call itself: bytes that were given to the ring could go
// out although another case has won. Outside a select a routine does the same if its driver would make the same call
// (driver::makes_calls), or if the copy would cost more. If the kernel has not taken all, it keeps the turn, and waits
// for the rest.
//
// The end. The kernel tells the error of a connection once, to the call that comes first. If a send has been told of a
// reset, a receive finds what looks like the peer's end. So the error of a send is that of later receives, too; and an
// end that a receive finds on a connection that is gone, while a send is under way, is told when that send has been
// answered. (A connection whose peer has only ended its side is not gone.)
//
// Invariants when the lock is free (check()), for an open stream in a runtime that has not ended:
// - a reader waits => the first one cannot be satisfied, and a receive is in flight, or the filter's turn is on, or the
//   filter's answers have to go out first (the stream does not read from a peer that does not read), or
//   the end waits for a send's answer;
// - a sender waits => turn_ is not free, or the filter's turn is on.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include <ringo/detail/stream_operation.hpp>
#include <ringo/endpoint.hpp>

#include "io/buffer_list.hpp"
#include "io/descriptor_core.hpp"
#include "io/passed_descriptors.hpp"
#include "io/stream_filter.hpp"

namespace ringo::detail {

class stream_core final : public descriptor_core {
 public:
  // A Unix socket also passes descriptors.
  enum class kind : std::uint8_t { socket, unix_socket, other };

  // Takes the descriptor. Errors and reports call the stream by its peer, or by the name if the peer has no address.
  stream_core(int descriptor, kind k, const endpoint& peer, std::string name);

  // Without the lock.
  std::string name() const override { return peer_ ? peer_.to_string() : name_; }
  const endpoint& peer() const noexcept { return peer_; }
  // From now on all bytes pass through the filter, also those that have been received and not read. Returns false, and
  // does nothing, if a routine reads or sends.
  bool put_on(std::unique_ptr<stream_filter> filter, worker& w);
  const stream_filter* filter() const noexcept { return filter_ != nullptr ? filter_->filter.get() : nullptr; }
  void end_sending() noexcept;  // no routine will send any more: tells the peer, after all sends in progress

  stream_core* next_accepted = nullptr;  // in a listener's list of connections that no case has taken

 private:
  // Bytes of the filter's own that may wait to be sent: four TLS records, where a handshake's answers need less than
  // one.
  static constexpr std::size_t most_answers = 64 * 1024;
  static constexpr std::size_t most_pieces = 16;  // of a send that may win a select at once: they are on the stack

  // What the sending direction is doing.
  enum class turn : std::uint8_t {
    free,     // nothing; no sender waits
    put_off,  // a no-op is in flight: its answer makes the first sender's piece
    encodes,  // the filter's turn is on, perhaps with a piece of the first sender's
    sends,    // a piece of the first sender's is in flight
    left,     // as encodes or sends, but the sender has left: if some of its bytes go out, the stream is cut short
    rest,     // bytes are in flight for which no sender waits: the filter's, or the rest of a system call's
    at_once,  // a routine makes, or is about to make, a system call
  };

  ~stream_core() override;
  void check() const override;
  bool stop(worker* w) noexcept override;
  void farewell(worker* w) noexcept override;
  bool quiet() const noexcept override;
  bool can(const io_request& r) const noexcept override;
  void give(io_request& r) noexcept override;
  void ask(io_request& r, worker& w) noexcept override;
  void left(io_request& r) noexcept override;
  void put_back(io_request& r) noexcept override;
  bool act(io_request& r, bool may_wait) noexcept override;
  [[noreturn]] void fail(const io_request& r) override;
  std::string doing(const io_request& r) const override;
  // Serves readers and senders. True: the filter's turn has begun, and the caller runs it without the lock.
  bool go_on(section& here) noexcept;

  // Receiving, under the lock.
  bool can_read(const reading& r) const noexcept;
  void give_bytes(reading& r) noexcept;
  void serve_readers(section& here) noexcept;
  void receive(scheduler& w) noexcept;  // unless a receive is in flight, or has to wait
  void fill_receive(kernel_call& call) noexcept;
  void received(const kernel_answer& answer) noexcept;
  void accept_answer(const kernel_answer& answer, bool is_gone, scheduler& w) noexcept;
  void note_end() noexcept;
  void serve_end(section& here) noexcept;  // after a send or a call

  // Sending, under the lock.
  int error_of(const sending& s) const noexcept;  // the error with which it fails at once; 0: none
  bool can_send(const sending& s) const noexcept;
  bool can_send_at_once(const sending& s) const noexcept;
  void begin_sending(sending& s, scheduler& w) noexcept;
  void serve_senders(section& here) noexcept;
  bool has_memory_for(const sending& s) noexcept;
  std::span<const std::byte> gather(sending& s) noexcept;  // copies its next piece; there is memory for it
  void send(std::span<const std::byte> bytes, turn of, scheduler& w) noexcept;
  bool send_coded(scheduler& w) noexcept;  // false: the filter has nothing to be sent
  void put_off(scheduler& w) noexcept;
  void fill_send(kernel_call& call) noexcept;
  void sent(const kernel_answer& answer) noexcept;
  bool note_sent(int result) noexcept;  // true: the rest must be sent again
  void note_loss() noexcept;            // a sender that has begun has gone
  void note_error(int error) noexcept;  // that the kernel has told a send
  void fail_to_send(int error) noexcept { send_error_ = send_error_ == 0 ? error : send_error_; }
  // Whether the filter's own bytes still go out.
  bool may_flush() const noexcept {
    return send_error_ == 0 || send_error_ == own_side_ended || send_error_ == filter_failed;
  }
  void leave_sending(sending& s) noexcept;
  void give_turn(sending& s) noexcept;

  // System calls of a routine's own (stream_calls.cpp).
  ssize_t send_now(const sending& s) const noexcept;                                 // without the lock
  bool note_sent_now(sending& s, ssize_t taken, int error, bool may_wait) noexcept;  // false: it has to wait
  bool begin_shutdown() noexcept;  // if it is time; true: the caller finishes it without the lock
  void finish_shutdown() noexcept;

  // The filter (stream_filter.hpp), under the lock.
  sending* filter_sender() noexcept;  // the first sender, if the filter has to do something for it
  bool begin_filter_turn(bool always = false) noexcept;
  void end_filter_turn() noexcept;
  void run_filter(worker* w) noexcept;  // without the lock, in turn

  const kind kind_;
  bool at_end_ = false;         // the peer has ended its side
  bool end_waits_ = false;      // a receive has found an end, which may be a reset that a send is told of
  bool more_is_there_ = false;  // the kernel has said so with its last answer
  bool can_borrow_ = true;      // the kernel chooses the buffer
  bool ends_when_sent_ = false;
  bool has_room_ = true;  // the kernel has taken all of the last send
  turn turn_ = turn::free;
  std::uint8_t calls_ = 0;                // system calls that are made, or about to be made, without the lock
  std::uint8_t broken_ = 0;               // the connection's error, if a send has been told of it
  int receive_error_ = 0;                 // stays, except for a lack of memory
  int send_error_ = 0;                    // stays; own_side_ended and cut_short are among them
  buffer_list there_;                     // received, and not read
  buffer* own_ = nullptr;                 // the buffer for the next receive, if the kernel cannot choose one
  buffer* piece_ = nullptr;               // a copy of a sender's next bytes; large if the sender has many
  const std::byte* in_flight_ = nullptr;  // bytes of the piece, or the filter's, that the kernel has yet to take
  std::size_t in_flight_size_ = 0;
  std::size_t progress_ = 0;  // bytes of the first sender that the kernel has taken
  operation_of<stream_core, &stream_core::fill_receive, &stream_core::received, POLLIN> receive_{*this};
  operation_of<stream_core, &stream_core::fill_send, &stream_core::sent, POLLOUT> send_{*this};
  std::unique_ptr<filtering> filter_;
  std::unique_ptr<message_in_flight> incoming_, outgoing_;  // of a Unix socket
  const endpoint peer_;
  const std::string name_;
};

// Makes a stream. It takes the descriptor, even if this throws std::bad_alloc.
stream_handle make_stream(int descriptor, stream_core::kind k, const endpoint& peer, std::string name = {});

}  // namespace ringo::detail
