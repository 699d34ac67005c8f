// A count of the references to an object.
#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>

#include <ringo/detail/compilers.hpp>

#if __has_include(<sys/single_threaded.h>)
#include <sys/single_threaded.h>
#define RINGO_KNOWS_THREADS 1
#else
#define RINGO_KNOWS_THREADS 0
#endif

namespace ringo::detail {

// Whether the process has no other thread, as the C library knows. Only the thread that finds itself alone can make
// that false, by starting a thread; and that thread sees all that was written before.
inline bool is_only_thread() noexcept {
#if RINGO_KNOWS_THREADS
  return __libc_single_threaded != 0;
#else
  return false;
#endif
}

// Any thread adds and drops. The only thread of a process does so by a load and a store, as std::shared_ptr does: a
// locked instruction takes 20 cycles.
template <class N>
class basic_reference_count {
 public:
  explicit basic_reference_count(N n) noexcept : count_(n) {}
  RINGO_ALWAYS_INLINE void add() noexcept {
    if (is_only_thread()) {
      count_.store(value() + 1, std::memory_order_relaxed);
    } else {
      count_.fetch_add(1, std::memory_order_relaxed);  // the caller has a reference
    }
  }
  // True: that was the last one. acq_rel: then the caller sees what the others did before they dropped theirs.
  RINGO_ALWAYS_INLINE bool drop() noexcept {
    if (!is_only_thread()) return count_.fetch_sub(1, std::memory_order_acq_rel) == 1;
    const N left = value() - 1;
    count_.store(left, std::memory_order_relaxed);
    return left == 0;
  }
  // By a caller that has no reference. False: there is none any more.
  bool try_add() noexcept {
    N seen = value();
    while (seen != 0) {
      if (count_.compare_exchange_weak(seen, seen + 1, std::memory_order_relaxed)) return true;
    }
    return false;
  }
  // True: the caller has the only reference. acquire: it sees what the others did before they dropped theirs.
  bool is_one() const noexcept { return count_.load(std::memory_order_acquire) == 1; }
  N value() const noexcept { return count_.load(std::memory_order_relaxed); }
  void set(N n) noexcept { count_.store(n, std::memory_order_relaxed); }

 private:
  std::atomic<N> count_;
};
using reference_count = basic_reference_count<std::size_t>;

}  // namespace ringo::detail
