// A started program until its end has been noted (waitid(2)), and how this process learns of that end.
//
// Linux 5.4 and newer give a process a descriptor, a pidfd, which is readable when the process has ended. The end is
// noted and signals are sent by it, so they never reach another process that has got the number.
//
// Older kernels, and sandboxes that refuse one of the three calls, need a stand-in: one thread for each child waits for
// its end without noting it, and then raises an eventfd. Nothing cheaper is right: a pipe whose write end the child has
// stays open in the child's own children, and SIGCHLD belongs to the program. There a child is known by its number. The
// number stays the child's until its end is noted, so the owner of a child notes its end and sends it signals under one
// lock.
#pragma once
#include <signal.h>
#include <sys/types.h>

#include <vector>

namespace ringo::detail {

struct child {
  pid_t id;
  int descriptor;  // its owner's, and readable when the program has ended: a pidfd, or the eventfd that stands for it
};

// Sets the descriptor of a child whose end has not been noted. Returns 0 or an errno. Thread: any.
int open_descriptor(child& c) noexcept;
void close_descriptor(const child& c) noexcept;

// Notes the end, and sets `end`, if the child has ended; else `end.si_pid` is 0. A child that another process traces
// ends for its tracer first: its descriptor may be readable before its end can be noted. Returns 0 or an errno.
int note_end(const child& c, siginfo_t& end) noexcept;

// Sends a signal if the child has not ended. Returns 0 or an errno; ESRCH: it has ended, perhaps without its end being
// noted yet. Throws std::bad_alloc.
int send_signal(const child& c, int signal);

// Adds the ids of the threads that wait for ends. They post no work to a runtime.
void list_end_watchers(std::vector<pid_t>& threads);

}  // namespace ringo::detail
