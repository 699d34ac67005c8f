// Takes snapshots, and makes the lines of a dump.
#pragma once
#include <algorithm>
#include <functional>
#include <string>
#include <unordered_map>
#include <vector>

#include <ringo/detail/wait_report.hpp>
#include <ringo/leaks.hpp>
#include <ringo/snapshot.hpp>

#include "runtime/roster.hpp"

namespace ringo::detail {

// Null if it is not there. Snapshot: a const one or not.
template <class Snapshot>
auto* routine_with(Snapshot& s, std::uint32_t number) {
  const auto found = std::ranges::lower_bound(s.routines, number, {}, &ringo::snapshot::routine::number);
  return found != s.routines.end() && found->number == number ? &*found : nullptr;
}
class runtime_core;

class snapshot_taker {
 public:
  snapshot_taker();
  // Under the lock of the routine's roster, so that the record stays. `inspected` keeps claimers away while the parked
  // operation and the frames that await it are read (routine.hpp). With one worker there are none.
  void add(routine& r, bool is_main);
  ringo::snapshot finish();

 private:
  void add_wait(const routine& r, ringo::snapshot::routine& to);
  std::size_t index_of(const reported_object& o);
  void find_owners();
  void find_cycles();

  ringo::snapshot taken_;
  std::unordered_map<const void*, std::size_t> indices_;        // of objects, by address
  std::vector<std::pair<const void*, std::uint32_t>> members_;  // of groups and their like
};

// "channel "jobs"", or without a name "channel 0x55d8".
std::string object_label(std::string_view kind, const std::string& name, std::uint64_t address);

// "routine 7: waits for ..., at ...; started at ...", without an end of line. The chain is not in it.
std::string line_of(const ringo::snapshot::routine& r, time_point taken);
std::string line_of(routine& r, bool is_main);  // under its roster's lock

// On any thread: a worker of the runtime answers the question between two resumes, or at once if it is the caller. Not
// if the runtime does not run. Throws what the question throws.
void ask_worker(std::uint64_t runtime_id, const std::function<void(runtime_core&)>& question);
// Of a runtime that does not run: without routines.
ringo::snapshot take_snapshot(std::uint64_t runtime_id);
leaks find_leaks(std::uint64_t runtime_id);  // leak_search.cpp

}  // namespace ringo::detail
