#include "runtime/inspection.hpp"

#include <utility>

#include "platform/thread_state.hpp"
#include "runtime/recorder.hpp"
#include "runtime/registry.hpp"
#include "runtime/runtime_core.hpp"

namespace ringo::detail {

std::vector<inspected_runtime> inspect_runtimes() {
  std::vector<inspected_runtime> found;
  runtime_registry::with_all([&found](const registry& runtimes) {
    for (const runtime_core* rt : runtimes.all) {
      inspected_runtime& to = found.emplace_back();
      to.id = rt->id;
      to.driver = rt->settings.driver;
      to.runs = rt->running();
      to.records = rt->records();
      to.counts = rt->metrics();
      for (const auto& w : rt->workers) {
        inspected_worker& its = to.workers.emplace_back();
        its.thread = w->thread.load(std::memory_order_acquire);
        its.sleeps = w->counts.parks.value() != w->counts.wakes.value();
        if (its.thread == 0) continue;
        its.on_cpu = cpu_time(w->cpu_clock.load(std::memory_order_relaxed)).value_or(duration::zero());
      }
    }
  });
  return found;
}

std::vector<inspected_stalls> inspect_stalls() {
  std::vector<inspected_stalls> found;
  runtime_registry::with_all([&found](const registry& runtimes) {
    for (const runtime_core* rt : runtimes.all) {
      found.push_back(
          {rt->id, rt->running(), static_cast<std::uint64_t>(rt->stalls.value()), rt->noticed_stalls.copy()});
    }
  });
  return found;
}

bool ask_for_snapshot(std::uint64_t runtime_id, std::function<void(std::optional<snapshot>)> answer) {
  bool accepted = false;
  runtime_registry::with(runtime_id, [&](runtime_core& rt) {
    accepted = rt.running() && rt.post([answer = std::move(answer)](worker* w) {
      std::optional<snapshot> taken;
      try {
        if (w != nullptr) taken = w->runtime.snapshot();
      } catch (const std::bad_alloc&) {  // must not end the program's runtime
      }
      answer(std::move(taken));
    });
  });
  return accepted;
}

std::string recording_image(std::uint64_t runtime_id, std::uint32_t last_seconds) {
  std::string image;
  runtime_registry::with(runtime_id, [&](const runtime_core& rt) {
    if (rt.records()) image = rt.recorder->image(last_seconds);
  });
  return image;
}

std::optional<stall_probe> probe_stalls(std::uint64_t runtime_id) {
  std::optional<stall_probe> made;
  runtime_registry::with(runtime_id, [&made](const runtime_core& rt) { made.emplace(rt); });
  return made;
}

// Under the registry's lock, which keeps the runtime. So a runtime that ends meanwhile waits, for some milliseconds.
std::vector<std::string> kept_workers(std::uint64_t runtime_id, const stall_probe& since) {
  std::vector<std::string> texts;
  runtime_registry::with(runtime_id, [&](const runtime_core& rt) { texts = since.kept(rt); });
  return texts;
}

}  // namespace ringo::detail
