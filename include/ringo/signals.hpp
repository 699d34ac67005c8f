// signals: what the system tells the whole process, as something that is received.
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

// The awaitable of signals::recv.
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
  bool counts_ = false;  // in its uses
  int got_ = 0;          // the signal, or where it has failed the errno
};

}  // namespace detail

// Hears of some signals, from when it is made until it is destroyed: what comes before anybody receives is kept. Of
// several of one kind that come before the first is received, one is heard, as with signals that are pending in the
// kernel; of different kinds each is. Several objects that name one signal all hear it. While one lives, what the
// process did at such a signal before, ending for example, it does not; when the last one goes, it does again.
class signals {
 public:
  // Throws std::invalid_argument for none, for a number that is no signal, and for one that cannot be waited for
  // (SIGKILL, SIGSTOP; SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, which a thread brings upon itself);
  // std::system_error where there is no descriptor for it.
  signals(std::initializer_list<int> numbers);
  signals(const signals&) = delete;
  signals& operator=(const signals&) = delete;
  // Who still receives ends with `cancelled`.
  ~signals();

  // The next signal; of several that have come each kind in its turn, so that a storm of one hides no other. A routine
  // that waits for one is no deadlock. Throws: cancelled. Cancel safety: a signal that has come for a case that loses
  // is the next one's. Fairness: who waits longest is first; each signal is received once from each object. Thread:
  // workers.
  detail::signal_operation recv() const {
    if (core_ == nullptr) [[unlikely]]
      detail::throw_used_after_end("signals::recv");
    return detail::signal_operation(core_);
  }

 private:
  detail::signals_core* core_;
};

}  // namespace ringo
