// event: a flag that routines wait for.
#pragma once
#include <ringo/detail/cpp20.hpp>

#include <ringo/detail/source.hpp>

namespace ringo {

namespace detail {
class event_core;
}

/// Routines wait until a flag is set; then they and later ones go on, until it is reset.
///
///   event stop;
///   go([&]() -> task<> { co_await stop.wait(); ... });
///   stop.set();
///
/// What a thread did before set() happens before the waits that it ends return. An event may be destroyed as soon as a
/// wait has returned and no call is in progress; waiters that are left end with `cancelled`. Thread: workers, or one
/// thread while no runtime runs; set(), is_set() and the destructor any.
class event {
 public:
  explicit event(bool set = false);
  explicit event(const detail::object_name& name, bool set = false);
  event(const event&) = delete;
  event& operator=(const event&) = delete;
  ~event();

  /// Does nothing if it is set. From a thread that is no worker it has happened soon after.
  void set();
  void reset();
  bool is_set() const noexcept;

  /// Waits until it is set; does not suspend if it is. All waiters go on, though it may be reset before they run.
  /// Throws: cancelled. Cancel safety: waiting changes nothing.
  detail::gate_operation wait() noexcept;

 private:
  detail::event_core* core_;
};

}  // namespace ringo
