// What a context is made of: a node in a tree of cancellation, with the routines that run under it.
//
// One lock, the root's, guards a tree: cancelling walks it. It may be held while nothing else is; what needs other
// locks, or runs what users gave, is done after it: the timer's removal, the functions of after_func, the stop source.
#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <string>
#include <utility>

#include <ringo/detail/frame.hpp>
#include <ringo/detail/library.hpp>
#include <ringo/detail/object_name.hpp>
#include <ringo/detail/operation.hpp>
#include <ringo/detail/ownership.hpp>
#include <ringo/detail/pointers.hpp>
#include <ringo/detail/reference_count.hpp>
#include <ringo/detail/section.hpp>
#include <ringo/detail/time_types.hpp>
#include <ringo/detail/timer_queue.hpp>

#if defined(_LIBCPP_VERSION) && _LIBCPP_VERSION < 200000 && !defined(_LIBCPP_ENABLE_EXPERIMENTAL)
#error "ringo needs std::stop_token: before LLVM 20, libc++ has it with -fexperimental-library only"
#include <compile with -fexperimental-library>  // ends the compilation
#endif

namespace ringo::detail {

// Names a type, as typeid does, for programs without RTTI, too.
using type_key = const char*;
template <class T>
struct [[gnu::visibility("default")]] key_holder {
  static constexpr char key = 0;
};
template <class T>
constexpr type_key key_of() noexcept {
  return &key_holder<T>::key;
}

class context_core : public in_block, private timer_entry {
 public:
  // A child of `parent`, which is null for the background. If it does not follow its parent, it has only the parent's
  // values. A past deadline cancels it at once. On a worker, or while no runtime runs.
  context_core(context_core* parent, bool follows, time_point deadline, type_key value_type = nullptr) noexcept;
  context_core(const context_core&) = delete;
  context_core& operator=(const context_core&) = delete;
  virtual ~context_core();

  void retain() noexcept { count_.add(); }
  void release() noexcept;  // any thread

  // Called first: enters the tree. Throws std::logic_error if another runtime uses the tree.
  void join_tree(worker* w, const char* call);

  // Called before each use: the timers of the first worker watch the deadline.
  void enter(worker* w, const char* call) {
    root_.owner_.enter(w, call);
    const bool unwatched = timed_by_ != nullptr && timed_by_->queue_.load(std::memory_order_relaxed) == nullptr;
    if (w != nullptr && (unwatched || calls_pending_.load(std::memory_order_relaxed))) [[unlikely]]
      catch_up(*w);
  }

  // When it returns, each descendant is cancelled (semantics 131). The first cause stays (133). A null cause means
  // `cancelled`.
  void cancel(worker* w, const std::exception_ptr& cause) noexcept { cancel(w, cause, reason::cancelled); }
  void cancel_from_outside(const std::exception_ptr& cause) { cancel_from_outside(cause, reason::cancelled); }
  bool is_cancelled() noexcept;  // any thread; on a worker it looks at the clock, too
  bool is_marked() const noexcept { return cancelled_.load(std::memory_order_acquire); }
  std::exception_ptr cause() const noexcept;                             // null while it is not cancelled
  bool has_expired() const noexcept { return is_marked() && expired_; }  // by its own deadline, not its parent's
  time_point deadline() const noexcept { return deadline_; }
  void set_name(const std::string& name);  // any thread that keeps it

  // The nearest value of this type.
  const void* find(type_key type) const noexcept;

  // The routines that run under it. A member's record, with its links, stays while it is in the list.
  void add_member(routine& r, worker* w) noexcept;
  void remove_member(routine& r, worker* w) noexcept;
  // The routine's frames are gone: it no longer runs under its context.
  static void leave(routine& r, worker* w) noexcept {
    if (r.context == nullptr) return;
    r.context->remove_member(r, w);
    std::exchange(r.context, nullptr)->release();
  }

  // Calls f with each context of the tree, under its lock.
  template <class F>
  void each_in_tree(worker* w, F f) {
    const auto here = root_.locked(w);
    for (context_core* c = &root_; c != nullptr;) {
      f(*c);
      if (c->first_child_ != nullptr) {
        c = c->first_child_;
        continue;
      }
      while (c != &root_ && c->next_sibling_ == nullptr) c = c->parent_;
      c = c == &root_ ? nullptr : c->next_sibling_;
    }
  }
  const context_core& root() const noexcept { return root_; }
  const context_core* parent() const noexcept { return parent_; }
  // Its members by which a cancellation finds the contexts and routines below it: the pointer at this address is one.
  bool leads_down(std::uintptr_t at) const noexcept {
    const auto is = [at](const auto& member) { return at == reinterpret_cast<std::uintptr_t>(&member); };
    return is(first_child_) || is(next_sibling_) || is(previous_sibling_) || is(first_member_);
  }

  // Starts r, which was not started, after the cancellation. The result stops that: false if it has been started.
  std::function<bool()> call_after(worker* w, routine& r);
  static std::function<bool()> call_never(routine& r);  // the same for the background
  std::stop_token stop_token();
  void follow(std::stop_token token);

 protected:
  virtual const void* own_value() const noexcept { return nullptr; }

 private:
  friend class done_operation;
  template <class>
  friend class section_of;
  struct after_call;
  struct followers;

  template <class F>
  void change_members(worker* w, F change) noexcept;
  section_of<context_core> locked(worker* w) noexcept { return {*this, w, w == nullptr || w->shared}; }
  void check() const;
  spin_lock* section_lock() const noexcept { return &root_.lock_; }

  enum class reason : std::uint8_t { cancelled, timed_out };

  // One runtime at a time uses a tree, like one object.
  const ownership& owner() const noexcept { return root_.owner_; }
  void cancel(worker* w, const std::exception_ptr& cause, reason why) noexcept;
  void cancel_from_outside(const std::exception_ptr& cause, reason why);
  // The part of cancel() under the tree's lock. Returns the contexts for which work is left after the unlock.
  context_core* mark(worker* w, const std::exception_ptr& cause, reason why) noexcept;
  static void finish(worker* w, context_core* marked) noexcept;
  bool try_retain() noexcept { return count_.try_add(); }
  bool only_holders_know_it() const noexcept;
  bool drop_reference() noexcept;  // true: it was the last
  void catch_up(worker& w);
  void watch(worker& w) noexcept;
  void unwatch() noexcept;
  void leave_parent() noexcept;
  void after_cancellation(worker* w) noexcept;
  void expire_now(worker* w) noexcept;
  void start_calls(worker& w) noexcept;
  void stop_requested() noexcept;
  followers& with_followers(worker* w);
  bool stop_call(after_call& c);
  bool has_calls() const noexcept;   // under the tree's lock
  bool take_out() noexcept;          // false: a worker of its runtime will do it, and dispose of it
  context_core* dispose() noexcept;  // returns its parent, which the caller must release
  bool may_yet_be_served(time_point now) noexcept;
  void expire(timer_queue& queue, time_point now, routine_list& woken) noexcept override;
  void after_expiry(worker& w) noexcept override;
  void queue_gone() noexcept override;

  reference_count count_{1};
  context_core* const parent_;  // retained by join_tree()
  context_core& root_;
  const type_key value_type_;  // null: it has no value
  const bool follows_;
  std::atomic<bool> is_named_ = false;
  const bool watched_;  // has a deadline that is not its parent's
  const time_point deadline_;
  context_core* const timed_by_;  // this context or an ancestor: its deadline ends this context
  ownership owner_;               // the root's is the tree's
  spin_lock lock_;                // so is its lock

  // Under the tree's lock. cause_, why_ and expired_ do not change once cancelled_ is set.
  std::atomic<bool> cancelled_ = false;
  reason why_ = reason::cancelled;  // the cause if cause_ is null
  bool expired_ = false;
  bool linked_ = false;
  std::exception_ptr cause_;
  context_core* first_child_ = nullptr;
  context_core* next_sibling_ = nullptr;
  context_core* previous_sibling_ = nullptr;
  context_core* next_to_finish_ = nullptr;
  routine* first_member_ = nullptr;
  wait_queue waiting_;
  owned<followers> followers_;  // made when it is first needed, and stays

  std::atomic<bool> calls_pending_ = false;    // it was cancelled on a thread that cannot start routines
  std::atomic<timer_queue*> queue_ = nullptr;  // the queue of its timer, until after_expiry()
};

// The awaitable of context::wait. Throws: cancelled. Cancel safety: waiting changes nothing. With null it is never
// ready.
class RINGO_AWAITABLE done_operation final : public queued_operation<done_operation, void> {
 public:
  static constexpr const char* call_name = "context::wait";
  explicit done_operation(context_core* of) noexcept : of_(of) {}
  done_operation(const done_operation& from) noexcept : queued_operation(from), of_(from.of_) {}
  done_operation& operator=(const done_operation& from) noexcept {
    if (keeps_) dispose();
    of_ = from.of_;
    return *this;
  }
  ~done_operation() {
    if (current_state() != progress::idle) [[unlikely]]
      abandon(*blocked);
    if (keeps_) dispose();
  }

  void enter(worker* w) {
    if (of_) of_->enter(w, call_name);
  }
  spin_lock* lock() noexcept { return of_ ? &of_->root_.lock_ : nullptr; }
  wait_queue& queue() noexcept { return of_->waiting_; }
  bool ready(worker&) noexcept { return of_ && of_->is_marked(); }
  // Keeps the context while it waits.
  void link(worker& w, routine& r) noexcept;
  bool unlink() noexcept;
  void dispose() noexcept;
  void append_to(wait_report& text) const;

 private:
  context_core* of_;
  bool keeps_ = false;
};

// While this lives, the running routine runs under another context (null: the background).
class entered_context {
 public:
  explicit entered_context(context_core* c);  // throws std::logic_error on a thread that is no worker
  entered_context(const entered_context&) = delete;
  entered_context& operator=(const entered_context&) = delete;
  ~entered_context();

 private:
  routine* in_;
  context_core* before_;
};

// The running routine's context; null for the background.
inline context_core* current_context_core() noexcept {
  const worker* w = current_worker();
  return w != nullptr && w->current != nullptr ? w->current->context : nullptr;
}

}  // namespace ringo::detail
