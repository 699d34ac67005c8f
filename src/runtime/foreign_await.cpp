#include <ringo/detail/foreign_await.hpp>

#include "runtime/report.hpp"

namespace ringo::detail {
namespace {

class resumption : public completion_state<void> {
  const char* kind() const noexcept override { return "coroutine of another library"; }
};

// Suspended whenever it is resumed, so that the task's frame, and the relay with it, may be destroyed then.
struct resumes {
  explicit resumes(foreign_wait& w) noexcept : of(w) {}
  bool await_ready() const noexcept { return false; }
  [[gnu::noinline]] std::coroutine_handle<> await_suspend(std::coroutine_handle<>) const noexcept {
    return of.resumed();
  }
  void await_resume() const noexcept {}

  foreign_wait& of;
};

relay relay_to(foreign_wait& of) {
  for (;;) co_await resumes(of);
}

}  // namespace

std::coroutine_handle<relay::promise_type> foreign_wait::make_relay(std::coroutine_handle<> of, routine& in) {
  completion_state<void>* const state = new resumption;
  wait_ = completion_operation<void>(state, link_.where);
  state->release();  // the operation holds it
  const auto made = relay_to(*this).coroutine;
  link_.task = made;
  link_.awaiting = of;
  made.promise().awaited_by = &link_;
  in_ = &in;
  in.resume_at = nullptr;
  return made;
}

std::coroutine_handle<> foreign_wait::resumed() noexcept {
  if (is_resumed_.exchange(true, std::memory_order_relaxed)) report_resumed_twice(link_.where);
  // The routine runs, and has waited since, but not in wait(): it waited in an operation or a task of ringo's.
  const worker* const w = current_worker();
  if (w != nullptr && w->current == in_ && in_->resume_at != nullptr && !shielded_) return link_.awaiting;
  const completion_reference<void> state(wait_.state());  // the task may go on as soon as it is set
  state.get()->begin_to_set();
  state.get()->end_setting();
  return std::noop_coroutine();
}

}  // namespace ringo::detail
