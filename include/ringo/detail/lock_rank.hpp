// The order in which a thread may take locks: each lock has a rank, and a thread that holds a lock takes only locks of
// higher rank. Checked builds (checked.hpp) verify this at each lock, so a wrong order is found the first time that the
// code runs, and not only when two threads meet; a release build does nothing.
#pragma once
#include <cstdint>

#include <ringo/detail/checked.hpp>

namespace ringo::detail {

// Outermost first. docs/invariants.md says what each lock guards.
enum class lock_rank : std::uint8_t {
  signal_registry,  // the list of all `signals`, and the process's signal handlers
  quiet,            // the verdict that all workers of a runtime are quiet; a dump is written under it
  dump_request,     // a report that a thread has asked for
  unused_objects,   // that no runtime begins to use an object; recursive
  source,           // a source's: what waiters wait for. Of one select all at once, in the order of their addresses
  shared_port,      // the listeners that share a port
  process,          // how a child process has ended
  registry,         // all runtimes; recursive
  posts,            // what other threads have posted to a runtime
  roster,           // the routines of one worker
  blocking_pool,    // all of the pool
  leaf              // under which no lock is taken
};

// By a thread that is about to take the lock, or has just let it go. Aborts, and names both locks, if a held lock has
// the same or a higher rank; the same lock may be taken again (its type is recursive then).
void note_lock(lock_rank rank, const void* lock) noexcept;
void note_unlock(const void* lock) noexcept;

// By a thread that is about to make a system call of a descriptor, or to call OpenSSL: others would spin for the whole
// call if it held a source's lock. Aborts in checked builds, and names the call and the lock, if the thread holds a
// lock of rank `source` or higher. (The mutexes of lower rank are there to be held during such calls.)
void note_long_call(const char* call) noexcept;
[[gnu::always_inline]] inline void without_locks([[maybe_unused]] const char* call) noexcept {
  if constexpr (checked_build) note_long_call(call);
}

// A mutex, or a raw_spin_lock, with a rank: for std::lock_guard, std::unique_lock and optional_guard.
template <class Mutex, lock_rank Rank>
class ranked : public Mutex {
 public:
  [[gnu::always_inline]] void lock() noexcept(noexcept(Mutex().lock())) {
    if constexpr (checked_build) note_lock(Rank, this);
    Mutex::lock();
  }
  [[gnu::always_inline]] void unlock() noexcept {
    Mutex::unlock();
    if constexpr (checked_build) note_unlock(this);
  }
};

}  // namespace ringo::detail
