// A select of one case and `otherwise`: an attempt.
#pragma once
#include <coroutine>
#include <type_traits>
#include <utility>
#include <variant>

#include <ringo/detail/compilers.hpp>
#include <ringo/detail/select_operation.hpp>

namespace ringo::detail {

// It never waits, so it needs nothing of a wait.
// await_resume does it all, and the result goes straight to the awaiting expression.
template <bool PreferFirst, class Kept>
class RINGO_AWAITABLE select_operation<PreferFirst, true, Kept> {
 public:
  using result_type = std::variant<or_monostate<typename std::remove_reference_t<Kept>::result_type>, std::monostate>;
  static constexpr bool never_waits = true;

  template <class Case>
  explicit select_operation(std::in_place_t, Case&& c) : case_(keep(std::forward<Case>(c))) {}
  select_operation(select_operation&& from) noexcept(std::is_nothrow_move_constructible_v<Kept>)
      : case_(std::move(from.case_)) {}
  RINGO_ALWAYS_INLINE ~select_operation() {
    // The frame is destroyed while its routine, or the record of its foreign coroutine, is in a run queue.
    if (queued_ != nullptr) [[unlikely]]
      forget(*queued_, true);
  }

  RINGO_ALWAYS_INLINE bool await_ready() {
    worker& w = require_worker("select");
    return w.goes_on_alone() || goes_on_otherwise(w);
  }
  // The budget is spent: the attempt is made when the routine has its turn again.
  template <class P>
  RINGO_AWAIT_SUSPEND std::coroutine_handle<> await_suspend(std::coroutine_handle<P> coroutine) {
    return end_turn(*current_worker(), coroutine, is_own_promise<P>, queued_);
  }
  RINGO_ALWAYS_INLINE result_type await_resume() {
    worker& w = *current_worker();
    if (queued_ != nullptr) [[unlikely]]
      come_back(w);
    if constexpr (requires { case_.try_now(w); }) {
      const progress p = case_.try_now(w);
      if (p == progress::idle) return result_type(std::in_place_index<1>);
      return case_.template result_as<result_type, 0>(p);
    } else {
      case_.enter(&w);
      if (!w.shared) {
        try_alone(w);
      } else if (looks_ready(w)) {
        try_locked(w);
      }
      if (!won(case_.current_state())) return result_type(std::in_place_index<1>);
      if constexpr (std::is_void_v<decltype(case_.take())>) {
        case_.take();
        return result_type(std::in_place_index<0>);
      } else {
        return result_type(std::in_place_index<0>, case_.take());
      }
    }
  }

 private:
  [[gnu::noinline]] static bool goes_on_otherwise(worker& w) {
    if (w.turn_lasts()) {
      if (w.current->is_cancelled()) throw_cancelled();
      return true;
    }
    return false;
  }
  [[gnu::cold, gnu::noinline]] void come_back(worker& w) {
    routine& r = *std::exchange(queued_, nullptr);
    // The record of a foreign coroutine is not cancelled itself.
    if (r.resumed_as != routine::kind::foreign ? r.is_cancelled() : w.current->is_cancelled()) throw_cancelled();
  }
  // With one case, a look without its lock sees one instant (semantics 57).
  RINGO_ALWAYS_INLINE bool looks_ready(worker& w) {
    if constexpr (looks_without_lock<std::remove_reference_t<Kept>>) {
      return case_.looks_ready(w);
    } else {
      return true;
    }
  }
  RINGO_ALWAYS_INLINE void try_alone(worker& w) {
    if (!case_.ready(w)) return;
    routine* woken = nullptr;
    (void)case_.commit(w, false, woken);
    if (woken) w.make_next(*woken);
  }
  void try_locked(worker& w) {
    routine* woken = nullptr;
    if constexpr (requires { case_.lock(); }) {
      const optional_guard guard(case_.lock());
      if (case_.ready(w)) (void)case_.commit(w, true, woken);
    } else {
      lock_set locks(places_of(case_));
      add_locks_of(case_, locks);
      locks.lock();
      if (case_.ready(w)) (void)case_.commit(w, true, woken);
    }
    w.wake(woken);
  }

  Kept case_;
  routine* queued_ = nullptr;
};

}  // namespace ringo::detail
