#include <ringo/detail/outbox.hpp>

#include <new>
#include <string>

#include <ringo/detail/started.hpp>

#include "runtime/runtime_core.hpp"

namespace ringo::detail {
bool outbox::add(owned<item> one) {
  {
    const optional_guard guard(lock_, true);
    item* const added = one.release();
    (first_ != nullptr ? last_->next : first_) = added;
    last_ = added;
    if (std::exchange(moving_, true)) return true;
  }
  if (deliver_once_used(*this)) return true;
  stop_moving();
  return false;
}

void outbox::deliver(worker* w) noexcept { w != nullptr ? start_mover(*w) : stop_moving(); }

void outbox::start_mover(worker& w) noexcept {
  try {
    std::source_location at;
    {
      const optional_guard guard(lock_, true);
      at = first_->posted_at;  // only a mover takes it out
    }
    start_in(w, *make_routine(move_on(moving(*this))), nullptr, at);
  } catch (const std::bad_alloc&) {  // the values were dropped with the mover's hold
    w.runtime.warned.tell_rarely("no memory to send what was posted to a channel: it is dropped", {});
  }
}

owned<outbox::item> outbox::next(moving& in) {
  std::size_t dropped;
  bool over;
  {
    const optional_guard guard(lock_, true);
    if (first_ != nullptr) return owned<item>(std::exchange(first_, first_->next));
    in.of_ = nullptr;
    moving_ = false;
    over = unreceivable_;
    dropped = std::exchange(dropped_, 0);
  }
  if (over) {
    end();
  } else if (dropped != 0) {
    current_worker()->runtime.warned.tell_rarely(
        std::to_string(dropped) + (dropped == 1 ? " value" : " values") +
            " posted to a channel were dropped, since it was closed before they were sent",
        {});
  }
  return {};
}

// Called if the mover is cancelled or destroyed, or if the runtime has ended. Drops the values that are left.
void outbox::stop_moving() noexcept {
  item* left;
  bool over;
  {
    const optional_guard guard(lock_, true);
    left = std::exchange(first_, nullptr);
    dropped_ = 0;
    moving_ = false;
    over = unreceivable_;
  }
  while (left != nullptr) delete std::exchange(left, left->next);
  if (over) end();
}

void outbox::nobody_receives(channel_core& from) noexcept {
  const bool was_deferred = withdraw(*this);
  bool moves;
  {
    const optional_guard guard(lock_, true);
    unreceivable_ = true;
    moves = moving_ && !was_deferred;
  }
  if (!moves) return stop_moving();
  // The mover, which waits in a send for ever, finds the channel closed, and ends.
  const worker* w = current_worker();
  const std::uint64_t owner = from.owner.runtime_id();
  if (w == nullptr || w->runtime_id == owner) {
    (void)from.try_close(nullptr);
    return;
  }
  from.retain();
  const auto close = [&from](worker* there) {
    if (there != nullptr) (void)from.try_close(nullptr);
    from.release();
  };
  if (!post(owner, close)) close(nullptr);
}

void outbox::end() noexcept {
  channel_core& to = core_;
  delete this;
  to.release();
}

}  // namespace ringo::detail
