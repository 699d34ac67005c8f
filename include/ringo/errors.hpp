// ringo's exceptions.
#pragma once
#include <ringo/detail/cpp20.hpp>

#include <stdexcept>
#include <system_error>

namespace ringo {

/// A send on a closed channel, a second close, or a close of nil: an error in the program, as in Go.
struct channel_closed : std::logic_error {
  using std::logic_error::logic_error;
};

/// No routine can ever run again. what() lists each routine: what it waits for, where, and where it was started.
struct deadlock : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// An await throws this if the routine's context was cancelled, or its handle's cancel() called.
///
/// It derives from no standard exception, so that a retry loop with `catch (const std::exception&)` lets it pass. Catch
/// it only to clean up, and rethrow it: if the routine goes on, its next await throws it again.
class cancelled {
 public:
  const char* what() const noexcept;
  std::error_code code() const noexcept;  ///< std::errc::operation_canceled
};

/// The time limit of with_timeout or with_deadline has passed. Its code is std::errc::timed_out.
struct timed_out : std::system_error {
  timed_out();
};

/// The peer is gone: the connection was reset or aborted, the pipe has no reader, or keep-alive found no peer.
struct disconnected : std::system_error {
  using std::system_error::system_error;
};

}  // namespace ringo
