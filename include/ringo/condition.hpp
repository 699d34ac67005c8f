// condition: routines that hold a lock wait for what they test under it to change (Go: sync.Cond).
#pragma once
#include <ringo/detail/cpp20.hpp>

#include <concepts>
#include <source_location>
#include <type_traits>
#include <utility>

#include <ringo/detail/compilers.hpp>
#include <ringo/mutex.hpp>
#include <ringo/task.hpp>

namespace ringo {

namespace detail {

class condition_core;
task<> wait_notified(condition_core& of, mutex::guard& held, std::source_location where);
object_source& as_source(condition_core& of) noexcept;

template <class P>
task<> wait_until(condition_core& of, mutex::guard& held, P until, std::source_location where) {
  const source_reference kept(as_source(of));
  if (!held) throw_nothing_held("condition::wait with an unlocked guard");
  throw_if_cancelled("condition::wait");
  while (!until()) co_await wait_notified(of, held, where);
}

}  // namespace detail

// Whoever waits may hold locks of different mutexes, and shared ones. When it is destroyed, who waits ends with
// `cancelled`. Thread: workers, or one thread while no runtime runs.
class condition {
 public:
  condition();
  condition(const condition&) = delete;
  condition& operator=(const condition&) = delete;
  ~condition();

  // Lets the lock go and waits for a notify that comes later, in one step: none that is made under the lock is missed;
  // then locks again. It holds the lock again whenever it returns or throws, also when the routine is cancelled: the
  // lock is waited for all the same; unless the mutex has been destroyed, which it tells by `cancelled`. Throws
  // std::logic_error if the guard is empty; cancelled. Cancel safety: a wait that was notified returns; one that is
  // cancelled, or destroyed, before it returns leaves the notification to the next. As a case of a select it has let
  // the lock go and had it back, also when it loses. Fairness: first come, first served (semantics 120).
  RINGO_REFERS_AND_RETURNS_TASK task<> wait(mutex::guard& held,
                                            std::source_location where = std::source_location::current()) {
    return detail::wait_notified(*core_, held, where);
  }
  // Until until(), which is called with the lock held, is true. Throws what until() throws, with the lock held.
  template <class P>
  requires(!std::same_as<std::decay_t<P>, std::source_location>)
  RINGO_REFERS_AND_RETURNS_TASK task<> wait(mutex::guard& held, P&& until,
                                            std::source_location where = std::source_location::current()) {
    static_assert(!RINGO_DESTROYS_AGGREGATES_TWICE || !detail::risky_closure<P>, RINGO_SAY_NAME_LAMBDA);
    return detail::wait_until<std::decay_t<P>>(*core_, held, std::forward<P>(until), where);
  }

  void notify_one();  // who waits longest; nobody's is not remembered. With the lock held or without
  void notify_all();  // who waits now, and nobody who comes later (semantics 121)

 private:
  detail::condition_core* core_;
};

}  // namespace ringo
