// /stalls and /stalls.json: what the watchers of the program's runtimes have noticed lately.
#include <chrono>
#include <cstddef>
#include <ctime>
#include <string>

#include "inspector/server.hpp"
#include "platform/escaped.hpp"
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

void append_stall_json(std::string& out, const noticed_stall& s) {
  const auto add = [&out](const char* key, const auto& value) {
    out += (out.back() == '{' ? "\"" : ",\"") + std::string(key) + "\":";
    if constexpr (requires { out += std::to_string(value); }) {
      out += std::to_string(value);
    } else {
      append_json(out, value);
    }
  };
  out += '{';
  add("begin_ns", std::chrono::nanoseconds(s.begin.time_since_epoch()).count());  // of the Unix epoch
  add("ago_ns", ago(s).count());
  add("lasts_ns", s.lasts.count());
  out += s.goes_on ? ",\"goes_on\":true" : ",\"goes_on\":false";
  add("times", s.times);
  add("longest_ns", s.longest.count());
  add("worker", s.worker);
  add("routine", s.routine);
  out += s.is_main ? ",\"main\":true" : ",\"main\":false";
  add("name", s.name);
  add("started", s.started);
  add("waited", s.waited);
  add("call", s.call);
  out += ",\"stack\":[";
  for (const std::string& each : s.stack) {
    if (out.back() != '[') out += ',';
    append_json(out, each);
  }
  out += ']';
  add("text", s.text);
  out += '}';
}

}  // namespace

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
  std::string text = "[";
  for (const inspected_stalls& each : inspect_stalls()) {
    text += std::string(text.size() == 1 ? "" : ",") + "{\"id\":" + std::to_string(each.id) +
            ",\"runs\":" + (each.runs ? "true" : "false") +
            ",\"limit_ns\":" + std::to_string(each.noticed.limit.count()) + ",\"count\":" + std::to_string(each.count) +
            ",\"stalls\":[";
    for (const noticed_stall& s : each.noticed.stalls) {
      if (text.back() != '[') text += ',';
      append_stall_json(text, s);
    }
    text += "]}";
  }
  co_return http_answer{.type = "application/json", .body = std::move(text += "]\n"), .more_header = {}};
}

}  // namespace ringo::detail
