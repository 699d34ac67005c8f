#include "runtime/registry.hpp"

#include <algorithm>
#include <mutex>

#include <ringo/detail/current_worker.hpp>

#include "platform/never_destroyed.hpp"
#include "runtime/live_counts.hpp"
#include "runtime/runtime_core.hpp"

namespace ringo::detail {
namespace {

// Never destroyed: a static channel's destructor may come after it.
registry& runtimes() {
  static auto* one = ringo_runtimes = new registry;
  return *one;
}

std::vector<runtime_core*>& list_of(registry& r, const runtime_core& rt) { return rt.is_helper ? r.helpers : r.all; }

}  // namespace

std::uint64_t runtime_registry::next_id() {
  refuse_in_forked_child("runtime");
  registry& r = runtimes();
  const std::lock_guard guard(r.mutex);
  return r.last_id += 1;
}

void runtime_registry::add(runtime_core& rt) {
  registry& r = runtimes();
  const std::lock_guard guard(r.mutex);
  list_of(r, rt).push_back(&rt);
}

void runtime_registry::remove(runtime_core& rt) noexcept {
  registry& r = runtimes();
  const std::lock_guard guard(r.mutex);
  std::erase(list_of(r, rt), &rt);
  if (rt.is_helper) return;
  // Its workers' counts stay part of the process's.
  for (const auto& w : rt.workers) {
    outside_counts().frames.fetch_add(w->counts.frames.value(), std::memory_order_relaxed);
    outside_counts().routines.fetch_add(w->live_routines(), std::memory_order_relaxed);
  }
}

bool runtime_registry::with(std::uint64_t id, const std::function<void(runtime_core&)>& f) {
  registry& r = runtimes();
  const std::lock_guard guard(r.mutex);
  for (const auto* list : {&r.all, &r.helpers}) {
    const auto found = std::ranges::find(*list, id, &runtime_core::id);
    if (found == list->end()) continue;
    f(**found);
    return true;
  }
  return false;
}

bool runtime_registry::has(std::uint64_t id) {
  return with(id, [](runtime_core&) {});
}

void runtime_registry::with_all(const std::function<void(const registry&)>& f) {
  registry& r = runtimes();
  const std::lock_guard guard(r.mutex);
  f(r);
}

}  // namespace ringo::detail
