#include "platform/thread_census.hpp"

#include <dirent.h>

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "platform/text_file.hpp"

// Defined if some part of the program was compiled for ThreadSanitizer.
extern "C" void __tsan_init() __attribute__((weak));

namespace ringo::detail {

namespace {

// A task's flags in /proc (PF_ in the kernel's sched.h).
constexpr std::uint64_t is_exiting = 0x4;
constexpr std::uint64_t is_io_worker = 0x10;
constexpr std::uint64_t is_kernel_worker = 0x4000;
constexpr std::uint64_t is_kernel_thread = 0x200000;

// The signals that ThreadSanitizer's background thread blocks. clang's blocks exactly these, which no other thread
// does. g++'s also blocks the synchronous ones, as a thread of the program that blocks all signals. (Each thread blocks
// all signals while it starts.)
constexpr std::uint64_t blocked_by_sanitizer = 0xfffffffe3ffbea07;

enum class kind { user, kernel_or_exiting, sanitizer, maybe_sanitizer, gone };

std::string folder_of(pid_t thread) { return "/proc/self/task/" + std::to_string(thread); }

kind kind_of(pid_t thread) {
  const auto stat = read_text(folder_of(thread) + "/stat");
  if (!stat) return kind::gone;
  // "id (name) state parent group session terminal foreground flags": the name may have any character, even brackets.
  std::size_t at = stat->rfind(')');
  for (int field = 2; field < 9 && at != std::string::npos; ++field) at = stat->find(' ', at + 1);
  if (at == std::string::npos) return kind::user;
  const auto flags = leading_number(std::string_view(*stat).substr(at));
  if (!flags) return kind::user;
  constexpr std::uint64_t runs_no_user_code = is_exiting | is_io_worker | is_kernel_worker | is_kernel_thread;
  if ((static_cast<std::uint64_t>(*flags) & runs_no_user_code) != 0) return kind::kernel_or_exiting;

  if (__tsan_init != nullptr) {
    const auto status = read_text(folder_of(thread) + "/status");
    if (!status) return kind::gone;
    const auto mask = value_after(*status, "SigBlk:");
    std::uint64_t blocked = 0;
    if (mask && std::from_chars(mask->data(), mask->data() + mask->size(), blocked, 16).ec == std::errc()) {
      if (blocked == blocked_by_sanitizer) return kind::sanitizer;
      if ((blocked & blocked_by_sanitizer) == blocked_by_sanitizer) return kind::maybe_sanitizer;
    }
  }
  return kind::user;
}

std::vector<pid_t> listed_threads() {
  std::vector<pid_t> threads;
  const std::unique_ptr<DIR, int (*)(DIR*)> folder(::opendir("/proc/self/task"), &::closedir);
  if (!folder) return threads;
  // NOLINTNEXTLINE(concurrency-mt-unsafe): no other thread has this DIR
  while (const dirent* const entry = ::readdir(folder.get())) {
    if (const auto thread = leading_number(entry->d_name)) threads.push_back(static_cast<pid_t>(*thread));
  }
  return threads;
}

std::optional<std::size_t> threads_by_count() {
  const auto status = read_text("/proc/self/status");
  if (!status) return std::nullopt;
  const auto text = value_after(*status, "Threads:");
  const auto count = text ? leading_number(*text) : std::nullopt;
  if (!count) return std::nullopt;
  return static_cast<std::size_t>(*count);
}

}  // namespace

std::optional<std::size_t> foreign_threads(std::span<const pid_t> own) {
  // The kernel lists threads one by one, and a thread that ends meanwhile can hide another. So a list is valid only if
  // its length is the kernel's own count, and if it is the same before and after the threads were examined.
  constexpr int attempts = 8;  // threads that come and go all the time could make it endless
  std::vector<pid_t> before = listed_threads();
  for (int attempt = 0; attempt < attempts && !before.empty(); ++attempt) {
    std::size_t users = 0;
    std::size_t sanitizers = 0;
    std::size_t maybe_sanitizers = 0;
    bool steady = true;
    for (const pid_t thread : before) {
      if (std::find(own.begin(), own.end(), thread) != own.end()) continue;
      switch (kind_of(thread)) {
        case kind::user:
          ++users;
          break;
        case kind::sanitizer:
          ++sanitizers;
          break;
        case kind::maybe_sanitizer:
          ++maybe_sanitizers;
          break;
        case kind::kernel_or_exiting:
          break;
        case kind::gone:
          steady = false;
          break;
      }
    }
    std::vector<pid_t> after = listed_threads();
    if (steady && before == after && threads_by_count() == after.size()) {
      // The sanitizer has one such thread, and starts it before the program's first one. So one of these may be the
      // sanitizer's; the others are the program's.
      if (sanitizers == 0 && maybe_sanitizers > 0) --maybe_sanitizers;
      return users + maybe_sanitizers;
    }
    before = std::move(after);
  }
  return std::nullopt;
}

}  // namespace ringo::detail
