#include "platform/usable_cpus.hpp"

#include <sched.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string_view>
#include <thread>

#include "platform/text_file.hpp"

namespace ringo::detail {

namespace {

using quota = std::optional<unsigned>;

quota smaller(quota a, quota b) {
  if (!a) return b;
  return b ? std::min(*a, *b) : a;
}

// Both times are in microseconds. In version 1 a negative quota means none.
quota in_cpus(std::optional<std::int64_t> time, std::optional<std::int64_t> period) {
  if (!time || !period || *time < 0 || *period <= 0) return std::nullopt;
  const std::int64_t rounded_up = *time / *period + (*time % *period != 0);
  return static_cast<unsigned>(std::clamp<std::int64_t>(rounded_up, 1, std::numeric_limits<unsigned>::max()));
}

quota quota_of_folder_v2(const std::string& folder) {
  const auto text = read_text(folder + "/cpu.max");
  if (!text) return std::nullopt;
  const std::size_t blank = text->find(' ');
  if (blank == std::string::npos) return std::nullopt;
  return in_cpus(leading_number(*text), leading_number(std::string_view(*text).substr(blank)));  // "max" is no number
}

quota quota_of_folder_v1(const std::string& folder) {
  const auto time = read_text(folder + "/cpu.cfs_quota_us");
  const auto period = read_text(folder + "/cpu.cfs_period_us");
  if (!time || !period) return std::nullopt;
  return in_cpus(leading_number(*time), leading_number(*period));
}

// A path out of the cgroup namespace ("/../..") names no folder below the mount; only the root is left.
bool leads_outside(std::string_view path) {
  return path.find("/../") != std::string_view::npos || path.ends_with("/..");
}

template <class QuotaOfFolder>
quota quota_on_the_way_up(const std::string& root, std::string_view path, QuotaOfFolder quota_of_folder) {
  if (leads_outside(path)) path = "/";
  while (path.ends_with('/')) path.remove_suffix(1);
  quota least;
  for (;;) {
    least = smaller(least, quota_of_folder(root + std::string(path)));
    if (path.empty()) return least;
    const std::size_t parent = path.rfind('/');
    path = path.substr(0, parent == std::string_view::npos ? 0 : parent);
  }
}

bool names_the_cpu_controller(std::string_view controllers) {
  while (!controllers.empty()) {
    const std::string_view one = controllers.substr(0, controllers.find(','));
    if (one == "cpu") return true;
    controllers.remove_prefix(one.size() < controllers.size() ? one.size() + 1 : controllers.size());
  }
  return false;
}

}  // namespace

std::optional<unsigned> cpus_in_cgroup_quota(const std::string& membership, const std::string& mount) {
  const auto list = read_text(membership);
  if (!list) return std::nullopt;
  quota least;
  std::string_view rest = *list;
  while (!rest.empty()) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(line.size() < rest.size() ? line.size() + 1 : rest.size());
    // "number:controllers:path", and version 2 has no controllers.
    const std::size_t first = line.find(':');
    const std::size_t second = first == std::string_view::npos ? first : line.find(':', first + 1);
    if (second == std::string_view::npos) continue;
    const std::string_view controllers = line.substr(first + 1, second - first - 1);
    const std::string_view path = line.substr(second + 1);
    if (controllers.empty()) {
      // Beside version 1, version 2 is mounted one folder deeper.
      for (const char* place : {"", "/unified"})
        least = smaller(least, quota_on_the_way_up(mount + place, path, quota_of_folder_v2));
    } else if (names_the_cpu_controller(controllers)) {
      for (const std::string& place : {std::string(controllers), std::string("cpu")})
        least = smaller(least,
                        quota_on_the_way_up(std::string(mount).append(1, '/').append(place), path, quota_of_folder_v1));
    }
  }
  return least;
}

unsigned cpus_in_affinity_mask() {
  // The kernel refuses a mask that is smaller than its own, and does not tell that size.
  for (std::size_t cpus = 1024; cpus <= (std::size_t{1} << 20); cpus *= 2) {
    cpu_set_t* const mask = CPU_ALLOC(cpus);
    if (mask == nullptr) break;
    const std::size_t size = CPU_ALLOC_SIZE(cpus);
    CPU_ZERO_S(size, mask);
    const int result = ::sched_getaffinity(0, size, mask);
    const int error = errno;
    const int count = result == 0 ? CPU_COUNT_S(size, mask) : 0;
    CPU_FREE(mask);
    if (count > 0) return static_cast<unsigned>(count);
    if (result == 0 || error != EINVAL) break;
  }
  return std::max(1u, std::thread::hardware_concurrency());
}

unsigned usable_cpus() {
  const unsigned allowed = cpus_in_affinity_mask();
  return std::min(allowed, cpus_in_cgroup_quota("/proc/self/cgroup", "/sys/fs/cgroup").value_or(allowed));
}

}  // namespace ringo::detail
