// The summary of a recording, for people.
#include <algorithm>
#include <cstdio>
#include <map>
#include <string>
#include <vector>

#include <ringo/recording.hpp>

#include "runtime/recording_slices.hpp"

namespace ringo {
namespace {

constexpr std::size_t longest_list = 10;

std::string length_of(duration time) {
  char text[32];
  const auto ns = static_cast<double>(time.count());
  const auto [value, unit] = ns < 1e3   ? std::pair(ns, "ns")
                             : ns < 1e6 ? std::pair(ns / 1e3, "us")
                             : ns < 1e9 ? std::pair(ns / 1e6, "ms")
                                        : std::pair(ns / 1e9, "s");
  std::snprintf(text, sizeof text, value < 10 && ns >= 1e3 ? "%.1f %s" : "%.0f %s", value, unit);
  return text;
}

std::string in_column(std::string text) { return text.size() < 10 ? text.insert(0, 10 - text.size(), ' ') : text; }

// Calls of something by their key, with how long they took.
struct sums {
  struct sum {
    std::string of;
    std::size_t times = 0;
    duration total{}, longest{};
  };
  std::map<std::string, sum> by_key;

  void add(const std::string& key, duration length) {
    sum& to = by_key[key];
    to.of = key;
    ++to.times;
    to.total += length;
    to.longest = std::max(to.longest, length);
  }
  void append(std::string& text, const char* title) const {
    std::vector<sum> all;
    all.reserve(by_key.size());
    for (const auto& each : by_key) all.push_back(each.second);
    std::ranges::sort(all, std::ranges::greater(), &sum::total);
    if (all.size() > longest_list) all.resize(longest_list);
    if (!all.empty()) text += title;
    for (const sum& each : all) {
      text += in_column(length_of(each.total)) + in_column(std::to_string(each.times)) +
              in_column(length_of(each.longest)) + "  " + each.of + '\n';
    }
  }
};

class summary {
  using kind = recording::kind;
  using recorded_slice = detail::recorded_slice;
  using recorded_wake = detail::recorded_wake;

 public:
  explicit summary(const recording& r) : of_(r), slices_(r) {}

  std::string text() {
    if (!of_.is_on) return "Nothing was recorded: runtime_options::recorder is 0.\n";
    text_ = std::to_string(slices_.events.size()) + " events of " + std::to_string(of_.workers) +
            (of_.workers == 1 ? " worker in " : " workers in ") + length_of(of_.until - of_.from) + '\n';
    add_workers();
    add_longest();
    add_all_kept();
    add_delays();
    add_timers();
    sums ran, waited;
    for (const recorded_slice& each : slices_.all) {
      if (!each.is_sleep) ran.add(kind_of(each.routine), each.end - each.begin);
    }
    ran.append(text_, "\nRoutines by where they were started\n     total   resumes   longest\n");
    std::map<std::uint32_t, const recording::event*> parked;
    for (const recording::event& e : slices_.events) {
      if (e.what == kind::parked) parked[e.routine] = &e;
      if (e.what != kind::ready) continue;
      const auto found = parked.find(e.routine);
      if (found == parked.end()) continue;
      waited.add(detail::wait_text(of_, *found->second), std::max(e.at - found->second->at, duration::zero()));
      parked.erase(found);
    }
    waited.append(text_, "\nWaits that have ended\n     total     times   longest\n");
    return std::move(text_);
  }

 private:
  // Routines of a kind: those that were started at the same place, or have a name of their own.
  std::string kind_of(std::uint32_t number) const {
    const auto found = std::ranges::lower_bound(of_.routines, number, {}, &recording::routine::number);
    if (found == of_.routines.end() || found->number != number || !found->name.empty() ||
        found->where >= of_.places.size()) {
      return of_.name_of(number);
    }
    return detail::place_text(of_, found->where) + " in " + of_.places[found->where].function;
  }

  void add_workers() {
    struct worker {
      duration ran{}, slept{};
      std::size_t resumes = 0, sleeps = 0, stolen = 0;
    };
    std::vector<worker> workers(of_.workers);
    for (const recorded_slice& each : slices_.all) {
      worker& of = workers[each.worker];
      const duration in = std::max(each.end - std::max(each.begin, of_.from), duration::zero());
      (each.is_sleep ? of.slept : of.ran) += in;
      ++(each.is_sleep ? of.sleeps : of.resumes);
    }
    for (const recording::event& e : slices_.events) {
      if (e.what == kind::stole && e.worker < of_.workers)
        workers[e.worker].stolen += static_cast<std::size_t>(e.value);
    }
    text_ += "\n    worker      runs    sleeps   resumes    sleeps    stolen\n";
    const auto share = [this](duration of) {
      const auto all = std::max<std::int64_t>((of_.until - of_.from).count(), 1);
      return in_column(std::to_string(std::min<std::int64_t>(of.count() / std::max<std::int64_t>(all / 100, 1), 100)) +
                       " %");
    };
    for (std::size_t i = 0; i < workers.size(); ++i) {
      const worker& w = workers[i];
      text_ += in_column(std::to_string(i)) + share(w.ran) + share(w.slept) + in_column(std::to_string(w.resumes)) +
               in_column(std::to_string(w.sleeps)) + in_column(std::to_string(w.stolen)) + '\n';
    }
  }

  std::string ago(time_point at) const { return length_of(of_.until - at) + " before the end"; }
  static std::string up_to(duration length, duration most, const char* more = "") {
    return length_of(most) != length_of(length) ? ", up to " + length_of(most) + more : "";
  }

  void add_longest() {
    std::vector<recorded_slice> all;
    for (const recorded_slice& each : slices_.all) {
      if (!each.is_sleep) all.push_back(each);
    }
    std::ranges::sort(all, std::ranges::greater(),
                      [](const recorded_slice& s) { return std::pair(s.end - s.begin, s.end); });
    if (all.size() > longest_list) all.resize(longest_list);
    if (!all.empty()) text_ += "\nLongest without a wait\n";
    for (const recorded_slice& each : all) {
      text_ += in_column(length_of(each.end - each.begin)) + "  " + of_.name_of(each.routine) + " on worker " +
               std::to_string(each.worker) + ", " + ago(each.begin) +
               up_to(each.end - each.begin, each.most(), ", or others next to it");
      if (each.left == nullptr) text_ += "; it goes on";
      if (each.left != nullptr && each.left->what == kind::parked) {
        text_ += "; then it waits for " + detail::wait_text(of_, *each.left);
      }
      text_ += '\n';
    }
  }

  // The intervals in which each worker ran one routine for a millisecond or longer: whatever was ready then had to
  // wait.
  void add_all_kept() {
    struct change {
      time_point at;
      bool begins;
      const recorded_slice* of;
    };
    std::vector<change> changes;
    for (const recorded_slice& each : slices_.all) {
      if (each.is_sleep || each.end - each.begin < std::chrono::milliseconds(1)) continue;
      changes.push_back({each.begin, true, &each});
      changes.push_back({each.end, false, &each});
    }
    std::ranges::sort(changes, {}, [](const change& c) { return std::pair(c.at, c.begins); });
    struct interval {
      duration length;
      time_point begin;
      std::vector<const recorded_slice*> of;  // of each worker
    };
    std::vector<interval> all;
    std::vector<const recorded_slice*> open(of_.workers);
    time_point since;
    for (const change& c : changes) {
      if (!c.begins && std::ranges::find(open, nullptr) == open.end()) all.push_back({c.at - since, since, open});
      open[c.of->worker] = c.begins ? c.of : nullptr;
      since = c.at;
    }
    std::ranges::sort(all, std::ranges::greater(), [](const interval& i) { return std::pair(i.length, i.begin); });
    if (all.size() > longest_list) all.resize(longest_list);
    if (of_.workers < 2 || all.empty()) return;
    text_ += "\nAll workers kept at once\n";
    for (const interval& each : all) {
      text_ += in_column(length_of(each.length)) + "  " + ago(each.begin);
      for (const recorded_slice* slice : each.of) text_ += ", by " + of_.name_of(slice->routine);
      text_ += '\n';
    }
  }

  // How long after their timers were due the routines ran.
  void add_timers() {
    std::vector<duration> late;
    for (const recorded_wake& each : slices_.wakes) {
      if (each.ready->by != recording::cause::timer || each.ready->what != kind::ready) continue;
      late.push_back(std::max(each.resumed->at - each.ready->at, duration::zero()) + duration(each.ready->value));
    }
    if (late.empty()) return;
    std::ranges::sort(late);
    const auto part = [&](std::size_t percent) { return length_of(late[(late.size() - 1) * percent / 100]); };
    text_ += "\nFrom when a timer was due until its routine ran\n     times       p50       p99   longest\n" +
             in_column(std::to_string(late.size())) + in_column(part(50)) + in_column(part(99)) + in_column(part(100)) +
             '\n';
  }

  void add_delays() {
    std::vector<recorded_wake> all = slices_.wakes;
    const auto delay = [](const recorded_wake& w) { return w.resumed->at - w.ready->at; };
    std::erase_if(all, [&delay](const recorded_wake& w) { return delay(w) <= w.blur(); });  // maybe nothing
    std::ranges::sort(all, std::ranges::greater(),
                      [&delay](const recorded_wake& w) { return std::pair(delay(w), w.resumed->at); });
    if (all.size() > longest_list) all.resize(longest_list);
    if (!all.empty()) text_ += "\nReady for longest before they ran\n";
    for (const recorded_wake& each : all) {
      text_ += in_column(length_of(delay(each))) + "  " + of_.name_of(each.ready->routine) + ", which ";
      text_ += each.ready->by == recording::cause::timer    ? "a timer woke"
               : each.ready->by == recording::cause::answer ? "an answer of the kernel woke"
               : each.ready->by == recording::cause::post   ? "another thread woke or started"
               : each.ready->waker == 0
                   ? "a routine woke"
                   : of_.name_of(each.ready->waker) + (each.ready->what == kind::started ? " started" : " woke");
      text_ +=
          ", " + ago(each.ready->at) + up_to(delay(each), delay(each) + each.ready->blur + each.resumed->blur) + '\n';
    }
  }

  const recording& of_;
  const detail::recorded_slices slices_;
  std::string text_;
};

}  // namespace

std::string to_text(const recording& r) { return summary(r).text(); }

}  // namespace ringo
