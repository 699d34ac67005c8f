// semaphore: a number of permits, of which routines acquire some (Go: golang.org/x/sync/semaphore).
#pragma once
#include <ringo/detail/cpp20.hpp>

#include <cstddef>

#include <ringo/detail/compilers.hpp>
#include <ringo/detail/permit_core.hpp>

namespace ringo {

namespace detail {
class acquire_operation;
}

/// A number of permits.
///
///   semaphore connections(10);
///   auto held = co_await connections.acquire();   // until `held` is destroyed
///
/// If the semaphore is destroyed, its permits become empty, and its waiters end with `cancelled`.
/// Fairness: first come, first served; a waiter for many permits delays later waiters for few (semantics 123), but one
/// for more than there are delays no other (128). Thread: workers, or one thread while no runtime runs.
class semaphore {
 public:
  /// Holds some permits; its destructor gives them back. Move-only. Thread: any; on a thread that is not a worker they
  /// are back soon after the call.
  class [[nodiscard("the permit is given back at once")]] permit {
   public:
    permit() noexcept = default;
    permit(permit&&) noexcept = default;
    permit& operator=(permit&&) noexcept = default;
    ~permit() = default;

    void release() {  ///< Throws: std::logic_error if it is empty (semantics 129).
      if (!hold_.give_back()) detail::throw_nothing_held("release of an empty permit");
    }
    explicit operator bool() const noexcept { return hold_.holds(); }

   private:
    friend class semaphore;
    friend class detail::acquire_operation;
    explicit permit(detail::hold&& held) noexcept : hold_(std::move(held)) {}

    detail::hold hold_;
  };

  explicit semaphore(std::size_t n);  ///< Throws: std::invalid_argument if n is negative.
  semaphore(const detail::object_name& name, std::size_t n) : semaphore(n) { core_->set_name(name); }
  semaphore(const semaphore&) = delete;
  semaphore& operator=(const semaphore&) = delete;
  ~semaphore() { detail::end_of(core_); }

  /// Yields n permits, when all earlier callers have theirs and n are free.
  /// Throws: cancelled; at the call std::invalid_argument if n is negative. Cancel safety: an acquire that loses or is
  /// cancelled takes nothing, and the waiters after it go on (semantics 126, 127).
  detail::acquire_operation acquire(std::size_t n = 1);
  permit try_acquire(std::size_t n = 1);  ///< Empty if n are not free, or if a routine waits (124). Does not wait.
  std::size_t available() const;          ///< A snapshot, for reports.

 private:
  detail::permit_core* core_;
};

namespace detail {

// The operation of acquire().
class RINGO_AWAITABLE acquire_operation final : public permit_request {
 public:
  using result_type = semaphore::permit;
  using permit_request::permit_request;

  RINGO_ALWAYS_INLINE semaphore::permit await_resume() { return semaphore::permit(permit_request::await_resume()); }
  semaphore::permit take() noexcept { return semaphore::permit(permit_request::take()); }
};

[[noreturn]] void throw_negative_permits(std::size_t n, const char* call);
inline std::size_t checked_permits(std::size_t n, const char* call) {
  if (n > permit_core::most) [[unlikely]]
    throw_negative_permits(n, call);
  return n;
}

}  // namespace detail

inline detail::acquire_operation semaphore::acquire(std::size_t n) {
  return detail::acquire_operation(*core_, detail::checked_permits(n, "semaphore::acquire"));
}

}  // namespace ringo
