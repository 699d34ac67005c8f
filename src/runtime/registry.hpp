// The runtimes of this process.
#pragma once
#include <cstdint>
#include <functional>
#include <vector>

namespace ringo::detail {

class runtime_core;

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
  static void with_all(const std::function<void(const std::vector<runtime_core*>&)>& f);
};

}  // namespace ringo::detail
