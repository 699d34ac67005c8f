// What ringo throws besides the standard library's own.
#pragma once
#include <ringo/detail/cpp20.hpp>

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

/// An await throws this when the routine's context was cancelled, or its handle's cancel() called.
///
/// It derives from no standard exception, so that a retry loop with `catch (const std::exception&)` lets it pass. Catch
/// it only to clean up, and rethrow it: a routine that goes on is ended at its next await.
class cancelled {
 public:
  const char* what() const noexcept;
  std::error_code code() const noexcept;  ///< std::errc::operation_canceled
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
