// Notices routines that keep their worker for long (runtime_options::stall), by a thread of its own.
//
// Nothing is added to what workers do: the watcher reads the counters that they keep anyway. A worker whose counters
// have not changed since the last look, and that is not asleep, has been in one resume since. The record of the routine
// that it runs may be freed at any time, so the kernel copies what is read of it (own_memory.hpp), between two looks
// that must find the same resume and the same routine: then the routine has run all the while, and the copy is whole.
#pragma once
#include <sys/types.h>

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <optional>
#include <source_location>
#include <string>
#include <thread>
#include <vector>

#include <ringo/clock.hpp>
#include <ringo/detail/lock_rank.hpp>

#include "platform/native_stack.hpp"
#include "runtime/stall_account.hpp"
#include "runtime/stall_log.hpp"

namespace ringo::detail {

class runtime_core;
class scheduler;

// The part of the time that is the program's own doing, and not that of a busy machine. runs: the thread is ready to
// run, or runs.
constexpr duration own_time(const spent_time& spent, bool runs) noexcept {
  return runs ? spent.on_cpu : spent.elapsed - spent.without_cpu;
}

class stall_watch {
 public:
  // Throws std::system_error if no thread can be started.
  stall_watch(runtime_core& rt, duration limit);
  stall_watch(const stall_watch&) = delete;
  stall_watch& operator=(const stall_watch&) = delete;
  // Waits for on_warning, which may wait for the runtime's end.
  ~stall_watch();

  void stop() noexcept;  // from now on it looks no more
  // Adds its thread, unless that is in on_warning, which may wake a routine. Thread: any.
  void list_threads(std::vector<pid_t>& ids) const;

 private:
  struct watched {
    std::optional<std::int64_t> progress;  // none: the worker sleeps
    time_point since{};                    // the first look that saw this progress
    std::optional<duration> on_cpu_before, without_cpu_before;
    enum class told : std::uint8_t { not_yet, left_out, yes };
    told is = told::not_yet;
    time_point tell_again{};
    noticed_stall stall;   // unless not_yet
    std::string text;      // about the routine
    std::string function;  // the program's innermost one in the stack that was told last
  };
  void run() noexcept;
  void look_at(const scheduler& w, watched& of, time_point now);
  void look_into(const scheduler& w, watched& of, time_point now);
  void note_end(watched& of, time_point now);
  spent_time spent_since(const scheduler& w, const watched& of, time_point now) const;
  void add_holders(std::string& text, const scheduler& w, const system_call& call, time_point now,
                   code_names& names) const;
  void tell(std::string_view text) noexcept;

  runtime_core& runtime_;
  const duration limit_;
  const stack_signal signal_;
  std::vector<watched> watched_;  // for each worker; only its thread uses it
  std::mutex mutex_;
  std::condition_variable changed_;
  bool stopped_ = false;                // under mutex_
  std::atomic<pid_t> idle_thread_ = 0;  // 0: not started, or in on_warning
  std::thread thread_;
};

// The same by two looks from outside: what has kept the workers of a runtime since this was made.
class stall_probe {
 public:
  explicit stall_probe(const runtime_core& rt);
  // A text for each worker; empty if it sleeps or has gone on. Thread: any, but the runtime's workers. Throws:
  // std::bad_alloc.
  std::vector<std::string> kept(const runtime_core& rt) const;

 private:
  struct worker_then {
    std::optional<std::int64_t> progress;
    std::optional<duration> on_cpu, without_cpu;
  };
  time_point since_;
  std::vector<worker_then> workers_;
};

}  // namespace ringo::detail
