#include "driver/call_threads.hpp"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <iterator>
#include <system_error>
#include <utility>

#include <ringo/detail/checked.hpp>

#include "driver/attempt.hpp"
#include "platform/signals_blocked.hpp"

namespace ringo::detail {
namespace {

// So many calls can wait for a disk at the same time, for each worker.
constexpr std::size_t usual_threads = 16;
constexpr std::chrono::seconds idle_time{2};

void do_nothing(int) {}

// 0 if the program uses all of them.
int signal_to_interrupt() noexcept {
  for (int number = SIGRTMAX - 1; number > SIGRTMIN; --number) {
    struct sigaction now{};
    if (::sigaction(number, nullptr, &now) != 0) continue;
    if (now.sa_handler == do_nothing) return number;
    if (now.sa_handler != SIG_DFL) continue;
    struct sigaction ours{};
    ours.sa_handler = do_nothing;
    ::sigfillset(&ours.sa_mask);
    if (::sigaction(number, &ours, nullptr) == 0) return number;
  }
  return 0;
}

// The signal is let in only while a call may be interrupted. All real-time signals are: which one it will be is not
// known yet, and no other thread sends one to this thread.
void let_interruptions_in(bool in) noexcept {
  sigset_t all;
  ::sigemptyset(&all);
  for (int number = SIGRTMIN + 1; number < SIGRTMAX; ++number) ::sigaddset(&all, number);
  ::pthread_sigmask(in ? SIG_UNBLOCK : SIG_BLOCK, &all, nullptr);
}

}  // namespace

call_threads::~call_threads() {
  locked guard(mutex_);
  closed_ = true;
  while (!queue_.empty()) queue_.pop_front();
  queued_ = 0;
  come_.notify_all();
  guard.unlock();
  for (member& m : members_) m.thread.join();
}

void call_threads::add(begun_call& c) noexcept {
  c.where = begun_call::place::on_thread;
  locked guard(mutex_);
  c.ends = false;
  c.is_queued = true;
  queue_.push_back(c);
  ++queued_;
  if (may_be_interrupted(c.call)) ++long_calls_;
  staff(guard);
  if (checked_build) check();
}

bool call_threads::withdraw(begun_call& c) noexcept {
  const locked guard(mutex_);
  c.ends = true;
  if (!c.is_queued) return false;
  queue_.remove(c);
  c.is_queued = false;
  --queued_;
  if (may_be_interrupted(c.call)) --long_calls_;
  return true;
}

bool call_threads::interrupt() noexcept {
  const locked guard(mutex_);
  bool some = false;
  for (member& m : members_) {
    if (m.running == nullptr || !m.running->ends || !may_be_interrupted(m.running->call)) continue;
    some = true;
    if (const int number = signal_to_interrupt()) ::pthread_kill(m.thread.native_handle(), number);
  }
  return some;
}

begun_list call_threads::take_done() noexcept {
  const locked guard(mutex_);
  has_done_.store(false, std::memory_order_relaxed);
  return std::exchange(done_, {});
}

void call_threads::list_threads(std::vector<pid_t>& ids) const {
  const locked guard(mutex_);
  for (const member& m : members_) {
    if (m.id != 0 && !m.ended) ids.push_back(m.id);
  }
}

// Under the mutex, which it gives up while it joins threads that have ended.
void call_threads::staff(locked& guard) noexcept {
  if (idle_ >= queued_) return come_.notify_one();
  if (idle_ != 0) come_.notify_one();
  if (threads_ >= usual_threads + long_calls_) return;
  join_ended(guard);
  if (start_thread() || threads_ != 0) return;  // else one of these will come to it
  while (!queue_.empty()) {
    begun_call& c = queue_.pop_front();
    c.is_queued = false;
    --queued_;
    c.answer = {.result = -EAGAIN};
    finish(c);
  }
}

void call_threads::join_ended(locked& guard) noexcept {
  std::list<member> ended;
  for (auto m = members_.begin(); m != members_.end();) {
    const auto next = std::next(m);
    if (m->ended) ended.splice(ended.end(), members_, m);
    m = next;
  }
  if (ended.empty()) return;
  guard.unlock();
  for (member& m : ended) m.thread.join();
  guard.lock();
}

bool call_threads::start_thread() noexcept {
  try {
    member& self = members_.emplace_back();
    try {
      const signals_blocked while_it_starts;
      self.thread = std::thread([this, &self] { work(self); });
    } catch (...) {
      members_.pop_back();
      return false;
    }
    ::pthread_setname_np(self.thread.native_handle(), "ringo files");
    ++threads_;
    return true;
  } catch (const std::bad_alloc&) {
    return false;
  }
}

void call_threads::work(member& self) noexcept {
  locked guard(mutex_);
  self.id = ::gettid();
  for (;;) {
    while (!queue_.empty()) {
      begun_call& c = queue_.pop_front();
      c.is_queued = false;
      --queued_;
      self.running = &c;
      const bool is_long = may_be_interrupted(c.call);
      guard.unlock();
      if (is_long) let_interruptions_in(true);
      const int result = carry_out(c.call);
      if (is_long) let_interruptions_in(false);
      guard.lock();
      self.running = nullptr;
      c.answer = {.result = result};
      finish(c);
    }
    if (closed_) break;
    ++idle_;
    const bool has_work = come_.wait_for(guard, idle_time, [this] { return queued_ != 0 || closed_; });
    --idle_;
    if (!has_work) break;
  }
  --threads_;
  self.ended = true;
}

// Under the mutex.
void call_threads::finish(begun_call& c) noexcept {
  if (may_be_interrupted(c.call)) --long_calls_;
  done_.push_back(c);
  if (!has_done_.exchange(true, std::memory_order_acq_rel)) wakes_.wake();
}

// Under the mutex.
void call_threads::check() const {
  std::size_t queued = 0;
  for (const begun_call* c = queue_.front(); c != nullptr; c = c->next) {
    ++queued;
    invariant(c->where == begun_call::place::on_thread, "the queue has calls for threads only");
  }
  invariant(queued == queued_, "the queue counts its calls");
  invariant(queued_ == 0 || threads_ != 0, "a call is queued => there is a thread that comes to it");
  invariant(idle_ <= threads_, "no more threads are idle than there are");
}

}  // namespace ringo::detail
