// The native stack of another thread of this process.
//
// Of a thread that computes: a signal makes it walk its own stack. The signal is SIGURG, whose default is to be
// ignored, so one that comes late does no harm. Of a thread in a system call: its stack's memory is searched for return
// addresses, since a signal would end many calls early with EINTR (nanosleep, poll, epoll_wait, io_uring_enter, a
// socket's calls with a time limit), and would cut a write short.
#pragma once
#include <sys/types.h>

#include <cstdint>
#include <vector>

#include "platform/code_names.hpp"
#include "platform/thread_state.hpp"

namespace ringo::detail {

// While one of these lives, SIGURG has a handler of ringo's, unless the program has one. The last one restores what was
// there before, unless the program has changed it meanwhile. Thread: any.
class stack_signal {
 public:
  stack_signal() noexcept;
  stack_signal(const stack_signal&) = delete;
  stack_signal& operator=(const stack_signal&) = delete;
  ~stack_signal();
};

enum class walk_outcome : std::uint8_t {
  walked,
  signal_is_taken,    // the program has a handler of its own
  signal_is_blocked,  // in that thread
  no_answer           // within a fifth of a second, or two if it waits for a CPU
};

struct stack_frame {
  std::uintptr_t address;
  bool may_have_returned = false;  // whether it has called the next inner frame is not known
};

// The frames on the thread's stack up to the address `outermost`, innermost first, into `stack`. Call it only for a
// thread that computes: if that begins a system call in the same moment, the call may end with EINTR. Needs a
// stack_signal. Thread: any, but the one asked.
walk_outcome walk_stack(pid_t thread, std::uintptr_t outermost, std::vector<stack_frame>& stack);

// The same for a thread that is blocked in this state, from its stack's memory up to `outermost`. Empty where it is not
// known how a processor calls. Throws: std::bad_alloc.
std::vector<stack_frame> guess_stack(const thread_state& state, std::uintptr_t outermost, code_names& names);

}  // namespace ringo::detail
