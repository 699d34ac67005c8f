// signals: a process's signals, received by routines.
#pragma once
#include <ringo/detail/cpp20.hpp>

#include <csignal>
#include <initializer_list>

#include <ringo/detail/signal_operation.hpp>

namespace ringo {

/// Receives some signals, from its construction to its destruction.
///
///   signals stop({SIGINT, SIGTERM});
///   co_await stop.recv();
///
/// A signal that comes while no routine receives is kept; several of the same number are kept as one, as in the kernel.
/// If several objects name a signal, each gets it. While one of them lives, the signal does not have its former effect,
/// such as to end the process; when the last one is destroyed, it has it again.
class signals {
 public:
  /// Throws: std::invalid_argument if the list is empty, if a number is not a signal, or if it cannot be received
  /// (SIGKILL, SIGSTOP; SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, which a thread's own fault raises);
  /// std::system_error if there is no descriptor.
  signals(std::initializer_list<int> numbers);
  signals(const signals&) = delete;
  signals& operator=(const signals&) = delete;
  /// Routines that still receive end with `cancelled`.
  ~signals();

  /// Yields the number of the next signal. If several kinds have come, they take turns, so a flood of one hides no
  /// other. A routine that waits for a signal never counts as deadlocked. Throws: cancelled. Cancel safety: a signal
  /// that came for a losing case is kept for the next receive. Fairness: first come, first served. Thread: workers.
  detail::signal_operation recv() const {
    if (!core_) [[unlikely]]
      detail::throw_used_after_end("signals::recv");
    return detail::signal_operation(core_.source());
  }

 private:
  detail::signals_handle core_;
};

}  // namespace ringo
