// event: a flag that is waited on to be set; one opens a gate for all who wait, and for all who come later.
#pragma once
#include <ringo/detail/cpp20.hpp>

#include <memory>
#include <string>

#include <ringo/detail/mortal_source.hpp>

namespace ringo {

namespace detail {

class event_core;

// The awaitable of event::wait. Throws: cancelled. Cancel safety: waiting changes nothing.
class RINGO_AWAITABLE event_operation final : public mortal_operation<event_operation, void> {
 public:
  static constexpr const char* call_name = "wait for an event";
  explicit event_operation(event_core& of) noexcept : of_(&of) {}

  void enter(const worker* w);
  spin_lock* lock() noexcept;
  mortal_queue& queue() noexcept;
  bool ready(worker&) noexcept;
  void tell(std::string& text) const { text += "an event"; }

 private:
  event_core* of_;
};

}  // namespace detail

// What was done before set() happens before the waits return that it lets go on. It may be destroyed as soon as a wait
// has returned and no call is in progress; who still waits ends with `cancelled`. Thread: workers, or one thread while
// no runtime runs; set() and is_set() any, and so is destroying it.
class event {
 public:
  explicit event(bool set = false);
  event(const event&) = delete;
  event& operator=(const event&) = delete;
  ~event();

  void set();  // from a thread that is no worker it has happened soon after; of a set event it does nothing
  void reset();
  bool is_set() const noexcept;

  // When it is set; without suspending if it is already. All who wait go on, though it be reset before they run.
  detail::event_operation wait() noexcept { return detail::event_operation(*core_); }

 private:
  std::shared_ptr<detail::event_core> core_;  // shared with the calls of set() that a worker has yet to do
};

}  // namespace ringo
