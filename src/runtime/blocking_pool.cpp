#include "runtime/blocking_pool.hpp"

#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <iterator>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>

#include <ringo/blocking.hpp>
#include <ringo/detail/section.hpp>

#include "platform/ranked_lock.hpp"
#include "platform/signals_blocked.hpp"
#include "runtime/live_counts.hpp"
#include "runtime/runtime_core.hpp"
#include "runtime/sigpipe.hpp"

namespace ringo::detail {
namespace {

thread_local std::uint64_t runtime_of_call = 0;

time_point from_now(duration length) noexcept {
  const time_point now = std::chrono::steady_clock::now();
  return length > time_point::max() - now ? time_point::max() : now + length;
}

}  // namespace

std::uint64_t runtime_of_blocking_call() noexcept { return runtime_of_call; }

// ---- a call

void blocking_call::release() noexcept {
  if (count_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
}

void blocking_call::enter(worker& w) {
  const auto& pool = w.runtime.pool;
  if (pool_ == pool) return;
  if (pool_ && pool_->has_begun_or_queued(*this)) {
    throw std::logic_error("ringo: blocking: awaited in another runtime than the one whose pool has the call");
  }
  pool_ = pool;
}

void blocking_call::add_waiter(waiter& one, worker& w, bool soon) noexcept {
  waiting_.push_back(one);
  pool_->add(*this);
  if (soon) w.runtime.serve_pool_soon();
}

void blocking_call::remove_waiter(waiter& one) noexcept {
  if (one.where_queued == waiter::place::queued) waiting_.remove(one);
  if (waiting_.empty()) pool_->withdraw(*this);
}

void blocking_call::append_to(wait_report& text) const {
  text += pool_->is_queued(*this) ? "a thread for a blocking call" : "the end of a blocking call";
}

void staff_pool(worker& w) noexcept { w.runtime.pool->staff(); }

void throw_empty_blocking_call() {
  throw std::logic_error("ringo: blocking: awaited again after its result has been taken, or moved from");
}

// ---- lists

void blocking_call_list::push_back(blocking_call& c) noexcept {
  c.next_ = nullptr;
  c.previous_ = last_;
  (last_ ? last_->next_ : first_) = &c;
  last_ = &c;
  ++size_;
}

void blocking_call_list::remove(blocking_call& c) noexcept {
  (c.previous_ ? c.previous_->next_ : first_) = c.next_;
  (c.next_ ? c.next_->previous_ : last_) = c.previous_;
  --size_;
}

blocking_call* blocking_call_list::pop_front() noexcept {
  blocking_call* c = first_;
  if (c != nullptr) remove(*c);
  return c;
}

// Checks the invariants in checked builds, and in a simulation.
class blocking_pool::locked final : public ranked_lock<lock_rank::blocking_pool> {
 public:
  explicit locked(const blocking_pool& of) : ranked_lock(of.mutex_), of_(of) {}
  ~locked() {
    if (owns_lock()) unlock();
  }
  void unlock() {
    if (checked_build || of_.simulated_) of_.check();
    ranked_lock::unlock();
  }

 private:
  const blocking_pool& of_;
};

// ---- the queue

blocking_pool::blocking_pool(runtime_core& rt, std::size_t most_threads, duration longest_idle, bool simulated)
    : runtime_id_(rt.id), most_threads_(most_threads), idle_time_(longest_idle), simulated_(simulated), runtime_(&rt) {}

void blocking_pool::add(blocking_call& c) noexcept {
  const locked guard(*this);
  if (c.stage_ != blocking_call::stage::new_or_withdrawn) return;
  c.stage_ = blocking_call::stage::queued;
  c.hold();
  queue_.push_back(c);
  count(+1);
}

void blocking_pool::withdraw(blocking_call& c) noexcept {
  const locked guard(*this);
  if (c.stage_ != blocking_call::stage::queued) return;
  c.stage_ = blocking_call::stage::new_or_withdrawn;
  queue_.remove(c);
  count(-1);
  c.release();  // not the last one: the operation still holds the call
}

// Under the mutex.
void blocking_pool::check() const {
  invariant(coming_ <= threads_ && threads_ <= most_threads_,
            "threads come that are counted, and no more than allowed");
  invariant(in_flight_ >= queue_.size(), "a queued call is in flight");
  int left = 16;
  for (const blocking_call* c = queue_.first(); c != nullptr && left > 0; c = c->next_, --left) {
    invariant(c->stage_ == blocking_call::stage::queued, "the pool's queue has queued calls only");
    invariant(c->next_ == nullptr || c->next_->previous_ == c, "the pool's queue is linked in both directions");
  }
  left = 16;
  for (const blocking_call* c = completed_.first(); c != nullptr && left > 0; c = c->next_, --left) {
    invariant(c->stage_ == blocking_call::stage::over, "the completed calls are over");
  }
}

bool blocking_pool::has_begun_or_queued(const blocking_call& c) const {
  const locked guard(*this);
  return c.stage_ != blocking_call::stage::new_or_withdrawn;
}

bool blocking_pool::is_queued(const blocking_call& c) const {
  const locked guard(*this);
  return c.stage_ == blocking_call::stage::queued;
}

void blocking_pool::count(int change) noexcept {
  in_flight_ += static_cast<std::size_t>(change);
  // release: a thread that sees 0 here sees what the last call has posted.
  auto& counted = runtime_ != nullptr ? runtime_->outside_work : outside_counts().operations;
  counted.fetch_add(change, std::memory_order_release);
}

void blocking_pool::serve(worker& w) noexcept {
  staff();
  blocking_call_list over;
  {
    const locked guard(*this);
    over = std::exchange(completed_, {});
  }
  while (blocking_call* c = over.pop_front()) {
    section_of here(*c, &w);
    c->delivered = true;
    c->waiting_.claim_all(here);
    here.end_behind_queue();
    c->release();
  }
}

// ---- the threads

void blocking_pool::staff() noexcept {
  if (simulated_) return;
  locked guard(*this);
  while (queue_.size() > coming_) {
    if (member* top = idle_) {
      idle_ = top->idle_below;
      top->woken = true;
      ++coming_;
      top->wake.notify_one();
      continue;
    }
    if (threads_ == most_threads_) return;
    ++threads_;
    ++coming_;
    guard.unlock();
    const std::exception_ptr error = start_thread();
    guard.lock();
    if (!error) continue;
    --threads_;
    --coming_;
    if (threads_ != 0) return;  // one of these will take the call
    while (blocking_call* c = queue_.pop_front()) {
      c->stage_ = blocking_call::stage::over;
      c->fail(error);
      completed_.push_back(*c);
      count(-1);
    }
    runtime_->ring();
  }
}

std::exception_ptr blocking_pool::start_thread() noexcept {
  try {
    std::list<member> one(1);
    member& self = one.front();
    {
      const signals_blocked while_it_starts;
      self.thread = std::thread([pool = shared<blocking_pool>(this), &self] { pool->work(self); });
    }
    ::pthread_setname_np(self.thread.native_handle(), "ringo blocking");
    const locked guard(*this);
    members_.splice(members_.end(), one);
  } catch (const std::system_error& e) {
    return std::make_exception_ptr(
        std::system_error(e.code(),
                          "ringo: blocking: no thread could be started for the call (the limits are RLIMIT_NPROC, "
                          "the cgroup's pids.max and memory)"));
  } catch (...) {
    return std::current_exception();
  }
  return nullptr;
}

void blocking_pool::work(member& self) noexcept {
  locked guard(*this);
  self.id = ::gettid();
  --coming_;
  do {
    while (blocking_call* c = queue_.pop_front()) run(*c, guard);
  } while (wait_for_work(guard, self));
  --threads_;
  // Each thread joins the threads that have ended before it, so that no worker has to.
  std::list<member> before = take_ended();
  self.ended = true;
  if (closed_) all_ended_.notify_one();
  guard.unlock();
  for (member& m : before) {
    if (m.thread.joinable()) m.thread.join();
  }
}

// False if the thread must end.
bool blocking_pool::wait_for_work(locked& guard, member& self) {
  if (closed_) return false;
  self.idle_below = std::exchange(idle_, &self);
  self.wake.wait_until(guard, from_now(idle_time_), [&] { return self.woken || closed_; });
  if (std::exchange(self.woken, false)) {
    --coming_;
    return true;
  }
  member** link = &idle_;
  while (*link != &self) link = &(*link)->idle_below;
  *link = self.idle_below;
  return false;
}

void blocking_pool::run(blocking_call& c, locked& guard) noexcept {
  c.stage_ = blocking_call::stage::running;
  guard.unlock();
  runtime_of_call = runtime_id_;
  c.run();
  runtime_of_call = 0;
  if (!simulated_) end_where_output_is_broken();
  guard.lock();
  c.stage_ = blocking_call::stage::over;
  // Only a holder of the call could add a holder. If the pool is the only one, none can come.
  const bool abandoned = runtime_ == nullptr || c.count_.load(std::memory_order_acquire) == 1;
  if (!abandoned) completed_.push_back(c);
  // The first completed call rings, for all until a worker serves them. If the last call has ended and no routine waits
  // for it, a worker must check for a deadlock.
  const bool rings = abandoned ? in_flight_ == 1 : completed_.size() == 1;
  if (rings && runtime_ != nullptr) runtime_->ring();
  count(-1);
  if (!abandoned) return;
  guard.unlock();
  c.release();
  guard.lock();
}

std::list<blocking_pool::member> blocking_pool::take_ended() {
  std::list<member> ended;
  for (auto m = members_.begin(); m != members_.end();) {
    const auto next = std::next(m);
    if (m->ended) ended.splice(ended.end(), members_, m);
    m = next;
  }
  return ended;
}

void blocking_pool::list_threads(std::vector<pid_t>& ids) const {
  const locked guard(*this);
  for (const member& m : members_) {
    if (m.id != 0 && !m.ended) ids.push_back(m.id);
  }
}

void blocking_pool::shut_down(time_point until) noexcept {
  locked guard(*this);
  if (std::exchange(closed_, true)) return;
  blocking_call_list left;
  while (blocking_call* c = queue_.pop_front()) {
    c->stage_ = blocking_call::stage::new_or_withdrawn;
    left.push_back(*c);
    count(-1);
  }
  for (member* m = idle_; m != nullptr; m = m->idle_below) m->wake.notify_one();
  all_ended_.wait_until(guard, until, [this] { return threads_ == 0; });
  // From here on, the calls that still run count for the process, not for the runtime.
  runtime_->outside_work.fetch_sub(static_cast<std::int64_t>(in_flight_), std::memory_order_relaxed);
  outside_counts().operations.fetch_add(static_cast<std::int64_t>(in_flight_), std::memory_order_relaxed);
  runtime_ = nullptr;
  while (blocking_call* c = completed_.pop_front()) left.push_back(*c);
  std::list<member> ended = take_ended();
  for (member& m : members_) m.thread.detach();
  guard.unlock();
  while (blocking_call* c = left.pop_front()) c->release();
  for (member& m : ended) m.thread.join();
}

// ---- in a simulation

std::size_t blocking_pool::runnable() const {
  const locked guard(*this);
  return std::min(queue_.size(), most_threads_);
}

void blocking_pool::run_simulated(std::size_t index) noexcept {
  locked guard(*this);
  blocking_call* c = queue_.first();
  while (index-- > 0) c = c->next_;
  queue_.remove(*c);
  run(*c, guard);
}

}  // namespace ringo::detail
