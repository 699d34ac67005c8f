// When the kernel's timer that ends a driver's sleeps is due.
#pragma once
#include <chrono>

#include <ringo/clock.hpp>

namespace ringo::detail {

// A timer of its own for each sleep costs more than the rest of the sleep (bench/floors.md), and most long sleeps end
// before their time. So a driver sets one timer, the alarm, and leaves it until it is over. It ends all sleeps that may
// last as long or longer; their worker wakes once too early, and sleeps again. A sleep that must end before the alarm
// has a timer of its own.
//
// With several workers there is no alarm (driver::may_leave_alarm). Its end would look like an answer that a worker
// which computes has not seen, and the others put timers off for such an answer (scheduler::has_unseen).
class sleep_alarm {
 public:
  // Shorter sleeps usually last their whole time, so the alarm would serve one sleep only.
  static constexpr duration shortest_sleep = std::chrono::milliseconds(1);

  bool is_set() const noexcept { return due_ != time_point::max(); }
  bool ends_by(time_point until) const noexcept { return due_ <= until; }
  void set(time_point due) noexcept { due_ = due; }
  void is_over() noexcept { due_ = time_point::max(); }

 private:
  time_point due_ = time_point::max();
};

}  // namespace ringo::detail
