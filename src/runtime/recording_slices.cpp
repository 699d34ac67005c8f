#include "runtime/recording_slices.hpp"

#include <algorithm>
#include <optional>
#include <unordered_map>

namespace ringo::detail {

recorded_slices::recorded_slices(const recording& r) {
  using kind = recording::kind;
  std::vector<std::optional<recorded_slice>> open(r.workers);  // of each worker
  std::vector<time_point> from(r.workers, r.from);
  // A routine is ready once, and then resumed once; a reading of the clock that two workers made may have the wrong
  // order, by less than a blur.
  struct state {
    const recording::event* ready = nullptr;
    const recording::event* early = nullptr;  // a resume whose ready comes behind it
    bool has_parked = false;
  };
  std::unordered_map<std::uint32_t, state> states;
  const auto close = [&](const recording::event& e, std::uint32_t routine, bool is_sleep) {
    auto& slice = open[e.worker];
    if (!slice) slice = recorded_slice{from[e.worker], {}, e.worker, routine, is_sleep};
    slice->end = e.at;
    slice->left = is_sleep ? nullptr : &e;
    all.push_back(*std::exchange(slice, std::nullopt));
    from[e.worker] = e.at;
  };
  for (const recording::event& e : r.events) {
    if (e.worker >= r.workers) continue;
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
        open[e.worker] = recorded_slice{e.at, {}, e.worker, e.routine, false, &e};
        break;
      }
      case kind::parked:
      case kind::yielded:
      case kind::ended:
        close(e, e.routine, false);
        states[e.routine].has_parked = e.what == kind::parked;
        break;
      case kind::slept:
        open[e.worker] = recorded_slice{e.at, {}, e.worker, 0, true};
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
    slice->end = std::max(r.until, slice->begin);
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
