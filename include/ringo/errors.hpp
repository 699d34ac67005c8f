// What ringo throws besides the standard library's own.
#pragma once
#include <stdexcept>
#include <system_error>

namespace ringo {

// A send on a closed channel, a second close, a close of nil: a bug in the program, as in Go.
struct channel_closed : std::logic_error {
  using std::logic_error::logic_error;
};

// Nothing can ever run again. what() lists every blocked routine: what it waits for, where, and where it was started.
struct deadlock : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// The routine's context was cancelled, or its handle's cancel() called; std::errc::operation_canceled.
struct cancelled : std::system_error {
  cancelled();
};

// A time limit of with_timeout or with_deadline has passed; std::errc::timed_out.
struct timed_out : std::system_error {
  timed_out();
};

// The peer is gone: reset, broken pipe, aborted, keep-alive ran out.
struct disconnected : std::system_error {
  using std::system_error::system_error;
};

}  // namespace ringo
