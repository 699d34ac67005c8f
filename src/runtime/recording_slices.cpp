#include "runtime/recording_slices.hpp"

#include <algorithm>
#include <optional>
#include <unordered_map>

namespace ringo::detail {

recorded_slices::recorded_slices(const recording& r) {
  using kind = recording::kind;
  std::vector<std::optional<recorded_slice>> open(r.workers);  // of each worker
  std::vector<time_point> from(r.workers, r.from), read(r.workers, r.from);
  // A routine is ready once, and then resumed once; a reading of the clock that two workers made may have the wrong
  // order, by less than a blur.
  struct state {
    const recording::event* ready = nullptr;
    const recording::event* early = nullptr;  // a resume whose ready comes behind it
    bool has_parked = false;
  };
  std::unordered_map<std::uint32_t, state> states;
  // Events whose time was not read follow a reading.
  const auto begin = [&](const recording::event& e) {
    const bool is_sleep = e.what == kind::slept;
    const time_point earliest = e.blur == duration::zero() ? e.at : read[e.worker];
    open[e.worker] =
        recorded_slice{std::max(e.at, r.from),    {}, e.worker, e.routine, is_sleep, is_sleep ? nullptr : &e, nullptr,
                       std::max(earliest, r.from)};
  };
  const auto close = [&](const recording::event& e, std::uint32_t routine, bool is_sleep) {
    auto& slice = open[e.worker];
    const time_point since = from[e.worker];
    if (!slice) slice = recorded_slice{since, {}, e.worker, routine, is_sleep, nullptr, nullptr, since};
    slice->end = e.at;
    slice->latest = std::max(read[e.worker] + e.blur, e.at);
    slice->left = is_sleep ? nullptr : &e;
    all.push_back(*std::exchange(slice, std::nullopt));
    from[e.worker] = e.at;
  };
  events = {std::ranges::lower_bound(r.events, r.from, {}, &recording::event::at), r.events.end()};
  for (const recording::event& e : r.events) {
    if (e.worker >= r.workers) continue;
    if (e.blur == duration::zero()) read[e.worker] = std::max(e.at, r.from);
    if (e.at < r.from) {  // what the worker does then is all that counts
      if (e.what == kind::resumed || e.what == kind::slept) begin(e);
      if (e.what == kind::parked || e.what == kind::yielded || e.what == kind::ended || e.what == kind::woke) {
        open[e.worker].reset();
      }
      continue;
    }
    switch (e.what) {
      case kind::started:
      case kind::ready: {
        state& of = states[e.routine];
        if (of.early != nullptr && e.at - of.early->at <= e.blur + of.early->blur + std::chrono::microseconds(1)) {
          wakes.push_back({&e, std::exchange(of.early, nullptr)});
        } else {
          of.ready = &e;
        }
        break;
      }
      case kind::resumed: {
        state& of = states[e.routine];
        of.early = nullptr;
        if (of.ready != nullptr) {
          wakes.push_back({std::exchange(of.ready, nullptr), &e});
        } else if (std::exchange(of.has_parked, false)) {
          of.early = &e;
        }
        begin(e);
        break;
      }
      case kind::parked:
      case kind::yielded:
      case kind::ended:
        close(e, e.routine, false);
        states[e.routine].has_parked = e.what == kind::parked;
        break;
      case kind::slept:
        begin(e);
        break;
      case kind::woke:
        close(e, 0, true);
        break;
      case kind::stole:
      case kind::submitted:
      case kind::answered:
        break;
    }
  }
  for (auto& slice : open) {
    if (!slice) continue;
    slice->end = slice->latest = std::max(r.until, slice->begin);
    all.push_back(*slice);
  }
}

std::string place_text(const recording& r, std::size_t place) {
  if (place >= r.places.size()) return {};
  const recording::place& at = r.places[place];
  return at.file.substr(at.file.rfind('/') + 1) + ':' + std::to_string(at.line);
}

std::string wait_text(const recording& r, const recording::event& e) {
  if (e.what != recording::kind::parked) return {};
  std::string text = e.wait < r.waits.size() ? r.waits[e.wait] : "a coroutine of another library";
  if (e.where < r.places.size()) text += " at " + place_text(r, e.where);
  return text;
}

}  // namespace ringo::detail
