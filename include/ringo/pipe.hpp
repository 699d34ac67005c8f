// Pipes, the standard streams, and other descriptors that bytes come from or go to.
#pragma once
#include <ringo/detail/cpp20.hpp>

#include <utility>

#include <ringo/detail/byte_stream.hpp>

namespace ringo {

struct process_access;

// Where bytes come from: recv, read, read_exactly, close (detail::stream_source). Move-only; its destructor closes it,
// in the background. Thread: workers; destroyed on any.
class pipe_reader : public detail::stream_source {
 public:
  pipe_reader() noexcept = default;

  // Takes a descriptor that can be read in order: a pipe's, a FIFO's, a terminal's, a device's. Throws
  // std::system_error if it is none, and leaves it then. If it does not wait (O_NONBLOCK), it does from now on, for all
  // that share it.
  static pipe_reader adopt(int descriptor);

 private:
  friend class pipe_pair;
  friend struct process_access;
  friend pipe_reader standard_input();
  explicit pipe_reader(detail::stream_handle core) noexcept : stream_source(std::move(core)) {}
};

// Where bytes go: send, close (detail::stream_sink). As the reader. Destroying it is the end of the stream for who
// reads. A send to a pipe that nobody reads any more throws disconnected; SIGPIPE is blocked in
// workers, and ends the process only where descriptor 1 or 2 is such a pipe: so a send to standard_output() does.
class pipe_writer : public detail::stream_sink {
 public:
  pipe_writer() noexcept = default;
  static pipe_writer adopt(int descriptor);

 private:
  friend class pipe_pair;
  friend struct process_access;
  friend pipe_writer standard_output();
  friend pipe_writer standard_error();
  explicit pipe_writer(detail::stream_handle core) noexcept : stream_sink(std::move(core)) {}
};

// The two ends of a new pipe; neither is inherited by what is executed. Throws std::system_error without descriptors.
class pipe_pair {
 public:
  pipe_pair();

  pipe_reader reader;
  pipe_writer writer;
};

// The process' own, by a descriptor of their own: closing one leaves 0, 1 and 2 open. What the reader has taken and
// nobody has read goes with it, so keep one. Where descriptors 0 to 2 do not wait, they do from now on (adopt). Throws
// std::system_error where the process has none.
pipe_reader standard_input();
pipe_writer standard_output();
pipe_writer standard_error();

}  // namespace ringo
