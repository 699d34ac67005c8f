// The number of CPUs that this process may use, which is the default number of workers.
#pragma once
#include <optional>
#include <string>

namespace ringo::detail {

// The smaller of the number of CPUs in the affinity mask, and the cgroups' quota, rounded up; at least 1. Each call
// reads them again, so a quota that changes while the program runs applies to the next runtime. Thread: any.
unsigned usable_cpus();

// The CPUs in the calling thread's affinity mask, at least 1.
unsigned cpus_in_affinity_mask();

// The smallest quota of the process's cgroups, from its own up to the root, in CPUs, rounded up, at least 1. None if no
// quota is set, or if none can be read. `membership` is the process's list of cgroups (/proc/self/cgroup), `mount` the
// folder where the hierarchies are mounted (/sys/fs/cgroup): version 2, version 1, or both. In a container the
// process's own cgroup is often the root, although the list names a path outside; so missing folders are ignored.
std::optional<unsigned> cpus_in_cgroup_quota(const std::string& membership, const std::string& mount);

}  // namespace ringo::detail
