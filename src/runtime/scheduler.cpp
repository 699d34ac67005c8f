#include "runtime/scheduler.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <stdexcept>
#include <utility>

#include <ringo/detail/compilers.hpp>
#include <ringo/detail/context_core.hpp>

#include "runtime/report.hpp"
#include "runtime/runtime_core.hpp"
#include "runtime/sigpipe.hpp"
#include "testing/simulation.hpp"

namespace ringo::detail {
namespace {

#if defined(NDEBUG)
constexpr bool keeps_all_frames = false;
#else
constexpr bool keeps_all_frames = true;
#endif

}  // namespace

// ---- what the hot paths call

RINGO_ALWAYS_INLINE inline routine* scheduler::pop() noexcept {
  std::uint32_t head = head_.load(std::memory_order_acquire);
  for (;;) {
    if (head == tail_.load(std::memory_order_relaxed)) return nullptr;
    routine* r = queue_[head % queue_size].load(std::memory_order_relaxed);
    // Of many routines the records are not in the cache: one that is to come is fetched meanwhile. A stale slot does no
    // harm.
    __builtin_prefetch(queue_[(head + 2) % queue_size].load(std::memory_order_relaxed));
    if (!shared) {
      head_.store(head + 1, std::memory_order_relaxed);
      return r;
    }
    // acq_rel: release, so that the slot was read before it is seen as free; acquire, to see what who queued it wrote.
    if (head_.compare_exchange_weak(head, head + 1, std::memory_order_acq_rel, std::memory_order_acquire)) return r;
  }
}

void worker::overflow(routine& r) noexcept {
  // Half of the queue goes to the global one, with the newcomer behind it, so that a long queue costs the global lock
  // rarely.
  auto& self = scheduler_of(*this);
  if (room_ == 0) return self.add_early(r);
  std::array<routine*, queue_size / 2 + 1> oldest;
  std::size_t count = 0;
  while (count < queue_size / 2) {
    routine* each = self.pop();
    if (each == nullptr) break;
    oldest[count++] = each;
  }
  oldest[count++] = &r;
  runtime.add_global({oldest.data(), count});
  if (shared) tell_others();
}

// A routine lets others go where nobody is ready. If they wait for timers, completions or posts, the turn ends, for in
// the rest of it the routine might compute for long, again and again. Else it goes on at once; and as for all that is
// in run_next no other worker is woken, which would take it away from where nothing waits for it, to where others'
// timers are.
void worker::go_on_alone(routine& r) noexcept {
  const auto& self = scheduler_of(*this);
  const bool somebody_may_wait =
      !self.timers.empty() || self.driver_->in_flight() != 0 || runtime.has_posts() || runtime.has_global();
  if (alone == nullptr && somebody_may_wait) {
    alone = &r;
    turn = 1;
  } else {
    handovers = most_handovers;  // nobody in the queue has been passed over
    run_next = &r;
  }
}

void worker::tell_others() noexcept {
  std::atomic_thread_fence(std::memory_order_seq_cst);  // runtime_core.hpp: the adder's fence
  if (runtime.someone_idle()) [[unlikely]]
    runtime.wake_one();
}

std::uint32_t worker::choose(std::uint32_t n) noexcept { return runtime.sim->choose(n); }

// With other workers. What is started last runs first, so that a tree of routines is gone through in depth, and what is
// big in it is there to be taken.
void scheduler::add_new(routine& r) noexcept {
  if (simulated) return push(r);  // which chooses among what is in the queue
  // seq_cst: the adder's fence (runtime_core.hpp). Who looks at any time sees this one or the one before it.
  routine* const before = newest_.exchange(&r, std::memory_order_seq_cst);
  if (before != nullptr && !enqueue(*before)) return;
  if (runtime.someone_idle()) [[unlikely]]
    runtime.wake_one();
}

void scheduler::add_early(routine& r) noexcept {
  {
    const optional_guard guard(early_lock_, shared);
    early_.push_back(r);
    early_count_.store(early_count_.load(std::memory_order_relaxed) + 1, std::memory_order_release);
  }
  if (shared) tell_others();
}

void start(worker& w, routine& r, std::source_location started) {
  start_in(w, r, w.current != nullptr ? w.current->context : nullptr, started);
}

void start_in(worker& w, routine& r, context_core* context, std::source_location started) {
  auto& self = scheduler_of(w);
  if (r.listed_in == nullptr) {  // else it was announced from outside, and others may know it already
    r.started = started;
    self.announce(r);
  }
  r.listed_in->add(r);
  if (context != nullptr) {
    context->retain();
    r.context = context;
    context->add_member(r, w.shared);
  }
  // After the entry into the roster: either this sees `unwinding`, or who set it finds the routine there
  // (runtime_core.hpp).
  if (w.runtime.unwinding()) r.state.fetch_or(routine::cancelled, std::memory_order_relaxed);
  w.counts.routines.add();
  w.counts.started.add();
  // With others about, a new routine is theirs to take: its starter may go on for long without waiting, and run_next is
  // nobody else's.
  if (self.looks_outside()) [[unlikely]] {
    self.add_early(r);
  } else {
    w.shared ? self.add_new(r) : w.make_next(r);
  }
}

void leave_context(routine& r, bool shared) noexcept {
  if (r.context == nullptr) return;
  r.context->remove_member(r, shared);
  std::exchange(r.context, nullptr)->release();
}

void go_on_later(worker& w, std::coroutine_handle<> coroutine) noexcept {
  routine* r = w.current;
  if (r->resumed_as == routine::kind::foreign) {
    r = static_cast<foreign_record*>(r)->station;
    r->count.fetch_add(1, std::memory_order_relaxed);  // the run queue's
  }
  r->resume_at = coroutine;
  if (r->resumed_as != routine::kind::foreign) w.current = nullptr;
  w.push(*r);
}

foreign_record* make_station() {
  auto* station = new foreign_record(nullptr);
  station->station = station;
  return station;
}

void run_at_station(foreign_record& station, std::coroutine_handle<> coroutine) {
  worker& w = require_worker("awaiting a task");
  // Whatever waits in there waits for the foreign coroutine, not for the routine that happens to have resumed that.
  station.count.fetch_add(1, std::memory_order_relaxed);
  // Within the same turn: the budget is what is left of it.
  routine* const before = std::exchange(w.current, &station);
  coroutine.resume();
  w.current = before;
  if (before != nullptr) w.look_for_cancellation(*before);
  station.release();
}

void leave_station(foreign_record& station) noexcept {
  station.resume_at = std::noop_coroutine();  // where a run queue has it
  station.release();
}

routine& adopt(worker& w, bool in_task) {
  routine* now = w.current;
  const bool foreign = now->resumed_as == routine::kind::foreign;
  foreign_record* station = in_task && foreign ? static_cast<foreign_record*>(now)->station : nullptr;
  auto* wait = new foreign_record(station);
  if (station == nullptr) return *wait;
  // The task in there runs under a context, and may shield itself, as in a routine.
  wait->state.store(station->state.load(std::memory_order_relaxed) & (routine::shielded | routine::immune),
                    std::memory_order_relaxed);
  if (station->context != nullptr) {
    wait->context = station->context;
    wait->context->retain();
    wait->context->add_member(*wait, w.shared);
  }
  return *wait;
}

foreign_record::~foreign_record() {
  const worker* w = current_worker();
  leave_context(*this, w == nullptr || w->shared);
}

void forget(routine& r, bool claimed) noexcept {
  if (r.resumed_as != routine::kind::foreign) return;  // its runtime is destroying it, and has emptied the queues
  auto& record = static_cast<foreign_record&>(r);
  if (claimed && !record.dropped) {
    record.forgotten = true;  // a run queue has it, and its worker frees it there
    r.resume_at = std::noop_coroutine();
  } else {
    r.release();
  }
}

timer_queue& timers_of(worker& w) noexcept { return scheduler_of(w).timers; }

// ---- the worker

scheduler::scheduler(runtime_core& rt, std::uint64_t id, unsigned i, std::size_t workers, bool is_simulated,
                     std::uint64_t seed, std::unique_ptr<driver> d)
    : worker(rt, id, workers > 1, is_simulated, seed),
      index(i),
      timers(shared),
      routines(rt, shared),
      driver_(std::move(d)),
      resumes_of_others_(workers) {
  timers.sleeper = driver_.get();
  if (keeps_all_frames || simulated) frames.keep(true);
}

routine* scheduler::take() noexcept {
  if (run_next != nullptr || shared) [[unlikely]] {
    if (routine* r = take_before_queue()) return r;
  }
  handovers = most_handovers;
  return pop();
}

routine* scheduler::take_before_queue() noexcept {
  if (run_next != nullptr) {
    if (--handovers >= 0 || may_pass_over(has_loot())) return std::exchange(run_next, nullptr);
    push(*std::exchange(run_next, nullptr));
  }
  if (routine* const newest = take_newest()) {
    if (--handovers >= 0 || may_pass_over(!queue_empty())) return newest;
    push(*newest);
  }
  return nullptr;
}

// After as many hand-overs as there may be. Where there is nobody, they count anew, and no other worker need be told of
// a newcomer in the queue.
bool scheduler::may_pass_over(bool somebody) noexcept {
  if (somebody) return false;
  handovers = most_handovers;
  return true;
}

routine* scheduler::take_random() noexcept {
  const std::uint32_t head = head_.load(std::memory_order_relaxed);
  const std::uint32_t queued = tail_.load(std::memory_order_relaxed) - head;
  const std::uint32_t ready = queued + (run_next != nullptr ? 1 : 0);
  if (ready == 0) return nullptr;
  const std::uint32_t choice = ready > 1 ? choose(ready) : 0;
  if (choice == queued) return std::exchange(run_next, nullptr);
  auto& chosen = queue_[(head + choice) % queue_size];
  auto& oldest = queue_[head % queue_size];
  routine* r = chosen.load(std::memory_order_relaxed);
  chosen.store(oldest.load(std::memory_order_relaxed), std::memory_order_relaxed);
  oldest.store(r, std::memory_order_relaxed);
  return pop();
}

// Null: others have taken them.
routine* scheduler::take_early() noexcept {
  const optional_guard guard(early_lock_, shared);
  routine* const r = early_.pop_front();
  if (r != nullptr) early_count_.store(early_count_.load(std::memory_order_relaxed) - 1, std::memory_order_release);
  return r;
}

void scheduler::run_early() noexcept {
  for (int left = most_early; left > 0 && has_early(); --left) {
    routine* const r = take_early();
    if (r == nullptr) break;
    turn = 1;  // the loop's own: where one of them waits, the next of them comes, not the queue's first
    if (before_expiry_ != 0) --before_expiry_;
    resume(*r);
  }
}

std::uint32_t scheduler::give_early(scheduler& thief) noexcept {
  if (!has_early()) return 0;
  const std::lock_guard guard(early_lock_);
  const std::uint32_t there = early_count_.load(std::memory_order_relaxed);
  // The thief's queue is empty, as below.
  const std::uint32_t count = std::min(there - there / 2, queue_size / 2);
  for (std::uint32_t i = 0; i < count; ++i) {
    thief.append(*early_.pop_front(), thief.tail_.load(std::memory_order_relaxed));
  }
  early_count_.store(there - count, std::memory_order_release);
  return count;
}

std::uint32_t scheduler::steal_into(scheduler& thief) noexcept {
  if (const std::uint32_t early = give_early(thief)) return early;
  std::uint32_t head = head_.load(std::memory_order_acquire);
  for (;;) {
    const std::uint32_t tail = tail_.load(std::memory_order_acquire);
    const std::uint32_t queued = tail - head;
    if (queued == 0) {
      routine* const newest = take_newest();
      if (newest == nullptr) return 0;
      thief.append(*newest, thief.tail_.load(std::memory_order_relaxed));
      return 1;
    }
    if (queued > queue_size) {  // head was read before the owner took more
      head = head_.load(std::memory_order_acquire);
      continue;
    }
    const std::uint32_t count = queued - queued / 2;
    // The thief's queue is empty, and only the thief adds to it: there is room.
    const std::uint32_t to = thief.tail_.load(std::memory_order_relaxed);
    for (std::uint32_t i = 0; i < count; ++i) {
      thief.queue_[(to + i) % queue_size].store(queue_[(head + i) % queue_size].load(std::memory_order_relaxed),
                                                std::memory_order_relaxed);
    }
    // If it succeeds, nobody has taken from the head since, so no slot that was copied had been reused.
    if (head_.compare_exchange_weak(head, head + count, std::memory_order_acq_rel, std::memory_order_acquire)) {
      thief.tail_.store(to + count, std::memory_order_release);
      return count;
    }
  }
}

void drop_from_queue(routine& r) noexcept {
  if (r.resumed_as != routine::kind::foreign) return;  // a routine's roster has it
  auto& record = static_cast<foreign_record&>(r);
  if (record.station == &record || record.forgotten) {
    r.release();
  } else {
    record.dropped = true;  // its coroutine lives on, and its operation's destructor frees it
  }
}

void scheduler::discard_queue() noexcept {
  if (run_next != nullptr) drop_from_queue(*std::exchange(run_next, nullptr));
  if (alone != nullptr) drop_from_queue(*std::exchange(alone, nullptr));
  if (routine* r = take_newest()) drop_from_queue(*r);
  while (routine* r = take_early()) drop_from_queue(*r);
  while (routine* r = pop()) drop_from_queue(*r);
}

void scheduler::resume(routine& r) noexcept { resume_here(r); }

RINGO_ALWAYS_INLINE inline void scheduler::resume_here(routine& r) noexcept {
  set_current(r);
  counts.resumes.add();
  switch (r.resumed_as) {
    case routine::kind::plain:
      r.resume_at.resume();
      break;
    case routine::kind::begins: {
      r.resumed_as = routine::kind::plain;
      const std::coroutine_handle<> task = r.begin();
      task ? task.resume() : void(finished = &r);
      break;
    }
    case routine::kind::tries_again:
      r.resumed_as = routine::kind::plain;
      r.parked->try_again(*r.parked, *this) ? r.resume_at.resume() : void(current = nullptr);
      break;
    case routine::kind::foreign:
      resume_foreign(static_cast<foreign_record&>(r));
      current = nullptr;
      break;
  }
  if (finished != nullptr) {
    current = nullptr;
    finish(*std::exchange(finished, nullptr));
  } else if (current != nullptr) [[unlikely]] {
    find_forgotten();
  }
}

void scheduler::find_forgotten() noexcept {
  const routine& r = *std::exchange(current, nullptr);
  if (foreign_await == counts.resumes.value()) return;
  report_forgotten(r);
}

void scheduler::resume_foreign(foreign_record& wait) noexcept {
  // What goes on is a task: what it notes in its routine is to stay when this wait is over.
  foreign_record* station = wait.forgotten ? nullptr : wait.station;
  if (station != nullptr) {
    station->count.fetch_add(1, std::memory_order_relaxed);  // it may end the task that it stands for
    set_current(*station);
  }
  wait.resume_at.resume();
  wait.release();  // the run queue's
  if (station != nullptr) station->release();
}

// The routine's frames are gone.
RINGO_ALWAYS_INLINE inline void scheduler::end_and_tell(routine& r) noexcept {
  leave_context(r, shared);
  r.listed_in->remove(r);
  counts.routines.add(-1);
  // Who joins has a handle, which counts; acquire, to see who has joined before letting go of one.
  if ((shared && r.count.load(std::memory_order_acquire) != 1) || !r.joiners.empty()) {
    end_joined(r);
  } else {
    r.ended.store(true, std::memory_order_release);  // as below
  }
  r.at_end(*this);
}

void scheduler::finish(routine& r) noexcept {
  if (&r == runtime.main) [[unlikely]]
    return finish_main(r);
  // What the routine's frames, function and arguments held is gone before anybody hears of its end.
  r.close();
  end_and_tell(r);
  r.release();
  if (runtime.unwinding()) [[unlikely]]
    runtime.routine_has_ended();
}

// What is in its frame was the others', too, in many a program: the frame is kept, so that who uses that hears of it.
void scheduler::finish_main(routine& r) noexcept {
  if (simulated) runtime.sim->note_outliving(runtime);
  const bool all_are_kept = frames.keeps();
  frames.keep(true);
  r.close();
  frames.keep(all_are_kept);
  end_and_tell(r);
  runtime.main_has_ended(*this);
  r.release();
  runtime.routine_has_ended();
}

void scheduler::end_joined(routine& r) noexcept {
  routine_list woken;
  {
    optional_guard guard(r.joining, shared);
    r.ended.store(true, std::memory_order_release);  // pairs with handle::done()
    r.joiners.claim_all(shared, woken);
  }
  while (routine* joiner = woken.pop_front()) make_ready(*joiner);
}

void scheduler::become_current() noexcept {
  set_current_worker(this);
  thread = ::gettid();
}

void scheduler::run() noexcept {
  sigpipe_blocked while_it_runs;
  constexpr unsigned rounds_without_a_look = 256;
  constexpr duration time_without_a_look = std::chrono::milliseconds(10);
  unsigned rounds = 0;
  time_point next_look{};
  become_current();
  try {
    driver_->attach();
    while (!runtime.done()) {
      if (++rounds % rounds_without_a_look == 0) while_it_runs.look();
      run_early();
      // Where more of them wait, one of the queue comes; where timers wait until they have run, none does.
      turn = !has_early() ? turn_length_ : 1;
      if (put_off_at_ && before_expiry_ == 0) turn = 0;
      for (; turn > 0; --turn) {
        routine* r = take();
        if (r == nullptr) break;
        resume_here(*r);
      }
      end_turn();
      if (has_work() || runtime.done() || find_work()) continue;
      if (const time_point now = driver_->now(); now >= next_look) {
        while_it_runs.look();
        next_look = now + time_without_a_look;
      }
      idle();
    }
  } catch (...) {
    runtime.fail(std::current_exception());
  }
  finish_operations();
  set_current_worker(nullptr);
}

void scheduler::finish_operations() noexcept {
  end_those_asked_for(true);
  driver_->drain();
}

void scheduler::end_turn() {
  if (to_end_.load(std::memory_order_relaxed) != nullptr) [[unlikely]]
    end_those_asked_for(true);
  if (!timers.empty() || alone != nullptr || shared) {
    const time_point now = driver_->now();
    look(now, now - turn_end_ > late_look);  // where that is not known, it may be late
    judge_turn(now);
    if (now >= next_giving_back_) [[unlikely]]
      give_back_memory(now);
  } else {
    look(time_point::min(), false);
    turn_end_ = {};
  }
  // What was too much for the queue has come from where the rest has.
  const bool all_from_outside = tail_.load(std::memory_order_relaxed) == outside_until_;
  const bool was_given_work = runtime.has_global() && runtime.take_global(*this) > 0;
  if (all_from_outside) outside_until_ = tail_.load(std::memory_order_relaxed);
  if (runtime.unwinding()) [[unlikely]]
    runtime.check_grace(driver_->now());
  runtime.serve_dump_request(*this);
  if (alone != nullptr) go_on_after_turn(*std::exchange(alone, nullptr), was_given_work);
}

// While it lives, what is made ready is an early one; where it need not be, and all in the queue have come from
// outside, it goes behind them.
class scheduler::goes_before_queue {
 public:
  goes_before_queue(scheduler& w, bool has_to) noexcept : of_(w) {
    const bool all_from_outside = w.queue_empty() || w.tail_.load(std::memory_order_relaxed) == w.outside_until_;
    if (w.simulated || (!has_to && all_from_outside && !w.has_early())) return;
    next_ = std::exchange(w.run_next, nullptr);
    w.room_ = 0;
  }
  goes_before_queue(const goes_before_queue&) = delete;
  goes_before_queue& operator=(const goes_before_queue&) = delete;
  ~goes_before_queue() {
    if (of_.room_ != 0) {
      of_.outside_until_ = of_.tail_.load(std::memory_order_relaxed);
      return;
    }
    if (routine* last = std::exchange(of_.run_next, next_)) of_.add_early(*last);
    of_.room_ = queue_size;
  }

 private:
  scheduler& of_;
  routine* next_ = nullptr;
};

void scheduler::give_back_memory(time_point now) noexcept {
  next_giving_back_ = now + need_measured;
  frames.give_back_unneeded();
  driver_->give_back_unneeded();
  if (!simulated) block_pool::trim_heap(now);
}

// `now` is min() where there are no timers.
void scheduler::look(time_point now, bool late) {
  {
    const goes_before_queue what_comes(*this, late);
    // It may be followed at once by more, such as the rest of what was asked for.
    for (int looks = late ? looks_when_late : 1; driver_->poll(time_point::min()) && looks > 1;) --looks;
    if (runtime.has_posts()) runtime.run_posts(*this);
  }
  // release: who sees it sees whose waits have been claimed.
  if (shared) looked_at_.store(now.time_since_epoch().count(), std::memory_order_release);
  if (now == time_point::min()) return put_off_at_.reset();
  const goes_before_queue what_expires(*this, false);
  if (put_off_at_ && (before_expiry_ == 0 || !has_early())) {
    expire_timers(now, *std::exchange(put_off_at_, std::nullopt));
  }
  if (put_off_at_ || (late && has_early())) {
    if (!put_off_at_) {
      put_off_at_ = now;
      before_expiry_ = early_count_.load(std::memory_order_relaxed);
    }
    expire_timers(now, time_point::min());
  } else {
    expire_timers(now, now);
  }
}

// Who has let others go goes behind those who have become ready meanwhile. But where somebody computes, everything is
// late, and what a routine waits for is looked after where it began to wait. So if it has computed, they go to
// whichever worker comes first to the global queue; not those that have come from there, for then all workers compute.
void scheduler::go_on_after_turn(routine& r, bool was_given_work) noexcept {
  if (has_work() && shared && !was_given_work && turn_end_ < computing_until_) {
    if (run_next != nullptr) push(*std::exchange(run_next, nullptr));
    if (routine* each = take_newest()) push(*each);
    while (routine* each = pop()) runtime.add_global({&each, 1});
    tell_others();
  }
  handovers = most_handovers;
  has_work() ? push(r) : make_ready(r);
}

// A turn that takes long makes timers late: the next one is shorter. After a very long one, somebody is expected to go
// on computing for as long again.
void scheduler::judge_turn(time_point now) noexcept {
  const time_point began = std::exchange(turn_end_, now);
  if (began == time_point()) return;
  const duration took = now - began;
  if (shared) judge_resumes(took);
  turn_length_ = took > long_turn ? std::max(turn_length_ / 2, 1) : std::min(turn_length_ * 2, turn_length);
  if (took > watch_period) computing_until_ = now + took;
}

// Those that compute are among others that do not: of some turns together, one long resume outweighs many short ones.
void scheduler::judge_resumes(duration took) noexcept {
  unjudged_time_ += took;
  const std::int64_t resumes = counts.resumes.value() - judged_resumes_;
  const bool takes_long = unjudged_time_ > resumes * long_resume;
  if (!takes_long && resumes < turn_length) return;
  computes = takes_long;
  unjudged_time_ = {};
  judged_resumes_ += resumes;
}

void scheduler::expire_timers(time_point now, time_point due) {
  expired_timers expired;
  {
    optional_guard guard(timers.lock, shared);
    expired = take_expired(timers, now, due, now >= next_expiry_ ? timers_a_turn : 0);
  }
  if (expired.all && !expired.woken.empty()) next_expiry_ = now + slack();
  go_on_with(expired);
}

// A wake costs more than all else that a timer does: of many timers, those that are due at nearly the same time share
// one, with whatever else wakes the worker.
duration scheduler::slack() const noexcept {
  const std::int64_t armed = timers.armed();
  return armed <= few_timers || simulated ? duration::zero() : armed <= many_timers ? timer_slack : long_timer_slack;
}

void scheduler::expire_timers_of_others() {
  if (runtime.has_posts()) runtime.run_posts(*this);
  for (const auto& other : runtime.workers) {
    if (other.get() == this || other->idle_listed.load(std::memory_order_relaxed) || other->timers.empty()) continue;
    expired_timers expired;
    {
      const std::lock_guard guard(other->timers.lock);
      // Read under the lock: the length of a new timer counts from this reading, which must not be older than the
      // timer.
      const time_point now = driver_->now();
      if (!other->timers.is_late(now - watch_period)) continue;
      expired = take_expired(other->timers, now, now, timers_a_turn);
    }
    go_on_with(expired);
  }
}

scheduler::expired_timers scheduler::take_expired(timer_queue& of, time_point now, time_point due, int at_most) {
  expired_timers expired;
  expired.all = !of.advance(now, due, at_most, expired.woken);
  expired.put_off = of.take_put_off();
  return expired;
}

bool may_have_arrived(const routine& r, time_point now) noexcept {
  const std::uint32_t ring = r.state.load(std::memory_order_relaxed) >> routine::ring_shift;
  if (ring == 0) [[likely]]
    return false;
  const auto& workers = current_worker()->runtime.workers;
  if (ring != routine::all_rings) return workers[ring - 1]->has_unseen(now);
  return std::any_of(workers.begin(), workers.end(), [now](const auto& w) { return w->has_unseen(now); });
}

void scheduler::go_on_with(expired_timers& expired) {
  while (routine* r = expired.woken.pop_front()) push(*r);
  while (expired.put_off != nullptr) {
    timer_entry& e = *expired.put_off;
    expired.put_off = timer_queue::next_put_off(e);
    e.after_expiry(*this);
  }
}

bool scheduler::find_work() {
  if (runtime.has_global() && runtime.take_global(*this) > 0) return true;
  if (!shared) return false;
  judge_loot();
  const bool lets_others_go_on =
      patience_ > duration::zero() && runtime.settings.spin <= duration::zero() && runtime.work_anywhere(*this);
  if (lets_others_go_on) {
    let_others_go_on();
    if (has_work() || runtime.done()) return true;
    if (runtime.has_global() && runtime.take_global(*this) > 0) return true;
  }
  if (!steal()) return lets_others_go_on;  // a wake() may have come meanwhile: what it was for is seen to in end_turn()
  turn_end_ = driver_->now();
  loot_ = loot{turn_end_, counts.resumes.value()};
  return true;
}

// It has nothing left: was what it has stolen worth it?
void scheduler::judge_loot() noexcept {
  if (!loot_) return;
  const duration busy = driver_->now() - loot_->since;
  const std::int64_t resumes = counts.resumes.value() - loot_->resumes;
  loot_.reset();
  patience_ = busy >= std::min(worthwhile, resumes * long_resume)
                  ? duration::zero()
                  : std::clamp(patience_ * 2, least_patience, most_patience);
}

// Until its patience is over, or it has something to do, or somebody with a queue has been in one resume for long.
void scheduler::let_others_go_on() {
  const auto nobody_is_stuck = [this] {
    return std::none_of(runtime.workers.begin(), runtime.workers.end(), [this](const auto& other) {
      return other->has_loot() && other->counts.resumes.value() == resumes_of_others_[other->index];
    });
  };
  const time_point until = std::min(driver_->now() + patience_, next_timer());
  do {
    for (const auto& other : runtime.workers) {
      resumes_of_others_[other->index] = other->counts.resumes.value();
    }
    driver_->poll(std::min(driver_->now() + stuck_after, until));
  } while (!has_work() && !runtime.done() && !runtime.has_global() && !runtime.has_posts() && driver_->now() < until &&
           nobody_is_stuck());
}

bool scheduler::steal() noexcept {
  const auto peers = static_cast<std::uint32_t>(runtime.workers.size());
  const std::uint32_t first = random_below(peers);
  for (std::uint32_t i = 0; i < peers; ++i) {
    scheduler& victim = *runtime.workers[(first + i) % peers];
    if (&victim == this) continue;
    if (const std::uint32_t stolen = victim.steal_into(*this)) {
      counts.steals.add(stolen);
      return true;
    }
  }
  counts.steals_failed.add();
  return false;
}

time_point scheduler::next_timer() noexcept {
  optional_guard guard(timers.lock, shared);
  return timers.next();
}

void scheduler::idle() {
  if (runtime.settings.spin > std::chrono::nanoseconds(0)) {
    const time_point until = driver_->now() + runtime.settings.spin;
    do {
      end_turn();
      if (has_work() || find_work() || runtime.done()) return;
    } while (driver_->now() < until);
  }
  runtime.list_idle(*this);
  bool woken_to_search = false;
  if (runtime.work_anywhere(*this) || runtime.done()) {
    woken_to_search = !runtime.unlist_idle(*this);
  } else {
    time_point until = std::min(runtime.check_quiet(*this), std::max(next_timer(), next_expiry_));
    if (runtime.unwinding() && runtime.grace_end() < until) until = runtime.grace_end();
    counts.parks.add();
    const bool is_long = until > turn_end_ + frames_kept;
    const time_point trim_at =
        is_long && (frames.has_plenty() || driver_->has_plenty() || (!simulated && !block_pool::heap_is_trimmed()))
            ? driver_->now() + frames_kept
            : time_point::max();
    const bool watches = runtime.begin_watching(*this);
    until = std::min({until, trim_at, watches ? driver_->now() + watch_period : time_point::max()});
    if (!runtime.done()) driver_->poll(until);
    turn_end_ = shared ? driver_->now() : time_point();
    woken_to_search = !runtime.unlist_idle(*this);
    if (watches) {
      runtime.stop_watching();
      expire_timers_of_others();
    }
    if (trim_at != time_point::max()) {
      const time_point now = driver_->now();
      if (now >= trim_at) frames.trim();
      if (now >= next_giving_back_) give_back_memory(now);
    }
    counts.wakes.add();
  }
  if (woken_to_search) {
    // It looks at the others' queues before it goes on. Not where completions or timers have filled its own: what it
    // steals needs room there (steal_into), and with work found, another that sleeps is told to look instead.
    if (!has_work()) find_work();
    runtime.stop_searching();
    if (has_work()) tell_others();  // there may be more than one can do
  }
}

}  // namespace ringo::detail
