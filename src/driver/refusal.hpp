// Explains why the kernel refuses an io_uring, or a later call of it, and what to do.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>

namespace ringo::detail {

// The surroundings of this process, as far as it can read them. A member that could not be read (for want of a free
// descriptor, for example) is empty; the explanation then says less.
struct surroundings {
  std::string release;  // of the kernel, from uname
  std::optional<std::int64_t>
      io_uring_disabled;                       // the sysctl: 0 for all, 1 for some, 2 for none; none before Linux 6.6
  std::optional<std::int64_t> io_uring_group;  // the group that is allowed if it is 1; -1: only CAP_SYS_ADMIN
  std::optional<std::int64_t> seccomp;         // 0 none, 1 strict, 2 filter
  bool is_exempt = false;                      // CAP_SYS_ADMIN, or a member of that group
  bool may_lock = false;                       // CAP_IPC_LOCK, outside of any user namespace
  std::optional<std::uint64_t> descriptors;    // limits of the process; none: without limit
  std::optional<std::uint64_t> address_space;
  std::optional<std::uint64_t> locked_memory;
};

// `proc` is where /proc is mounted.
surroundings look_around(const std::string& proc = "/proc");

// One or two sentences: why `call` (io_uring_setup, io_uring_enter, eventfd…) returned `error`, and the remedy. `tried`
// says what was asked for, if that matters ("4096 down to 8 entries").
std::string explain(std::string_view call, int error, const surroundings& around, std::string_view tried = {});

// The same as an exception, with the errno as its code. Thread: any.
std::system_error refusal(std::string_view call, int error, std::string_view tried = {});

// The driver's descriptor is no longer the one that it has made. `name` begins the message: "the ring's descriptor".
std::system_error closed_behind(std::string_view name, int descriptor, int error);

}  // namespace ringo::detail
