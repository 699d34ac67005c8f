#include "testing/replay.hpp"

#include <stdexcept>

namespace ringo::detail {

std::pair<std::size_t, std::size_t> replay::add_child(family& in, std::uint32_t by) {
  const auto parent = in.routines.find(by);
  const std::size_t id = parent != in.routines.end() ? parent->second : 0;
  return {id, ++in.children[id]};
}

replay::replay(const recording& of, hooks* next) : told_(next) {
  if (of.events.empty() || of.events.front().what != recording::kind::started) {
    throw std::invalid_argument(
        "ringo: sim_options::replay is a recording without its beginning: give runtime_options::recorder more bytes");
  }
  family there;
  for (const recording::event& e : of.events) {
    if (e.what == recording::kind::started) {
      const std::size_t id = ids_.try_emplace(add_child(there, e.waker), ids_.size() + 1).first->second;
      there.routines[e.routine] = id;
    } else if (e.what == recording::kind::resumed) {
      if (const auto found = there.routines.find(e.routine); found != there.routines.end()) {
        order_.push_back(found->second);
      }
    }
  }
  numbers_.resize(ids_.size() + 1);
}

std::uint32_t replay::wanted() const noexcept {
  return was_left_ || next_ == order_.size() ? 0 : numbers_[order_[next_]];
}

void replay::started(const routine& r, std::uint32_t by) noexcept {
  const auto found = ids_.find(add_child(here_, by));
  here_.routines[r.number] = found != ids_.end() ? found->second : 0;
  if (found != ids_.end()) numbers_[found->second] = r.number;
  if (told_ != nullptr) told_->started(r, by);
}

void replay::resumed(const routine& r) noexcept {
  if (!was_left_ && next_ < order_.size()) {
    r.number == numbers_[order_[next_]] ? void(++next_) : void(was_left_ = true);
  }
  if (told_ != nullptr) told_->resumed(r);
}

void replay::parked(const routine& r) noexcept {
  if (told_ != nullptr) told_->parked(r);
}
void replay::yielded(const routine& r) noexcept {
  if (told_ != nullptr) told_->yielded(r);
}
void replay::ended(const routine& r) noexcept {
  if (told_ != nullptr) told_->ended(r);
}

}  // namespace ringo::detail
