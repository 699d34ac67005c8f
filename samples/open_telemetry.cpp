// Exports metrics and traces to a collector of OpenTelemetry, by OTLP over HTTP with JSON: the metrics of ringo's
// runtime every now and then, and a span for each request and for each step of it. Any collector takes them:
//
//   open_telemetry 127.0.0.1:4318
//
// Here a shop serves twenty orders, and ends. samples/otlp_collector is a small collector that checks what it gets.
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <functional>
#include <optional>
#include <random>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <ringo/ringo.hpp>

using namespace ringo;
using namespace std::chrono_literals;

namespace otlp {

// ---- JSON. OTLP's 64-bit numbers are strings, and so are its times: nanoseconds since 1970.

std::string number(std::uint64_t n) { return '"' + std::to_string(n) + '"'; }
std::string number_now() {
  return number(static_cast<std::uint64_t>(
      std::chrono::nanoseconds(std::chrono::system_clock::now().time_since_epoch()).count()));
}
std::string seconds(duration d) {
  char digits[32];
  std::snprintf(digits, sizeof digits, "%.9g", std::chrono::duration<double>(d).count());
  return digits;
}
// For names that this program makes: they have no character that JSON must escape.
std::string text(std::string_view s) { return '"' + std::string(s) + '"'; }
std::string attribute(std::string_view key, std::string_view value) {
  return "{\"key\":" + text(key) + ",\"value\":" + std::string(value) + '}';
}
std::string list(const std::vector<std::string>& of) {
  std::string all = "[";
  for (const std::string& each : of) all += (all.size() > 1 ? "," : "") + each;
  return all + ']';
}
// {"resourceMetrics":[{"resource":...,"scopeMetrics":[{"scope":...,"metrics":[...]}]}]}, and the same with Spans.
std::string document(std::string_view kind, std::string_view key, const std::vector<std::string>& items) {
  const std::string of(kind);
  return "{\"resource" + of + "\":[{\"resource\":{\"attributes\":[" +
         attribute("service.name", R"({"stringValue":"shop"})") + "]},\"scope" + of +
         "\":[{\"scope\":{\"name\":\"ringo\"}," + text(key) + ':' + list(items) + "}]}]}";
}

// ---- Metrics

template <class Of>
struct counted {
  const char *name, *unit;
  std::uint64_t Of::* value;
  bool only_grows;
};
constexpr counted<worker_metrics> of_each_worker[] = {
    {"ringo.routines.started", "{routine}", &worker_metrics::routines_started, true},
    {"ringo.resumes", "{resume}", &worker_metrics::resumes, true},
    {"ringo.steals", "{routine}", &worker_metrics::steals, true},
    {"ringo.steals_failed", "{look}", &worker_metrics::steals_failed, true},
    {"ringo.sleeps", "{sleep}", &worker_metrics::parks, true},
    {"ringo.wakes", "{wake}", &worker_metrics::wakes, true},
    {"ringo.waits", "{wait}", &worker_metrics::operations, true},
    {"ringo.timers", "{timer}", &worker_metrics::timers, false},
    {"ringo.routines.ready", "{routine}", &worker_metrics::ready, false},
    {"ringo.calls.in_flight", "{call}", &worker_metrics::in_flight, false},
    {"ringo.calls.begun", "{call}", &worker_metrics::calls, true},
    {"ringo.bytes.received", "By", &worker_metrics::bytes_received, true},
    {"ringo.bytes.sent", "By", &worker_metrics::bytes_sent, true},
};
static_assert(sizeof of_each_worker / sizeof of_each_worker[0] == sizeof(worker_metrics) / sizeof(std::uint64_t),
              "each member of worker_metrics is exported");
constexpr counted<metrics> of_the_runtime[] = {
    {"ringo.routines.live", "{routine}", &metrics::routines_live, false},
    {"ringo.wakes_sent", "{wake}", &metrics::wakes_sent, true},
    {"ringo.stalls", "{stall}", &metrics::stalls, true},
};
struct timed {
  const char* name;
  histogram worker_times::* value;
};
constexpr timed times_of_each_worker[] = {
    {"ringo.resume.duration", &worker_times::resume},
    {"ringo.ready.duration", &worker_times::ready},
    {"ringo.timer.lateness", &worker_times::timer_late},
};

std::string metric(const char* name, const char* unit, bool only_grows, const std::vector<std::string>& points) {
  const std::string head = "{\"name\":" + text(name) + ",\"unit\":" + text(unit);
  const std::string data = "{\"dataPoints\":" + list(points);
  return head + (only_grows
                     ? ",\"sum\":" + data + ",\"aggregationTemporality\":2,\"isMonotonic\":true}}"  // 2: cumulative
                     : ",\"gauge\":" + data + "}}");
}

// In seconds. The last bucket has no bound.
std::string point_of(const histogram& h, const std::vector<std::string>& attributes, const std::string& times) {
  std::vector<std::string> bounds, counts;
  for (std::size_t i = 0; i < histogram::buckets; ++i) {
    counts.push_back(number(h.counts[i]));
    if (i + 1 < histogram::buckets) bounds.push_back(seconds(histogram::bound(i)));
  }
  return "{\"attributes\":" + list(attributes) + times + ",\"count\":" + number(h.count) +
         ",\"sum\":" + seconds(h.sum) + ",\"bucketCounts\":" + list(counts) + ",\"explicitBounds\":" + list(bounds) +
         '}';
}
std::string metric(const char* name, const std::vector<std::string>& points) {
  return "{\"name\":" + text(name) + R"(,"unit":"s","histogram":{"dataPoints":)" + list(points) +
         ",\"aggregationTemporality\":2}}";
}

std::string to_json(const metrics& m, const std::string& start) {
  const std::string times = ",\"startTimeUnixNano\":" + start + ",\"timeUnixNano\":" + number_now();
  std::vector<std::string> all;
  const auto worker = [](std::size_t i) { return attribute("worker", "{\"intValue\":" + number(i) + '}'); };
  for (const auto& each : of_each_worker) {
    std::vector<std::string> points;
    for (std::size_t i = 0; i < m.workers.size(); ++i) {
      points.push_back("{\"attributes\":[" + worker(i) + ']' + times +
                       ",\"asInt\":" + number(m.workers[i].*each.value) + '}');
    }
    all.push_back(metric(each.name, each.unit, each.only_grows, points));
  }
  for (const auto& each : of_the_runtime) {
    all.push_back(metric(each.name, each.unit, each.only_grows, {"{\"asInt\":" + number(m.*each.value) + times + '}'}));
  }
  for (const timed& each : times_of_each_worker) {
    std::vector<std::string> points;
    for (std::size_t i = 0; i < m.times.size(); ++i) {
      points.push_back(point_of(m.times[i].*each.value, {worker(i)}, times));
    }
    all.push_back(metric(each.name, points));
  }
  std::vector<std::string> waits;
  for (std::size_t i = 0; i < m.times.size(); ++i) {
    for (const wait_times& each : m.times[i].waits) {
      const std::string wait = attribute("wait", "{\"stringValue\":" + text(each.wait) + '}');
      waits.push_back(point_of(each.lasted, {worker(i), wait}, times));
    }
  }
  all.push_back(metric("ringo.wait.duration", waits));
  return document("Metrics", "metrics", all);
}

// ---- Spans

// Which span a routine works for: a value of its context, so that the routines which it starts have it, too.
struct position {
  std::string trace, span;
};

std::string random_id(int bytes) {
  static thread_local std::mt19937_64 random{std::random_device{}()};
  std::string id;
  for (int i = 0; i < 2 * bytes; ++i) id += "0123456789abcdef"[random() % 16];
  return id;
}

// ---- The exporter: a routine sends spans, many at a time, and one sends metrics.

class exporter {
 public:
  exporter(const runtime& of, std::string address) : of_(of), address_(std::move(address)) {
    sends_.go(&exporter::send_spans, this);
    sends_.go(&exporter::send_metrics, this);
  }
  // The program does not wait for its own telemetry: what has no room is dropped.
  void record(std::string span) {
    if (!spans_.try_send(std::move(span))) ++dropped_;
  }
  task<> finish() {
    spans_.close();
    is_over_.set();
    co_await sends_.wait();
    if (dropped_ != 0) std::fprintf(stderr, "%d spans were dropped\n", dropped_.load());
  }

 private:
  static constexpr auto period = 10ms;  // some ten seconds, for a program that runs for days

  task<> send_spans() {
    auto batches = batch(spans_, 64, period);
    while (auto spans = co_await batches.recv()) co_await post("/v1/traces", document("Spans", "spans", *spans));
  }
  task<> send_metrics() {
    ticker every(period);
    for (bool is_over = false;;) {
      co_await post("/v1/metrics", to_json(of_.metrics(), start_));
      if (is_over) break;
      is_over = (co_await select(every.tick(), is_over_.wait())).index() == 1;
    }
  }
  // A collector that does not answer costs the program its telemetry, and nothing else.
  task<> post(std::string_view path, std::string body) {
    try {
      co_await with_timeout(10s, post_or_throw(path, std::move(body)));
    } catch (const std::exception& e) {
      std::fprintf(stderr, "POST %s%s: %s\n", address_.c_str(), std::string(path).c_str(), e.what());
    }
  }
  task<> post_or_throw(std::string_view path, std::string body) {
    tcp_stream collector = co_await tcp_stream::connect(address_);
    std::string head = "POST " + std::string(path) + " HTTP/1.1\r\nHost: " + address_;
    head += "\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: " + std::to_string(body.size());
    co_await collector.send(head, "\r\n\r\n", body);
    std::string answer;
    while (auto piece = co_await collector.recv()) answer += piece->text();
    if (answer.substr(0, 5) != "HTTP/" || answer.substr(8, 5) != " 200 ") {
      throw std::runtime_error("the answer is " + answer.substr(0, answer.find('\r')));
    }
  }

  const runtime& of_;
  const std::string address_;
  const std::string start_ = number_now();
  channel<std::string> spans_{named("spans"), 1024};
  event is_over_;
  std::atomic<int> dropped_ = 0;
  group sends_{named("exporter")};
};

// A span lasts from its construction to its destruction. The context of the routine that makes it names its parent.
class span {
 public:
  span(exporter& to, std::string_view name) : to_(to), name_(name) {
    const position* parent = current_context().value<position>();
    if (parent != nullptr) parent_ = *parent;
    at_.trace = parent != nullptr ? parent->trace : random_id(16);
  }
  span(const span&) = delete;
  span& operator=(const span&) = delete;
  ~span() {
    const bool failed = std::uncaught_exceptions() > exceptions_;
    to_.record("{\"traceId\":" + text(at_.trace) + ",\"spanId\":" + text(at_.span) +
               (parent_ ? ",\"parentSpanId\":" + text(parent_->span) : "") + ",\"name\":" + text(name_) +
               ",\"kind\":" + (parent_ ? "1" : "2") +  // internal, server
               ",\"startTimeUnixNano\":" + start_ + ",\"endTimeUnixNano\":" + number_now() + ",\"status\":{" +
               (failed ? "\"code\":2" : "") + "}}");
  }
  context ctx() const { return current_context().with_value(at_); }  // for the steps of this span

 private:
  exporter& to_;
  const std::string_view name_;
  const std::string start_ = number_now();
  const int exceptions_ = std::uncaught_exceptions();
  std::optional<position> parent_;
  position at_{"", random_id(8)};
};

}  // namespace otlp

task<> charge(otlp::exporter& to) {
  const otlp::span step(to, "charge");
  co_await sleep(3ms);
}
task<> pack(otlp::exporter& to) {
  const otlp::span step(to, "pack");
  co_await sleep(2ms);
}
task<> serve(otlp::exporter& to) {
  const otlp::span order(to, "order");
  group steps(order.ctx());
  steps.go(charge, std::ref(to));
  steps.go(pack, std::ref(to));
  co_await steps.wait();
}

task<> program(const runtime& rt, std::string address) {
  otlp::exporter to(rt, std::move(address));
  group orders;
  orders.limit(4);
  for (int i = 0; i < 20; ++i) orders.go(serve, std::ref(to));
  co_await orders.wait();
  co_await to.finish();
}

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "Usage: open_telemetry HOST:PORT    of the collector; its usual port is 4318\n");
    return 2;
  }
  runtime rt({.histograms = true});
  rt.run([&]() -> task<> { co_await program(rt, argv[1]); });
}
