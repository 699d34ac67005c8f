#include <ringo/detail/outbox.hpp>

#include <new>
#include <string>

#include <ringo/detail/bridge.hpp>
#include <ringo/detail/started.hpp>

#include "runtime/runtime_core.hpp"

namespace ringo::detail {
namespace {

outbox* stuck = nullptr;  // those for which no runtime is there; under the bridge's lock

}  // namespace

class outbox_list {
 public:
  static void push(outbox& one) noexcept { one.next_stuck_ = std::exchange(stuck, &one); }
  static bool remove(outbox& one) noexcept {
    for (outbox** link = &stuck; *link != nullptr; link = &(*link)->next_stuck_) {
      if (*link != &one) continue;
      *link = one.next_stuck_;
      return true;
    }
    return false;
  }
  // One whose channel that runtime uses now.
  static outbox* pop(std::uint64_t runtime_id) noexcept {
    for (outbox** link = &stuck; *link != nullptr; link = &(*link)->next_stuck_) {
      if ((*link)->core_.owner.runtime_id() == runtime_id) return std::exchange(*link, (*link)->next_stuck_);
    }
    return nullptr;
  }
};

void move_what_was_posted(worker& w) noexcept {
  for (;;) {
    outbox* one = nullptr;
    while_bridge_is_locked([&] { one = outbox_list::pop(w.runtime_id); });
    if (one == nullptr) return;
    one->deliver(&w);
  }
}

bool outbox::add(std::unique_ptr<item> one) {
  {
    const optional_guard guard(lock_, true);
    item* const added = one.release();
    (first_ != nullptr ? last_->next : first_) = added;
    last_ = added;
    if (std::exchange(moving_, true)) return true;
  }
  return hand_over();
}

bool outbox::hand_over() noexcept {
  for (;;) {
    const std::uint64_t owner = core_.owner.runtime_id();
    if (owner != 0 && post(owner, *this)) return true;
    bool ended = false;
    const bool unused = while_unused(core_.owner, [this, &ended] {
      ended = core_.owner.runtime_id() != 0;
      if (!ended) outbox_list::push(*this);
    });
    if (!unused) continue;
    if (ended) stop_moving();
    return !ended;
  }
}

void outbox::deliver(worker* w) noexcept { w != nullptr ? start_mover(*w) : stop_moving(); }

void outbox::start_mover(worker& w) noexcept {
  try {
    std::source_location at;
    {
      const optional_guard guard(lock_, true);
      at = first_->posted_at;  // only a mover takes it out
    }
    start_in(w, *make_routine_of(move_on(moving(*this))), nullptr, at);
  } catch (const std::bad_alloc&) {  // what was there has been dropped with its part
    w.runtime.warned.tell_rarely("no memory to send what was posted to a channel: it is dropped", {});
  }
}

std::unique_ptr<outbox::item> outbox::next(moving& in) {
  std::size_t dropped;
  bool over;
  {
    const optional_guard guard(lock_, true);
    if (first_ != nullptr) return std::unique_ptr<item>(std::exchange(first_, first_->next));
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
  return nullptr;
}

// Before the end: the mover is cancelled or destroyed, or there is no runtime any more. What is left is dropped.
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
  bool was_stuck = false;
  while_bridge_is_locked([&] { was_stuck = outbox_list::remove(*this); });
  bool moves;
  {
    const optional_guard guard(lock_, true);
    unreceivable_ = true;
    moves = moving_ && !was_stuck;
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
