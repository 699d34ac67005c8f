// /stalls and /stalls.json: what the watchers of the program's runtimes have noticed lately.
#include <chrono>
#include <cstddef>
#include <ctime>
#include <string>

#include "inspector/server.hpp"
#include "platform/json_writer.hpp"
#include "runtime/report.hpp"

namespace ringo::detail {
namespace {

using std::chrono::system_clock;

duration ago(const noticed_stall& s) { return std::chrono::duration_cast<duration>(system_clock::now() - s.begin); }

std::string as_utc(system_clock::time_point at) {
  const std::time_t seconds = system_clock::to_time_t(at);
  std::tm parts{};
  char text[64];
  const std::size_t length = std::strftime(text, sizeof text, "%F %T UTC", ::gmtime_r(&seconds, &parts));
  return std::string(text, length);
}

void append_text(std::string& out, const noticed_stall& s) {
  out += "  worker " + std::to_string(s.worker) + (s.goes_on ? " is kept, for " : " was kept for ") +
         length_of(s.lasts) + (s.goes_on ? " so far, since " : ", ") + length_of(ago(s)) + (s.goes_on ? "" : " ago") +
         " (" + as_utc(s.begin) + ')';
  if (s.times > 1) out += "; " + std::to_string(s.times) + " like it, the longest for " + length_of(s.longest);
  std::string text = s.text.empty() ? "by the routine started at " + s.started : s.text;
  for (std::size_t at = 0; (at = text.find('\n', at)) != std::string::npos; ++at) text.insert(at + 1, "    ");
  out += "\n    " + text + '\n';
}

}  // namespace

static void write_json(json_writer& json, const noticed_stall& s) {
  json.begin_object()
      .member("begin_ns", std::chrono::nanoseconds(s.begin.time_since_epoch()).count())  // of the Unix epoch
      .member("ago_ns", ago(s).count())
      .member("lasts_ns", s.lasts.count())
      .member("goes_on", s.goes_on)
      .member("times", s.times)
      .member("longest_ns", s.longest.count())
      .member("worker", s.worker)
      .member("routine", s.routine)
      .member("main", s.is_main)
      .member("name", s.name)
      .member("started", s.started)
      .member("waited", s.waited)
      .member("call", s.call)
      .member("stack", s.stack)
      .member("text", s.text)
      .end_object();
}

static void write_json(json_writer& json, const inspected_stalls& s) {
  json.begin_object()
      .member("id", s.id)
      .member("runs", s.runs)
      .member("limit_ns", s.noticed.limit.count())
      .member("count", s.count)
      .member("stalls", s.noticed.stalls)
      .end_object();
}

task<http_answer> inspector_server::stalls_text(const http_request&) {
  std::string text;
  for (const inspected_stalls& each : inspect_stalls()) {
    text += std::string(text.empty() ? "" : "\n") + "runtime " + std::to_string(each.id) + ": ";
    if (!each.runs) {
      text += "it does not run yet\n";
    } else if (each.noticed.limit == duration::zero()) {
      text +=
          "nothing looks for stalls: set RINGO_STALL=50ms in the program's environment, or runtime_options::stall\n";
    } else {
      const std::string limit = " of more than " + length_of(each.noticed.limit);
      text += each.count == 0   ? "no stall" + limit + '\n'
              : each.count == 1 ? "1 stall" + limit + '\n'
                                : std::to_string(each.count) + " stalls" + limit + ", of those alike the last one\n";
      for (const noticed_stall& s : each.noticed.stalls) append_text(text, s);
    }
  }
  if (text.empty()) text = "no runtime\n";
  co_return http_answer{.body = std::move(text), .more_header = {}};
}

task<http_answer> inspector_server::stalls_json(const http_request&) {
  std::string text;
  json_writer(text).value(inspect_stalls());
  co_return http_answer{.type = "application/json", .body = std::move(text += '\n'), .more_header = {}};
}

}  // namespace ringo::detail
