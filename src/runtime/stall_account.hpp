// What keeps a worker, as a text: its routine, and what its thread does. By another thread, while the worker goes on.
#pragma once
#include <cstdint>
#include <optional>
#include <source_location>
#include <string>
#include <vector>

#include <ringo/clock.hpp>
#include <ringo/detail/counter.hpp>

#include "platform/code_names.hpp"
#include "platform/thread_state.hpp"

namespace ringo::detail {

class runtime_core;
class scheduler;

// What a thread has done since a moment.
struct spent_time {
  duration elapsed{};
  duration on_cpu{};
  duration without_cpu{};  // ready to run, while others had the CPU; up to when it last got one
};

// All that a worker counts while it goes on, or nothing if it sleeps.
std::optional<std::int64_t> progress_of(const counters& of) noexcept;

// Stalls of routines that were started at one place are alike if their threads do the same.
long kind_of(const thread_state& state) noexcept;

struct kept_by {
  const void* routine = nullptr;  // null: the worker is between two routines
  std::uint32_t number = 0;
  std::string name;
  std::source_location started;
  std::optional<std::source_location> waited;
  bool has_waited = false;
};
// None if the worker goes on meanwhile.
std::optional<kept_by> find_keeper(const scheduler& w, code_names& names);
bool is_main(const kept_by& keeper, const runtime_core& of) noexcept;
std::string describe(const kept_by& keeper, const runtime_core& of);

// What a worker's thread does.
struct stall_account {
  std::string text;      // to which this is added
  std::string function;  // the program's innermost one in the last stack, then in this one
  std::string call;      // the system call that it is in, or empty
  std::vector<std::string> stack;
};
void add_what_it_does(stall_account& to, const scheduler& w, const thread_state& state, const spent_time& spent,
                      code_names& names);

}  // namespace ringo::detail
