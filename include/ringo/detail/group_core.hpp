// The shared state of a group, its members and its waiters. It lives until the group is destroyed, no routine waits for
// it, and no member runs.
#pragma once
#include <cstddef>
#include <cstdint>
#include <exception>
#include <limits>
#include <source_location>
#include <string>
#include <utility>

#include <ringo/context.hpp>
#include <ringo/detail/awaited.hpp>
#include <ringo/detail/locked_count.hpp>
#include <ringo/detail/operation.hpp>
#include <ringo/detail/section.hpp>
#include <ringo/detail/started.hpp>

namespace ringo {

enum class on_error;

namespace detail {

// A use of a group begins with its first member, and ends when a wait() for it ends. The first member after that begins
// the next use, with a new context. So a routine that wakes late from its wait() can see, by the context, that its use
// has passed.
class group_core : public in_block {
 public:
  group_core(const context& parent, on_error policy, std::source_location made);
  group_core(const group_core&) = delete;
  group_core& operator=(const group_core&) = delete;

  void set_name(const object_name& name);  // by the constructor of the group
  void limit(std::size_t most);
  // Starts the member, or queues it at the limit. Takes ownership, even if it throws, as on a foreign thread.
  void add(routine& r);
  // Starts it under the background members' context, without regard to the limit. Takes ownership as add() does.
  void add_background(routine& r);
  bool reserve();  // a place for a member that starts at once; false at the limit
  void start_reserved(routine& r) noexcept;
  void give_back_reserved() noexcept;
  void member_ended(worker& w, std::exception_ptr error, bool of_background) noexcept;
  void stop();  // group::cancel()
  // Cancels all members, the queued ones, too; with a use, only if it has not passed.
  void cancel(std::exception_ptr cause, const context* use = nullptr) noexcept;
  // Called around the body of a scope. Until its end, wait() joins the ordinary members only, and keeps the context.
  void body_begins() noexcept { body_runs_ = true; }
  void body_ended(std::exception_ptr error) noexcept;  // null if it has returned
  context wait_begins(worker* w);                      // returns the use that it waits for
  // A whole wait() where no routine is to be waited for and no error to be thrown. False: nothing has changed.
  bool wait_ends_at_once(worker& w);
  void leave() noexcept;  // the group is destroyed: pending waits throw `cancelled`
  void retain() noexcept;
  void let_go() noexcept;
  void finish(const context& use);  // after the join of all members: rethrows the first error
  context ctx() const noexcept;

 private:
  friend class group_ended_operation;
  friend class group_slot_operation;

  enum class ending : std::uint8_t { error, disconnected, cancelled };

  template <class>
  friend class section_of;

  ~group_core();
  spin_lock* section_lock() const noexcept { return &lock_; }
  void check() const;
  static ending kind_of(const std::exception_ptr& error) noexcept;
  bool ordinary_ended() const noexcept { return running_ == 0 && queued_ == 0; }
  bool all_ended() const noexcept { return ordinary_ended() && background_ == 0; }
  bool wait_is_over() const noexcept { return ordinary_ended() && (background_ == 0 || body_runs_); }
  bool unused() const noexcept { return holds_ == 0 && all_ended(); }
  bool has_slot() const noexcept { return running_ + queued_ < limit_; }
  bool begins_anew() const noexcept { return finished_ && !first_error_; }  // with the next member
  // Under the lock. Also true if the use has passed.
  bool is_over(const context& use) const noexcept { return use != ctx_ || wait_is_over(); }
  bool is_cancelled() const noexcept { return context_access::core(ctx_)->is_marked(); }
  // True if the caller must cancel the rest.
  bool note_error(std::exception_ptr error, bool of_the_body) noexcept;
  // Under the lock: the context of the background members, if they must end now, else the background context.
  context background_to_end() const noexcept;
  void start(worker& w, routine& r) noexcept;
  // Calls act() in a section, after it has begun a new use if the last one is over. May throw before it calls.
  template <class F>
  void in_current_use(F act);
  void note_wait_is_over() noexcept;
  // "the group made at file:line" + how + members + what.
  void warn(worker& w, const char* how, std::size_t members, const char* what,
            const std::source_location& call = std::source_location::current()) const noexcept;
  routine_list take_queue() noexcept;
  static void drop(routine_list queued) noexcept;
  void wake_waiting(section& in) noexcept;
  void wake_for_slot(section& in) noexcept;
  void pass_slot_on() noexcept;
  static void end_waits(wait_queue& queue, section& in) noexcept;

  const on_error policy_;
  const std::source_location made_;
  bool is_named_ = false;
  const context parent_;
  ownership owner_;

  mutable spin_lock lock_;  // guards the rest; a report reads the counts without it
  context ctx_;             // does not change while the group has a member, so start() reads it without the lock
  bool finished_ = false;   // a wait() for this use is over
  locked_count limit_ = std::numeric_limits<std::size_t>::max();
  locked_count running_ = 0;
  locked_count queued_ = 0;
  locked_count background_ = 0;  // background members that run
  routine_list queue_;
  context background_ctx_;   // a child of ctx_; made with the first background member
  bool waited_for_ = false;  // a wait() has begun in this use
  bool stopped_ = false;     // cancel() was called in this use
  bool body_runs_ = false;   // the body of a scope runs
  std::exception_ptr first_error_;
  ending first_ending_ = ending::error;
  bool first_error_told_ = false;
  std::size_t holds_ = 1;  // the group itself, and its waiters
  std::size_t further_errors_ = 0;
  wait_queue joining_;  // these wait for the end of all members
  wait_queue slots_;    // these wait for a free place
};

// Holds a group_core.
class group_hold {
 public:
  explicit group_hold(group_core& of) noexcept : of_(&of) { of_->retain(); }
  group_hold(const group_hold& other) noexcept : group_hold(*other.of_) {}
  group_hold& operator=(const group_hold& other) noexcept {
    other.of_->retain();
    std::exchange(of_, other.of_)->let_go();
    return *this;
  }
  ~group_hold() { of_->let_go(); }
  group_core* operator->() const noexcept { return of_; }

 private:
  group_core* of_;
};

// Waits until all members have ended. Throws: cancelled. Cancel safety: waiting changes nothing.
class RINGO_AWAITABLE group_ended_operation : public queued_operation<group_ended_operation, void> {
 public:
  static constexpr const char* call_name = "group::wait";
  explicit group_ended_operation(group_core& of) noexcept : of_(of) {}
  group_ended_operation(group_core& of, const context& use) noexcept : of_(of), use_(use), for_that_use_(true) {}
  group_ended_operation(const group_ended_operation&) = default;
  group_ended_operation& operator=(const group_ended_operation&) = default;
  ~group_ended_operation() {
    if (current_state() != progress::idle) abandon(*blocked);
  }

  void enter(worker* w) {
    of_->owner_.enter(w, call_name);
    if (!for_that_use_) use_ = of_->wait_begins(w);
  }
  spin_lock* lock() noexcept { return &of_->lock_; }
  wait_queue& queue() noexcept { return of_->joining_; }
  bool ready(worker&) noexcept { return of_->is_over(use_); }
  bool commit(worker&, bool, routine*&) noexcept {
    if (!of_->is_over(use_)) return false;
    if (use_ == of_->ctx_) of_->note_wait_is_over();
    set_state(progress::done);
    return true;
  }
  void append_to(wait_report& text) const;
  const context& use() const noexcept { return use_; }

 protected:
  group_hold of_;

 private:
  context use_;                // the use that it waits for
  bool for_that_use_ = false;  // false: the use that is current when it is awaited
};

// The same, as a case; also rethrows the first error.
class RINGO_AWAITABLE group_joined_case final : public group_ended_operation {
 public:
  using group_ended_operation::group_ended_operation;
  void take() {
    set_state(progress::idle);
    of_->finish(use());
  }
};

// Throws: cancelled. Cancel safety: waiting changes nothing. Fairness: first come, first served.
class RINGO_AWAITABLE group_slot_operation final : public queued_operation<group_slot_operation, void> {
 public:
  static constexpr const char* call_name = "group::slot";
  explicit group_slot_operation(group_core& of) noexcept : of_(of) {}
  group_slot_operation(const group_slot_operation&) = default;
  group_slot_operation& operator=(const group_slot_operation&) = default;
  ~group_slot_operation() {
    if (current_state() == progress::idle) return;
    abandon(*blocked);
    of_->pass_slot_on();
  }

  void enter(worker* w) { of_->owner_.enter(w, call_name); }
  spin_lock* lock() noexcept { return &of_->lock_; }
  wait_queue& queue() noexcept { return of_->slots_; }
  bool ready(worker&) noexcept { return of_->has_slot(); }
  void link(worker&, routine& r) noexcept {
    blocked = &r;
    set_state(progress::waiting);
    looks_again_ ? of_->slots_.push_front(*this) : of_->slots_.push_back(*this);
    looks_again_ = false;
  }
  void take() noexcept {
    set_state(progress::idle);
    looks_again_ = false;
    of_->pass_slot_on();
  }
  void discard() noexcept { take(); }
  void append_to(wait_report& text) const;

 private:
  friend class group_core;
  // Under the lock; the caller has claimed the wait.
  void look_again() noexcept;
  bool go_on_or_wait(worker& w) noexcept;

  group_hold of_;
  bool looks_again_ = false;  // it was woken, and keeps its position if it must wait again
};

// If the waiting routine is cancelled, so are the members. They are joined all the same, and then it throws.
task<> wait_for_group(group_core& of, std::source_location where);

class RINGO_AWAITABLE group_wait : public deferred<group_wait, void> {
 public:
  explicit group_wait(group_core& of) noexcept : of_(&of) {}
  bool ends_at_once(worker& w) { return of_->wait_ends_at_once(w); }
  void take() const noexcept {}
  // As a case it does not cancel the members; only an await outside of a select does.
  group_joined_case as_case() const noexcept { return group_joined_case(*of_); }

 private:
  friend class deferred<group_wait, void>;
  RINGO_RETURNS_TASK task<> make(std::source_location where) { return wait_for_group(*of_, where); }

  group_core* of_;
};

// A routine that is a member of a group.
template <class T>
struct member_record : record<T> {
  void at_end(worker& w) noexcept override { tell_end(w, false); }
  const void* member_of() const noexcept override { return of; }

  group_core* of = nullptr;

 protected:
  void tell_end(worker& w, bool is_background) noexcept {
    this->taken = true;  // the group has its error
    of->member_ended(w, this->outcome.error(), is_background);
  }
};
template <class T>
struct background_record : member_record<T> {
  void at_end(worker& w) noexcept override { this->tell_end(w, true); }
  const void* member_of() const noexcept override { return nullptr; }
};

template <class F>
task<> run_scope(F f, std::source_location where);

}  // namespace detail
}  // namespace ringo
