#include "driver/refusal.hpp"

#include <sys/resource.h>
#include <sys/utsname.h>

#include <cerrno>
#include <charconv>

#include "platform/text_file.hpp"

namespace ringo::detail {

namespace {

constexpr std::int64_t seccomp_filters = 2;  // a value of "Seccomp:" in /proc/self/status

std::optional<std::uint64_t> limit_on(decltype(RLIMIT_NOFILE) resource) {
  rlimit limit{};
  if (::getrlimit(resource, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return std::nullopt;
  return limit.rlim_cur;
}

std::optional<std::int64_t> number_in(const std::string& path) {
  const auto text = read_text(path);
  return text ? leading_number(*text) : std::nullopt;
}

bool has_capability(std::string_view status, unsigned bit) {
  const auto text = value_after(status, "CapEff:");
  std::uint64_t capabilities = 0;
  if (!text || std::from_chars(text->data(), text->data() + text->size(), capabilities, 16).ec != std::errc())
    return false;
  return ((capabilities >> bit) & 1) != 0;
}

// The map of the first user namespace is the identity: "0 0 4294967295".
bool is_in_first_user_namespace(const std::string& proc) {
  const auto map = read_text(proc + "/self/uid_map");
  return !map || map->find("4294967295") != map->npos;
}

// Two lines have the groups of a process.
bool is_member(std::string_view status, std::int64_t group) {
  for (const std::string_view key : {"Gid:", "Groups:"}) {
    std::string_view rest = value_after(status, key).value_or("");
    rest = rest.substr(0, rest.find('\n'));
    for (std::size_t at = 0; at != std::string_view::npos; at = rest.find_first_of(" \t", at + 1)) {
      if (leading_number(rest.substr(at)) == group) return true;
    }
  }
  return false;
}

// Linux's version as one number, 6.1 as 6001; 0 if it is not known.
std::int64_t version_of(std::string_view release) {
  const std::size_t dot = release.find('.');
  if (dot == std::string_view::npos) return 0;
  const auto major = leading_number(release);
  const auto minor = leading_number(release.substr(dot + 1));
  return major && minor ? *major * 1000 + *minor : 0;
}

std::string kernel(const surroundings& around) {
  return around.release.empty() ? std::string("this kernel") : "this kernel (Linux " + around.release + ")";
}

// docs/platforms.md has the features that decide it.
constexpr char kernels_needed[] = "io_uring needs Linux 5.19 or newer here; 6.1 or newer is recommended.";

constexpr std::string_view ring_calls = "io_uring_setup, io_uring_enter and io_uring_register";

std::string allow_in_profile(std::string_view calls) {
  return " Allow " + std::string(calls) +
         " in the profile (for Docker: --security-opt seccomp=FILE, for Kubernetes: a Localhost seccompProfile).";
}

bool is_of_io_uring(std::string_view call) { return call.starts_with("io_uring"); }
// The name of the call in a profile.
std::string_view system_call_of(std::string_view call) { return call == "eventfd" ? "eventfd2" : call; }

// How a refusal of another call than io_uring_setup begins.
std::string background_of(std::string_view call) {
  return is_of_io_uring(call) ? "the ring was made, but " : "ringo needs it besides io_uring, and ";
}

std::string explain_permission(std::string_view call, const surroundings& around) {
  const bool filtered = around.seccomp == seccomp_filters;
  if (call != "io_uring_setup") {
    const std::string now = is_of_io_uring(call) ? "now " : "";
    if (filtered) {
      return background_of(call) + "a seccomp filter of this process " + now + "forbids " + std::string(call) + "." +
             allow_in_profile(is_of_io_uring(call) ? ring_calls : system_call_of(call)) +
             " A program that sandboxes itself must leave " + (now.empty() ? "it" : "them") + " allowed.";
    }
    return background_of(call) + "the kernel " + now +
           "forbids its use, and no seccomp filter is the cause. A security module (SELinux, AppArmor) may be: see its "
           "audit log.";
  }
  if (around.io_uring_disabled == 2) {
    return "io_uring is switched off on this machine: the sysctl kernel.io_uring_disabled is 2. Switch it on as root "
           "with: sysctl -w kernel.io_uring_disabled=0";
  }
  if (around.io_uring_disabled == 1 && !(around.is_exempt && filtered)) {
    const std::string group = around.io_uring_group.value_or(-1) < 0
                                  ? "no group is named in kernel.io_uring_group"
                                  : "the group in kernel.io_uring_group, " + std::to_string(*around.io_uring_group);
    return "io_uring is restricted on this machine: the sysctl kernel.io_uring_disabled is 1, which leaves it to "
           "CAP_SYS_ADMIN and one group (" +
           group +
           "). Run with that group, or allow everybody as root with: "
           "sysctl -w kernel.io_uring_disabled=0";
  }
  if (filtered) {
    return "a seccomp filter of this process forbids io_uring, as the default profiles of container run-times do." +
           allow_in_profile(ring_calls);
  }
  return "neither the sysctl kernel.io_uring_disabled nor a seccomp filter is the cause. A security module (SELinux, "
         "AppArmor) may be: see its audit log.";
}

std::string explain_missing_call(std::string_view call, const surroundings& around) {
  if (call != "io_uring_setup") {
    const std::string name(system_call_of(call));
    if (around.seccomp == seccomp_filters) {
      return background_of(call) + "a seccomp filter of this process answers as if " + name + " did not exist." +
             allow_in_profile(is_of_io_uring(call) ? ring_calls : name);
    }
    return background_of(call) + kernel(around) + " has no " + name +
           (call == "eventfd" ? ": it was built without CONFIG_EVENTFD, or is an emulation (gVisor, WSL 1)."
                              : ": it may be an emulation (gVisor, WSL 1).");
  }
  constexpr std::int64_t first_with_io_uring = 5001;
  const std::int64_t version = version_of(around.release);
  if (version != 0 && version < first_with_io_uring)
    return kernel(around) + " is too old to have io_uring. " + kernels_needed;
  if (around.seccomp == seccomp_filters) {
    return kernel(around) +
           " is new enough, but a seccomp filter of this process answers as if io_uring did not exist, as "
           "some container run-times' profiles do." +
           allow_in_profile(ring_calls);
  }
  return kernel(around) +
         " has no io_uring: it was built without CONFIG_IO_URING, or is an emulation (gVisor, WSL 1). " +
         kernels_needed;
}

// Rings counted as locked memory until Linux 5.11, and do again since 6.13; but not for a process with CAP_IPC_LOCK.
bool count_as_locked(const surroundings& around) {
  const std::int64_t version = version_of(around.release);
  return around.locked_memory && !around.may_lock && (version < 5012 || version >= 6013);
}

std::string explain_memory(std::string_view call, const surroundings& around, std::string_view tried) {
  std::string text = call == "io_uring_setup" ? "no memory for a ring" : "no memory";
  if (!tried.empty()) text += " (tried " + std::string(tried) + ")";
  text += ". ";
  if (around.address_space) {
    text += "The address space of this process is limited to " + std::to_string(*around.address_space) +
            " bytes: raise it (ulimit -v). ";
  }
  if (call == "io_uring_setup" && count_as_locked(around)) {
    text +=
        "Rings count as locked memory in " + kernel(around) + ", and all of this user's together may have " +
        std::to_string(*around.locked_memory) +
        " bytes: raise that (ulimit -l; for systemd: LimitMEMLOCK=, for Docker: --ulimit memlock=BYTES), or ask for "
        "fewer workers or smaller rings (runtime_options::workers, runtime_options::ring_entries). ";
  }
  return text + "Otherwise the machine or the container is out of memory.";
}

}  // namespace

surroundings look_around(const std::string& proc) {
  surroundings around;
  utsname names{};
  if (::uname(&names) == 0) around.release = names.release;
  around.io_uring_disabled = number_in(proc + "/sys/kernel/io_uring_disabled");
  around.io_uring_group = number_in(proc + "/sys/kernel/io_uring_group");
  if (const auto status = read_text(proc + "/self/status")) {
    if (const auto text = value_after(*status, "Seccomp:")) around.seccomp = leading_number(*text);
    constexpr unsigned cap_ipc_lock = 14, cap_sys_admin = 21;
    // The kernel asks for this capability in the first user namespace: root of another one does not have it there.
    around.may_lock = has_capability(*status, cap_ipc_lock) && is_in_first_user_namespace(proc);
    around.is_exempt = has_capability(*status, cap_sys_admin) ||
                       (around.io_uring_group.value_or(-1) >= 0 && is_member(*status, *around.io_uring_group));
  }
  around.descriptors = limit_on(RLIMIT_NOFILE);
  around.address_space = limit_on(RLIMIT_AS);
  around.locked_memory = limit_on(RLIMIT_MEMLOCK);
  return around;
}

std::string explain(std::string_view call, int error, const surroundings& around, std::string_view tried) {
  std::string text = "ringo: " + std::string(call) + " was refused: ";
  switch (error) {
    case EPERM:
    case EACCES:
      return text + explain_permission(call, around);
    case ENOSYS:
      return text + explain_missing_call(call, around);
    case ENOMEM:
      return text + explain_memory(call, around, tried);
    case EMFILE:
      text += "this process has as many open descriptors as it may";
      if (around.descriptors) text += " (the limit is " + std::to_string(*around.descriptors) + ")";
      return text + ", and each worker needs two. Close some, or raise the limit (ulimit -n).";
    case ENFILE:
      return text +
             "the machine has as many open files as it may. Close some, or raise the limit as root (sysctl "
             "fs.file-max).";
    case EINVAL:
      text += kernel(around) + " does not know what was asked of it";
      if (!tried.empty()) text += " (tried " + std::string(tried) + ")";
      return text + ". It may be too old. " + kernels_needed;
    case EEXIST:
      return text + "the ring is used by a thread that it does not belong to. Please report this.";
    default:
      return text + "an error that is not expected here, of " + kernel(around) + ". Please report it.";
  }
}

std::system_error refusal(std::string_view call, int error, std::string_view tried) {
  std::string text = explain(call, error, look_around(), tried);
  if (text.ends_with('.')) text.pop_back();  // what() appends a colon and the error's name
  return std::system_error(error, std::generic_category(), text);
}

std::system_error closed_behind(std::string_view name, int descriptor, int error) {
  return std::system_error(error, std::generic_category(),
                           "ringo: " + std::string(name) + " (" + std::to_string(descriptor) +
                               ") was closed behind the runtime. A program that closes all descriptors, to become a "
                               "daemon for example, must do so before the runtime starts");
}

}  // namespace ringo::detail
