// Runs code in a forked child. The code may forbid itself system calls, descriptors and memory, and may crash.
#pragma once
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <initializer_list>
#include <stdexcept>
#include <string>
#include <vector>

namespace sandbox {

struct ending {
  std::string text;      // what went to stderr, then what `body` returned or what escaped from it
  int exit_status = -1;  // 0, 1 when an exception escaped, -1 when the child was killed
  int signal = 0;
};

// Calls `body`, which returns a std::string, in a forked child. None of the parent's clean-up runs there.
template <class Body>
ending in_child(Body body) {
  int ends[2];
  if (::pipe(ends) != 0) throw std::runtime_error("no pipe");
  std::fflush(nullptr);  // or the child could write it too
  const pid_t child = ::fork();
  if (child < 0) throw std::runtime_error("no child");
  if (child == 0) {
    ::close(ends[0]);
    ::dup2(ends[1], STDERR_FILENO);
    const rlimit no_core{0, 0};
    ::setrlimit(RLIMIT_CORE, &no_core);
    for (const int number : {SIGABRT, SIGSEGV, SIGTERM}) ::signal(number, SIG_DFL);  // doctest's handlers report
    int status = 0;
    std::string text;
    try {
      text = body();
    } catch (const std::exception& problem) {
      text = std::string("escaped: ") + problem.what();
      status = 1;
    }
    // Not a call at all when there is no text: a test may have forbidden it.
    if (!text.empty() && ::write(ends[1], text.data(), text.size()) < 0) status = 1;
    ::_exit(status);
  }
  ::close(ends[1]);
  ending result;
  char part[512];
  ssize_t length;
  while ((length = ::read(ends[0], part, sizeof part)) > 0) result.text.append(part, static_cast<std::size_t>(length));
  ::close(ends[0]);
  int status = 0;
  ::waitpid(child, &status, 0);
  if (WIFEXITED(status)) result.exit_status = WEXITSTATUS(status);
  if (WIFSIGNALED(status)) result.signal = WTERMSIG(status);
  return result;
}

// From now on these system calls of the calling thread, and of those it starts, get `answer` (SECCOMP_RET_ERRNO |
// EPERM, SECCOMP_RET_KILL_PROCESS…). With SECCOMP_FILTER_FLAG_NEW_LISTENER the result is the listener's descriptor.
inline int filter_calls(std::initializer_list<int> calls, std::uint32_t answer, unsigned flags = 0) {
  std::vector<sock_filter> program;
  program.push_back(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)));
  for (const int call : calls) {
    program.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<std::uint32_t>(call), 0, 1));
    program.push_back(BPF_STMT(BPF_RET | BPF_K, answer));
  }
  program.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
  const sock_fprog filter{static_cast<unsigned short>(program.size()), program.data()};
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) throw std::runtime_error("PR_SET_NO_NEW_PRIVS was refused");
  const long result = ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &filter);
  if (result < 0) throw std::runtime_error("a seccomp filter was refused");
  return static_cast<int>(result);
}

}  // namespace sandbox
