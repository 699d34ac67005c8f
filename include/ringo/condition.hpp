// condition: a routine that holds a lock waits until another routine has changed what it tests (Go: sync.Cond).
#pragma once
#include <ringo/detail/cpp20.hpp>

#include <concepts>
#include <source_location>
#include <type_traits>
#include <utility>

#include <ringo/detail/awaited.hpp>
#include <ringo/detail/compilers.hpp>
#include <ringo/mutex.hpp>
#include <ringo/task.hpp>

namespace ringo {

namespace detail {

class condition_core;
task<> wait_notified(condition_core& of, mutex::guard& held, std::source_location where);
object_source& as_source(condition_core& of) noexcept;

template <class P>
task<> wait_until(condition_core& of, mutex::guard& held, P until, bool is_false, std::source_location where) {
  const source_reference kept(as_source(of));
  if (!held) throw_nothing_held("condition::wait with an unlocked guard");
  throw_if_cancelled("condition::wait");
  while (std::exchange(is_false, false) || !until()) co_await wait_notified(of, held, where);
}

// The awaitable of wait(guard, until). It makes no task if until() is true.
template <class P>
class RINGO_AWAITABLE conditional_wait : public deferred<conditional_wait<P>, void> {
 public:
  using calls_the_user = void;  // so not before its context is entered (awaited.hpp)
  template <class U>
  conditional_wait(condition_core& of, mutex::guard& held, U&& until, std::source_location where)
      : of_(of), held_(held), until_(std::forward<U>(until)), where_(where) {}

  bool ends_at_once(worker& w) {
    if (!held_ || !w.spend()) return false;
    is_false_ = !until_();
    return !is_false_;
  }
  void take() const noexcept {}
  // So that go() and the like start it.
  RINGO_RETURNS_TASK task<> operator()() { return make({}); }
  RINGO_RETURNS_TASK operator task<>() && { return make({}); }

 private:
  friend class deferred<conditional_wait, void>;
  RINGO_RETURNS_TASK task<> make(std::source_location) {
    return wait_until<P>(of_, held_, std::move(until_), is_false_, where_);
  }

  condition_core& of_;
  mutex::guard& held_;
  P until_;
  bool is_false_ = false;  // until() has been called
  std::source_location where_;
};

}  // namespace detail

/// Waits for a notification, with the lock released meanwhile.
///
///   auto guard = co_await m.lock();
///   co_await changed.wait(guard, [&] { return !items.empty(); });
///
/// The waiters may hold locks of different mutexes, and shared locks. If it is destroyed, its waiters end with
/// `cancelled`. Thread: workers, or one thread while no runtime runs.
class condition {
 public:
  condition();
  explicit condition(const detail::object_name& name);
  condition(const condition&) = delete;
  condition& operator=(const condition&) = delete;
  ~condition();

  /// Releases the lock, waits for a later notification, and locks again. Releasing and beginning to wait are one step:
  /// no notification that is made under the lock is missed. Whenever it returns or throws it holds the lock again, also
  /// if the routine is cancelled; only if the mutex has been destroyed it does not, and throws `cancelled`. Throws:
  /// std::logic_error if the guard is empty; cancelled. Cancel safety: a wait that is cancelled or destroyed before it
  /// returns leaves its notification to the next waiter. As a case of a select it has released the lock and locked
  /// again, also when it loses. Fairness: first come, first served (semantics 120).
  RINGO_REFERS_AND_RETURNS_TASK task<> wait(mutex::guard& held,
                                            std::source_location where = std::source_location::current()) {
    return detail::wait_notified(*core_, held, where);
  }
  /// Waits until until() is true, which it calls with the lock held; does not suspend if it is. Throws: what until()
  /// throws, with the lock held.
  template <class P>
  requires(!std::same_as<std::decay_t<P>, std::source_location>)
  auto wait(mutex::guard& held, P&& until, std::source_location where = std::source_location::current()) {
    static_assert(!RINGO_DESTROYS_AGGREGATES_TWICE || !detail::risky_closure<P>, RINGO_SAY_NAME_LAMBDA);
    return detail::conditional_wait<std::decay_t<P>>(*core_, held, std::forward<P>(until), where);
  }

  /// Wakes the waiter that has waited longest. Without a waiter it does nothing, and is not remembered. The caller may
  /// hold the lock or not.
  void notify_one();
  /// Wakes all present waiters, and none that comes later (semantics 121).
  void notify_all();

 private:
  detail::condition_core* core_;
};

}  // namespace ringo
