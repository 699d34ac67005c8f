#include "driver/epoll_sleep.hpp"

#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <ctime>

namespace ringo::detail {
namespace {

#ifdef SYS_epoll_pwait2
constexpr long epoll_pwait2_number = SYS_epoll_pwait2;
#else
constexpr long epoll_pwait2_number = 441;
#endif

// As the kernel reads it, whatever the C library's timespec is.
struct kernel_timespec {
  long long seconds, nanoseconds;
};

int count_of(long result) noexcept { return result >= 0 ? static_cast<int>(result) : -errno; }

}  // namespace

void epoll_sleep::prepare(int epoll) noexcept {
  has_pwait2_ =
      ::syscall(epoll_pwait2_number, -1, nullptr, 1, nullptr, nullptr, 0) >= 0 || (errno != ENOSYS && errno != EPERM);
  make_timer(epoll);
}

int epoll_sleep::wait(int epoll, std::span<epoll_event> into, time_point until, bool may_leave_alarm) noexcept {
  const int most = static_cast<int>(into.size());
  if (until == time_point::min()) return count_of(::epoll_wait(epoll, into.data(), most, 0));
  const auto sleep = [=, this] {
    const int result = count_of(::epoll_wait(epoll, into.data(), most, -1));
    if (!may_leave_alarm && alarm_.is_set()) end_alarm();
    return result;
  };
  if (until == time_point::max() || alarm_.ends_by(until)) return sleep();
  constexpr duration longest = std::chrono::hours(24 * 365);
  const duration length = std::clamp<duration>(until - std::chrono::steady_clock::now(), duration::zero(), longest);
  const bool wants_alarm =
      !has_pwait2_ || (may_leave_alarm && length >= sleep_alarm::shortest_sleep && !alarm_.is_set());
  if (wants_alarm && length > duration::zero() && set_alarm(until)) return sleep();
  if (has_pwait2_) {
    // The kernel adds this to its own, later reading of the same clock, so the sleep never ends early.
    const kernel_timespec timeout{length.count() / 1'000'000'000, length.count() % 1'000'000'000};
    const int result = count_of(::syscall(epoll_pwait2_number, epoll, into.data(), most, &timeout, nullptr, 0));
    if (result != -ENOSYS && result != -EPERM) return result;
    has_pwait2_ = false;
    if (set_alarm(until)) return sleep();
  }
  const auto rounded = std::chrono::ceil<std::chrono::milliseconds>(length).count();
  return count_of(
      ::epoll_wait(epoll, into.data(), most, static_cast<int>(std::min<long long>(rounded, 1'000'000'000))));
}

// It is set by the clock's own time, so it does not expire before `due`. It is edge-triggered, so it need not be read.
bool epoll_sleep::set_alarm(time_point due) noexcept {
  if (timerfd_.number() < 0) return false;
  const duration at = due.time_since_epoch();
  itimerspec when{};
  when.it_value.tv_sec = static_cast<time_t>(at.count() / 1'000'000'000);
  when.it_value.tv_nsec = static_cast<long>(at.count() % 1'000'000'000);
  if (::timerfd_settime(timerfd_.number(), TFD_TIMER_ABSTIME, &when, nullptr) != 0) return false;
  alarm_.set(due);
  return true;
}

void epoll_sleep::end_alarm() noexcept {
  const itimerspec never{};
  (void)::timerfd_settime(timerfd_.number(), 0, &never, nullptr);
  alarm_.is_over();
}

void epoll_sleep::make_timer(int epoll) noexcept {
  const int made = ::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
  if (made < 0) return;
  epoll_event event{};
  event.events = EPOLLIN | EPOLLET;
  event.data.u64 = timer;
  if (::epoll_ctl(epoll, EPOLL_CTL_ADD, made, &event) != 0) {
    ::close(made);
    return;
  }
  timerfd_.set(made);
}

}  // namespace ringo::detail
