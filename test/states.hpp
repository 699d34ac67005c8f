// Waits for a state, where a length of time would only make it likely: until a routine is parked, until a thread
// sleeps.
#pragma once

#include <fcntl.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <ringo/ringo.hpp>
#include <sstream>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include "runtime/runtime_core.hpp"

inline std::string dump_of(const ringo::runtime& rt) {
  std::ostringstream text;
  rt.dump(text);
  return std::move(text).str();
}

// How many routines of this runtime wait for it, as a dump says: "waits for bytes from ...".
inline std::size_t parked(std::string_view waits_for) {
  std::size_t found = 0;
  for (const auto& r : ringo::runtime::current().snapshot().routines) {
    const bool waits = r.state == ringo::snapshot::state::waits;
    found += waits && ("waits for " + r.waits_for).find(waits_for) != std::string::npos;
  }
  return found;
}

// Yields until that many do. (A flag that a routine sets before its await comes too early.)
inline ringo::task<> until_parked(std::string waits_for, std::size_t count = 1) {
  while (parked(waits_for) < count) co_await ringo::yield();
}

// What a thread, or the main thread of a process, does: R runs, S sleeps, Z is dead and not waited for; - there is
// none.
inline char state_of(pid_t thread) {
  std::ifstream file("/proc/" + std::to_string(thread) + "/stat");
  std::string text;
  std::getline(file, text);
  const auto name_ends = text.rfind(") ");
  return name_ends == std::string::npos ? '-' : text[name_ends + 2];
}

// Or until it has ended.
inline void spin_until_asleep(pid_t thread) {
  for (char state = 'R'; state != 'S' && state != '-'; state = state_of(thread)) std::this_thread::yield();
}
inline void spin_until_asleep(const std::atomic<pid_t>& thread) {
  while (thread == 0) std::this_thread::yield();
  spin_until_asleep(thread.load());
}

// Calls it in a thread of its own, and returns when that sleeps in the call.
template <class F>
void start_thread_that_sleeps_in(F call) {
  auto id = std::make_shared<std::atomic<pid_t>>(0);
  std::thread([call = std::move(call), id]() mutable {
    *id = ::gettid();
    call();
  }).detach();
  spin_until_asleep(*id);
}

// A process that acts when the main thread of this one sleeps. For what only the world outside may bring: a thread of
// this process would hide a deadlock. Make it while this process has one thread.
class other_process {
 public:
  template <class F>
  explicit other_process(F act) {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) std::abort();
    const pid_t watched = ::getpid();
    id_ = ::fork();
    if (id_ < 0) std::abort();
    if (id_ == 0) {
      char byte;
      ::close(ends[1]);
      if (::read(ends[0], &byte, 1) == 1) {
        spin_until_asleep(watched);
        act();
      }
      ::_exit(0);
    }
    ::close(ends[0]);
    go_ = ends[1];
  }
  other_process(const other_process&) = delete;
  other_process& operator=(const other_process&) = delete;
  ~other_process() {
    ::close(go_);
    if (::waitpid(id_, nullptr, 0) != id_) std::abort();
  }
  void act_when_this_sleeps() {
    if (::write(go_, "x", 1) != 1) std::abort();
  }

 private:
  pid_t id_;
  int go_;
};
