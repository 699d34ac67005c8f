#include <ringo/worker_pool.hpp>

#include <stdexcept>
#include <vector>

#include <ringo/context.hpp>
#include <ringo/detail/foreign_threads.hpp>
#include <ringo/errors.hpp>

#include "runtime/runtime_core.hpp"

namespace ringo {
namespace detail {

// Invariants, whenever the lock is free: a job is in the queue => `max` jobs run; a routine waits to submit => the
// queue is full, too. So jobs begin in the order in which they were submitted, and a job that ends makes room for a
// waiting one. Jobs start and end without the lock.
class pool_core final : public shared_object {
 public:
  explicit pool_core(const pool_options& o) : options(o), under(context::with_cancel()), workers_(o.min) {}

  ~pool_core() override {
    if (is_named_) forget_name(this);
  }
  void set_name(const object_name& name) {  // by the constructor of the pool
    detail::set_name(this, name.text());
    is_named_ = true;
  }

  bool refuses() const noexcept { return refuses_ || context_access::core(under)->is_marked(); }
  bool has_room() const noexcept { return running_ < options.max || queued_ < options.queue_capacity; }
  bool is_drained() const noexcept { return refuses_ && running_ == 0; }

  // Under the lock, with room for the job: true if a worker is free for it.
  bool accept(worker& w, routine& job) {
    if (running_ < options.max) {
      take_worker(w);
      return true;
    }
    enqueue(w, job);
    return false;
  }
  void enter(worker* w, const char* call) {
    owner.enter(w, call);
    context_access::core(under)->enter(w, call);
  }
  void begin(worker& w, routine& job) noexcept;
  void job_ended(worker& w) noexcept;
  void refuse(worker* w, bool cancel) noexcept;
  void give_up(routine& job) noexcept {  // accepted, but its runtime ended before it began
    free_worker(now());
    end_unbegun(nullptr, job);
  }

  std::size_t workers() noexcept {
    if (refuses()) return running_;
    retire_idle(now());
    return workers_;
  }
  std::size_t queued() const noexcept { return queued_; }
  void append_to(wait_report& report) const {
    report += reported_object{.at = this, .kind = "worker_pool", .state = "at most " + std::to_string(options.max)};
  }

  const pool_options options;
  const context under;
  spin_lock lock;
  ownership owner;
  wait_queue submitters;
  wait_queue drainers;

 private:
  // Other threads may join and cancel it by its handle before it begins, so the members that these read do not change.
  void enqueue(worker& w, routine& job) noexcept {
    scheduler_of(w).announce(job);
    queue_.push_back(job);
    ++queued_;
  }
  // The exact clock, for each job that begins and for each that ends, would be a fifth of what a job takes.
  static time_point about_now(const worker& w) noexcept { return w.simulated ? now() : coarse_clock(); }
  void take_worker(const worker& w) {
    retire_idle(about_now(w));
    if (running_ == workers_) {
      if (idle_since_.capacity() <= workers_) idle_since_.reserve(2 * workers_ + 1);  // a worker ends without
      ++workers_;
    } else if (!idle_since_.empty()) {
      idle_since_.pop_back();
    }
    ++running_;
  }
  void free_worker(time_point at) noexcept {
    --running_;
    if (workers_ > options.min) idle_since_.push_back(at);
  }
  // The worker that was busy last is taken first, so the others stay idle. A worker ends by no longer being counted, so
  // this runs only when the workers are counted.
  void retire_idle(time_point at) noexcept {
    auto first = idle_since_.begin();
    for (; first != idle_since_.end() && workers_ > options.min && at - *first >= options.idle; ++first) --workers_;
    idle_since_.erase(idle_since_.begin(), first);
  }
  routine_list take_queue() noexcept {
    queued_ = 0;
    return std::exchange(queue_, routine_list());
  }

  // Under the lock.
  bool refuses_ = false;
  std::size_t workers_;
  std::size_t running_ = 0;
  std::vector<time_point> idle_since_;  // of the idle workers, the earliest first; those of `min` may be missing
  routine_list queue_;
  std::size_t queued_ = 0;
  bool is_named_ = false;
};

void pool_core::begin(worker& w, routine& job) noexcept { start_in(w, job, context_access::core(under), job.started); }

void pool_core::job_ended(worker& w) noexcept {
  routine* next = nullptr;
  routine_list never_begun;
  section_of here(*this, &w);
  const bool is_cancelled = context_access::core(under)->is_marked();
  if (is_cancelled) submitters.claim_all(here, progress::closed);
  if (is_cancelled || w.runtime.unwinding()) {  // which cancels the waiting submissions itself
    never_begun = take_queue();
  } else {
    if (waiter* one = submitters.claim_first(here, progress::done)) {
      enqueue(w, *std::exchange(static_cast<submission&>(*one).job_, nullptr));
    }
    next = queue_.pop_front();
  }
  next != nullptr ? void(--queued_) : free_worker(about_now(w));
  if (is_drained()) drainers.claim_all(here);
  here.unlock();
  if (next != nullptr) begin(w, *next);
  while (routine* job = never_begun.pop_front()) end_unbegun(&w, *job);
  here.end_behind_queue();
}

void pool_core::refuse(worker* w, bool cancel) noexcept {
  routine_list never_begun;
  if (cancel) context_access::core(under)->cancel(w, std::make_exception_ptr(cancelled()));
  section_of here(*this, w);
  refuses_ = true;
  submitters.claim_all(here, progress::closed);
  if (cancel) never_begun = take_queue();
  if (is_drained()) drainers.claim_all(here);
  here.unlock();
  while (routine* job = never_begun.pop_front()) end_unbegun(w, *job);
  here.end_behind_queue();
}

const void* address_of(const shared<pool_core>& pool) noexcept { return pool.get(); }
void job_has_ended(const shared<pool_core>& pool, worker& w) noexcept { pool->job_ended(w); }

// ---- submit

submission::submission(shared<pool_core> pool, routine& job, std::source_location from) noexcept
    : pool_(std::move(pool)), job_(&job) {
  job.started = from;
}
submission::submission(submission&& from) noexcept
    : queued_operation(from), pool_(std::move(from.pool_)), job_(std::exchange(from.job_, nullptr)) {}
submission& submission::operator=(submission&& from) noexcept {
  std::swap(pool_, from.pool_);
  std::swap(job_, from.job_);
  return *this;
}
submission::~submission() {
  if (current_state() != progress::idle) abandon(*blocked);
  if (job_ != nullptr) job_->release();
}

void submission::enter(worker* w) {
  if (job_ == nullptr) {
    throw std::logic_error("ringo: submit was awaited again, though its job has been accepted, or on a moved-from one");
  }
  pool_->enter(w, call_name);
}
spin_lock* submission::lock() noexcept { return &pool_->lock; }
wait_queue& submission::queue() noexcept { return pool_->submitters; }
bool submission::ready(worker&) noexcept { return pool_->refuses() || pool_->has_room(); }
bool submission::commit(worker& w, bool, routine*&) {
  if (pool_->refuses()) {
    set_state(progress::closed);
    return true;
  }
  if (!pool_->has_room()) return false;
  begins_ = pool_->accept(w, *job_);
  if (!begins_) job_ = nullptr;
  set_state(progress::done);
  return true;
}
void submission::begin() noexcept {
  routine& job = *std::exchange(job_, nullptr);
  begins_ = false;
  worker* w = current_worker();
  w != nullptr ? pool_->begin(*w, job) : pool_->give_up(job);
}
void submission::take() {
  const progress p = current_state();
  set_state(progress::idle);
  if (p == progress::closed) {
    throw channel_closed("ringo: submit to a worker pool that was drained or cancelled: it takes no more jobs");
  }
  if (begins_) begin();
}
void submission::discard() noexcept {  // it was accepted: the job runs
  set_state(progress::idle);
  if (begins_) begin();
}
void submission::append_to(wait_report& text) const {
  text += "submit to ";
  pool_->append_to(text);
}

// ---- drain

drain_operation::~drain_operation() {
  if (current_state() != progress::idle) abandon(*blocked);
}
void drain_operation::enter(worker* w) { pool_->owner.enter(w, call_name); }
spin_lock* drain_operation::lock() noexcept { return &pool_->lock; }
wait_queue& drain_operation::queue() noexcept { return pool_->drainers; }
bool drain_operation::ready(worker&) noexcept { return pool_->is_drained(); }
void drain_operation::append_to(wait_report& text) const {
  text += "the jobs of ";
  pool_->append_to(text);
}

}  // namespace detail

worker_pool::worker_pool(pool_options o) {
  if (o.max == 0 || o.min > o.max) {
    throw std::invalid_argument("ringo: a worker_pool of at least " + std::to_string(o.min) + " and at most " +
                                std::to_string(o.max) + " workers");
  }
  core_ = detail::shared<detail::pool_core>(new detail::pool_core(o));
}

worker_pool::worker_pool(const detail::object_name& name, pool_options o) : worker_pool(o) { core_->set_name(name); }

detail::pool_core& worker_pool::core(const char* call) const {
  if (!core_) detail::throw_used_after_end(call);
  return *core_;
}

detail::drain_operation worker_pool::drain() {
  detail::worker* w = detail::worker_or_unused("worker_pool::drain");
  detail::pool_core& pool = core("worker_pool::drain");
  pool.enter(w, "worker_pool::drain");
  pool.refuse(w, false);
  return detail::drain_operation(core_);
}

void worker_pool::cancel() {
  detail::worker* w = detail::current_worker();
  detail::pool_core& pool = core("worker_pool::cancel");
  if (w != nullptr) {
    pool.enter(w, "worker_pool::cancel");
    return pool.refuse(w, true);
  }
  detail::do_where_used(pool.owner, [core = core_](detail::worker* there) { core->refuse(there, true); });
}

std::size_t worker_pool::workers() const {
  detail::worker* w = detail::worker_or_unused("worker_pool::workers");
  detail::pool_core& pool = core("worker_pool::workers");
  pool.owner.enter(w, "worker_pool::workers");
  const detail::optional_guard guard(pool.lock, w != nullptr && w->shared);
  return pool.workers();
}

std::size_t worker_pool::queued() const {
  detail::worker* w = detail::worker_or_unused("worker_pool::queued");
  detail::pool_core& pool = core("worker_pool::queued");
  pool.owner.enter(w, "worker_pool::queued");
  const detail::optional_guard guard(pool.lock, w != nullptr && w->shared);
  return pool.queued();
}

}  // namespace ringo
