#include <ringo/condition.hpp>

#include <exception>
#include <string>

#include <ringo/detail/foreign_threads.hpp>

namespace ringo {
namespace detail {

class condition_core final : public object_source {
 public:
  void notify(worker* w, bool all) noexcept;
  void notify_here(const char* call, bool all) {
    worker* w = worker_or_unused(call);
    enter(w, call);
    notify(w, all);
  }
  void pass_on() noexcept {
    worker* w = current_worker();
    if (used_by(w)) notify(w, false);
  }
};

object_source& as_source(condition_core& of) noexcept { return of; }

// Waits for the notification, and releases the lock when it waits. A notification between the two comes from a routine
// that does not hold the lock, or comes after the wait is open.
class condition_operation final : public source_operation<condition_operation, void, condition_core> {
 public:
  static constexpr const char* call_name = "wait for a condition";
  condition_operation(condition_core& of, mutex::guard& held) noexcept : source_operation(of), held_(&held) {}
  condition_operation(const condition_operation&) = delete;
  condition_operation& operator=(const condition_operation&) = delete;

  template <class P>
  RINGO_AWAIT_SUSPEND std::coroutine_handle<> await_suspend(std::coroutine_handle<P> coroutine) {
    // Once the wait is open, the frame and the guard in it belong to the thread that resumes the routine.
    mutex::guard released = std::move(*held_);
    worker& w = *current_worker();
    if (is_over(state) || !waits_as_itself<P>(w)) {
      const std::coroutine_handle<> resumed = operation::await_suspend(coroutine);
      if (resumed == coroutine) *held_ = std::move(released);  // cancelled: it does not wait
      return resumed;
    }
    note_where<P>(*this);
    routine& r = *w.current;
    r.resume_at = coroutine;
    if (!(w.shared ? park_locked(w, r) : park_alone(w, r))) {
      *held_ = std::move(released);  // cancelled
      return coroutine;
    }
    released = {};  // before the worker goes on with another routine, which would seem to be the one that releases it
    return w.switch_away();
  }

  void enter(const worker* w) {
    source_operation::enter(w);
    if (of_->ended()) throw_cancelled();
  }
  bool ready(worker&) noexcept { return false; }
  void discard() noexcept {
    set_state(progress::idle);
    if (is_for_one_) of_->pass_on();
  }
  void append_to(wait_report& text) const { text.add(of_, "condition"); }

  static permit_core* lock_of(const mutex::guard& g) noexcept { return g.hold_.of(); }
  static std::size_t amount_of(const mutex::guard& g) noexcept { return g.hold_.amount(); }

 private:
  friend class condition_core;
  mutex::guard* held_;
  bool is_for_one_ = false;  // notify_one() woke it: a notification that is not taken is passed on
};

void condition_core::notify(worker* w, bool all) noexcept {
  section_of here(*this, w);
  while (waiter* first = claim_first(here)) {
    static_cast<condition_operation*>(first)->is_for_one_ = !all;
    here.wake(*first, progress::done);
    if (!all) break;
  }
}

task<> wait_notified(condition_core& of, mutex::guard& held, std::source_location where) {
  if (!held) throw_nothing_held("condition::wait with an unlocked guard");
  permit_core& lock = *condition_operation::lock_of(held);
  const std::size_t amount = condition_operation::amount_of(held);
  const source_reference kept(lock);
  std::exception_ptr error;
  try {
    co_await in_name_of(where, condition_operation(of, held));
  } catch (...) {
    error = std::current_exception();
  }
  if (condition_operation::lock_of(held) == nullptr) {
    const cancellation_held_back until_locked;
    held = co_await in_name_of(where, lock_operation(lock, amount));
  }
  if (error) std::rethrow_exception(error);
  if (!held) throw_cancelled();
}

}  // namespace detail

condition::condition() : core_(new detail::condition_core) {}
condition::condition(const detail::object_name& name) : condition() { core_->set_name(name); }
condition::~condition() { detail::end_of(core_); }

void condition::notify_one() { core_->notify_here("condition::notify_one", false); }
void condition::notify_all() { core_->notify_here("condition::notify_all", true); }

}  // namespace ringo
