#include <ringo/detail/routine.hpp>

#include <ringo/detail/current_worker.hpp>
#include <ringo/detail/object_name.hpp>

#include "runtime/report.hpp"

namespace ringo::detail {

// Not inline: if the compiler saw a body, it would guess that this is the function, and compare first.
std::coroutine_handle<> routine::begin() noexcept { return nullptr; }
void routine::close() noexcept {}
void routine::at_end(worker&) noexcept {}

void routine::delete_slowly() noexcept {
  const std::exception_ptr error = failed ? untaken_error() : nullptr;
  if (has_name) forget_name(this);
  const std::source_location at = started;
  const std::uint64_t of = runtime_id;
  delete this;
  if (error) report_unhandled(of, error, at);
}

bool routine::cancel(bool shared, std::uint32_t why) noexcept {
  std::uint32_t seen = state.load(std::memory_order_relaxed);
  for (;;) {
    const bool claims = (seen & waiting) && ends_awaits(seen | why);
    std::uint32_t wanted = seen | why;
    if (claims) wanted &= ~(waiting | ring_bits);
    if (!shared) {
      state.store(wanted, std::memory_order_relaxed);
      if (worker* w = current_worker()) w->look_for_cancellation(*this);
      return claims;
    }
    seen &= ~inspected;
    wanted &= ~inspected;
    if (state.compare_exchange_weak(seen, wanted, std::memory_order_acq_rel, std::memory_order_relaxed)) return claims;
    if (seen & inspected) seen = wait_while_inspected();
  }
}

bool routine::refuse_wait() noexcept {
  state.fetch_and(~ring_bits, std::memory_order_relaxed);
  return false;
}

std::uint32_t routine::wait_while_inspected() const noexcept {
  std::uint32_t seen;
  for (int turns = 0; (seen = state.load(std::memory_order_relaxed)) & inspected; ++turns) pause_while_spinning(turns);
  return seen;
}

}  // namespace ringo::detail
