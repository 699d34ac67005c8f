#include "net/descriptor_core.hpp"

#include <liburing.h>
#include <unistd.h>

#include <ringo/detail/foreign_threads.hpp>
#include <ringo/errors.hpp>

#include "runtime/outside_error.hpp"
#include "runtime/runtime_core.hpp"

namespace ringo::detail {

descriptor_core::~descriptor_core() = default;

void descriptor_core::enter(const worker* w, const char* call) {
  if (w->simulated) [[unlikely]]
    refuse_in_simulation(call);
  owner.enter(w, call);
}

void descriptor_core::end_use() noexcept {
  bool last;
  {
    const worker* w = current_worker();
    const optional_guard guard(lock, w == nullptr || w->shared);
    disuse();
    last = unused();
  }
  if (last) delete_this();
}

bool descriptor_core::try_add_handle() noexcept {
  std::uint32_t now = handles_.load(std::memory_order_relaxed);
  while (now != 0 && !handles_.compare_exchange_weak(now, now + 1, std::memory_order_relaxed)) {
  }
  return now != 0;
}

void descriptor_core::drop_handle() noexcept {
  if (handles_.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
  worker* w = current_worker();
  if (w != nullptr && w->runtime_id == owner.runtime_id()) return drop_here(w);
  do_where_used(owner, [this](worker* there) { drop_here(there); });
}

void descriptor_core::drop_here(worker* w) noexcept {
  bool last;
  {
    const optional_guard guard(lock, w != nullptr && w->shared);
    begin_closing(w);
    is_dropped_ = true;
    last = unused();
  }
  if (last) delete_this();
}

void descriptor_core::begin_closing(worker* w) noexcept {
  if (state_ != state::open) return;
  state_ = state::closing;
  stop(w);
  if (w != nullptr && !w->simulated) {
    settle(*w);
  } else {  // where no runtime runs nothing is in flight, and nobody waits
    ::close(descriptor_);
    state_ = state::closed;
  }
}

bool descriptor_core::settle(worker& w) noexcept {
  if (state_ == state::closing && quiet()) {
    state_ = state::being_closed;
    close_.start(scheduler_of(w));
  }
  return unused();
}

void descriptor_core::fill_poll(io_uring_sqe& entry, int descriptor, short events) noexcept {
  ::io_uring_prep_poll_add(&entry, descriptor, static_cast<unsigned>(events));
}

void descriptor_core::fill_close(io_uring_sqe& entry) noexcept { ::io_uring_prep_close(&entry, descriptor_); }

// The number is free whatever the answer is (close(2)), but for one: ECANCELED says that the kernel has not begun. It
// does so where a runtime ends while all threads that could close it are busy.
void descriptor_core::has_closed(int result, unsigned) noexcept {
  worker& w = *current_worker();
  if (result == -ECANCELED) ::close(descriptor_);
  routine_list woken;
  bool last;
  {
    const optional_guard guard(lock, w.shared);
    close_.over();
    state_ = state::closed;
    while (waiter* each = closing.claim_first(w.shared)) {
      disuse();
      woken.push_back(*each->who);
    }
    last = unused();
  }
  while (routine* r = woken.pop_front()) w.push(*r);
  if (last) delete_this();
}

}  // namespace ringo::detail
