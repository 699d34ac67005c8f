// The runtimes of this process.
#pragma once
#include <cstdint>
#include <functional>
#include <mutex>
#include <vector>

#include <ringo/detail/lock_rank.hpp>

namespace ringo::detail {

class runtime_core;

struct registry {
  ranked<std::recursive_mutex, lock_rank::registry> mutex;  // a post that is run under it may look up another runtime
  std::vector<runtime_core*> all;                           // of the program
  std::vector<runtime_core*> helpers;                       // of ringo's own: an inspector's
  std::uint64_t last_id = 0;
};

// Any thread.
class runtime_registry {
 public:
  static std::uint64_t next_id();  // throws std::logic_error in a forked child
  static void add(runtime_core& rt);
  static void remove(runtime_core& rt) noexcept;
  // Calls f with the runtime, which stays until f returns. False if it has ended.
  static bool with(std::uint64_t id, const std::function<void(runtime_core&)>& f);
  static bool has(std::uint64_t id);
  // Calls f with all runtimes, which stay until f returns.
  static void with_all(const std::function<void(const registry&)>& f);
};

}  // namespace ringo::detail

// What scripts for debuggers begin with: null until the first runtime. It is in debugger/embedded.cpp, which a program
// with a runtime thereby contains.
extern "C" ringo::detail::registry* ringo_runtimes;
