// A runtime's dump and deadlock report.
#include <algorithm>
#include <condition_variable>
#include <cstdio>
#include <exception>
#include <mutex>
#include <string>
#include <vector>

#include "platform/ranked_lock.hpp"
#include "runtime/report.hpp"
#include "runtime/runtime_core.hpp"

namespace ringo::detail {

void report_from_any_thread(runtime_core& rt, std::string& text) {
  worker* w = current_worker();
  if (w != nullptr && w->runtime_id == rt.id) return rt.dump(text);
  if (!rt.running()) return;
  std::mutex mutex;
  std::condition_variable changed;
  bool made = false;
  std::exception_ptr error;  // want of memory for the text is an error of the caller, not of the runtime
  const bool accepted = rt.post([&](worker* there) {
    const ranked_lock<lock_rank::dump_request> guard(mutex);
    try {
      if (there != nullptr) rt.dump(text);
    } catch (...) {
      error = std::current_exception();
    }
    made = true;
    changed.notify_one();
  });
  if (!accepted) return;
  ranked_lock<lock_rank::dump_request> guard(mutex);
  changed.wait(guard, [&made] { return made; });
  if (error) std::rethrow_exception(error);
}

void runtime_core::dump(std::string& text) {
  std::string routines;
  std::size_t count = 0;
  for (const auto& w : workers) {
    w->routines.each([&](routine& r) {
      describe_routine(routines, r, &r == main);
      ++count;
    });
  }
  text += std::to_string(count) + (count == 1 ? " routine" : " routines") + " on " + std::to_string(workers.size()) +
          (workers.size() == 1 ? " worker\n" : " workers\n") + routines;
}

void runtime_core::request_dump() noexcept {
  dump_requested_.store(true, std::memory_order_seq_cst);
  for (const auto& w : workers) w->wake();
}

void runtime_core::serve_dump_request(worker&) {
  if (!dump_requested_.load(std::memory_order_relaxed) || !dump_requested_.exchange(false)) return;
  std::string text = "ringo: ";
  dump(text);
  std::fputs(text.c_str(), stderr);
}

// Names a few only: there may be a million.
void runtime_core::warn_of_unended() noexcept {
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
      std::string text = "shutdown_grace is over, and a routine that would not end is destroyed:";
      describe_routine(text, r, &r == main);
      text.pop_back();
      named.push_back(std::move(text));
    });
  }
  for (const std::string& text : named) warn(text);
  if (count > most_named) warn("... and " + std::to_string(count - most_named) + " more that would not end");
}

}  // namespace ringo::detail
