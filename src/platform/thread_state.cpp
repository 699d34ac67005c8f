#include "platform/thread_state.hpp"

#include <linux/futex.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <charconv>
#include <string_view>

#include "platform/escaped.hpp"
#include "platform/own_memory.hpp"
#include "platform/text_file.hpp"

namespace ringo::detail {
namespace {

struct known_call {
  long number;
  const char* name;
  bool has_descriptor = false;  // as its first argument
};

// The calls that block, of all that a program makes often.
constexpr known_call known_calls[] = {
    {SYS_read, "read", true},
    {SYS_write, "write", true},
    {SYS_readv, "readv", true},
    {SYS_writev, "writev", true},
    {SYS_pread64, "pread", true},
    {SYS_pwrite64, "pwrite", true},
    {SYS_recvfrom, "recv", true},
    {SYS_recvmsg, "recvmsg", true},
    {SYS_sendto, "send", true},
    {SYS_sendmsg, "sendmsg", true},
    {SYS_accept, "accept", true},
    {SYS_accept4, "accept4", true},
    {SYS_connect, "connect", true},
    {SYS_close, "close", true},
    {SYS_fsync, "fsync", true},
    {SYS_fdatasync, "fdatasync", true},
    {SYS_ftruncate, "ftruncate", true},
    {SYS_fallocate, "fallocate", true},
    {SYS_flock, "flock", true},
    {SYS_fcntl, "fcntl", true},
    {SYS_ioctl, "ioctl", true},
    {SYS_getdents64, "getdents64", true},
    {SYS_sendfile, "sendfile"},
    {SYS_splice, "splice", true},
    {SYS_copy_file_range, "copy_file_range", true},
    {SYS_openat, "openat"},
    {SYS_unlinkat, "unlinkat"},
    {SYS_newfstatat, "fstatat"},
    {SYS_statx, "statx"},
    {SYS_ppoll, "ppoll"},
    {SYS_pselect6, "pselect"},
    {SYS_epoll_pwait, "epoll_pwait", true},
    {SYS_nanosleep, "nanosleep"},
    {SYS_clock_nanosleep, "clock_nanosleep"},
    {SYS_futex, "futex"},
    {SYS_wait4, "wait4"},
    {SYS_waitid, "waitid"},
    {SYS_rt_sigtimedwait, "sigtimedwait"},
    {SYS_getrandom, "getrandom"},
    {SYS_sync, "sync"},
    {SYS_msync, "msync"},
    {SYS_mmap, "mmap"},
    {SYS_munmap, "munmap"},
    {SYS_madvise, "madvise"},
    {SYS_semtimedop, "semtimedop"},
    {SYS_msgrcv, "msgrcv"},
    {SYS_msgsnd, "msgsnd"},
    {SYS_io_uring_enter, "io_uring_enter", true},
#ifdef SYS_open  // older processors have these, too
    {SYS_open, "open"},
    {SYS_stat, "stat"},
    {SYS_unlink, "unlink"},
    {SYS_rename, "rename"},
    {SYS_poll, "poll"},
    {SYS_select, "select"},
    {SYS_epoll_wait, "epoll_wait", true},
    {SYS_pause, "pause"},
#endif
};

std::string file_of(pid_t thread, const char* name) { return "/proc/self/task/" + std::to_string(thread) + '/' + name; }

// Takes the number that the text begins with off it, with or without 0x.
std::optional<std::uint64_t> take_number(std::string_view& text) noexcept {
  while (text.starts_with(' ')) text.remove_prefix(1);
  const bool is_hexadecimal = text.starts_with("0x");
  if (is_hexadecimal) text.remove_prefix(2);
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number, is_hexadecimal ? 16 : 10);
  if (error != std::errc()) return std::nullopt;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return number;
}

}  // namespace

// The file has "running", or "-1 stack code" outside of a system call, or "number argument... stack code".
thread_state state_of(pid_t thread) {
  const auto text = read_text(file_of(thread, "syscall"));
  if (!text) return {};
  if (text->starts_with("running")) return {thread_state::kind::runs, {}, 0, 0};
  std::string_view left = *text;
  const bool in_call = !left.starts_with("-1");
  if (!in_call) left.remove_prefix(2);
  std::array<std::uint64_t, 9> numbers{};
  for (std::size_t i = in_call ? 0 : 7; i < numbers.size(); ++i) {
    const auto number = take_number(left);
    if (!number) return {};
    numbers[i] = *number;
  }
  thread_state state{thread_state::kind::blocked, {}, numbers[7], numbers[8]};
  if (!in_call) return state;
  state.call = {static_cast<long>(numbers[0]), {}};
  for (std::size_t i = 0; i < state.call->arguments.size(); ++i) state.call->arguments[i] = numbers[i + 1];
  return state;
}

clockid_t own_cpu_clock() noexcept {
  clockid_t clock = CLOCK_THREAD_CPUTIME_ID;
  ::pthread_getcpuclockid(::pthread_self(), &clock);
  return clock;
}

std::optional<std::chrono::nanoseconds> cpu_time(clockid_t clock) noexcept {
  timespec time{};
  if (::clock_gettime(clock, &time) != 0) return std::nullopt;
  return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
}

// The file has the time on a CPU, the time without one, and the number of times that it got one.
std::optional<std::chrono::nanoseconds> waited_for_cpu(pid_t thread) {
  const auto text = read_text(file_of(thread, "schedstat"));
  if (!text) return std::nullopt;
  std::string_view left = *text;
  if (!take_number(left)) return std::nullopt;
  const auto waited = take_number(left);
  if (!waited) return std::nullopt;
  return std::chrono::nanoseconds(*waited);
}

std::string describe(const system_call& call) {
  for (const known_call& known : known_calls) {
    if (known.number != call.number) continue;
    std::string text = known.name;
    if (!known.has_descriptor) return text;
    const std::string descriptor = std::to_string(static_cast<int>(call.arguments[0]));
    text += " (descriptor " + descriptor;
    std::array<char, 256> name{};
    const ssize_t length = ::readlink(("/proc/self/fd/" + descriptor).c_str(), name.data(), name.size());
    if (length > 0) append_printable(text += ", ", {name.data(), static_cast<std::size_t>(length)});
    return text + ')';
  }
  return "number " + std::to_string(call.number);
}

bool is_restarted(const system_call& call) noexcept { return call.number == SYS_restart_syscall; }
bool is_wait_for_thread(const system_call& call) noexcept { return call.number == SYS_futex; }

pid_t owner_of_mutex([[maybe_unused]] const system_call& call) noexcept {
#if defined(__GLIBC__)
  // A mutex begins with the word that the call waits for, a count, and the owner. Condition variables wait by
  // FUTEX_WAIT_BITSET.
  struct mutex_head {
    int lock;
    unsigned count;
    pid_t owner;
  };
  if (call.number == SYS_futex && (static_cast<int>(call.arguments[1]) & FUTEX_CMD_MASK) == FUTEX_WAIT) {
    if (const auto head = read_own<mutex_head>(call.arguments[0])) return head->owner;
  }
#endif
  return 0;
}

}  // namespace ringo::detail
