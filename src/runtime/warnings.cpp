#include "runtime/warnings.hpp"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <new>
#include <utility>

#include "runtime/report.hpp"

namespace ringo::detail {
namespace {

// A person who reads along sees a warning's repetitions, and a log that no one reads grows by two dozen lines a day.
constexpr duration first_pause = std::chrono::seconds(1);
constexpr duration longest_pause = std::chrono::hours(1);
constexpr std::size_t most_kinds = 100;  // a bound for the memory: further kinds share the last place

}  // namespace

void warnings::tell(std::string_view text) noexcept {
  if (settings_.on_warning) {
    try {
      return settings_.on_warning(text);
    } catch (const std::bad_alloc&) {  // the warning may be about this
    } catch (...) {
      refuse_throwing_hook("on_warning");
    }
  }
  std::fprintf(stderr, "ringo: warning: %.*s\n", static_cast<int>(text.size()), text.data());
}

void warnings::tell_rarely(std::string_view text, const std::source_location& about,
                           const std::source_location& call) noexcept {
  std::optional<std::string> admitted;
  try {
    admitted = admit(text, about, 0, call);
  } catch (...) {  // no memory to count it
    return tell(text);
  }
  if (admitted) tell(*admitted);
}

std::optional<std::string> warnings::admit(std::string_view text, const std::source_location& about, long variant,
                                           const std::source_location& call) {
  std::string whole(text);
  const std::lock_guard guard(mutex_);
  kind& of = find({about.file_name(), call.file_name(), about.line(), call.line(), variant, {}, {}, 0, {}});
  const time_point at = now();
  if (at < of.not_before) {
    of.last = std::move(whole);
    ++of.left_out;
    return std::nullopt;
  }
  of.pause = std::clamp(of.pause * 2, first_pause, longest_pause);
  of.not_before = at + of.pause;
  add_count(whole, std::exchange(of.left_out, 0));
  return whole;
}

void warnings::tell_left_out() noexcept {
  std::vector<kind> all;
  {
    const std::lock_guard guard(mutex_);
    all.swap(kinds_);
  }
  for (kind& each : all) {
    if (each.left_out == 0) continue;
    try {
      add_count(each.last, each.left_out - 1);
    } catch (const std::bad_alloc&) {  // then without the count
    }
    tell(each.last);
  }
}

void warnings::add_count(std::string& text, std::size_t more) {
  if (more != 0) text += " (and " + std::to_string(more) + " more like it, not shown)";
}

warnings::kind& warnings::find(kind one) {
  const auto found = std::find(kinds_.begin(), kinds_.end(), one);
  if (found != kinds_.end()) return *found;
  if (kinds_.size() == most_kinds) return kinds_.back();
  return kinds_.emplace_back(std::move(one));
}

}  // namespace ringo::detail
