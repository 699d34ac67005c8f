// RINGO_INSPECT.
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>

#include <ringo/inspector.hpp>

#include "platform/never_destroyed.hpp"
#include "runtime/inspected_run.hpp"
#include "runtime/warnings.hpp"

namespace ringo::detail {
namespace {

// No other lock is taken under the mutex but those of an inspector's start, and no worker takes it.
struct environments_inspector {
  std::mutex mutex;
  unsigned runs = 0;
  inspector it;
  bool has_warned = false;
  std::string told;  // the last address that stderr has
};

environments_inspector& environments() {
  static never_destroyed<environments_inspector> one;
  return *one;
}

}  // namespace

inspected_run::inspected_run(warnings& told) {
  // NOLINTNEXTLINE(concurrency-mt-unsafe): a program that sets variables in another thread meanwhile is wrong anyway
  const char* const address = std::getenv("RINGO_INSPECT");
  if (address == nullptr || *address == '\0') return;
  environments_inspector& one = environments();
  const std::lock_guard guard(one.mutex);
  is_counted_ = true;
  if (one.runs++ != 0) return;
  try {
    one.it = inspector::listen(address);
    if (one.it.address() == one.told) return;
    one.told = one.it.address();
    std::fprintf(stderr, "ringo: the inspector of process %d listens at %s\n", ::getpid(), one.told.c_str());
  } catch (const std::exception& error) {
    if (std::exchange(one.has_warned, true)) return;
    std::string_view why = error.what();
    if (constexpr std::string_view us = "ringo: "; why.starts_with(us)) why.remove_prefix(us.size());
    told.tell("RINGO_INSPECT=" + std::string(address) +
              " in the environment: there is no inspector: " + std::string(why));
  }
}

inspected_run::~inspected_run() {
  if (!is_counted_) return;
  inspector ended;
  environments_inspector& one = environments();
  const std::lock_guard guard(one.mutex);
  if (--one.runs == 0) ended = std::move(one.it);
}

}  // namespace ringo::detail
