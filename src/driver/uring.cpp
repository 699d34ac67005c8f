#include "driver/uring.hpp"

#include <fcntl.h>
#include <liburing.h>
#include <sys/eventfd.h>
#include <sys/types.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cassert>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <exception>
#include <iterator>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "driver/first_polls.hpp"
#include "driver/mapped_ring.hpp"
#include "driver/provided_buffers.hpp"
#include "driver/raised_flag.hpp"
#include "driver/refusal.hpp"
#include "driver/request_backlog.hpp"
#include "driver/uring_alarm.hpp"
#include "driver/uring_call.hpp"
#include "driver/uring_threads.hpp"
#include "driver/uring_wake.hpp"
#include "platform/standard_streams.hpp"

namespace ringo::detail {

namespace {

// The user_data of the driver's own entries; all other is a request's address.
constexpr std::uint64_t nobody = 0;  // its completion is ignored
constexpr std::uint64_t wake_up = 1;
constexpr std::uint64_t take_back = 2;
constexpr std::uint64_t alarm_rings = 3;
constexpr std::uint64_t last_of_own = alarm_rings;

// The kernel does not check sums of times for overflow.
constexpr duration longest_sleep = std::chrono::hours(24 * 365);

class uring_driver final : public uring {
 public:
  uring_driver(unsigned entries, task_work best) : ring_(entries, best), process_(::getpid()) {}

  ~uring_driver() override {
    if (::getpid() != process_) {
      ring_.abandon();
      return;
    }
    if (owner_ == std::this_thread::get_id() && !is_lost_) {
      drain();
    } else {
      assert((in_flight() == 0 || is_lost_) && "a ring with operations in flight is destroyed by its worker's thread");
    }
    for (; !backlog_.empty(); backlog_.pop_front()) forget_call(*backlog_.front());
    if (in_flight() != 0 || taking_back_ != 0) provided_.leave_to_kernel();  // operations may still write to them
    if (is_closed_behind_) {
      // The program has closed these descriptors: their numbers are free, or name other files.
      ring_.forget_descriptor();
      wake_.forget_descriptor();
      if (take_back_from_) take_back_from_->forget();
    }
  }

  void attach() override {
    if (owner_ != std::thread::id()) throw std::logic_error("ringo: a driver is attached twice");
    const auto number = static_cast<unsigned>(ring_.number());
    const int result = ::io_uring_register(number, IORING_REGISTER_ENABLE_RINGS, nullptr, 0);
    if (result < 0) fail("io_uring_register", -result);
    owner_ = std::this_thread::get_id();
  }

  time_point now() const noexcept override { return std::chrono::steady_clock::now(); }

  bool poll(time_point until) override {
    check_thread();
    const raised_flag now_and_at_the_end(answers_);
    const bool all_submitted = (backlog_.empty() && to_end_.empty()) || submit_backlog();
    bool has_reaped = reap();
    const duration length = has_reaped || !all_submitted ? duration::zero() : time_until(until);
    if (length > duration::zero() && (wake_.reads() || arm_wake()) && wake_.begin_sleep()) {
      answers_.store(false, std::memory_order_release);
      const int result = sleep(until, length);
      answers_.store(true, std::memory_order_release);
      wake_.end_sleep();
      check(result);
      return reap();
    }
    // The ring's flags say whether completions wait for an enter. If not, and with nothing to submit, skip the call.
    if (unsubmitted() != 0 || (ring_.flags() & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW)) != 0) {
      check(enter(0, IORING_ENTER_GETEVENTS));
      has_reaped = reap() || has_reaped;
    }
    return has_reaped;
  }

  // The flags and the answers' tail are in memory that the kernel writes, so any thread may read them.
  bool may_have_answers() const noexcept override {
    // These are read in the order in which an answer passes through them.
    return asks_.load(std::memory_order_acquire) ||
           (ring_.flags() & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW)) != 0 || ring_.has_unread_answers() ||
           answers_.load(std::memory_order_acquire);
  }

  void wake() noexcept override { wake_.wake(); }

  std::size_t in_flight() const noexcept override { return in_flight_.load(std::memory_order_acquire); }

  void submit(kernel_request& r) noexcept override {
    asks_.store(true, std::memory_order_relaxed);
    in_flight_.store(in_flight() + 1, std::memory_order_relaxed);
    // Now, under the lock of the request's source.
    kernel_call call;
    fill(r, call);
    if (!backlog_.empty() || !try_submit(r, call)) put_off(r, call);
  }

  void end_early(kernel_request& r) noexcept override {
    if (withdraw(r)) return;
    try {
      if (backlog_.empty() && try_cancel(r)) return;
    } catch (const std::system_error&) {
    }
    to_end_.push_back(&r);
  }

  void drain() noexcept override {
    if (is_lost_) return;
    try {
      end_everything();
    } catch (const std::exception& problem) {
      std::fprintf(stderr, "ringo: a ring is closed with %zu operations in flight: %s\n", in_flight(), problem.what());
    }
  }

  bool lends_buffers(bool more) noexcept override {
    return provided_.open(ring_.number()) && (!more || provided_.grow());
  }
  std::size_t provided() const noexcept override { return provided_.count(); }

  void give_back_unneeded() noexcept override {
    check_thread();
    buffers.free_unneeded();
    if (taking_back_ == 0) take_back_buffers(provided_.shrink());
  }
  bool has_plenty() const noexcept override { return buffers.held() != 0 || provided_.has_plenty(); }

  void add_waiting_threads(int more) noexcept override { threads_.add_waiting(ring_.number(), more); }

 private:
  void check_thread() const {
    assert(owner_ == std::this_thread::get_id() && "a ring is used by the thread that it is attached to");
  }

  // zero() if that time has come. At most longest_sleep.
  duration time_until(time_point until) const {
    if (until == time_point::max()) return longest_sleep;
    if (until == time_point::min()) return duration::zero();
    const time_point at = now();
    return until <= at ? duration::zero() : std::min(until - at, longest_sleep);
  }

  // The number of entries that the kernel has not taken yet.
  unsigned unsubmitted() const { return tail_ - ring_.submission_head(); }

  // Null if the kernel takes no more now: it is out of memory, or (before Linux 6) has too many answers that were not
  // reaped. They cannot be reaped here, since a completion may be the caller.
  io_uring_sqe* next_entry() {
    while (unsubmitted() == ring_.submission_entries()) {
      const int result = enter(0, 0);
      check(result);
      if (result <= 0) return nullptr;
    }
    io_uring_sqe& entry = ring_.submission(tail_++);
    std::memset(&entry, 0, sizeof entry);
    return &entry;
  }

  void put_off(kernel_request& r, const kernel_call& call) noexcept {
    r.record = new (std::nothrow) kernel_call(call);
    r.record != nullptr ? backlog_.push_back(r) : withdrawn_.push_back(r);
  }
  static void forget_call(kernel_request& r) noexcept {
    delete static_cast<kernel_call*>(std::exchange(r.record, nullptr));
  }

  // Takes an operation that is not yet submitted out of the queue. The kernel would start it before it cancels it.
  bool withdraw(kernel_request& r) noexcept {
    if (backlog_.remove(r)) {
      forget_call(r);
    } else {
      io_uring_sqe& entry = ring_.submission(r.position);
      const bool is_queued = tail_ - r.position <= unsubmitted() && r.position != tail_;
      if (!is_queued || entry.user_data != reinterpret_cast<std::uintptr_t>(&r)) return false;
      std::memset(&entry, 0, sizeof entry);
      ::io_uring_prep_nop(&entry);
      entry.user_data = nobody;
    }
    withdrawn_.push_back(r);
    return true;
  }

  void answer_withdrawn() {
    for (request_backlog ended = std::exchange(withdrawn_, {}); !ended.empty();) {
      kernel_request& each = *ended.front();
      ended.pop_front();  // before the call, which may submit it again
      forget_ending(each);
      answer(each, {.result = -ECANCELED});
      in_flight_.store(in_flight() - 1, std::memory_order_release);  // as in reap()
    }
  }

  // These return false if the kernel takes no more now.
  bool try_submit(kernel_request& r, const kernel_call& call) noexcept {
    try {
      io_uring_sqe* const entry = next_entry();
      if (entry == nullptr) return false;
      entry->user_data = reinterpret_cast<std::uintptr_t>(&r);
      r.position = tail_ - 1;
      translate(call, *entry);
      r.waits_first = call.waits_first;
      if (call.waits_first && first_polls_.pay()) entry->ioprio |= IORING_RECVSEND_POLL_FIRST;
      return true;
    } catch (const std::system_error&) {
      return false;  // the ring is lost; the next poll() throws
    }
  }

  bool try_cancel(std::uint64_t user_data, int flags) {
    io_uring_sqe* const entry = next_entry();
    if (entry == nullptr) return false;
    ::io_uring_prep_cancel64(entry, user_data, flags);
    entry->user_data = nobody;
    return true;
  }
  bool try_cancel(kernel_request& r) { return try_cancel(reinterpret_cast<std::uintptr_t>(&r), 0); }

  // Called before the answer is delivered: the object may be freed then, and another may get its address.
  void forget_ending(const kernel_request& answered) noexcept {
    if (!to_end_.empty()) [[unlikely]]
      std::erase(to_end_, &answered);
  }

  // Submits reads that complete at once into provided buffers, so that the kernel gives these buffers back. A receive
  // that finds no buffer in the meantime ends with ENOBUFS, and is submitted again with more buffers.
  void take_back_buffers(unsigned number) noexcept {
    if (number == 0 || !backlog_.empty()) return;
    // Each read of the eventfd semaphore takes 1 from it. No read waits: there are as many reads as it counts.
    const int source = ::eventfd(number, EFD_CLOEXEC | EFD_SEMAPHORE);
    if (source < 0) return;  // without one, ordinary receives shrink the ring, too
    take_back_from_.emplace(source);
    try {
      for (; number != 0; --number, ++taking_back_) {
        io_uring_sqe* const entry = next_entry();
        if (entry == nullptr) break;
        ::io_uring_prep_read(entry, source, nullptr, sizeof(std::uint64_t), 0);
        entry->flags |= IOSQE_BUFFER_SELECT;
        entry->buf_group = 0;
        entry->user_data = take_back;
      }
    } catch (const std::system_error&) {
      // The ring is lost; the next poll() throws.
    }
    if (taking_back_ == 0) take_back_from_.reset();
  }

  void taken_back(unsigned flags) noexcept {
    if (buffer* const b = provided_.take_back(flags)) buffer_pool::free(*b);
    if (--taking_back_ == 0) take_back_from_.reset();
  }

  bool submit_backlog() {
    for (; !backlog_.empty(); backlog_.pop_front()) {
      kernel_request& first = *backlog_.front();
      if (!try_submit(first, *static_cast<const kernel_call*>(first.record))) break;
      forget_call(first);
    }
    if (!backlog_.empty()) return false;
    while (!to_end_.empty() && try_cancel(*to_end_.back())) to_end_.pop_back();
    return to_end_.empty();
  }

  bool arm_wake() {
    io_uring_sqe* const entry = next_entry();
    if (entry == nullptr) return false;
    wake_.fill_read(*entry);
    entry->user_data = wake_up;
    return true;
  }

  // The result of io_uring_enter: the number of entries that the kernel has taken, or a negative errno.
  int enter(unsigned wait_for, unsigned flags, io_uring_getevents_arg* argument = nullptr) {
    ring_.publish_submissions(tail_);
    asks_.store(false, std::memory_order_relaxed);
    const unsigned first = ring_.submission_head();
    first_polls_.note_enter(first, wait_for == 0 ? tail_ - first : 0);
    return ::io_uring_enter2(static_cast<unsigned>(ring_.number()), unsubmitted(), wait_for, flags,
                             reinterpret_cast<sigset_t*>(argument), argument == nullptr ? 0 : sizeof *argument);
  }

  int sleep(time_point until, duration length) {
    if (until == time_point::max() || alarm_.ends_by(until)) return enter(1, IORING_ENTER_GETEVENTS);
    const bool wants_alarm = may_leave_alarm && !alarm_.is_set() && length >= sleep_alarm::shortest_sleep;
    if (wants_alarm && length < longest_sleep && set_alarm(until)) return enter(1, IORING_ENTER_GETEVENTS);
    return enter_for(length);
  }

  // The kernel adds the length to its own, later reading of the same clock, so the sleep never ends early.
  int enter_for(duration length) {
    __kernel_timespec timeout = timespec_of(length);
    io_uring_getevents_arg argument{};
    argument.ts = reinterpret_cast<std::uintptr_t>(&timeout);
    return enter(1, IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG, &argument);
  }

  // False: the kernel takes no more now.
  bool set_alarm(time_point due) {
    io_uring_sqe* const entry = next_entry();
    if (entry == nullptr) return false;
    alarm_.fill_timeout(*entry, due);
    entry->user_data = alarm_rings;
    return true;
  }

  // Errors that only end a sleep or put off a submission are no failures: the caller looks again for work.
  void check(int result) {
    constexpr int harmless[] = {
        ETIME, EINTR,
        EAGAIN,  // no memory for the operations now; they stay in the queue
        EBUSY,   // completions overflowed; they are reaped next
    };
    if (result < 0 && std::find(std::begin(harmless), std::end(harmless), -result) == std::end(harmless))
      fail("io_uring_enter", -result);
  }

  [[noreturn]] void fail(const char* call, int error) {
    is_lost_ = true;
    // The number of a closed descriptor may now name another file, which is no ring.
    if (error == EBADF || error == EOPNOTSUPP) {
      is_closed_behind_ = true;
      throw closed_behind("the ring's descriptor", ring_.number(), error);
    }
    if (error == EBADR) {
      throw std::system_error(error, std::generic_category(),
                              "ringo: the kernel had no memory for a completion and lost it; what waits for it would "
                              "wait for ever");
    }
    throw refusal(call, error);
  }

  // Delivers the answers that came before this call, in order, and returns whether there was one. The next call
  // delivers those that come in the meantime.
  bool reap() {
    const bool has_withdrawn = !withdrawn_.empty();
    if (has_withdrawn) [[unlikely]]
      answer_withdrawn();
    const unsigned tail = ring_.answer_tail();
    if (head_ == tail) return has_withdrawn;
    provided_.begin_turn();
    while (head_ != tail) {
      const io_uring_cqe& shared = ring_.answer(head_);
      const std::uint64_t user_data = shared.user_data;
      const int result = shared.res;
      const unsigned flags = shared.flags;
      ring_.release_answers(++head_);  // before the call, which may enter the kernel
      if (user_data <= last_of_own) {
        note_own(user_data, result, flags);
        continue;
      }
      kernel_request& answered = *reinterpret_cast<kernel_request*>(static_cast<std::uintptr_t>(user_data));
      forget_ending(answered);
      if (answered.waits_first) first_polls_.note_answer(answered.position);
      answer(answered, {in_errno(result), (flags & IORING_CQE_F_SOCK_NONEMPTY) != 0, provided_.take(flags)});
      // release: a thread that sees 0 in flight sees what the completion has made ready.
      in_flight_.store(in_flight() - 1, std::memory_order_release);
    }
    return true;
  }

  void note_own(std::uint64_t user_data, int result, unsigned flags) {
    switch (user_data) {
      case wake_up:
        return wake_.has_read(result);
      case take_back:
        return taken_back(flags);
      case alarm_rings:
        return alarm_.is_over();
      default:
        return;
    }
  }

  void end_everything() {
    while (in_flight() != 0 || wake_.reads() || taking_back_ != 0) {
      submit_backlog();
      if (wake_.reads()) try_cancel(wake_up, 0);
      if (in_flight() != 0) try_cancel(0, static_cast<int>(IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_ALL));
      // A cancellation can miss an operation between two of its stages, or the kernel may have taken no entry: ask
      // again after a while.
      check(enter_for(std::chrono::milliseconds(10)));
      reap();
    }
  }

  mapped_ring ring_;
  uring_wake wake_;
  uring_alarm alarm_;
  pid_t process_;
  std::thread::id owner_;
  unsigned tail_ = 0;                       // of the submissions; published by enter()
  unsigned head_ = 0;                       // of the answers
  std::atomic<std::size_t> in_flight_ = 0;  // written by the owner only
  std::atomic<bool> asks_ = false;          // operations were submitted since the last enter; likewise
  std::atomic<bool> answers_ = false;       // answers are being delivered or reaped; likewise
  request_backlog backlog_;
  request_backlog withdrawn_;            // taken out of the queue; their last answers are not delivered yet
  std::vector<kernel_request*> to_end_;  // in flight; to be cancelled when the backlog has been submitted
  provided_buffers provided_{buffers};
  std::optional<owned_descriptor> take_back_from_;
  unsigned taking_back_ = 0;  // reads that are in flight, for take_back_buffers()
  first_polls first_polls_;
  uring_threads threads_;
  bool is_lost_ = false;           // the ring does not work any more
  bool is_closed_behind_ = false;  // and the program has closed its descriptor
};

}  // namespace

std::unique_ptr<uring> make_uring(unsigned entries, task_work best) {
  if (entries == 0) throw std::invalid_argument("ringo: a ring needs at least 1 entry (at most 32768 are used)");
  hold_standard_streams();
  return std::make_unique<uring_driver>(entries, best);
}

}  // namespace ringo::detail
