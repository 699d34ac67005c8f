#pragma once
#include <sys/epoll.h>

#include <cstdint>
#include <span>

#include <ringo/clock.hpp>

#include "driver/owned_descriptor.hpp"

namespace ringo::detail {

// Waits for an epoll instance's events until a time, to the nanosecond: by epoll_pwait2 (Linux 5.11); where that is
// missing or refused, by a timerfd among the watched descriptors; without a descriptor for that, to the next
// millisecond.
class epoll_sleep {
 public:
  static constexpr std::uint64_t timer = ~std::uint64_t{0};  // the timerfd's event

  // Makes the timerfd where it will be needed, so that no descriptor is made, or missing, later.
  void prepare(int epoll) noexcept;
  // time_point::min(): does not wait; max(): without limit. The number of events, or a negative errno.
  int wait(int epoll, std::span<epoll_event> into, time_point until) noexcept;
  void forget_descriptor() noexcept { timerfd_.forget(); }

 private:
  bool set_timer(int epoll, time_point until) noexcept;
  bool make_timer(int epoll) noexcept;

  owned_descriptor timerfd_{-1};
  bool has_pwait2_ = true;
};

}  // namespace ringo::detail
