// How many CPUs this process may use: the number of workers when the program does not say.
#pragma once
#include <optional>
#include <string>

namespace ringo::detail {

// At least 1: the smaller of what the affinity mask allows and what the cgroups' quotas pay for, rounded up. Read anew
// by each call, so a quota that changes while the program runs counts for the next runtime. Any thread.
unsigned usable_cpus();

// The CPUs in the calling thread's affinity mask, at least 1.
unsigned cpus_in_affinity_mask();

// The smallest quota of the cgroups that the process is in, from its own up to the root, in CPUs rounded up and at
// least 1; none when no quota is set or nothing can be read. `membership` is the process's list of cgroups
// (/proc/self/cgroup), `mount` the folder where the hierarchies are mounted (/sys/fs/cgroup): version 2, version 1 and
// both at once. A container often sees its own cgroup as the root, while the list names a path that exists only
// outside: folders that are missing are passed over.
std::optional<unsigned> cpus_in_cgroup_quota(const std::string& membership, const std::string& mount);

}  // namespace ringo::detail
