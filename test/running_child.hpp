// Runs a program in a forked child, for programs that end their process.
#pragma once

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <csignal>
#include <cstdlib>
#include <string>

struct child_end {
  bool exited;         // rather than killed by a signal
  int status;          // of the exit, or the signal
  std::string errors;  // what it wrote to stderr
};

// program() runs in the child and returns its exit status; 99 stands for an exception. Call it while no runtime runs.
template <class F>
child_end run_in_a_child(F program) {
  int ends[2];
  if (::pipe(ends) != 0) std::abort();
  const pid_t child = ::fork();
  if (child < 0) std::abort();
  if (child == 0) {
    ::close(ends[0]);
    ::dup2(ends[1], STDERR_FILENO);
    ::close(ends[1]);
    const rlimit no_core = {0, 0};
    ::setrlimit(RLIMIT_CORE, &no_core);
    // The test framework's handlers would report the child's end as its own.
    for (int each : {SIGABRT, SIGSEGV, SIGTERM, SIGILL, SIGFPE, SIGINT}) std::signal(each, SIG_DFL);
    int status = 99;
    try {
      status = program();
    } catch (...) {
    }
    ::_exit(status);
  }
  ::close(ends[1]);
  child_end end = {};
  char buffer[4096];
  for (ssize_t n; (n = ::read(ends[0], buffer, sizeof buffer)) > 0;)
    end.errors.append(buffer, static_cast<std::size_t>(n));
  ::close(ends[0]);
  int how = 0;
  if (::waitpid(child, &how, 0) != child) std::abort();
  end.exited = WIFEXITED(how);
  end.status = end.exited ? WEXITSTATUS(how) : WTERMSIG(how);
  return end;
}
