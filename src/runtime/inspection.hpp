// What an inspector asks of the program's runtimes. It never waits for a worker, so it learns something of a runtime
// whose workers are all kept, too.
#pragma once
#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include <ringo/recording.hpp>
#include <ringo/run.hpp>
#include <ringo/snapshot.hpp>

#include "runtime/stall_watch.hpp"

namespace ringo::detail {

struct labelled_metrics {
  std::string labels;  // 'runtime="1"', or none
  metrics of;
};
// As to_prometheus(const metrics&), of several runtimes: each family comes once.
std::string to_prometheus(const std::vector<labelled_metrics>& all);

struct inspected_worker {
  pid_t thread = 0;  // 0: it does not run
  bool sleeps = false;
  duration on_cpu{};  // of its thread, since that began
};
struct inspected_runtime {
  std::uint64_t id = 0;
  ringo::driver driver{};
  bool runs = false;     // run() has begun
  bool records = false;  // runtime_options::recorder is set
  metrics counts;
  std::vector<inspected_worker> workers;
};

// The program's runtimes that have not ended. Thread: any. Throws: std::bad_alloc.
std::vector<inspected_runtime> inspect_runtimes();

// A worker calls `answer` with a snapshot; soon, if not all of them are kept. It is called with none if the runtime
// ends before, or has no memory for a snapshot. False: the runtime does not run, and nothing will be called.
// `answer` must not throw. Thread: any.
bool ask_for_snapshot(std::uint64_t runtime_id, std::function<void(std::optional<snapshot>)> answer);

struct inspected_stalls {
  std::uint64_t id = 0;
  bool runs = false;
  std::uint64_t count = 0;  // since the runtime has begun
  stall_log::contents noticed;
};
// What has been noticed of each of the program's runtimes that have not ended. Thread: any. Throws: std::bad_alloc.
std::vector<inspected_stalls> inspect_stalls();

// As runtime::write_recording() writes it, of the last seconds (0: all); empty if the runtime has no recorder or has
// ended. Thread: any.
std::string recording_image(std::uint64_t runtime_id, std::uint32_t last_seconds = 0);

// What keeps the runtime's workers from going on since the probe was made: one text for each, empty if it sleeps or
// has gone on. Without texts if the runtime has ended. Thread: any, but its workers.
std::optional<stall_probe> probe_stalls(std::uint64_t runtime_id);
std::vector<std::string> kept_workers(std::uint64_t runtime_id, const stall_probe& since);

}  // namespace ringo::detail
