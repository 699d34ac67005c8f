// signals: a process's signals, received by routines.
#pragma once
#include <ringo/detail/cpp20.hpp>

#include <csignal>
#include <initializer_list>
#include <string>

#include <ringo/detail/destroyed.hpp>
#include <ringo/detail/operation.hpp>

namespace ringo {

namespace detail {

class signals_core;

// The operation of signals::recv().
class RINGO_AWAITABLE signal_operation final : public operation<signal_operation, int> {
 public:
  static constexpr const char* call_name = "receive a signal";
  explicit signal_operation(signals_core* from) noexcept : from_(from) {}
  signal_operation(const signal_operation& from) noexcept : operation(from), from_(from.from_) {}
  signal_operation& operator=(const signal_operation& from) noexcept {
    from_ = from.from_;
    return *this;
  }
  ~signal_operation() {
    if (standing() != progress::idle) [[unlikely]]
      abandon(*who);
  }

  void enter(const worker* w);
  spin_lock* lock() noexcept;
  bool ready(worker&) noexcept;
  bool commit(worker&, bool, routine*&) noexcept;
  void link(worker& w, routine& r) noexcept;
  bool unlink() noexcept;
  void dispose() noexcept;
  int take();
  void discard() noexcept;
  void tell(std::string& text) const;

 private:
  friend class signals_core;
  void stop_counting() noexcept;

  signals_core* from_;
  bool counts_ = false;  // it counts in the core's uses
  int got_ = 0;          // the signal, or the errno if it failed
};

}  // namespace detail

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
    if (core_ == nullptr) [[unlikely]]
      detail::throw_used_after_end("signals::recv");
    return detail::signal_operation(core_);
  }

 private:
  detail::signals_core* core_;
};

}  // namespace ringo
