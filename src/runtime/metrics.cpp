// What a runtime counts, as numbers and as text for Prometheus.
#include <algorithm>
#include <cstdio>
#include <string>
#include <string_view>
#include <utility>

#include <ringo/run.hpp>

#include "runtime/inspection.hpp"
#include "runtime/recorder.hpp"
#include "runtime/runtime_core.hpp"

namespace ringo {
namespace {

struct family {
  std::string_view name, help;
  bool is_counter;  // else a gauge, which may fall
};
struct worker_family {
  family of;
  std::uint64_t worker_metrics::* value;
};
struct runtime_family {
  family of;
  std::uint64_t metrics::* value;
};

constexpr worker_family worker_families[] = {
    {{"ringo_routines_started_total", "Routines that were started.", true}, &worker_metrics::routines_started},
    {{"ringo_resumes_total", "Resumes of routines.", true}, &worker_metrics::resumes},
    {{"ringo_steals_total", "Routines that the worker took from another's queue.", true}, &worker_metrics::steals},
    {{"ringo_steals_failed_total", "Looks into the queues of all other workers that found nothing.", true},
     &worker_metrics::steals_failed},
    {{"ringo_parks_total", "Times that the worker went to sleep.", true}, &worker_metrics::parks},
    {{"ringo_wakes_total", "Times that the worker woke.", true}, &worker_metrics::wakes},
    {{"ringo_operations_total", "Awaits that had to wait.", true}, &worker_metrics::operations},
    {{"ringo_timers", "Timers that are armed.", false}, &worker_metrics::timers},
    {{"ringo_routines_ready", "Routines in the worker's queue.", false}, &worker_metrics::ready},
    {{"ringo_calls_total", "Calls that were given to the worker's driver.", true}, &worker_metrics::calls},
    {{"ringo_bytes_received_total", "Bytes that streams and datagram sockets have received.", true},
     &worker_metrics::bytes_received},
    {{"ringo_bytes_sent_total", "Bytes that streams and datagram sockets have sent.", true},
     &worker_metrics::bytes_sent},
    {{"ringo_calls_in_flight", "Calls that the kernel works on.", false}, &worker_metrics::in_flight},
};
constexpr runtime_family runtime_families[] = {
    {{"ringo_routines_live", "Routines that have not ended.", false}, &metrics::routines_live},
    {{"ringo_wakes_sent_total", "Times that a sleeping worker was woken to look for work.", true},
     &metrics::wakes_sent},
    {{"ringo_stalls_total", "Times that a routine has kept its worker for longer than runtime_options::stall.", true},
     &metrics::stalls},
};

void add_head(std::string& text, const family& of) {
  text.append("# HELP ").append(of.name).append(" ").append(of.help);
  text.append("\n# TYPE ").append(of.name).append(of.is_counter ? " counter\n" : " gauge\n");
}

// `labels` is "" or 'a="b",c="d"'.
void add_sample(std::string& text, std::string_view name, std::string_view labels, std::uint64_t value) {
  text.append(name);
  if (!labels.empty()) text.append("{").append(labels).append("}");
  text.append(" ").append(std::to_string(value)).append("\n");
}

// Of the steps 1, 2, 3, ... 9 it has 1, 2 and 5: enough for a graph, and a third of the text.
void add_histogram(std::string& text, std::string_view name, const std::string& labels, const histogram& h) {
  char number[32];
  const std::string bucket = std::string(name) + "_bucket";
  std::uint64_t seen = 0;
  for (std::size_t i = 0; i + 1 < histogram::buckets; ++i) {
    seen += h.counts[i];
    if (i % 9 != 0 && i % 9 != 1 && i % 9 != 4) continue;
    std::snprintf(number, sizeof number, "%g", static_cast<double>(histogram::bound(i).count()) * 1e-9);
    add_sample(text, bucket, labels + ",le=\"" + number + '"', seen);
  }
  add_sample(text, bucket, labels + ",le=\"+Inf\"", h.count);
  std::snprintf(number, sizeof number, "%.9f", static_cast<double>(h.sum.count()) * 1e-9);
  text.append(name).append("_sum{").append(labels).append("} ").append(number).append("\n");
  add_sample(text, std::string(name) + "_count", labels, h.count);
}

// for_each(worker_times, add) calls add(labels, histogram).
template <class ForEach>
void add_histograms(std::string& text, const std::vector<detail::labelled_metrics>& all, std::string_view name,
                    std::string_view help, ForEach for_each) {
  bool has_head = false;
  for (const auto& [labels, m] : all) {
    for (std::size_t i = 0; i < m.times.size(); ++i) {
      const std::string of_worker = (labels.empty() ? labels : labels + ',') + "worker=\"" + std::to_string(i) + '"';
      for_each(m.times[i], [&](const std::string& more, const histogram& h) {
        if (!std::exchange(has_head, true)) {
          text.append("# HELP ").append(name).append(" ").append(help);
          text.append("\n# TYPE ").append(name).append(" histogram\n");
        }
        add_histogram(text, name, of_worker + more, h);
      });
    }
  }
}

}  // namespace

std::string detail::to_prometheus(const std::vector<labelled_metrics>& all) {
  std::string text;
  for (const worker_family& each : worker_families) {
    add_head(text, each.of);
    for (const auto& [labels, m] : all) {
      const std::string before = labels.empty() ? labels : labels + ',';
      for (std::size_t i = 0; i < m.workers.size(); ++i) {
        add_sample(text, each.of.name, before + "worker=\"" + std::to_string(i) + '"', m.workers[i].*each.value);
      }
    }
  }
  for (const runtime_family& each : runtime_families) {
    add_head(text, each.of);
    for (const auto& [labels, m] : all) add_sample(text, each.of.name, labels, m.*each.value);
  }
  add_histograms(text, all, "ringo_resume_seconds", "How long routines ran, from a resume until they waited or ended.",
                 [](const worker_times& t, auto add) { add("", t.resume); });
  add_histograms(text, all, "ringo_ready_seconds", "How long routines that were ready waited for their turn.",
                 [](const worker_times& t, auto add) { add("", t.ready); });
  add_histograms(text, all, "ringo_timer_late_seconds", "How long after they were due timers were ended.",
                 [](const worker_times& t, auto add) { add("", t.timer_late); });
  add_histograms(text, all, "ringo_wait_seconds", "How long routines waited, by what they waited for.",
                 [](const worker_times& t, auto add) {
                   for (const wait_times& each : t.waits) add(",wait=\"" + each.wait + '"', each.lasted);
                 });
  return text;
}

std::string to_prometheus(const metrics& m) { return detail::to_prometheus({{"", m}}); }

metrics detail::runtime_core::metrics() const {
  ringo::metrics all{};
  std::int64_t live = 0;
  const auto as_count = [](const counter& c) { return static_cast<std::uint64_t>(c.value()); };
  for (const auto& w : workers) {
    const counters& of = w->counts;
    live += w->live_routines();
    worker_metrics& m = all.workers.emplace_back();
    m.routines_started = static_cast<std::uint64_t>(w->started());
    m.resumes = as_count(of.resumes);
    m.steals = as_count(of.steals);
    m.steals_failed = as_count(of.steals_failed);
    m.parks = as_count(of.parks);
    m.wakes = as_count(of.wakes);
    m.operations = as_count(of.waits);
    m.timers = static_cast<std::uint64_t>(w->timers.armed());
    m.ready = w->ready_for_report();
    m.in_flight = w->driver_->in_flight();
    m.calls = as_count(of.calls);
    m.bytes_received = as_count(of.bytes_received);
    m.bytes_sent = as_count(of.bytes_sent);
    if (w->times != nullptr)
      all.times.push_back(w->times->read([this](std::size_t kind) { return recorder->text_of_wait(kind); }));
    for (const worker_family& each : worker_families) all.*each.value += m.*each.value;
  }
  all.routines_live = static_cast<std::uint64_t>(std::max<std::int64_t>(live, 0));
  all.wakes_sent = as_count(wakes_sent_);
  all.stalls = as_count(stalls);
  return all;
}

}  // namespace ringo
