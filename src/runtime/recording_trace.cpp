// A recording in the Trace Event Format, which Chrome and Perfetto read.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <map>
#include <string>

#include <ringo/recording.hpp>

#include "platform/escaped.hpp"
#include "runtime/recording_slices.hpp"

namespace ringo {
namespace {

// A value of the counter for each of so long is enough for a picture.
constexpr duration counter_step = std::chrono::microseconds(10);

class trace_writer {
  using kind = recording::kind;

 public:
  explicit trace_writer(const recording& r) : of_(r), slices_(r) {}

  std::string write() {
    out_ = "{\"displayTimeUnit\":\"ns\",\"traceEvents\":[";
    name_tracks();
    for (const detail::recorded_slice& each : slices_.all) add_slice(each);
    std::uint64_t flow = 0;
    for (const detail::recorded_wake& each : slices_.wakes) add_flow(each, ++flow);
    add_other_events();
    out_ += "\n]}\n";
    return std::move(out_);
  }

 private:
  void begin(const char* phase, const std::string& name, time_point at, std::uint32_t worker) {
    out_ += out_.back() == '[' ? "\n{" : ",\n{";
    add("ph", phase, "");
    add("name", name);
    add_number("pid", of_.process);
    add_number("tid", worker + 1);
    add_time("ts", at - of_.from);
  }
  void end() { out_ += '}'; }

  void add(const char* key, std::string_view text, const char* before = ",") {
    out_ += before;
    detail::append_json(out_, key);
    out_ += ':';
    detail::append_json(out_, text);
  }
  void add_number(const char* key, std::int64_t number, const char* before = ",") {
    out_ += before;
    detail::append_json(out_, key);
    out_ += ':' + std::to_string(number);
  }
  void add_time(const char* key, duration length) {  // in microseconds
    char text[32];
    const auto ns = std::max<std::int64_t>(length.count(), 0);
    std::snprintf(text, sizeof text, ",\"%s\":%lld.%03d", key, static_cast<long long>(ns / 1000),
                  static_cast<int>(ns % 1000));
    out_ += text;
  }

  void name_tracks() {
    begin("M", "process_name", of_.from, 0);
    add("name", "ringo", ",\"args\":{");
    out_ += "}}";
    for (std::uint32_t i = 0; i < of_.workers; ++i) {
      begin("M", "thread_name", of_.from, i);
      add("name", "worker " + std::to_string(i), ",\"args\":{");
      out_ += "}}";
    }
  }

  void add_slice(const detail::recorded_slice& s) {
    begin("X", s.is_sleep ? "sleeps" : of_.name_of(s.routine), s.begin, s.worker);
    add_time("dur", s.end - s.begin);
    add("cat", s.is_sleep ? "sleep" : "routine");
    if (!s.is_sleep) {
      add_number("routine", s.routine, ",\"args\":{");
      if (s.resumed != nullptr && s.resumed->where < of_.places.size()) {
        const recording::place& at = of_.places[s.resumed->where];
        add("started", at.file + ':' + std::to_string(at.line) + " in " + at.function);
      }
      add("then", s.left == nullptr              ? "goes on"
                  : s.left->what == kind::ended  ? "has ended"
                  : s.left->what == kind::parked ? "waits for " + detail::wait_text(of_, *s.left)
                                                 : "lets others run");
      if (s.most() > s.end - s.begin) add("time", "up to " + std::to_string(s.most().count()) + " ns");
      out_ += '}';
    }
    end();
  }

  // An arrow begins in a slice. What is no routine has none, so it gets one without a length.
  void add_flow(const detail::recorded_wake& w, std::uint64_t id) {
    const char* const by = w.ready->by == recording::cause::timer    ? "timer"
                           : w.ready->by == recording::cause::answer ? "answer"
                           : w.ready->by == recording::cause::post   ? "post"
                                                                     : nullptr;
    if (by != nullptr) {
      begin("X", by, w.ready->at, w.ready->worker);
      add_time("dur", duration::zero());
      add("cat", "event");
      if (w.ready->by == recording::cause::timer && w.ready->what == kind::ready) {
        add_number("late ns", w.ready->value, ",\"args\":{");
        out_ += '}';
      }
      end();
    }
    const char* const name = w.ready->what == kind::started ? "started" : "ready";
    begin("s", name, std::min(w.ready->at, w.resumed->at), w.ready->worker);
    add("cat", "wake");
    add_number("id", static_cast<std::int64_t>(id));
    end();
    begin("f", name, w.resumed->at, w.resumed->worker);
    add("cat", "wake");
    add_number("id", static_cast<std::int64_t>(id));
    add("bp", "e");
    end();
  }

  void add_call(const char* phase, const recording::event& e, std::uint64_t id, const char* name) {
    begin(phase, name, e.at, e.worker);
    add("cat", "kernel");
    add("id", std::to_string(id));
    add_number(*phase == 'b' ? "descriptor" : "result", e.value, ",\"args\":{");
    out_ += "}}";
  }

  void add_other_events() {
    std::map<std::pair<std::uint32_t, std::uint64_t>, std::pair<std::uint64_t, const char*>> calls;
    std::uint64_t last_call = 0;
    std::int64_t ready = 0, told = -1;
    time_point next{};
    for (const recording::event& e : slices_.events) {
      const std::int64_t before = ready;
      switch (e.what) {
        case kind::started:
        case kind::ready:
        case kind::yielded:
          ++ready;
          break;
        case kind::resumed:
          if (ready > 0) --ready;
          break;
        case kind::stole:
          begin("i", "took " + std::to_string(e.value) + " from worker " + std::to_string(e.other), e.at, e.worker);
          add("s", "t");
          end();
          break;
        case kind::submitted:
          calls[{e.worker, e.call}] = {++last_call, e.call_name};
          add_call("b", e, last_call, e.call_name);
          break;
        case kind::answered:
          if (const auto found = calls.find({e.worker, e.call}); found != calls.end()) {
            add_call("e", e, found->second.first, found->second.second);
            calls.erase(found);
          }
          break;
        default:
          break;
      }
      if (ready != before && ready != told && (ready == 0 || e.at >= next)) {
        begin("C", "ready routines", e.at, 0);
        add_number("ready", told = ready, ",\"args\":{");
        out_ += "}}";
        next = e.at + counter_step;
      }
    }
    for (const auto& [where, call] : calls) {  // that have no answer yet
      recording::event e;
      e.at = of_.until;
      e.worker = where.first;
      add_call("e", e, call.first, call.second);
    }
  }

  const recording& of_;
  const detail::recorded_slices slices_;
  std::string out_;
};

}  // namespace

std::string to_chrome_trace(const recording& r) { return trace_writer(r).write(); }

}  // namespace ringo
