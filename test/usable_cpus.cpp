// How many workers there are when the program does not say.
#include <doctest/doctest.h>
#include <sched.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>

#include "platform/usable_cpus.hpp"

using ringo::detail::cpus_in_affinity_mask;
using ringo::detail::cpus_in_cgroup_quota;
using ringo::detail::usable_cpus;

namespace {

class hierarchy {
 public:
  hierarchy() {
    char name[] = "/tmp/ringo-cgroup-XXXXXX";
    path_ = ::mkdtemp(name);
  }
  ~hierarchy() { std::filesystem::remove_all(path_); }
  const hierarchy& add(const std::string& file, const std::string& text) const {
    const std::filesystem::path place = path_ + "/mount" + file;
    std::filesystem::create_directories(place.parent_path());
    std::ofstream(place) << text;
    return *this;
  }
  std::optional<unsigned> quota(const std::string& membership) const {
    std::ofstream(path_ + "/membership") << membership;
    return cpus_in_cgroup_quota(path_ + "/membership", path_ + "/mount");
  }

 private:
  std::string path_;
};

std::optional<unsigned> quota_v2(const std::string& text) {
  return hierarchy().add("/a/cpu.max", text).quota("0::/a\n");
}

}  // namespace

TEST_CASE("version 2: a quota is rounded up to whole CPUs, and is at least one") {
  CHECK(quota_v2("200000 100000\n") == 2u);
  CHECK(quota_v2("200001 100000\n") == 3u);
  CHECK(quota_v2("150000 100000\n") == 2u);
  CHECK(quota_v2("1000 100000\n") == 1u);
  CHECK(quota_v2("0 100000\n") == 1u);
  CHECK(quota_v2("9223372036854775807 1\n") == 4294967295u);
}

TEST_CASE("version 2: no quota, or none that can be understood") {
  CHECK_FALSE(quota_v2("max 100000\n"));
  CHECK_FALSE(quota_v2(""));
  CHECK_FALSE(quota_v2("100000"));
  CHECK_FALSE(quota_v2("100000 0\n"));
  CHECK_FALSE(quota_v2("100000 -5\n"));
  CHECK_FALSE(quota_v2("99999999999999999999 100000\n"));
  CHECK_FALSE(hierarchy().quota("0::/\n"));
}

TEST_CASE("version 2: the smallest quota on the way to the root counts") {
  const hierarchy groups;
  groups.add("/a/b/c/cpu.max", "max 100000\n").add("/a/b/cpu.max", "400000 100000\n");
  CHECK(groups.quota("0::/a/b/c\n") == 4u);
  groups.add("/a/cpu.max", "300000 100000\n");
  CHECK(groups.quota("0::/a/b/c\n") == 3u);
  groups.add("/cpu.max", "500000 100000\n");
  CHECK(groups.quota("0::/a/b/c\n") == 3u);
  CHECK(groups.quota("0::/\n") == 5u);
  groups.add("/a/b/c/cpu.max", "100000 100000\n");
  CHECK(groups.quota("0::/a/b/c\n") == 1u);
}

TEST_CASE("in a container, whose root is its own cgroup, the path from outside leads to the root") {
  const hierarchy groups;
  groups.add("/cpu.max", "200000 100000\n").add("/other/cpu.max", "100000 100000\n");
  CHECK(groups.quota("0::/kubepods/pod1/container\n") == 2u);
  CHECK(groups.quota("0::/../../other\n") == 2u);
  CHECK(groups.quota("0::/..\n") == 2u);
  CHECK(groups.quota("0::/..other/x\n") == 2u);
}

TEST_CASE("version 1: by the folder of the controllers or the link to it") {
  const std::string list = "11:memory:/m\n4:cpu,cpuacct:/docker/x\n1:name=systemd:/\n";
  CHECK(hierarchy()
            .add("/cpu,cpuacct/docker/x/cpu.cfs_quota_us", "250000\n")
            .add("/cpu,cpuacct/docker/x/cpu.cfs_period_us", "100000\n")
            .quota(list) == 3u);
  CHECK(hierarchy()
            .add("/cpu/docker/cpu.cfs_quota_us", "50000\n")
            .add("/cpu/docker/cpu.cfs_period_us", "50000\n")
            .quota(list) == 1u);
  CHECK_FALSE(hierarchy().add("/cpu/cpu.cfs_quota_us", "-1\n").add("/cpu/cpu.cfs_period_us", "100000\n").quota(list));
  CHECK_FALSE(hierarchy().add("/cpu/cpu.cfs_quota_us", "100000\n").quota(list));
}

TEST_CASE("version 1: only the cpu controller counts") {
  const hierarchy groups;
  groups.add("/cpuset/a/cpu.cfs_quota_us", "100000\n").add("/cpuset/a/cpu.cfs_period_us", "100000\n");
  CHECK_FALSE(groups.quota("3:cpuset:/a\n2:cpuacct:/a\n"));
}

TEST_CASE("both versions at once: version 2 is one folder deeper, and the smaller quota counts") {
  const hierarchy groups;
  groups.add("/unified/a/cpu.max", "600000 100000\n");
  const std::string list = "2:cpu:/b\n0::/a\n";
  CHECK(groups.quota(list) == 6u);
  groups.add("/cpu/b/cpu.cfs_quota_us", "500000\n").add("/cpu/b/cpu.cfs_period_us", "100000\n");
  CHECK(groups.quota(list) == 5u);
}

TEST_CASE("a list of cgroups that makes no sense is passed over") {
  const hierarchy groups;
  groups.add("/cpu.max", "200000 100000\n");
  CHECK_FALSE(groups.quota(""));
  CHECK_FALSE(groups.quota("nonsense\n\n0:\n"));
  CHECK(groups.quota("nonsense\n0::/") == 2u);
  CHECK_FALSE(cpus_in_cgroup_quota("/nonexistent", "/nonexistent"));
}

TEST_CASE("the affinity mask of the calling thread counts") {
  cpu_set_t before;
  REQUIRE(::sched_getaffinity(0, sizeof before, &before) == 0);
  CHECK(cpus_in_affinity_mask() == static_cast<unsigned>(CPU_COUNT(&before)));
  unsigned narrowed = 0, usable = 0;
  std::thread([&] {
    cpu_set_t one;
    CPU_ZERO(&one);
    for (int cpu = 0; cpu < CPU_SETSIZE && CPU_COUNT(&one) == 0; ++cpu) {
      if (CPU_ISSET(cpu, &before)) CPU_SET(cpu, &one);
    }
    ::sched_setaffinity(0, sizeof one, &one);
    narrowed = cpus_in_affinity_mask();
    usable = usable_cpus();
  }).join();
  CHECK(narrowed == 1);
  CHECK(usable == 1);
}

TEST_CASE("there is always one, and no more than the mask allows") {
  CHECK(usable_cpus() >= 1);
  CHECK(usable_cpus() <= cpus_in_affinity_mask());
}
