// A runtime's dump and deadlock report.
#include <algorithm>
#include <cstdio>
#include <new>
#include <string>
#include <vector>

#include "runtime/runtime_core.hpp"
#include "runtime/snapshot.hpp"

namespace ringo::detail {

void runtime_core::request_dump() noexcept {
  dump_requested_.store(true, std::memory_order_seq_cst);
  for (const auto& w : workers) w->wake();
}

void runtime_core::serve_dump_request(worker&) {
  if (!dump_requested_.load(std::memory_order_relaxed) || !dump_requested_.exchange(false)) return;
  try {
    const std::string text = "ringo: " + to_text(snapshot());
    std::fputs(text.c_str(), stderr);
  } catch (const std::bad_alloc&) {  // the program goes on
    std::fputs("ringo: there is no memory for a dump\n", stderr);
  }
}

void runtime_core::warn_of_unended() noexcept {
  try {
    name_unended();
  } catch (const std::bad_alloc&) {
    warn("shutdown_grace is over, and routines that would not end are destroyed; there is no memory for their names");
  }
}

// Names a few only: there may be a million.
void runtime_core::name_unended() {
  constexpr std::size_t most_named = 10;  // fits a screen
  std::vector<std::string> named;
  std::size_t count = 0;
  // If some routines catch `cancelled` and go on, these delay the end, not the routines that wait for them.
  std::uint32_t most_ended = 0;
  for (const auto& w : workers) {
    w->routines.each([&](const routine& r) { most_ended = std::max(most_ended, r.ended_awaits()); });
  }
  for (const auto& w : workers) {
    w->routines.each([&](routine& r) {
      if (r.ended_awaits() < most_ended / 16 || (most_ended > 0 && r.ended_awaits() == 0)) return;
      if (count++ >= most_named) return;
      named.push_back("shutdown_grace is over, and a routine that would not end is destroyed: " +
                      line_of(r, &r == main));
    });
  }
  for (const std::string& text : named) warn(text);
  if (count > most_named) warn("... and " + std::to_string(count - most_named) + " more that would not end");
}

}  // namespace ringo::detail
