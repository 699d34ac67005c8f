// shared_mutex: many readers or one writer (Go: sync.RWMutex).
#pragma once
#include <ringo/detail/cpp20.hpp>

#include <ringo/mutex.hpp>

namespace ringo {

// Held by one guard of lock(), or by any number of lock_shared(). A writer that waits holds up new readers, so a
// routine that reads must not lock to read again (semantics 115); when a writer is done, the readers that wait go
// before the next writer (116). Else first come, first served. The rest as mutex.
class shared_mutex {
 public:
  using guard = mutex::guard;

  shared_mutex() : core_(new detail::permit_core(detail::permit_core::kind::shared_mutex, everybody)) {}
  shared_mutex(const shared_mutex&) = delete;
  shared_mutex& operator=(const shared_mutex&) = delete;
  ~shared_mutex() { detail::end_of(core_); }

  // To write. Throws cancelled. Cancel safety: a lock that loses is not taken.
  detail::lock_operation lock() noexcept { return detail::lock_operation(*core_, everybody); }
  // To read; the same.
  detail::lock_operation lock_shared() noexcept { return detail::lock_operation(*core_, 1); }
  // An empty guard if it is not to be had at once.
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
