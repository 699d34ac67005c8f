#include "runtime/stall_log.hpp"

#include <algorithm>
#include <utility>

namespace ringo::detail {

void stall_log::begin(duration limit) noexcept {
  const std::lock_guard guard(mutex_);
  kept_.limit = limit;
}

void stall_log::note(const noticed_stall& s) {
  noticed_stall made = s;
  const std::lock_guard guard(mutex_);
  auto& all = kept_.stalls;
  const auto is_like = [&s](const noticed_stall& each) { return each.started == s.started && each.does == s.does; };
  const auto like = std::ranges::find_if(all, is_like);
  if (like == all.end()) {
    all.reserve(most);
    if (all.size() == most) all.erase(std::ranges::min_element(all, {}, &noticed_stall::id));
    made.longest = made.lasts;
    all.push_back(std::move(made));
    return;
  }
  like->longest = std::max(like->longest, made.lasts);
  if (made.id < like->id) return;  // two workers are kept at a time
  if (made.text.empty()) {
    made.text = std::move(like->text);
    made.call = std::move(like->call);
    made.stack = std::move(like->stack);
  }
  made.times = like->times + (made.id != like->id ? 1 : 0);
  made.longest = like->longest;
  *like = std::move(made);
}

stall_log::contents stall_log::copy() const {
  contents copied;
  {
    const std::lock_guard guard(mutex_);
    copied = kept_;
  }
  std::ranges::sort(copied.stalls, std::ranges::greater(), &noticed_stall::id);
  return copied;
}

}  // namespace ringo::detail
