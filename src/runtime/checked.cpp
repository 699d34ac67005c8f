#include <ringo/detail/checked.hpp>

#include <array>
#include <cstddef>
#include <cstdio>
#include <cstdlib>

#include <ringo/detail/lock_rank.hpp>
#include <ringo/detail/routine.hpp>

namespace ringo::detail {
namespace {

struct held_lock {
  lock_rank rank;
  const void* lock;
};
struct held_locks {
  std::array<held_lock, 16> all;
  std::size_t count;
};

held_locks& held_here() noexcept {
  static thread_local held_locks here;  // has no destructor: a thread's last destructors may take locks
  return here;
}

const char* name_of(lock_rank rank) noexcept {
  switch (rank) {
    case lock_rank::signal_registry:
      return "signal_registry";
    case lock_rank::quiet:
      return "quiet";
    case lock_rank::dump_request:
      return "dump_request";
    case lock_rank::source:
      return "source";
    case lock_rank::shared_port:
      return "shared_port";
    case lock_rank::process:
      return "process";
    case lock_rank::unused_objects:
      return "unused_objects";
    case lock_rank::registry:
      return "registry";
    case lock_rank::posts:
      return "posts";
    case lock_rank::roster:
      return "roster";
    case lock_rank::blocking_pool:
      return "blocking_pool";
    case lock_rank::leaf:
      return "leaf";
  }
  return "unknown";
}

}  // namespace

void report_broken_invariant(const char* rule, const std::source_location& where) noexcept {
  std::fprintf(stderr, "ringo: an invariant is broken (%s:%u, %s): %s\n", where.file_name(), where.line(),
               where.function_name(), rule);
  std::abort();
}

void note_lock(lock_rank rank, const void* lock) noexcept {
  held_locks& held = held_here();
  bool is_taken_again = false;
  for (std::size_t i = 0; i < held.count; ++i) is_taken_again = is_taken_again || held.all[i].lock == lock;
  for (std::size_t i = 0; i < held.count && !is_taken_again; ++i) {
    const held_lock& each = held.all[i];
    if (each.rank < rank) continue;
    std::fprintf(
        stderr,
        "ringo: locks are taken in the wrong order: a lock of rank %s (%p) while this thread holds one of rank "
        "%s (%p). docs/invariants.md has the order\n",
        name_of(rank), lock, name_of(each.rank), each.lock);
    std::abort();
  }
  invariant(held.count < held.all.size(), "a thread holds at most 16 locks");
  held.all[held.count++] = {rank, lock};
}

void note_unlock(const void* lock) noexcept {
  held_locks& held = held_here();
  for (std::size_t i = held.count; i > 0; --i) {
    if (held.all[i - 1].lock != lock) continue;
    for (; i < held.count; ++i) held.all[i - 1] = held.all[i];
    --held.count;
    return;
  }
}

void note_long_call(const char* call) noexcept {
  const held_locks& held = held_here();
  for (std::size_t i = 0; i < held.count; ++i) {
    const held_lock& each = held.all[i];
    if (each.rank < lock_rank::source) continue;
    std::fprintf(stderr, "ringo: a thread calls %s while it holds a lock of rank %s (%p)\n", call, name_of(each.rank),
                 each.lock);
    std::abort();
  }
}

void wait_queue::check() const {
  const waiter* const first = front();
  invariant((first == nullptr) == (tail_ == nullptr), "a queue of waiters has a first if it has a last");
  if (first == nullptr) return;
  invariant(first->previous == nullptr && tail_->next == nullptr,
            "no waiter is before a queue's first or behind its last");
  int seen = 0;
  for (const waiter* w = first; w != nullptr && seen < 64; w = w->next, ++seen) {
    invariant(w->where_queued == waiter::place::queued, "a waiter in a queue says that it is in one");
    invariant((w->next != nullptr ? w->next->previous : tail_) == (w->next != nullptr ? w : tail_) &&
                  (w->next != nullptr || w == tail_),
              "a queue's links agree in both directions");
    invariant(w->state == progress::waiting, "a queued waiter has not won");
  }
}

}  // namespace ringo::detail
