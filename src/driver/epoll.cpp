// poll() first gives the answers that are there, then looks at what the threads have done, the pauses that are over,
// and the requests that were submitted before: each is tried once. If nothing was answered, it sleeps in
// epoll_wait. It looks at epoll without a sleep only if a call waits there, and not more often than every
// `look_period`: a worker with much to do calls poll() after each turn. An answer may come later by as much; the sleep
// of a worker with nothing to do is a look in any case.
#include "driver/epoll.hpp"

#include <poll.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cassert>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <utility>

#include "driver/epoll_calls.hpp"
#include "driver/epoll_sleep.hpp"
#include "driver/raised_flag.hpp"
#include "driver/refusal.hpp"
#include "driver/wake_event.hpp"
#include "platform/standard_streams.hpp"

namespace ringo::detail {
namespace {

using place = begun_call::place;

constexpr std::uint64_t event_of_wake = ~std::uint64_t{0} - 1;  // the eventfd's event
// Much more than an epoll_wait() costs, and little beside what a request costs.
constexpr duration look_period = std::chrono::microseconds(50);
constexpr duration interrupt_period = std::chrono::milliseconds(1);

int made_epoll() {
  hold_standard_streams();
  const int made = ::epoll_create1(EPOLL_CLOEXEC);
  if (made < 0) throw refusal("epoll_create1", errno);
  return made;
}

// These are made before, and destroyed after, what uses them.
struct epoll_descriptors {
  owned_descriptor epoll_{made_epoll()};
  wake_event wake_;
};

class epoll_driver final : private epoll_descriptors, public epoll_calls {
 public:
  epoll_driver() : epoll_calls(epoll_.number(), wake_), process_(::getpid()) {
    // Edge-triggered, and never read: each write is an edge.
    epoll_event event{};
    event.events = EPOLLIN | EPOLLET;
    event.data.u64 = event_of_wake;
    if (::epoll_ctl(epoll_.number(), EPOLL_CTL_ADD, wake_.number(), &event) != 0) throw refusal("epoll_ctl", errno);
    sleep_.prepare(epoll_.number());
  }

  ~epoll_driver() override {
    if (::getpid() != process_) {
      (void)threads_.release();  // the child has no such threads, and their mutex may be locked
      return;
    }
    if (owner_ == std::this_thread::get_id()) {
      drain();
    } else {
      assert((in_flight() == 0 || is_lost_) &&
             "a driver with operations in flight is destroyed by its worker's thread");
    }
    threads_.reset();
    if (is_lost_) {
      // The program has closed these descriptors: their numbers are free, or name other files.
      epoll_.forget();
      wake_.forget_descriptor();
      sleep_.forget_descriptor();
    }
  }

  void attach() override {
    if (owner_ != std::thread::id()) throw std::logic_error("ringo: a driver is attached twice");
    owner_ = std::this_thread::get_id();
  }

  time_point now() const noexcept override { return std::chrono::steady_clock::now(); }

  bool poll(time_point until) override {
    check_thread();
    const raised_flag now_and_at_the_end(answers_);
    const bool is_certain = until != time_point::min() && until != time_point::max() && until <= now();
    if (serve()) {
      look(is_certain);
      return true;
    }
    if (is_certain || until == time_point::min()) return look(is_certain);
    prepare_to_look();
    if (!answered_.empty() || !unrecorded_.empty()) return serve();
    if (!wake_.begin_sleep()) return look(false);
    answers_.store(false, std::memory_order_release);
    const int events = wait(limited(until));
    answers_.store(true, std::memory_order_release);
    wake_.end_sleep();
    take(events);
    return serve();
  }

  bool may_have_answers() const noexcept override {
    // These are read in the order in which an answer passes through them.
    if (asks_.load(std::memory_order_acquire) || threads_->has_done() || answers_.load(std::memory_order_acquire)) {
      return true;
    }
    pollfd one{epoll_.number(), POLLIN, 0};
    return waits_.load(std::memory_order_acquire) && ::poll(&one, 1, 0) != 0;
  }

  void wake() noexcept override { wake_.wake(); }

  void drain() noexcept override {
    while (in_flight() != 0) {
      serve();
      calls_.each([this](begun_call& c) {
        if (c.where != place::unused) end_early(*c.request);
      });
      table_.each_idle([this](kernel_request& r) { end_early(r); });
      if (serve() || in_flight() == 0 || !answered_.empty() || submitted_count_ != 0) continue;
      // A thread carries the rest out. It wakes this sleep when it has done so.
      try {
        if (wake_.begin_sleep()) take(wait(now() + interrupt_period));
        wake_.end_sleep();
      } catch (const std::system_error&) {
        std::this_thread::sleep_for(interrupt_period);  // epoll is lost; the threads are not
      }
    }
  }

  bool lends_buffers(bool more) noexcept override {
    if (!more) return true;
    buffer* const one = buffers.take();
    if (one != nullptr) buffers.give_back(*one);
    return one != nullptr;
  }

  void list_threads(std::vector<pid_t>& ids) const override { threads_->list_threads(ids); }

 private:
  void check_thread() const {
    assert(owner_ == std::this_thread::get_id() && "a driver is used by the thread that it is attached to");
  }

  // Without a sleep.
  bool look(bool is_certain) {
    if (table_.waiting() == 0 || (!is_certain && now() - last_look_ < look_period)) return false;
    prepare_to_look();
    take(wait(time_point::min()));
    return serve();
  }

  time_point limited(time_point until) const noexcept {
    if (!pauses_.empty()) until = std::min(until, pauses_.first_due());
    return interrupts_ ? std::min(until, now() + interrupt_period) : until;
  }

  int wait(time_point until) {
    int result;
    do {
      result = sleep_.wait(epoll_.number(), events_, until, may_leave_alarm);
    } while (result == -EINTR);  // a handler that called wake() has left an event
    last_look_ = now();
    if (result >= 0) return result;
    is_lost_ = true;
    throw closed_behind("the epoll descriptor", epoll_.number(), -result);
  }

  void take(int events) noexcept {
    for (const epoll_event& each : std::span(events_).first(static_cast<std::size_t>(events))) {
      if (each.data.u64 == epoll_sleep::timer) {
        sleep_.alarm_is_over();
      } else if (each.data.u64 != event_of_wake) {
        table_.take(each.data.u64, each.events, ready_, unrecorded_);
      }
    }
  }

  const pid_t process_;
  epoll_sleep sleep_;
  std::thread::id owner_;
  time_point last_look_{};
  bool is_lost_ = false;               // the program has closed the descriptors
  std::atomic<bool> answers_ = false;  // answers are being given; written by the owner only
  std::array<epoll_event, 128> events_;
};

}  // namespace

std::unique_ptr<driver> make_epoll() { return std::make_unique<epoll_driver>(); }

}  // namespace ringo::detail
