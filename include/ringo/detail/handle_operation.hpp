// The awaitables of a handle, and of yield().
#pragma once
#include <cstdint>
#include <memory>
#include <source_location>
#include <string>

#include <ringo/detail/compilers.hpp>
#include <ringo/detail/join.hpp>
#include <ringo/detail/operation.hpp>
#include <ringo/detail/sourceless_operation.hpp>
#include <ringo/detail/started.hpp>

namespace ringo::detail {

// Throws: cancelled. Cancel safety: a join that loses a select or is cancelled leaves the result to its handle.
template <class Derived, class Result>
class ending_operation : public queued_operation<Derived, Result> {
 public:
  static constexpr bool loses_as_cancelled = true;
  static constexpr bool knows_where = true;
  explicit ending_operation(routine* r, std::source_location at = {}) noexcept : of_(r) {
    std::construct_at(&this->where, at);
  }

  using operation<Derived, Result>::ends_at_once;
  void enter(worker* w) {
    if (!of_) throw_empty_handle(Derived::call_name);
    if (of_->runtime_id != static_cast<std::uint32_t>(w->runtime_id)) [[unlikely]]
      enter_from_elsewhere(*of_, *w, Derived::call_name);
  }
  spin_lock* lock() noexcept { return &of_->joining; }
  joiner_queue& queue() noexcept { return of_->joiners; }
  bool ready(worker&) noexcept { return of_->ended.load(std::memory_order_acquire); }
  void append_to(wait_report& text) const { append_join(text, *of_); }

 protected:
  routine* of_;
};

template <class T>
class RINGO_AWAITABLE join_operation : public ending_operation<join_operation<T>, T> {
 public:
  static constexpr const char* call_name = "join";
  using ending_operation<join_operation, T>::ending_operation;
  T take() {
    this->set_state(progress::idle);
    auto& r = static_cast<record<T>&>(*this->of_);
    if (r.taken) throw_joined_twice();
    r.taken = true;
    return r.outcome.take();
  }
};

class RINGO_AWAITABLE finished_operation : public ending_operation<finished_operation, void> {
 public:
  static constexpr const char* call_name = "wait for the end of a routine";
  using ending_operation::ending_operation;
};

class RINGO_AWAITABLE yield_operation : public sourceless_operation<yield_operation, void> {
 public:
  static constexpr const char* call_name = "yield";
  yield_operation() noexcept {}  // so that `{}` does not clear the memory first
  // Awaited outside of a select, it is over when its routine goes to the end of the run queue. Only a coroutine of a
  // foreign type takes note of that, as its frame may be destroyed there.
  RINGO_ALWAYS_INLINE bool await_ready() {
    worker& w = require_worker(call_name);
    if (!w.spend() || w.shared) [[unlikely]]
      look_for_cancellation(w);
    return false;
  }
  template <class P>
  RINGO_AWAIT_SUSPEND std::coroutine_handle<> await_suspend(std::coroutine_handle<P> coroutine) {
    worker& w = *current_worker();
    if (!waits_as_itself<P>(w)) [[unlikely]]
      return suspend_in_record(w, coroutine, is_own_promise<P>, {this, [](void* of, routine& r) {
                                                                   return static_cast<yield_operation*>(of)->queue(r);
                                                                 }});
    w.current->resume_at = coroutine;
    return w.push_and_switch_away(*w.current);
  }
  void await_resume() {
    if (current_state() != progress::idle) [[unlikely]]
      come_back();
  }

  void append_to(wait_report& text) const { text += call_name; }

 private:
  [[gnu::noinline]] void look_for_cancellation(worker& w) {
    if (!w.current->is_cancelled()) return;
    blocked = w.current;
    (void)refuse(w);
  }
  bool queue(routine& r) noexcept {
    blocked = &r;
    if (current_state() == progress::idle) set_state(progress::done);
    current_worker()->push(r);
    return true;
  }
  [[gnu::cold, gnu::noinline]] void come_back() {
    if (current_state() == progress::refused) come_back_cancelled();
    set_state(progress::idle);
  }
};

}  // namespace ringo::detail
