// mutex: a lock for routines; to wait for it does not block the worker's thread (Go: sync.Mutex).
#pragma once
#include <ringo/detail/cpp20.hpp>

#include <ringo/detail/compilers.hpp>
#include <ringo/detail/permit_core.hpp>

namespace ringo {

namespace detail {
class lock_operation;
class condition_operation;
}  // namespace detail

/// A lock. One guard holds it at a time.
///
///   mutex lock;
///   auto held = co_await lock.lock();   // until `held` is destroyed
///
/// The guard may be moved to another routine (semantics 110). A routine that locks twice waits for ever; the deadlock
/// report says where. An unlock happens before the return of the next lock (112). If the mutex is destroyed, its guard
/// becomes empty, and its waiters end with `cancelled`.
/// Fairness: the waiters have their turn in the order of arrival. An unlock wakes the first one; until that has run,
/// others may take the lock. If it finds the lock taken it remains the first, and the next unlock hands the lock to it:
/// so others go before the first waiter until it has run once, and no longer (113). Thread: workers, or one thread
/// while no runtime runs.
class mutex {
 public:
  /// Holds the lock; its destructor unlocks. Move-only. Thread: any; on a thread that is not a worker, the lock is free
  /// soon after the call.
  class [[nodiscard("the lock is let go at once")]] guard {
   public:
    guard() noexcept = default;
    guard(guard&&) noexcept = default;
    guard& operator=(guard&&) noexcept = default;
    RINGO_ALWAYS_INLINE ~guard() = default;

    void unlock() {  ///< Throws: std::logic_error if the guard is empty (semantics 111).
      if (!hold_.give_back()) detail::throw_nothing_held("unlock of an unlocked guard");
    }
    explicit operator bool() const noexcept { return hold_.holds(); }

   private:
    friend class mutex;
    friend class shared_mutex;
    friend class detail::lock_operation;
    friend class detail::condition_operation;
    explicit guard(detail::hold&& held) noexcept : hold_(std::move(held)) {}

    detail::hold hold_;
  };

  mutex() : core_(new detail::permit_core(detail::permit_core::kind::mutex, 1)) {}
  explicit mutex(const detail::object_name& name) : mutex() { core_->set_name(name); }  ///< mutex m(named("books"))
  mutex(const mutex&) = delete;
  mutex& operator=(const mutex&) = delete;
  ~mutex() { detail::end_of(core_); }

  /// Yields a guard, when the lock is free and it is the caller's turn. Suspends if the lock is held.
  /// Throws: cancelled. Cancel safety: a lock that loses or is cancelled is not taken.
  detail::lock_operation lock() noexcept;
  /// An empty guard if the lock is held. Does not wait.
  guard try_lock() { return core_->try_take(1, "mutex::try_lock") ? guard(detail::hold(*core_, 1)) : guard(); }

 private:
  detail::permit_core* core_;
};

namespace detail {

// The operation of lock() and lock_shared().
class RINGO_AWAITABLE lock_operation final : public permit_request {
 public:
  using result_type = mutex::guard;
  using permit_request::permit_request;

  RINGO_ALWAYS_INLINE mutex::guard await_resume() { return mutex::guard(permit_request::await_resume()); }
  mutex::guard take() noexcept { return mutex::guard(permit_request::take()); }
};

}  // namespace detail

inline detail::lock_operation mutex::lock() noexcept { return detail::lock_operation(*core_, 1); }

}  // namespace ringo
