// The worker of the calling thread.
#pragma once
#include <ringo/detail/frame.hpp>
#include <ringo/detail/machine_code.hpp>
#include <ringo/detail/worker.hpp>

namespace ringo::detail {

bool any_runtime_runs() noexcept;

// Throws std::logic_error in a process that was forked while a runtime ran.
void refuse_in_forked_child(const char* call);

// Throws std::logic_error, which names the call and says what to use instead.
[[noreturn, gnu::cold]] void refuse_foreign_thread(const char* call);
inline worker& require_worker(const char* call) {
  if (worker* w = current_worker()) [[likely]]
    return *w;
  refuse_foreign_thread(call);
}

// The calling thread's worker. Null if no runtime runs: then one thread may use ringo's objects. Throws as above on
// other threads.
worker* worker_or_unused_slow(const char* call);
inline worker* worker_or_unused(const char* call) {
  if (worker* w = current_worker()) [[likely]]
    return w;
  return worker_or_unused_slow(call);
}

// Ends an await of the current routine with `cancelled`.
[[noreturn, gnu::cold]] void throw_cancelled();

}  // namespace ringo::detail
