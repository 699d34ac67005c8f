// A stream's filter: it codes the bytes between the stream's users and its descriptor. TLS is one.
#pragma once
#include <cstddef>
#include <exception>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include <ringo/detail/worker.hpp>

#include "io/buffer_list.hpp"

namespace ringo::detail {

// One thread at a time uses it. No call waits or throws.
class stream_filter {
 public:
  stream_filter() = default;
  stream_filter(const stream_filter&) = delete;
  stream_filter& operator=(const stream_filter&) = delete;
  virtual ~stream_filter() = default;

  // Takes bytes that came over the descriptor. False if there is no memory for them.
  virtual bool put_in(std::span<const std::byte> coded) noexcept = 0;
  // Goes on with the handshake. It may then have bytes to send.
  virtual void advance() noexcept = 0;
  virtual bool is_established() const noexcept = 0;
  // Decodes bytes that came, and returns their number; 0: none yet.
  virtual std::size_t decode(std::span<std::byte> into) noexcept = 0;
  virtual bool has_ended() const noexcept = 0;  // the peer has announced its end

  // Encodes all bytes.
  virtual void encode(std::span<const std::byte> plain) noexcept = 0;
  virtual void end_output() noexcept = 0;  // announces the end to the peer
  // Moves the coded bytes into a vector. False if there is no memory for them.
  virtual bool take_coded(std::vector<std::byte>& into) noexcept = 0;

  // Null if there was no error. After an error no more bytes come in or go out.
  virtual std::exception_ptr error() const noexcept = 0;
};

// A stream's filter, with the bytes that go into it and come out of it.
//
// The filter works without the stream's lock, since a handshake takes milliseconds. One worker at a time has the
// filter's turn: it takes its orders under the lock (stream_core::begin_filter_turn), works, and delivers under the
// lock (end_filter_turn). Another worker leaves its orders for the worker in turn.
class filtering {
 public:
  explicit filtering(std::unique_ptr<stream_filter> f) noexcept : filter(std::move(f)) {}

  // Called by the worker in turn, without the lock: carries out `orders`, and leaves `results`. w is null if no runtime
  // runs.
  void work(worker* w, int descriptor) noexcept;

  // Guarded by the stream's lock.
  bool in_turn = false;
  bool is_established = false;
  bool has_ended_output = false;     // it has been told to, or is now
  bool has_last_words = false;       // the descriptor is being closed: one more turn is due
  buffer_list received;              // and not yet given to the filter
  std::vector<std::byte> coded;      // to be sent
  std::vector<std::byte> in_flight;  // of which the kernel has yet to take some
  std::exception_ptr error;          // does not change once it is set

  // Of the worker in turn.
  struct {
    buffer_list received;
    std::span<const std::byte> plain;  // to be encoded
    bool ends_output = false;
    bool may_send = false;  // no bytes are on their way: the last words may go at once
    bool closes = false;
  } orders;
  struct {
    buffer_list plain;
    std::vector<std::byte> coded;
    bool lacks_memory_in = false, lacks_memory_out = false;
    bool is_established = false, has_ended = false;
    std::exception_ptr error;
  } results;
  const std::unique_ptr<stream_filter> filter;  // for the worker in turn
};

}  // namespace ringo::detail
