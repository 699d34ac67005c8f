// How a single operation is awaited. What select does with many is in select.hpp; both use the same six functions of it.
#pragma once
#include <concepts>
#include <coroutine>
#include <source_location>
#include <string>
#include <type_traits>
#include <utility>

#include <ringo/detail/compilers.hpp>
#include <ringo/detail/worker.hpp>

namespace ringo::detail {

// An awaiter by reference: g++ 12 copies what await_transform returns a reference to.
template <class Awaiter>
class by_reference {
 public:
  explicit by_reference(Awaiter& a) noexcept : awaiter_(a) {}
  decltype(auto) await_ready() { return awaiter_.await_ready(); }
  template <class P>
  decltype(auto) await_suspend(std::coroutine_handle<P> coroutine) {
    return awaiter_.await_suspend(coroutine);
  }
  decltype(auto) await_resume() { return awaiter_.await_resume(); }

 private:
  Awaiter& awaiter_;
};

// Base of the promises of ringo's own coroutine types: they run inside a routine and wait in its place.
struct routine_promise {
  // Notes where an operation is awaited, for the reports. What has a join() is awaited by it.
  template <class A>
  static decltype(auto) await_transform(A&& awaited, std::source_location where = std::source_location::current()) {
    if constexpr (requires { std::forward<A>(awaited).join(where); }) {
      return std::forward<A>(awaited).join(where);
    } else if constexpr (requires { awaited.await_ready(); }) {
      if constexpr (std::derived_from<std::remove_cvref_t<A>, parked_operation>) awaited.where = where;
      return by_reference<std::remove_reference_t<A>>(awaited);
    } else {
      return std::forward<A>(awaited);
    }
  }
};

template <class P>
routine& waiting_routine(worker& w, std::coroutine_handle<P> coroutine) {
  routine* r = w.current;
  if (!std::derived_from<P, routine_promise> || r == nullptr || r->adopted) [[unlikely]] r = &adopt(w, coroutine);
  r->resume_at = coroutine;
  return *r;
}

// What an operation provides:
//   void enter(worker*)              before all else, without locks: may throw (use by two runtimes)
//   spin_lock* lock()                its source's; null if it has none
//   bool ready(worker&)              under the lock: would commit() succeed now?
//   bool commit(worker&, routine*&)  under the lock: does it if it can; names the routine to be made ready after unlocking
//   void link(worker&, routine&)     under the lock
//   bool unlink() noexcept           under the lock: out of the queue; true if the source must then be freed by dispose()
//   R take()                         the result of a won case; leaves it idle
//   void discard() noexcept          gives up the result of a won case, to its source if that is possible; leaves it idle
//   void dispose() noexcept          without locks: frees the source
//   void tell(std::string&) const    what is waited for, for the reports
// `ready` and `commit` agree as long as the lock is held, but for a waiter whose wait is claimed by another source in between.
template <class Operation>
concept case_operation = requires {
  typename Operation::result_type;
  requires std::is_void_v<typename Operation::case_tag>;
};

// CRTP base of every operation that can be a case.
template <class Derived, class Result>
class [[nodiscard("co_await it, or make it a case of a select: by itself it does nothing")]] operation
    : public parked_operation, public waiter {
 public:
  using result_type = Result;
  using case_tag = void;

  bool await_ready() {
    worker& w = require_worker(Derived::call_name);
    Derived& self = derived();
    self.enter(&w);
    if (w.current != nullptr && w.current->is_cancelled()) [[unlikely]] throw_cancelled();
    routine* woken = nullptr;
    bool committed;
    {
      locked guard(self, w);
      committed = self.commit(w, woken);
    }
    if (woken) w.make_ready(*woken);
    return committed && --w.budget > 0;
  }

  template <class P>
  RINGO_AWAIT_SUSPEND bool await_suspend(std::coroutine_handle<P> coroutine) {
    worker& w = *current_worker();
    Derived& self = derived();
    routine& r = waiting_routine(w, coroutine);
    if (won(standing())) {  // its turn is over: the result waits with it at the end of the queue
      self.who = &r;
      w.push(r);
      return true;
    }
    routine* woken = nullptr;
    {
      locked guard(self, w);
      // With other workers about, what was not ready a moment ago may be now.
      if (!w.shared || !self.commit(w, woken)) {
        self.link(w, r);
        r.parked = this;
        this->describe = [](const parked_operation& p, std::string& text) {
          static_cast<const Derived&>(static_cast<const operation&>(p)).tell(text);
        };
        if (r.open_wait(w.shared)) {
          w.counts.waits.add();
          return true;  // from the unlock on, the frame may be gone
        }
        self.unlink();
      }
    }
    if (woken) w.make_ready(*woken);
    return false;
  }

  Result await_resume() {
    Derived& self = derived();
    if (!won(standing())) [[unlikely]] {
      leave();
      throw_cancelled();
    }
    return self.take();
  }

  progress standing() const noexcept { return waiter::state.load(std::memory_order_relaxed); }
  void stand(progress p) noexcept { waiter::state.store(p, std::memory_order_relaxed); }

  // Out of its source's queue, whatever came of it; not while it is won.
  void leave() noexcept {
    Derived& self = derived();
    if (standing() == progress::idle) return;
    worker* w = current_worker();
    bool last;
    {
      optional_lock guard(self.lock(), w == nullptr || w->shared);
      last = self.unlink();
    }
    if (last) self.dispose();
  }

  void discard() noexcept { stand(progress::idle); }

 protected:
  operation() = default;
  operation(const operation&) noexcept : parked_operation(), waiter() {}  // what is moved is what is to be done; the wait's own part starts anew
  operation& operator=(const operation&) noexcept { return *this; }
  ~operation() = default;

  // The last call of Derived's destructor while standing() is not idle: the frame goes while the operation waits in it,
  // or before its result was taken (semantics D9).
  void abandon(routine& r) noexcept {
    worker* w = current_worker();
    const bool claimed_here = r.claim(w == nullptr || w->shared);
    won(standing()) ? derived().discard() : leave();
    forget(r, !claimed_here);
  }

 private:
  class optional_lock {
   public:
    optional_lock(spin_lock* lock, bool needed) noexcept : lock_(needed ? lock : nullptr) {
      if (lock_) lock_->lock();
    }
    optional_lock(const optional_lock&) = delete;
    optional_lock& operator=(const optional_lock&) = delete;
    ~optional_lock() {
      if (lock_) lock_->unlock();
    }

   private:
    spin_lock* lock_;
  };

  struct locked : optional_lock {
    locked(Derived& self, worker& w) noexcept : optional_lock(w.shared ? self.lock() : nullptr, w.shared) {}
  };

  Derived& derived() noexcept { return static_cast<Derived&>(*this); }
};

// For sources that have nothing but a queue and outlive their cases: Derived provides `wait_queue& queue()`.
template <class Derived, class Result>
class queued_operation : public operation<Derived, Result> {
 public:
  void link(worker&, routine& r) noexcept {
    this->who = &r;
    this->stand(progress::linked);
    static_cast<Derived*>(this)->queue().push_back(*this);
  }
  bool unlink() noexcept {
    if (this->standing() == progress::linked) static_cast<Derived*>(this)->queue().remove(*this);
    if (!won(this->standing())) this->stand(progress::idle);
    return false;
  }
  void dispose() noexcept {}

 protected:
  queued_operation() = default;
  queued_operation(const queued_operation&) = default;
  queued_operation& operator=(const queued_operation&) = default;
  ~queued_operation() {
    if (this->standing() != progress::idle) [[unlikely]] this->abandon(*this->who);
  }
};

// While it lives, its routine's awaits do not end with `cancelled`.
class cancellation_held_back {
 public:
  cancellation_held_back() noexcept : in_(current_worker() ? current_worker()->current : nullptr) {
    if (in_) was_ = in_->state.fetch_or(routine::shielded, std::memory_order_relaxed) & routine::shielded;
  }
  cancellation_held_back(const cancellation_held_back&) = delete;
  cancellation_held_back& operator=(const cancellation_held_back&) = delete;
  ~cancellation_held_back() {
    if (in_ && !was_) in_->state.fetch_and(~routine::shielded, std::memory_order_relaxed);
  }

 private:
  routine* in_;  // a coroutine stays in its routine, whichever worker that is on
  std::uint32_t was_ = 0;
};

}  // namespace ringo::detail
