// RINGO_INSPECT.
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>

#include <ringo/inspector.hpp>

#include "platform/environment_variable.hpp"
#include "platform/never_destroyed.hpp"
#include "runtime/inspected_run.hpp"
#include "runtime/warnings.hpp"

namespace ringo::detail {
namespace {

void end_at_exit();

// No other lock is taken under the mutex but those of an inspector's start and end, and no worker takes it.
struct environments_inspector {
  // The text of a warning, or none. Under the mutex.
  std::string start(std::string_view address) {
    try {
      it = inspector::listen(address);
      if (it.address() == told) return {};
      if (told.empty()) std::atexit(end_at_exit);
      told = it.address();
      std::fprintf(stderr, "ringo: the inspector of process %d listens at %s\n", ::getpid(), told.c_str());
      return {};
    } catch (const std::exception& error) {
      if (std::exchange(has_warned, true)) return {};
      return unused_variable("RINGO_INSPECT", address, error.what());
    }
  }

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

// A program that calls exit() while it runs leaves no file of a Unix socket behind. A lock that another thread has is
// not waited for: that thread may have ended, or wait for this one.
void end_at_exit() {
  environments_inspector& one = environments();
  if (const std::unique_lock guard(one.mutex, std::try_to_lock); guard) one.it = inspector();
}

}  // namespace

inspected_run::inspected_run(warnings& told) {
  const std::string_view address = environment_variable("RINGO_INSPECT");
  if (address.empty()) return;
  environments_inspector& one = environments();
  std::string warning;
  {
    const std::lock_guard guard(one.mutex);
    if (one.runs == 0) warning = one.start(address);
    ++one.runs;
  }
  is_counted_ = true;
  if (!warning.empty()) told.tell(warning);  // by the program's on_warning, which may run another runtime
}

// It ends under the mutex: a run that begins meanwhile starts the next one at the same address.
inspected_run::~inspected_run() {
  if (!is_counted_) return;
  environments_inspector& one = environments();
  const std::lock_guard guard(one.mutex);
  if (--one.runs == 0) one.it = inspector();
}

}  // namespace ringo::detail
