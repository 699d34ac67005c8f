#include <ringo/pipe.hpp>

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include <ringo/descriptor.hpp>

#include "io/stream_core.hpp"
#include "platform/standard_streams.hpp"
#include "runtime/outside_error.hpp"

namespace ringo {
namespace {

void check(int descriptor, int refused_mode, const std::string& doing) {
  const int flags = ::fcntl(descriptor, F_GETFL);
  if (flags < 0) detail::throw_outside_error(errno, doing);
  if ((flags & O_ACCMODE) == refused_mode) {
    detail::throw_outside_error(EBADF,
                                doing + (refused_mode == O_WRONLY ? " is not for reading" : " is not for writing"));
  }
  if (detail::make_waiting(descriptor) < 0) detail::throw_outside_error(errno, doing);
}

detail::stream_handle make(int descriptor, std::string name) {
  return detail::make_stream(descriptor, detail::stream_core::kind::other, {}, std::move(name));
}

detail::stream_handle adopted(int descriptor, int refused_mode, const char* call) {
  detail::check_not_simulated(call);
  std::string name = "descriptor " + std::to_string(descriptor);
  check(descriptor, refused_mode, std::string("ringo: ") + call + ": " + name);
  return make(descriptor, std::move(name));
}

detail::stream_handle standard(int descriptor, int refused_mode, const char* name) {
  detail::check_not_simulated(name);
  const std::string doing = std::string("ringo: ") + name;
  if (detail::is_held(descriptor)) detail::throw_outside_error(EBADF, doing);
  check(descriptor, refused_mode, doing);
  const int own = ::fcntl(descriptor, F_DUPFD_CLOEXEC, 3);
  if (own < 0) detail::throw_outside_error(errno, doing);
  return make(own, name);
}

}  // namespace

pipe_reader pipe_reader::adopt(int descriptor) {
  return pipe_reader(adopted(descriptor, O_WRONLY, "pipe_reader::adopt"));
}
pipe_writer pipe_writer::adopt(int descriptor) {
  return pipe_writer(adopted(descriptor, O_RDONLY, "pipe_writer::adopt"));
}

pipe_pair::pipe_pair() {
  detail::check_not_simulated("pipe_pair");
  int ends[2];
  detail::hold_standard_streams();
  if (::pipe2(ends, O_CLOEXEC) != 0) detail::throw_outside_error(errno, "ringo: a new pipe");
  descriptor second(ends[1]);
  reader = pipe_reader(make(ends[0], "a pipe"));
  writer = pipe_writer(make(second.release(), "a pipe"));
}

pipe_reader standard_input() { return pipe_reader(standard(STDIN_FILENO, O_WRONLY, "standard input")); }
pipe_writer standard_output() { return pipe_writer(standard(STDOUT_FILENO, O_RDONLY, "standard output")); }
pipe_writer standard_error() { return pipe_writer(standard(STDERR_FILENO, O_RDONLY, "standard error")); }

}  // namespace ringo
