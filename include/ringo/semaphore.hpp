// semaphore: so many permits, of which each acquires some (Go: golang.org/x/sync/semaphore).
#pragma once
#include <ringo/detail/cpp20.hpp>

#include <cstddef>

#include <ringo/detail/compilers.hpp>
#include <ringo/detail/permit_core.hpp>

namespace ringo {

namespace detail {
class acquire_operation;
}

// First come, first served: who asks for many holds up who comes later and asks for few (semantics 123); who asks for
// more than there are waits until it is cancelled, and holds up nobody (128). When it is destroyed, its permits become
// empty and who waits ends with `cancelled`. Thread: workers, or one thread while no runtime runs.
class semaphore {
 public:
  // Some permits while they are held; gives them back when it is destroyed. Move-only. Thread: any; from one that is no
  // worker they are back soon after.
  class [[nodiscard("the permit is given back at once")]] permit {
   public:
    permit() noexcept = default;
    permit(permit&&) noexcept = default;
    permit& operator=(permit&&) noexcept = default;
    ~permit() = default;

    void release() {  // throws std::logic_error if it is empty (semantics 129)
      if (!hold_.give_back()) detail::throw_nothing_held("release of an empty permit");
    }
    explicit operator bool() const noexcept { return hold_.holds(); }

   private:
    friend class semaphore;
    friend class detail::acquire_operation;
    explicit permit(detail::hold&& held) noexcept : hold_(std::move(held)) {}

    detail::hold hold_;
  };

  explicit semaphore(std::size_t n);  // throws std::invalid_argument of what was a negative number
  semaphore(const semaphore&) = delete;
  semaphore& operator=(const semaphore&) = delete;
  ~semaphore() { detail::end_of(core_); }

  // n permits in one, when there are as many and everybody who came before has theirs. Throws cancelled, and at once
  // std::invalid_argument of what was a negative number. Cancel safety: an acquire that loses takes nothing, and lets
  // who waits behind it go on (semantics 126, 127).
  detail::acquire_operation acquire(std::size_t n = 1);
  permit try_acquire(std::size_t n = 1);  // an empty permit if they are not to be had at once, or somebody waits (124)
  std::size_t available() const;          // for reports: it may have changed when it is read

 private:
  detail::permit_core* core_;
};

namespace detail {

// The awaitable of acquire.
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
