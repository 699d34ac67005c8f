// A guard for locks of objects that wake routines themselves, and so have no section (section.hpp).
#pragma once
#include <ringo/detail/checked.hpp>
#include <ringo/detail/current_worker.hpp>
#include <ringo/detail/spin_lock.hpp>

namespace ringo::detail {

// Whether the calling thread checks invariants: in checked builds, and in simulations.
RINGO_ALWAYS_INLINE inline bool checks_here() noexcept {
  if constexpr (checked_build) return true;
  const worker* const w = current_worker();
  return w != nullptr && w->simulated;
}

// Locks, if there are several workers; at its end it checks the object's invariants, and unlocks.
template <class Object, class Lock>
class checked_guard {
 public:
  checked_guard(const Object& of, Lock& lock, bool needed) noexcept : of_(of), guard_(lock, needed) {}
  checked_guard(const checked_guard&) = delete;
  checked_guard& operator=(const checked_guard&) = delete;
  ~checked_guard() {
    if (checks_here()) [[unlikely]]
      of_.check();
  }

 private:
  const Object& of_;
  optional_guard<Lock> guard_;
};

}  // namespace ringo::detail
