// mutex: a lock that routines wait for without stopping their worker (Go: sync.Mutex).
#pragma once
#include <ringo/detail/cpp20.hpp>

#include <ringo/detail/compilers.hpp>
#include <ringo/detail/permit_core.hpp>

namespace ringo {

namespace detail {
class lock_operation;
class condition_operation;
}  // namespace detail

// Held by one guard at a time, handed over first come, first served (semantics 113). It is not the routine's that
// locked it: the guard may go elsewhere (110). Not recursive: a routine that locks twice waits for ever, and the
// deadlock report says where. When it is destroyed, its guard becomes empty and who waits ends with `cancelled`. What
// was done before an unlock happens before the next lock returns (112). Thread: workers, or one thread while no runtime
// runs.
class mutex {
 public:
  // The lock while it is held; gives it back when it is destroyed, to who waits longest. Move-only. Thread: any; from
  // one that is no worker the lock is free soon after.
  class [[nodiscard("the lock is let go at once")]] guard {
   public:
    guard() noexcept = default;
    guard(guard&&) noexcept = default;
    guard& operator=(guard&&) noexcept = default;
    RINGO_ALWAYS_INLINE ~guard() = default;

    void unlock() {  // throws std::logic_error if it is empty (semantics 111)
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
  mutex(const mutex&) = delete;
  mutex& operator=(const mutex&) = delete;
  ~mutex() { detail::end_of(core_); }

  // A guard, when the lock is free and everybody who came before has had it. Throws cancelled. Cancel safety: a lock
  // that loses is not taken.
  detail::lock_operation lock() noexcept;
  // An empty guard if it is held.
  guard try_lock() { return core_->try_take(1, "mutex::try_lock") ? guard(detail::hold(*core_, 1)) : guard(); }

 private:
  detail::permit_core* core_;
};

namespace detail {

// The awaitable of lock and lock_shared.
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
