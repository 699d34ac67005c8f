// shared_mutex: many readers or one writer (Go: sync.RWMutex).
#pragma once
#include <ringo/detail/cpp20.hpp>

#include <ringo/mutex.hpp>

namespace ringo {

/// A lock that one guard of lock() holds, or any number of guards of lock_shared(). Otherwise like mutex.
///
/// A waiting writer stops new readers, so a routine that reads must not lock for reading again (semantics 115).
/// Fairness: after a writer the waiting readers go before the next writer (116); else first come, first served.
class shared_mutex {
 public:
  using guard = mutex::guard;

  shared_mutex() : core_(new detail::permit_core(detail::permit_core::kind::shared_mutex, everybody)) {}
  explicit shared_mutex(const detail::object_name& name) : shared_mutex() { core_->set_name(name); }
  shared_mutex(const shared_mutex&) = delete;
  shared_mutex& operator=(const shared_mutex&) = delete;
  ~shared_mutex() { detail::end_of(core_); }

  /// Locks for writing. Throws: cancelled. Cancel safety: a lock that loses or is cancelled is not taken.
  detail::lock_operation lock() noexcept { return detail::lock_operation(*core_, everybody); }
  /// Locks for reading; the same.
  detail::lock_operation lock_shared() noexcept { return detail::lock_operation(*core_, 1); }
  /// These do not wait: the guard is empty if the lock is not free at once.
  guard try_lock() { return try_take(everybody, "shared_mutex::try_lock"); }
  guard try_lock_shared() { return try_take(1, "shared_mutex::try_lock_shared"); }

 private:
  static constexpr std::size_t everybody = detail::permit_core::most;

  guard try_take(std::size_t amount, const char* call) {
    return core_->try_take(amount, call) ? guard(detail::hold(*core_, amount)) : guard();
  }

  detail::permit_core* core_;
};

}  // namespace ringo
