#include <ringo/latch.hpp>

#include <limits>
#include <stdexcept>

namespace ringo {

latch::latch(std::size_t n) : count_(n) {
  if (n > std::numeric_limits<std::size_t>::max() / 2)
    throw std::invalid_argument("ringo: a latch of " + std::to_string(n) + ": was it a negative number?");
}

latch::~latch() {
  waiting_.end_waits(lock_, owner_);
  owner_.mark_destroyed();
}

void latch::count_down(std::size_t n) {
  detail::worker* w = detail::worker_or_alone("latch::count_down");
  owner_.enter(w, "latch::count_down");
  const bool shared = w != nullptr && w->shared;
  detail::routine_list woken;
  {
    const detail::optional_guard guard(lock_, shared);
    if (n > count_) {
      throw std::logic_error("ringo: latch::count_down by " + std::to_string(n) + " of a latch with a counter of " +
                             std::to_string(count_));
    }
    count_ -= n;
    if (count_ == 0 && w != nullptr) waiting_.claim_all(shared, woken);
  }
  // From the unlock on, a waiter may have returned and destroyed the latch.
  if (!woken.empty()) w->make_ready(woken);
}

namespace detail {

void latch_operation::enter(const worker* w) { of_->owner_.enter(w, call_name); }
spin_lock* latch_operation::lock() noexcept { return &of_->lock_; }
mortal_queue& latch_operation::queue() noexcept { return of_->waiting_; }
bool latch_operation::ready(worker&) noexcept { return of_->count_ == 0; }

}  // namespace detail
}  // namespace ringo
