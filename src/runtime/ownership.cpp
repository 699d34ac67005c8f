#include <ringo/detail/ownership.hpp>

#include <stdexcept>
#include <string>

#include <ringo/detail/foreign_threads.hpp>

#include "runtime/registry.hpp"
#include "runtime/runtime_core.hpp"

namespace ringo::detail {
namespace {

// Warns in the first runtime, too: a routine that waits there for the call may wait for ever.
[[noreturn]] void refuse_second_runtime(std::uint64_t first, const worker& second, const char* call) {
  const std::string made =
      std::string(call) + ", in runtime " + std::to_string(second.runtime_id) + " of this process,";
  const std::string owner = "runtime " + std::to_string(first);
  (void)post(first, [text = made + " on an object that belongs to this runtime, " + owner +
                            ", was refused: a routine that waits for it here may wait for ever"](worker* w) {
    if (w != nullptr) w->runtime.warned.tell_rarely(text, {});
  });
  throw std::logic_error("ringo: " + made + " on an object that another runtime uses, " + owner +
                         ": an object belongs to the first runtime that uses it until that one ends; start a routine "
                         "there that does it (runtime::go)");
}

}  // namespace

void ownership::change(const worker& w, const char* call) {
  std::uint64_t seen = owner_.load(std::memory_order_relaxed);
  while (seen != w.runtime_id) {
    if (seen == destroyed) throw_used_after_end(call);
    if (seen != 0 && runtime_registry::has(seen)) refuse_second_runtime(seen, w, call);
    // acq_rel: this runtime's workers see what earlier users did.
    if (owner_.compare_exchange_strong(seen, w.runtime_id, std::memory_order_acq_rel)) {
      return owner_has_changed(*current_worker());
    }
  }
}

}  // namespace ringo::detail
