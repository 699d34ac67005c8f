// A sleep_alarm that a ring sets: a timeout in flight.
#pragma once
#include <liburing.h>

#include <ratio>

#include "driver/sleep_alarm.hpp"

namespace ringo::detail {

inline __kernel_timespec timespec_of(duration d) noexcept {
  return {d.count() / std::nano::den, d.count() % std::nano::den};
}

class uring_alarm : public sleep_alarm {
 public:
  void fill_timeout(io_uring_sqe& entry, time_point due) noexcept {
    time_ = timespec_of(due.time_since_epoch());
    ::io_uring_prep_timeout(&entry, &time_, 0, IORING_TIMEOUT_ABS);
    set(due);
  }

 private:
  __kernel_timespec time_{};  // the kernel reads it when it takes the entry
};

}  // namespace ringo::detail
