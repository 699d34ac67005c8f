#include <ringo/testing.hpp>

#include "runtime/live_counts.hpp"
#include "runtime/registry.hpp"
#include "runtime/runtime_core.hpp"

namespace ringo::testing {

counts live() {
  std::int64_t frames = 0, routines = 0, timers = 0, operations = 0;
  detail::runtime_registry::with_all([&](const detail::registry& runtimes) {
    // Under the registry's lock, since a runtime that ends adds its counts to these.
    detail::worker_free_counts& outside = detail::outside_counts();
    frames = outside.frames;
    routines = outside.routines;
    timers = outside.timers;
    operations = outside.operations;
    for (const detail::runtime_core* rt : runtimes.all) {
      for (const auto& w : rt->workers) {
        frames += w->counts.frames.value();
        routines += w->live_routines();
        timers += w->timers.armed();
        operations += static_cast<std::int64_t>(w->driver_->in_flight());
      }
      operations += rt->outside_work.load();
    }
  });
  const auto as_size = [](std::int64_t n) { return n < 0 ? std::size_t{0} : static_cast<std::size_t>(n); };
  return {as_size(frames), as_size(routines), as_size(timers), as_size(operations)};
}

}  // namespace ringo::testing
