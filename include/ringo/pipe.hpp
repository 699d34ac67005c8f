// Pipes, the standard streams, and other descriptors that bytes come from or go to.
#pragma once
#include <ringo/detail/cpp20.hpp>

#include <ringo/stream.hpp>

namespace ringo {

/// Where bytes come from: recv, read, read_exactly, close. Move-only; its destructor closes it in the background.
/// Thread: workers; destroyed on any.
class pipe_reader : public stream_reader {
 public:
  using stream_reader::stream_reader;

  /// Takes a descriptor that is read in order: of a pipe, a FIFO, a terminal, a device. Clears O_NONBLOCK, for all that
  /// share the open file. Throws std::system_error if it cannot be read, and does not take it then.
  static pipe_reader adopt(int descriptor);
};

/// Where bytes go: send, close. Move-only; its destructor closes it in the background, and the reader finds the end. A
/// send to a pipe whose reader has gone throws disconnected. Workers block SIGPIPE; it ends the process only where
/// descriptor 1 or 2 is such a pipe, so a send to standard_output() can. Thread: workers; destroyed on any.
class pipe_writer : public stream_writer {
 public:
  using stream_writer::stream_writer;
  static pipe_writer adopt(int descriptor);  ///< as pipe_reader::adopt, for writing
  void shutdown_send() const = delete;       // closing or destroying it ends the stream
};

/// The two ends of a new pipe, which no program that is executed inherits. Throws std::system_error if there are no
/// descriptors left.
class pipe_pair {
 public:
  pipe_pair();

  pipe_reader reader;
  pipe_writer writer;
};

/// The process' own, each with a descriptor of its own: closing it leaves 0, 1 and 2 open. Keep one reader: bytes that
/// it has received and not yielded go with it. Clears O_NONBLOCK of descriptors 0 to 2. Throws std::system_error if the
/// process has none.
pipe_reader standard_input();
pipe_writer standard_output();
pipe_writer standard_error();

}  // namespace ringo
