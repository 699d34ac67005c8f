// What another thread of this process does: whether it runs, its time on a CPU, and the system call that it is in.
#pragma once
#include <sys/types.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <ctime>
#include <optional>
#include <string>

namespace ringo::detail {

struct system_call {
  long number;
  std::array<std::uint64_t, 6> arguments;
};

struct thread_state {
  enum class kind : std::uint8_t {
    unknown,  // the kernel does not tell
    runs,     // on a CPU, or waits for one
    blocked   // in a system call, or for a page of memory
  };
  kind is = kind::unknown;
  std::optional<system_call> call;
  // While it is blocked: the stack's innermost address, and the address that it goes on at.
  std::uintptr_t stack = 0, code = 0;
};

// Reads a file of /proc. Throws: std::bad_alloc.
thread_state state_of(pid_t thread);

// A clock of a thread's time on a CPU, for other threads, too. Thread: that thread.
clockid_t own_cpu_clock() noexcept;
// None if the thread has ended.
std::optional<std::chrono::nanoseconds> cpu_time(clockid_t clock) noexcept;

// How long the thread was ready to run and had no CPU, up to when it last got one. None if the kernel does not tell.
std::optional<std::chrono::nanoseconds> waited_for_cpu(pid_t thread);

// "read (descriptor 5, pipe:[1234])"
std::string describe(const system_call& call);
bool is_restarted(const system_call& call) noexcept;
// Whether it waits for a mutex, a condition variable, an atomic or the end of a thread.
bool is_wait_for_thread(const system_call& call) noexcept;
// The thread that has locked the mutex of the C library's that the call waits for. 0 if it waits for none; for another
// object it may be any number.
pid_t owner_of_mutex(const system_call& call) noexcept;

}  // namespace ringo::detail
