// submit() fills a begun_call (kernel_request::record), under the source's lock, which guards what fill() reads. Until
// its answer it is in one of these places: it was submitted since the last poll() (`submitted_`), waits for its
// descriptor (interest_table), pauses (pause_queue), is carried out by a thread (call_threads), is tried next
// (`ready_`), or has its answer (`answered_`). When there have been enough of them, nothing is allocated.
//
// poll() first gives the answers that are there, then looks at what the threads have done, the pauses that are over,
// and the requests that were submitted before: each is tried once. If nothing was answered, it sleeps in
// epoll_wait. It looks at epoll without a sleep only if a call waits there, and not more often than every
// `look_period`: a worker with much to do calls poll() after each turn. An answer may come later by as much; the sleep
// of a worker with nothing to do is a look in any case.
//
// Invariants, between two calls (check()): in_flight_ counts the requests in all places; the lists' calls say where
// they are.
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

#include <ringo/detail/checked.hpp>

#include "driver/attempt.hpp"
#include "driver/begun_call.hpp"
#include "driver/call_threads.hpp"
#include "driver/epoll_sleep.hpp"
#include "driver/interest_table.hpp"
#include "driver/pause_queue.hpp"
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
// After so many attempts in vain, each after an event, a call pauses before the next: the event says nothing about it
// (a socket's queue of errors, for example), and epoll would report it again at once.
constexpr int most_attempts_in_vain = 16;
constexpr duration pause_in_vain = std::chrono::milliseconds(1);
// The kernel was out of memory for a registration, or has no event for what a send waits for.
constexpr duration pause_without_event = std::chrono::milliseconds(5);

int made_epoll() {
  hold_standard_streams();
  const int made = ::epoll_create1(EPOLL_CLOEXEC);
  if (made < 0) throw refusal("epoll_create1", errno);
  return made;
}

class epoll_driver final : public driver {
 public:
  epoll_driver() : process_(::getpid()), epoll_(made_epoll()), table_(epoll_.number()) {
    // Edge-triggered, and never read: each write is an edge.
    epoll_event event{};
    event.events = EPOLLIN | EPOLLET;
    event.data.u64 = event_of_wake;
    if (::epoll_ctl(epoll_.number(), EPOLL_CTL_ADD, wake_.number(), &event) != 0) throw refusal("epoll_ctl", errno);
    threads_ = std::make_unique<call_threads>(wake_);
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
    const answering now_and_at_the_end(answers_);
    if (serve()) {
      look();
      return true;
    }
    if (until == time_point::min() || (until != time_point::max() && until <= now())) return look();
    prepare_to_look();
    if (!answered_.empty() || !wake_.begin_sleep()) return look();
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

  std::size_t in_flight() const noexcept override { return in_flight_.load(std::memory_order_acquire); }

  void submit(kernel_request& r) noexcept override {
    asks_.store(true, std::memory_order_relaxed);
    in_flight_.store(in_flight() + 1, std::memory_order_relaxed);
    begun_call* const c = calls_.take();
    r.record = c;
    if (c == nullptr) {
      r.next = std::exchange(starved_, &r);
      return;
    }
    c->call = {};
    r.fill(c->call);
    c->request = &r;
    c->has_connected = false;
    c->in_vain = 0;
    c->where = place::submitted;
    submitted_.push_back(*c);
    ++submitted_count_;
  }

  void end_early(kernel_request& r) noexcept override {
    if (r.record == nullptr) return;  // its answer is that there is no memory
    begun_call& c = *static_cast<begun_call*>(r.record);
    switch (c.where) {
      case place::submitted:
        submitted_.remove(c);
        --submitted_count_;
        break;
      case place::on_descriptor:
        table_.stop_waiting(c);
        break;
      case place::pausing:
        pauses_.remove(c);
        break;
      case place::tried_next:
        ready_.remove(c);
        break;
      case place::on_thread:
        if (threads_->withdraw(c)) break;
        interrupts_ = true;
        return;
      default:
        return;
    }
    keep_answer(c, {.result = -ECANCELED});
  }

  void drain() noexcept override {
    while (in_flight() != 0) {
      serve();
      calls_.each([this](begun_call& c) {
        if (c.where != place::unused) end_early(*c.request);
      });
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
  struct answering {
    explicit answering(std::atomic<bool>& now) noexcept : now_(now) { now_.store(true, std::memory_order_release); }
    answering(const answering&) = delete;
    answering& operator=(const answering&) = delete;
    ~answering() { now_.store(false, std::memory_order_release); }
    std::atomic<bool>& now_;
  };

  void check_thread() const {
    assert(owner_ == std::this_thread::get_id() && "a driver is used by the thread that it is attached to");
  }

  // ---- answers

  void complete(kernel_request& r, const kernel_answer& answer) noexcept {
    r.complete(answer);
    // release: a thread that sees 0 in flight sees what the completion has made ready.
    in_flight_.store(in_flight() - 1, std::memory_order_release);
  }
  void complete(begun_call& c, const kernel_answer& answer) noexcept {
    kernel_request& r = *c.request;
    r.record = nullptr;
    calls_.give_back(c);
    complete(r, answer);
  }
  void keep_answer(begun_call& c, const kernel_answer& answer) noexcept {
    asks_.store(true, std::memory_order_relaxed);
    c.answer = answer;
    if (buffer* const lent = std::exchange(c.lent, nullptr)) {
      answer.result > 0 ? void(c.answer.filled = lent) : buffers.give_back(*lent);
    }
    c.where = place::answered;
    answered_.push_back(c);
  }

  // Answers what can be answered without a look at epoll, and returns whether that was anything.
  bool serve() noexcept {
    bool any = give_answers();
    if (threads_->has_done()) any = take_done() || any;
    if (interrupts_) [[unlikely]]
      interrupts_ = threads_->interrupt();
    if (!pauses_.empty()) any = end_pauses() || any;
    if (!ready_.empty()) any = try_ready() || any;
    if (starved_ != nullptr) [[unlikely]]
      any = answer_starved() || any;
    if (submitted_count_ != 0) any = begin_submitted() || any;
    tell_others();
    if (checked_build) check();
    return any;
  }

  bool give_answers() noexcept {
    begun_list these = std::exchange(answered_, {});
    const bool any = !these.empty();
    while (!these.empty()) {
      begun_call& c = these.pop_front();
      complete(c, c.answer);
    }
    return any;
  }

  bool take_done() noexcept {
    begun_list done = threads_->take_done();
    const bool any = !done.empty();
    while (!done.empty()) {
      begun_call& c = done.pop_front();
      keep_answer(c, c.answer);
    }
    return any && give_answers();
  }

  bool end_pauses() noexcept {
    bool any = false;
    for (const time_point time = now(); !pauses_.empty() && pauses_.first_due() <= time;) {
      begun_call& c = pauses_.pop_first();
      if (c.call.what == kernel_call::kind::pause) {
        complete(c, {.result = -ETIME});
        any = true;
      } else {
        c.where = place::tried_next;
        ready_.push_back(c);
      }
    }
    return any;
  }

  // ---- attempts

  // Those that were submitted before: a completion may submit again, also the same request.
  bool begin_submitted() noexcept {
    bool any = false;
    for (std::size_t left = submitted_count_; left != 0 && submitted_count_ != 0; --left) {
      begun_call& c = submitted_.pop_front();
      --submitted_count_;
      kernel_answer answer;
      if (!begin(c, answer)) continue;
      complete(c, answer);
      any = true;
    }
    return any;
  }

  bool answer_starved() noexcept {
    for (kernel_request* r = std::exchange(starved_, nullptr); r != nullptr;) {
      complete(*std::exchange(r, r->next), {.result = -ENOMEM});
    }
    return true;
  }

  // Whether it is answered.
  bool begin(begun_call& c, kernel_answer& answer) noexcept {
    using kind = kernel_call::kind;
    kernel_call& call = c.call;
    if (call.what == kind::nothing) return true;
    attempted how = attempted::must_wait;
    if (call.what == kind::pause) {
      const auto& length = *static_cast<const pause_length*>(call.from);
      pause(c, delay(std::chrono::seconds(length.seconds) + std::chrono::nanoseconds(length.nanoseconds)).value());
      return false;
    }
    if (call.what == kind::close) {
      table_.forget(call.descriptor);
      if (!may_wait_to_close(call.descriptor)) {
        answer.result = carry_out(call);
        return true;
      }
      how = attempted::needs_thread;
    } else if (call.what >= kind::sync) {
      how = attempted::needs_thread;
    } else {
      answer.result = -table_.prepare(call);
      if (answer.result != 0) return true;
      if (table_.is_worth_trying(call)) how = try_now(call, false, answer);
      if (how == attempted::answered) return true;
      c.has_connected = call.what == kind::connect;
    }
    go_on(c, how);
    return false;
  }

  attempted try_now(kernel_call& call, bool has_connected, kernel_answer& answer) noexcept {
    const attempted how = attempt(call, has_connected, buffers, answer);
    if (how != attempted::needs_thread) table_.note(call, how == attempted::answered ? &answer : nullptr);
    return how;
  }

  void go_on(begun_call& c, attempted how) noexcept {
    if (how == attempted::needs_thread) return give_to_thread(c);
    if (c.in_vain >= most_attempts_in_vain) return pause(c, pause_in_vain);
    if (has_no_event(c.call)) return pause(c, pause_without_event);
    table_.wait(c);
  }

  void give_to_thread(begun_call& c) noexcept {
    if (c.call.lends) {
      c.lent = buffers.take();
      if (c.lent == nullptr) return keep_answer(c, {.result = -ENOBUFS});
      put_in(c.call, *c.lent);
    }
    threads_->add(c);
  }

  void pause(begun_call& c, duration length) noexcept {
    const time_point time = now();
    if (!pauses_.add(c, length > time_point::max() - time ? time_point::max() : time + length)) {
      keep_answer(c, {.result = -ENOMEM});
    }
  }

  bool try_ready() noexcept {
    bool any = false;
    while (!ready_.empty()) {
      begun_call& c = ready_.pop_front();
      kernel_answer answer;
      const attempted how = try_now(c.call, c.has_connected, answer);
      if (how == attempted::answered) {
        complete(c, answer);
        any = true;
      } else {
        if (c.in_vain < most_attempts_in_vain) ++c.in_vain;
        go_on(c, how);
      }
    }
    return any;
  }

  // ---- epoll

  void prepare_to_look() noexcept {
    if (!table_.has_to_arm()) return;
    begun_list refused;
    table_.arm(refused);
    while (!refused.empty()) {
      begun_call& c = refused.pop_front();
      const int error = -c.answer.result;
      kernel_answer answer;
      const attempted how = try_now(c.call, c.has_connected, answer);
      if (how == attempted::answered) {
        keep_answer(c, answer);
      } else if (how == attempted::needs_thread || error == EPERM) {
        give_to_thread(c);  // epoll does not watch files on a disk
      } else {
        pause(c, pause_without_event);
      }
    }
    tell_others();
  }

  // Without a sleep.
  bool look() {
    if (table_.waiting() == 0 || now() - last_look_ < look_period) return false;
    prepare_to_look();
    take(wait(time_point::min()));
    return serve();
  }

  time_point limited(time_point until) const noexcept {
    if (!pauses_.empty()) until = std::min(until, pauses_.first_due());
    return interrupts_ ? std::min(until, now() + interrupt_period) : until;
  }

  int wait(time_point until) {
    const int result = sleep_.wait(epoll_.number(), events_, until);
    last_look_ = now();
    if (result >= 0 || result == -EINTR) return std::max(result, 0);
    is_lost_ = true;
    throw std::system_error(-result, std::generic_category(),
                            "ringo: the epoll descriptor (" + std::to_string(epoll_.number()) +
                                ") was closed behind the runtime. A program that closes all descriptors, to become a "
                                "daemon for example, must do so before the runtime starts");
  }

  void take(int events) noexcept {
    for (const epoll_event& each : std::span(events_).first(static_cast<std::size_t>(events))) {
      if (each.data.u64 != event_of_wake && each.data.u64 != epoll_sleep::timer) {
        table_.take(each.data.u64, each.events, ready_);
      }
    }
  }

  void tell_others() noexcept {
    asks_.store(
        submitted_count_ != 0 || starved_ != nullptr || !answered_.empty() || !ready_.empty() || table_.has_to_arm(),
        std::memory_order_relaxed);
    waits_.store(table_.waiting() != 0, std::memory_order_release);
  }

  void check() noexcept {
    std::size_t counted = calls_.used();
    for (const kernel_request* r = starved_; r != nullptr; r = r->next) ++counted;
    invariant(counted == in_flight(), "a request in flight has one begun_call, or is starved");
    for (const begun_call* c = answered_.front(); c != nullptr; c = c->next) {
      invariant(c->where == place::answered, "the list of answers has calls with an answer only");
    }
    if (table_.waiting() < 256 || ++checks_ % 256 == 0) table_.check();
  }

  const pid_t process_;
  owned_descriptor epoll_;
  wake_event wake_;
  epoll_sleep sleep_;
  interest_table table_;
  begun_calls calls_;
  pause_queue pauses_;
  std::unique_ptr<call_threads> threads_;
  std::thread::id owner_;
  begun_list submitted_, ready_, answered_;
  std::size_t submitted_count_ = 0;
  kernel_request* starved_ = nullptr;  // a list of requests for which there was no memory
  time_point last_look_{};
  unsigned checks_ = 0;
  bool interrupts_ = false;                 // a running call of a thread was asked to end
  bool is_lost_ = false;                    // the program has closed the descriptors
  std::atomic<std::size_t> in_flight_ = 0;  // this and the rest are written by the owner only
  std::atomic<bool> asks_ = false;          // there is something to do without a look at epoll, or to register
  std::atomic<bool> waits_ = false;         // a call waits in the table
  std::atomic<bool> answers_ = false;       // answers are being given
  std::array<epoll_event, 128> events_;
};

}  // namespace

std::unique_ptr<driver> make_epoll() { return std::make_unique<epoll_driver>(); }

}  // namespace ringo::detail
