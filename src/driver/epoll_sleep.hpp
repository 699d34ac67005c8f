#pragma once
#include <sys/epoll.h>

#include <cstdint>
#include <span>

#include <ringo/clock.hpp>

#include "driver/owned_descriptor.hpp"
#include "driver/sleep_alarm.hpp"

namespace ringo::detail {

// Waits for an epoll instance's events until a time, to the nanosecond. Long sleeps are ended by a timerfd among the
// watched descriptors, which is set once for many of them (sleep_alarm.hpp); others by epoll_pwait2 (Linux 5.11). Where
// that is missing or refused, the timerfd ends all sleeps; without a descriptor for it, and without epoll_pwait2, they
// last to the next millisecond.
class epoll_sleep {
 public:
  static constexpr std::uint64_t timer = ~std::uint64_t{0};  // the timerfd's event

  // Makes the timerfd, so that no descriptor is made, or missing, later.
  void prepare(int epoll) noexcept;
  // time_point::min(): does not wait; max(): without limit. The number of events, or a negative errno.
  int wait(int epoll, std::span<epoll_event> into, time_point until, bool may_leave_alarm) noexcept;
  void alarm_is_over() noexcept { alarm_.is_over(); }  // the timerfd's event has come
  void forget_descriptor() noexcept { timerfd_.forget(); }

 private:
  bool set_alarm(time_point due) noexcept;  // false: there is no timerfd
  void end_alarm() noexcept;
  void make_timer(int epoll) noexcept;

  owned_descriptor timerfd_{-1};
  sleep_alarm alarm_;
  bool has_pwait2_ = true;
};

}  // namespace ringo::detail
