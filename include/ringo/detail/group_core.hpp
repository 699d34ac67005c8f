// What a group, its members and who waits for them share; it lives until the group has left it, nobody waits and no
// member runs.
#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <limits>
#include <source_location>
#include <string>
#include <utility>

#include <ringo/context.hpp>
#include <ringo/detail/awaited.hpp>
#include <ringo/detail/operation.hpp>
#include <ringo/detail/started.hpp>

namespace ringo {

enum class on_error { cancel_rest, keep_going };

namespace detail {

class group_core {
 public:
  enum class member : bool { ordinary, background };

  group_core(const context& parent, on_error policy, std::source_location made);
  group_core(const group_core&) = delete;
  group_core& operator=(const group_core&) = delete;

  void limit(std::size_t most);
  // Starts it, or queues it at the limit. Takes it also where it throws, as on a thread that is no worker.
  void add(routine& r);
  // Starts it under the background members' context, whatever the limit. Takes it as add() does.
  void add_background(routine& r);
  bool reserve();  // a place for one that is to be started at once; false at the limit
  void start_reserved(routine& r) noexcept;
  void give_back_reserved() noexcept;
  void member_ended(worker& w, std::exception_ptr error, member kind) noexcept;
  void stop();                                     // group::cancel()
  void cancel(std::exception_ptr cause) noexcept;  // all members, those in the queue included
  // Around the body of a scope. Until its end, wait() is for the ordinary members only, and leaves the context as it
  // is.
  void body_begins() noexcept { body_runs_ = true; }
  void body_ended(std::exception_ptr error) noexcept;  // null: it has returned
  void wait_begins(worker* w);
  void leave() noexcept;  // the group is destroyed: who waits ends with `cancelled`
  void retain() noexcept;
  void let_go() noexcept;
  void finish();  // all are joined: rethrows
  const context& ctx() const noexcept { return ctx_; }

 private:
  friend class group_ended_operation;
  friend class group_slot_operation;

  enum class ending : std::uint8_t { error, disconnected, cancelled };

  ~group_core();
  static ending kind_of(const std::exception_ptr& error) noexcept;
  bool ordinary_ended() const noexcept { return running_ == 0 && queued_ == 0; }
  bool all_ended() const noexcept { return ordinary_ended() && background_ == 0; }
  bool wait_is_over() const noexcept { return ordinary_ended() && (background_ == 0 || body_runs_); }
  bool unused() const noexcept { return holds_ == 0 && all_ended(); }  // to be deleted by whoever finds it so
  bool has_slot() const noexcept { return running_ + queued_ < limit_; }
  bool is_cancelled() const noexcept { return context_access::core(ctx_)->is_marked(); }
  // True: the rest is to be cancelled.
  bool note_error(std::exception_ptr error, bool of_the_body) noexcept;
  // Under the lock: the context of the background members, if these are to end now, else the background context.
  context background_to_end() const noexcept;
  void start(worker& w, routine& r) noexcept;
  void renew();
  // "the group made at file:line" + how + members + what.
  void warn(worker& w, const char* how, std::size_t members, const char* what,
            const std::source_location& call = std::source_location::current()) const noexcept;
  routine_list take_queue() noexcept;
  static void drop(routine_list queued) noexcept;
  void wake_waiting(bool shared, routine_list& woken) noexcept;
  static void end_waits(wait_queue& queue, bool shared, routine_list& woken) noexcept;

  const on_error policy_;
  const std::source_location made_;
  const context parent_;
  context ctx_;
  ownership owner_;
  std::atomic<bool> finished_ = false;  // a wait() has returned or thrown since the last go()

  spin_lock lock_;  // guards the rest
  std::size_t limit_ = std::numeric_limits<std::size_t>::max();
  std::size_t running_ = 0;
  std::size_t queued_ = 0;
  std::size_t background_ = 0;  // that run
  routine_list queue_;
  context background_ctx_;   // a child of ctx_; made with the first background member
  bool waited_for_ = false;  // a wait() has begun since the group was renewed
  bool stopped_ = false;     // so has a cancel()
  bool body_runs_ = false;   // of a scope
  std::exception_ptr first_error_;
  ending first_ending_ = ending::error;
  bool first_error_told_ = false;
  std::size_t holds_ = 1;  // of the group itself, and of who waits
  std::size_t further_errors_ = 0;
  wait_queue joining_;  // until all have ended
  wait_queue slots_;    // until one more would run at once
};

// Keeps a group_core.
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

// Until all members have ended. Throws: cancelled. Cancel safety: waiting changes nothing.
class RINGO_AWAITABLE group_ended_operation : public queued_operation<group_ended_operation, void> {
 public:
  static constexpr const char* call_name = "group::wait";
  explicit group_ended_operation(group_core& of) noexcept : of_(of) {}
  group_ended_operation(const group_ended_operation&) = default;
  group_ended_operation& operator=(const group_ended_operation&) = default;
  ~group_ended_operation() {
    if (standing() != progress::idle) abandon(*who);
  }

  void enter(worker* w) {
    of_->owner_.enter(w, call_name);
    of_->wait_begins(w);
  }
  spin_lock* lock() noexcept { return &of_->lock_; }
  wait_queue& queue() noexcept { return of_->joining_; }
  bool ready(worker&) noexcept { return of_->wait_is_over(); }
  void tell(std::string& text) const;

 protected:
  group_hold of_;
};

// The same as a case, which also rethrows the first error.
class RINGO_AWAITABLE group_joined_case final : public group_ended_operation {
 public:
  using group_ended_operation::group_ended_operation;
  void take() {
    stand(progress::idle);
    of_->finish();
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
    if (standing() != progress::idle) abandon(*who);
  }

  void enter(worker* w) { of_->owner_.enter(w, call_name); }
  spin_lock* lock() noexcept { return &of_->lock_; }
  wait_queue& queue() noexcept { return of_->slots_; }
  bool ready(worker&) noexcept { return of_->has_slot(); }
  void tell(std::string& text) const;

 private:
  group_hold of_;
};

// When the waiting routine is cancelled, the members are; they are joined all the same, and then it throws.
task<> wait_for_group(group_core& of, std::source_location where);

class RINGO_AWAITABLE group_wait : public deferred<group_wait, void> {
 public:
  explicit group_wait(group_core& of) noexcept : of_(&of) {}
  // As a case it is not the members' end: they are only cancelled where it is awaited alone.
  group_joined_case as_case() const noexcept { return group_joined_case(*of_); }

 private:
  friend class deferred<group_wait, void>;
  RINGO_RETURNS_TASK task<> make(std::source_location where) { return wait_for_group(*of_, where); }

  group_core* of_;
};

// A routine that is a member of a group.
template <class T>
struct member_record : record<T> {
  void at_end(worker& w) noexcept override {
    this->taken = true;  // the group has its error
    of->member_ended(w, this->outcome.error(), kind);
  }

  group_core* of = nullptr;
  group_core::member kind = group_core::member::ordinary;
};

template <class F>
task<> run_scope(F f, std::source_location where);

}  // namespace detail
}  // namespace ringo
