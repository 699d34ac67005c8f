// All assembly of the library, each piece with its C++ for other machines. ThreadSanitizer builds use the C++, since
// the sanitizer does not see the writes of assembly.
#pragma once
#include <atomic>
#include <cstdint>

#include <ringo/detail/compilers.hpp>

#if defined(__x86_64__) && !RINGO_THREAD_SANITIZER
#define RINGO_WRITES_OUT 1
#else
#define RINGO_WRITES_OUT 0
#endif

namespace ringo::detail {

class worker;

// Adds to a number that only this thread writes and any thread reads. One instruction; compilers make three of an
// atomic's load and store. The number is aligned, so no thread sees half of a sum. A reader with acquire sees what this
// thread did before: x86's addition releases, as the C++ does.
RINGO_ALWAYS_INLINE inline void add_as_only_writer(std::atomic<std::int64_t>& to, std::int64_t n) noexcept {
#if RINGO_WRITES_OUT
  // libc++'s atomics are no operands of assembly; the number in them is one.
  __asm__("addq %1, %0" : "+m"(reinterpret_cast<std::int64_t&>(to)) : "er"(n));
#else
  to.store(to.load(std::memory_order_relaxed) + n, std::memory_order_release);
#endif
}

// Subtracts 1; true if more than 0 is left. Two instructions with the branch; g++ makes five.
RINGO_ALWAYS_INLINE inline bool count_down(std::int32_t& number) noexcept {
#if RINGO_WRITES_OUT
  bool left;
  __asm__("subl $1, %1" : "=@ccg"(left), "+m"(number));
  return left;
#else
  return --number > 0;
#endif
}

// For a loop that waits for another thread: lets the core's other thread work for some dozen cycles.
RINGO_ALWAYS_INLINE inline void pause_processor() noexcept {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("isb");  // arm64's yield takes no time on most processors
#endif
}

// The processor's counter, if there is one; on x86 its speed may change (recorder.cpp).
inline constexpr bool processor_counts =
#if defined(__x86_64__) || defined(__aarch64__)
    true;
#else
    false;
#endif
inline std::uint64_t processor_ticks() noexcept {
#if defined(__x86_64__)
  return __builtin_ia32_rdtsc();
#elif defined(__aarch64__)
  std::uint64_t ticks;
  __asm__ volatile("mrs %0, cntvct_el0" : "=r"(ticks));
  return ticks;
#else
  return 0;
#endif
}

// Makes the compiler keep the last store to the field, although the field's object ends.
template <class Field>
RINGO_ALWAYS_INLINE inline void keep_stores(Field& field) noexcept {
  __asm__ volatile("" : : "r"(&field) : "memory");
}

// The calling thread's worker, or null. Compilers keep the address of a thread_local variable across a suspension,
// after which the coroutine may be on another thread. So assembly, which they do not analyse, computes the address.
#if defined(__x86_64__) && defined(__ELF__)
extern __thread worker* current_worker_slot __asm__("ringo_current_worker") __attribute__((tls_model("initial-exec")));
inline worker* current_worker() noexcept {
  worker* w;
  __asm__ volatile("movq ringo_current_worker@gottpoff(%%rip), %0\n\tmovq %%fs:(%0), %0" : "=r"(w));
  return w;
}
#else
worker* current_worker() noexcept;
#endif
void set_current_worker(worker* w) noexcept;

}  // namespace ringo::detail
