// Refuses memory, for tests of what the library does without. Replaces operator new, so one file of a program includes
// it. (ThreadSanitizer has its own.) No check may be made while memory is refused: doctest may need some.
#pragma once
#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <new>

namespace memory {

inline std::atomic<bool (*)(std::size_t)> refuses = nullptr;
// How many allocations of the threads that count still succeed before one fails; negative: all do.
inline std::atomic<int> until_one_fails = -1;
inline std::atomic<bool> all_threads_count = false;
inline thread_local bool this_thread_counts = false;

}  // namespace memory

// While it lives, operator new throws, on every thread, if the function says so for the size. As an object it ends with
// its scope on every way out, so that doctest can report what has gone wrong there.
class memory_is_refused {
 public:
  explicit memory_is_refused(bool (*if_so)(std::size_t)) noexcept { memory::refuses = if_so; }
  memory_is_refused(const memory_is_refused&) = delete;
  memory_is_refused& operator=(const memory_is_refused&) = delete;
  ~memory_is_refused() { memory::refuses = nullptr; }
};

enum class allocations_of { this_thread, all_threads };

// Calls f with the first allocation failing, then with the second, until f returns; how often it threw.
template <class F>
int failures_of(F f, allocations_of which = allocations_of::this_thread) {
  const struct all_succeed {
    ~all_succeed() {
      memory::until_one_fails = -1;
      memory::all_threads_count = memory::this_thread_counts = false;
    }
  } at_the_end;
  memory::this_thread_counts = true;
  memory::all_threads_count = which == allocations_of::all_threads;
  for (int n = 0;; ++n) {
    memory::until_one_fails = n;
    try {
      f();
      return n;
    } catch (const std::bad_alloc&) {
    }
  }
}

void* operator new(std::size_t size) {
  const auto refuses = memory::refuses.load();
  if (refuses != nullptr && refuses(size)) throw std::bad_alloc();
  if (memory::until_one_fails >= 0 && (memory::this_thread_counts || memory::all_threads_count) &&
      memory::until_one_fails-- == 0)
    throw std::bad_alloc();
  if (void* const got = std::malloc(size)) return got;
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
