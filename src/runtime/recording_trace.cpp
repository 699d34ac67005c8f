// A recording in the Trace Event Format, which Chrome and Perfetto read.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <map>
#include <string>

#include <ringo/recording.hpp>

#include "platform/json_writer.hpp"
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
    json_.begin_object().member("displayTimeUnit", "ns").key("traceEvents").begin_array();
    name_tracks();
    for (const detail::recorded_slice& each : slices_.all) add_slice(each);
    std::uint64_t flow = 0;
    for (const detail::recorded_wake& each : slices_.wakes) add_flow(each, ++flow);
    add_other_events();
    json_.new_line().end_array().end_object();
    return std::move(out_ += '\n');
  }

 private:
  // An event, on a line of its own, until end().
  void begin(const char* phase, std::string_view name, time_point at, std::uint32_t worker) {
    json_.new_line().begin_object().member("ph", phase).member("name", name);
    json_.member("pid", of_.process).member("tid", worker + 1);
    add_time("ts", at - of_.from);
  }
  void end() { json_.end_object(); }

  // Its details, if there is but one.
  template <class T>
  void add_detail(const char* key, const T& value) {
    json_.key("args").begin_object().member(key, value).end_object();
  }
  void add_time(const char* key, duration length) {  // in microseconds
    char text[32];
    const auto ns = std::max<std::int64_t>(length.count(), 0);
    std::snprintf(text, sizeof text, "%lld.%03d", static_cast<long long>(ns / 1000), static_cast<int>(ns % 1000));
    json_.key(key).raw(text);
  }

  void name_tracks() {
    begin("M", "process_name", of_.from, 0);
    add_detail("name", "ringo");
    end();
    for (std::uint32_t i = 0; i < of_.workers; ++i) {
      begin("M", "thread_name", of_.from, i);
      add_detail("name", "worker " + std::to_string(i));
      end();
    }
  }

  void add_slice(const detail::recorded_slice& s) {
    begin("X", s.is_sleep ? "sleeps" : of_.name_of(s.routine), s.begin, s.worker);
    add_time("dur", s.end - s.begin);
    json_.member("cat", s.is_sleep ? "sleep" : "routine");
    if (!s.is_sleep) {
      json_.key("args").begin_object().member("routine", s.routine);
      if (s.resumed != nullptr && s.resumed->where < of_.places.size()) {
        const recording::place& at = of_.places[s.resumed->where];
        json_.member("started", at.file + ':' + std::to_string(at.line) + " in " + at.function);
      }
      json_.member("then", s.left == nullptr              ? "goes on"
                           : s.left->what == kind::ended  ? "has ended"
                           : s.left->what == kind::parked ? "waits for " + detail::wait_text(of_, *s.left)
                                                          : "lets others run");
      if (s.most() > s.end - s.begin) json_.member("time", "up to " + std::to_string(s.most().count()) + " ns");
      json_.end_object();
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
      json_.member("cat", "event");
      if (w.ready->by == recording::cause::timer && w.ready->what == kind::ready) add_detail("late ns", w.ready->value);
      end();
    }
    const char* const name = w.ready->what == kind::started ? "started" : "ready";
    begin("s", name, std::min(w.ready->at, w.resumed->at), w.ready->worker);
    json_.member("cat", "wake").member("id", id);
    end();
    begin("f", name, w.resumed->at, w.resumed->worker);
    json_.member("cat", "wake").member("id", id).member("bp", "e");
    end();
  }

  void add_call(const char* phase, const recording::event& e, std::uint64_t id, const char* name) {
    begin(phase, name, e.at, e.worker);
    json_.member("cat", "kernel").member("id", std::to_string(id));
    add_detail(*phase == 'b' ? "descriptor" : "result", e.value);
    end();
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
          json_.member("s", "t");
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
        add_detail("ready", told = ready);
        end();
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
  detail::json_writer json_{out_};
};

}  // namespace

std::string to_chrome_trace(const recording& r) { return trace_writer(r).write(); }

}  // namespace ringo
