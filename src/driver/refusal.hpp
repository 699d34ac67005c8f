// The kernel will not give, or no longer serve, an io_uring: which of the known reasons it is, and what to do about it.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>

namespace ringo::detail {

// What can be read of the place this process runs in. Where nothing can be read (without a free descriptor no file can)
// the member is empty, and the explanation says less.
struct surroundings {
  std::string release;  // of the kernel, as uname tells it
  std::optional<std::int64_t>
      io_uring_disabled;                       // the sysctl: 0 for all, 1 for some, 2 for none; none before Linux 6.6
  std::optional<std::int64_t> io_uring_group;  // who may when it is 1; -1: only CAP_SYS_ADMIN
  std::optional<std::int64_t> seccomp;         // 0 none, 1 strict, 2 filter
  bool is_exempt = false;                      // CAP_SYS_ADMIN, or a member of that group
  bool may_lock = false;                       // CAP_IPC_LOCK, outside of any user namespace
  std::optional<std::uint64_t> descriptors;    // limits of the process; none: without limit
  std::optional<std::uint64_t> address_space;
  std::optional<std::uint64_t> locked_memory;
};

// `proc` is where /proc is mounted.
surroundings look_around(const std::string& proc = "/proc");

// One sentence or two: why `call` (io_uring_setup, io_uring_enter, eventfd…) answered `error`, and the remedy. `tried`
// says what was asked for, where that matters ("4096 down to 8 entries").
std::string explain(std::string_view call, int error, const surroundings& around, std::string_view tried = {});

// The same as an exception to be thrown, with the errno as its code. Any thread.
std::system_error refusal(std::string_view call, int error, std::string_view tried = {});

// The kernel made a ring that lacks something this library cannot do without.
std::system_error missing_feature(std::string_view feature, std::string_view since);

}  // namespace ringo::detail
