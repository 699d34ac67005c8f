#include "platform/native_stack.hpp"

#include <signal.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>
#include <unwind.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstddef>
#include <cstring>
#include <mutex>
#include <span>
#include <string>
#include <thread>

#include "platform/never_destroyed.hpp"
#include "platform/own_memory.hpp"
#include "platform/text_file.hpp"

#ifndef sigev_notify_thread_id  // not every glibc has the name of sigevent's documentation
#define sigev_notify_thread_id _sigev_un._tid
#endif

namespace ringo::detail {
namespace {

constexpr int stack_signal_number = SIGURG;
// A thread that runs or waits for a CPU may take that long to answer, another one the shorter time.
constexpr std::chrono::milliseconds wait_for_walk(200), longest_wait_for_walk(2000);

// One walk at a time in the process. The memory is static, since the answer may come after the asking thread has given
// up, or never. The asking thread stores the asked one's id in `state`, which changes from there by compare-exchange:
// either the handler walks, or the asking thread takes the request back. Only the handler writes while it walks, until
// it stores `walked` with release.
struct stack_walk {
  static constexpr pid_t idle = 0, walks = -1, walked = -2;
  std::atomic<pid_t> state = idle;
  std::array<std::uintptr_t, 128> addresses{};
  std::size_t count = 0;
  std::uintptr_t interrupted_at = 0;
  std::uintptr_t outermost = 0;  // written by the asking thread before it asks
};
stack_walk the_walk;

std::uintptr_t interrupted_code(const void* context) noexcept {
  const auto& registers = static_cast<const ucontext_t*>(context)->uc_mcontext;
#if defined(__x86_64__)
  return static_cast<std::uintptr_t>(registers.gregs[REG_RIP]);
#elif defined(__aarch64__)
  return registers.pc;
#else
  (void)registers;
  return 0;
#endif
}

// Async-signal-safe: it writes to the_walk, and the unwinder reads tables of the program and takes no memory.
_Unwind_Reason_Code note_frame(_Unwind_Context* frame, void*) {
  int is_interrupted = 0;  // else the address is the one that a call returns to, and may belong to the next function
  const std::uintptr_t at = _Unwind_GetIPInfo(frame, &is_interrupted);
  if (at == 0 || the_walk.count == the_walk.addresses.size()) return _URC_END_OF_STACK;
  if (_Unwind_GetCFA(frame) > the_walk.outermost) return _URC_END_OF_STACK;
  if (at == the_walk.interrupted_at) the_walk.count = 0;  // those before are the handler's
  the_walk.addresses[the_walk.count++] = at - (is_interrupted != 0 ? 0 : 1);
  return _URC_NO_REASON;
}

void on_stack_signal(int, siginfo_t*, void* context) {
  const int saved = errno;
  pid_t expected = ::gettid();
  if (the_walk.state.compare_exchange_strong(expected, stack_walk::walks, std::memory_order_acq_rel)) {
    the_walk.count = 0;
    the_walk.interrupted_at = interrupted_code(context);
    _Unwind_Backtrace(note_frame, nullptr);
    the_walk.state.store(stack_walk::walked, std::memory_order_release);
  }
  errno = saved;
}

struct handler_of_stack_signal {
  std::mutex mutex;    // guards the rest, and each walk
  unsigned users = 0;  // stack_signals that live
  struct sigaction before{};
};
handler_of_stack_signal& the_handler() noexcept {
  static never_destroyed<handler_of_stack_signal> one;
  return *one;
}

bool has_stack_signal() noexcept {
  struct sigaction now{};
  return ::sigaction(stack_signal_number, nullptr, &now) == 0 && (now.sa_flags & SA_SIGINFO) != 0 &&
         now.sa_sigaction == on_stack_signal;
}

bool blocks_stack_signal(pid_t thread) {
  const auto status = read_text("/proc/self/task/" + std::to_string(thread) + "/status");
  const auto mask = status ? value_after(*status, "SigBlk:") : std::nullopt;
  std::uint64_t blocked = 0;
  return mask && std::from_chars(mask->data(), mask->data() + mask->size(), blocked, 16).ec == std::errc() &&
         (blocked >> (stack_signal_number - 1) & 1) != 0;
}

// The signal, for a thread when it has computed a little more: a signal that is sent to it may reach it in a call,
// which would end early. Once the time is over the system sends it in an interrupt, and that comes when the thread
// computes.
class computing_signal {
 public:
  explicit computing_signal(pid_t thread) noexcept {
    sigevent event{};
    event.sigev_notify = SIGEV_THREAD_ID;
    event.sigev_signo = stack_signal_number;
    event.sigev_notify_thread_id = thread;
    // The clock of a thread's CPU time, as the kernel numbers it.
    constexpr clockid_t of_thread = 4, scheduled = 2;
    if (::timer_create((~thread << 3) | of_thread | scheduled, &event, &timer_) != 0) return;
    const itimerspec soon{{}, {0, 1000}};
    is_set_ = ::timer_settime(timer_, 0, &soon, nullptr) == 0;
    if (!is_set_) ::timer_delete(timer_);
  }
  computing_signal(const computing_signal&) = delete;
  computing_signal& operator=(const computing_signal&) = delete;
  ~computing_signal() {
    if (is_set_) ::timer_delete(timer_);
  }
  bool will_come() const noexcept { return is_set_; }

 private:
  timer_t timer_{};
  bool is_set_ = false;
};

// A call instruction before an address that it returns to.
struct call_before {
  bool is_there = false;
  std::uintptr_t target = 0;  // 0: it is computed
};

#if defined(__x86_64__)
using code_bytes = std::array<unsigned char, 16>;

// Where an instruction that has a distance of 32 bits at this place, and ends behind it, leads.
std::uintptr_t target_at(const code_bytes& code, std::size_t place, std::uintptr_t begin) noexcept {
  std::int32_t distance = 0;
  std::memcpy(&distance, &code[place], sizeof distance);
  return begin + place + sizeof distance + static_cast<std::uintptr_t>(std::intptr_t{distance});
}

// Calls of another library's functions go to a stub of the linker's, which jumps by a table: endbr64, bnd and
// jmp *distance(%rip).
std::uintptr_t behind_stub(std::uintptr_t function) noexcept {
  constexpr std::array<unsigned char, 4> endbr64{0xf3, 0x0f, 0x1e, 0xfa};
  const auto code = read_own<code_bytes>(function);
  if (!code) return function;
  std::size_t at = std::ranges::equal(std::span(*code).first<4>(), endbr64) ? 4 : 0;
  if ((*code)[at] == 0xf2) ++at;
  if ((*code)[at] != 0xff || (*code)[at + 1] != 0x25) return function;
  return read_own<std::uintptr_t>(target_at(*code, at + 2, function)).value_or(0);
}
#endif

call_before find_call([[maybe_unused]] std::uintptr_t returns_to) noexcept {
#if defined(__x86_64__)
  const std::uintptr_t begin = returns_to - sizeof(code_bytes);
  const auto code = read_own<code_bytes>(begin);
  if (!code) return {};
  if ((*code)[11] == 0xe8) return {true, behind_stub(target_at(*code, 12, begin))};  // call rel32
  if ((*code)[10] == 0xff && (*code)[11] == 0x15) {                                  // call *distance(%rip)
    return {true, read_own<std::uintptr_t>(target_at(*code, 12, begin)).value_or(0)};
  }
  // call r/m64 is ff with 2 in bits 3 to 5 of the next byte, and has up to 7 bytes.
  const bool is_computed = std::ranges::any_of(std::array{2, 3, 4, 6, 7}, [&code](int length) {
    const auto at = code->size() - static_cast<std::size_t>(length);
    return (*code)[at] == 0xff && ((*code)[at + 1] >> 3 & 7) == 2;
  });
  return {is_computed, 0};
#elif defined(__aarch64__)
  const auto instruction = read_own<std::uint32_t>(returns_to - 4);
  if (!instruction) return {};
  if ((*instruction & 0xfc000000) == 0x94000000) {  // bl: a signed number of instructions in 26 bits
    const auto distance = static_cast<std::int32_t>(*instruction << 6) >> 4;
    return {true, returns_to - 4 + static_cast<std::uintptr_t>(std::intptr_t{distance})};
  }
  return {(*instruction & 0xfffffc1f) == 0xd63f0000, 0};  // blr
#else
  return {};
#endif
}

}  // namespace

stack_signal::stack_signal() noexcept {
  handler_of_stack_signal& of = the_handler();
  const std::lock_guard guard(of.mutex);
  if (of.users++ != 0) return;
  ::sigaction(stack_signal_number, nullptr, &of.before);
  const bool is_free =
      (of.before.sa_flags & SA_SIGINFO) == 0 && (of.before.sa_handler == SIG_DFL || of.before.sa_handler == SIG_IGN);
  if (!is_free) return;
  struct sigaction ours{};
  ours.sa_sigaction = on_stack_signal;
  ours.sa_flags = SA_RESTART | SA_SIGINFO;
  ::sigaction(stack_signal_number, &ours, nullptr);
}

stack_signal::~stack_signal() {
  handler_of_stack_signal& of = the_handler();
  const std::lock_guard guard(of.mutex);
  if (--of.users == 0 && has_stack_signal()) ::sigaction(stack_signal_number, &of.before, nullptr);
}

walk_outcome walk_stack(pid_t thread, std::uintptr_t outermost, std::vector<stack_frame>& stack) {
  const std::lock_guard guard(the_handler().mutex);
  if (!has_stack_signal()) return walk_outcome::signal_is_taken;
  if (blocks_stack_signal(thread)) return walk_outcome::signal_is_blocked;
  if (the_walk.state.load(std::memory_order_acquire) == stack_walk::walks) return walk_outcome::no_answer;
  the_walk.outermost = outermost;
  the_walk.state.store(thread, std::memory_order_release);
  const computing_signal signal(thread);
  bool may_answer = signal.will_come();
  const auto asked_at = std::chrono::steady_clock::now();
  while (may_answer && the_walk.state.load(std::memory_order_acquire) != stack_walk::walked) {
    std::this_thread::sleep_for(std::chrono::microseconds(100));
    const auto waited = std::chrono::steady_clock::now() - asked_at;
    may_answer =
        waited < wait_for_walk || (waited < longest_wait_for_walk && state_of(thread).is == thread_state::kind::runs);
  }
  pid_t expected = thread;
  if (the_walk.state.compare_exchange_strong(expected, stack_walk::idle, std::memory_order_acq_rel) ||
      expected != stack_walk::walked) {
    return walk_outcome::no_answer;
  }
  for (std::size_t i = 0; i < the_walk.count; ++i) stack.push_back({the_walk.addresses[i]});
  return walk_outcome::walked;
}

std::vector<stack_frame> guess_stack(const thread_state& state, std::uintptr_t outermost, code_names& names) {
  constexpr std::size_t blocks = 128;  // 64 KiB: more than functions that make system calls have on the stack
  using block = std::array<std::uintptr_t, 64>;
  std::vector<stack_frame> stack;
  if (state.stack == 0) return stack;
  stack.push_back({state.code});
  std::uintptr_t inner = names.find(state.code).begin;  // the function of the last certain frame; 0: not known
  for (std::size_t i = 0; i < blocks && state.stack + i * sizeof(block) < outermost; ++i) {
    const auto words = read_own<block>(state.stack + i * sizeof(block));
    if (!words) break;
    for (const std::uintptr_t word : *words) {
      if (!names.is_code(word) || !names.is_code(word - 16)) continue;
      const call_before call = find_call(word);
      if (!call.is_there) continue;
      // What a computed call calls is not known, so it is not certain. What lies before a frame that has called the
      // last certain one has returned.
      const std::uintptr_t called = call.target != 0 ? names.find(call.target).begin : 0;
      const bool is_certain = called != 0 && (inner == 0 || called == inner);
      if (is_certain) std::erase_if(stack, [](const stack_frame& f) { return f.may_have_returned; });
      stack.push_back({word - 1, !is_certain});
      if (is_certain) inner = names.find(word - 1).begin;
    }
  }
  return stack;
}

}  // namespace ringo::detail
