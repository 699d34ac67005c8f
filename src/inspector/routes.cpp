// What an inspector answers: a route for each kind of answer.
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <random>
#include <string>
#include <system_error>
#include <utility>

#include <ringo/blocking.hpp>
#include <ringo/errors.hpp>
#include <ringo/select.hpp>
#include <ringo/time.hpp>

#include "inspector/page.hpp"
#include "inspector/server.hpp"
#include "inspector/thin_snapshot.hpp"
#include "platform/json_writer.hpp"
#include "platform/text_file.hpp"
#include "runtime/recorder.hpp"
#include "runtime/snapshot.hpp"

namespace ringo::detail {
namespace {

// How long the workers of a runtime may take for a snapshot, before the answer goes without it.
constexpr duration snapshot_limit = std::chrono::seconds(1);
constexpr std::size_t longest_trace = 60;  // seconds
constexpr duration leak_limit = std::chrono::seconds(10);

std::string_view name_of(ringo::driver d) { return d == ringo::driver::epoll ? "epoll" : "io_uring"; }
std::string_view state_of(const inspected_worker& w) { return w.thread == 0 ? "absent" : w.sleeps ? "sleeps" : "runs"; }
std::string count_of(std::uint64_t n, const char* thing) {
  return std::to_string(n) + ' ' + thing + (n == 1 ? "" : "s");
}

std::optional<std::size_t> number_in(std::string_view query, std::string_view name) {
  const auto text = parameter_of(query, name);
  std::size_t number = 0;
  if (!text || std::from_chars(text->data(), text->data() + text->size(), number).ec != std::errc()) return {};
  return number;
}

// For the page's own script and style, and no other: what a name contains is never run.
std::string fresh_nonce() {
  std::random_device dice;
  std::string text;
  for (int i = 0; i < 4; ++i) {
    for (unsigned bits = dice(), digit = 0; digit < 8; ++digit, bits >>= 4) text += "0123456789abcdef"[bits & 15];
  }
  return text;
}

void replace_all(std::string& text, std::string_view from, std::string_view to) {
  for (std::size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size()) {
    text.replace(at, from.size(), to);
  }
}

// By the name that Prometheus's own libraries give it.
std::string memory_in_use() {
  const auto sizes = read_text("/proc/self/statm");
  const std::size_t second = sizes ? sizes->find(' ') : std::string::npos;
  const auto pages =
      second == std::string::npos ? std::nullopt : leading_number(std::string_view(*sizes).substr(second));
  if (!pages) return {};
  return "# HELP process_resident_memory_bytes Memory of the process that is in RAM.\n"
         "# TYPE process_resident_memory_bytes gauge\nprocess_resident_memory_bytes " +
         std::to_string(*pages * ::sysconf(_SC_PAGESIZE)) + '\n';
}

// Until the client has gone: then its place is free for another one. One that only has ended its own half of the
// connection counts as gone, too; over TCP there is no difference to be seen.
task<> until_gone(stream_reader& client) {
  for (bool more = true; more;) {
    const auto came = co_await client.recv();
    more = came.has_value();
  }
}

std::string trace_of(const std::string& image) { return to_chrome_trace(parse_image(image)); }

}  // namespace

// The text of a million routines takes a second. So a thread of blocking() writes such texts, and the inspector answers
// others meanwhile.
std::string inspector_server::text_of(const std::vector<seen>& all) {
  std::string text;
  for (const seen& each : all) {
    if (!text.empty()) text += '\n';
    text += "runtime " + std::to_string(each.it.id) + " (" + std::string(name_of(each.it.driver)) + "): ";
    if (each.routines) {
      text += to_text(*each.routines);
    } else if (!each.is_kept) {
      text += "it does not run yet\n";
    } else {
      text += count_of(each.it.counts.routines_live, "routine") + " on " + count_of(each.it.workers.size(), "worker") +
              ".\n  No worker has answered within 1 s, so the routines are not known.\n";
      for (std::size_t i = 0; i < each.kept.size(); ++i) {
        if (!each.kept[i].empty()) text += "  worker " + std::to_string(i) + " has been kept " + each.kept[i] + '\n';
      }
    }
  }
  return all.empty() ? "no runtime\n" : text;
}

std::string inspector_server::json_of(const std::vector<seen>& all, std::size_t most_alike) {
  std::string text;
  json_writer json(text);
  json.begin_object().member("pid", ::getpid()).member("program", ::program_invocation_short_name);
  json.key("runtimes").begin_array();
  for (const seen& each : all) {
    json.begin_object()
        .member("id", each.it.id)
        .member("driver", name_of(each.it.driver))
        .member("state", each.is_kept   ? "kept"
                         : each.it.runs ? "runs"
                                        : "begins")
        .member("routines_live", each.it.counts.routines_live);
    json.key("workers").begin_array();
    for (std::size_t i = 0; i < each.it.workers.size(); ++i) {
      const inspected_worker& w = each.it.workers[i];
      json.begin_object()
          .member("thread", w.thread)
          .member("state", state_of(w))
          .member("cpu_ns", w.on_cpu.count())
          .member("kept", i < each.kept.size() ? std::string_view(each.kept[i]) : std::string_view())
          .end_object();
    }
    json.end_array();
    const thin_snapshot thin = each.routines ? thin_out(*each.routines, most_alike) : thin_snapshot{};
    json.key("snapshot").raw(each.routines ? to_json(thin.left) : "null");
    json.key("left_out").begin_array();
    for (const auto& [like, count] : thin.more) {
      json.begin_object().member("like", like).member("count", count).end_object();
    }
    json.end_array().end_object();
  }
  json.end_array().end_object();
  return text += '\n';
}

std::span<const inspector_server::route> inspector_server::routes() {
  static constexpr route all[] = {
      {"/", &inspector_server::page},
      {"/routines", &inspector_server::routines_text},
      {"/routines.json", &inspector_server::routines_json},
      {"/metrics", &inspector_server::metrics_text},
      {"/trace", &inspector_server::trace},
      {"/recording", &inspector_server::recording},
      {"/leaks", &inspector_server::leaks_text},
      {"/leaks.json", &inspector_server::leaks_json},
      {"/stalls", &inspector_server::stalls_text},
      {"/stalls.json", &inspector_server::stalls_json},
  };
  return all;
}

task<http_answer> inspector_server::page(const http_request&) {
  const std::string nonce = fresh_nonce();
  http_answer a{.type = "text/html; charset=utf-8", .body = std::string(inspector_page), .more_header = {}};
  replace_all(a.body, "{{nonce}}", nonce);
  a.more_header = "Content-Security-Policy: default-src 'none'; connect-src 'self'; script-src 'nonce-" + nonce +
                  "'; style-src 'nonce-" + nonce +
                  "'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'\r\nReferrer-Policy: no-referrer\r\n";
  co_return a;
}

// The text of a million routines takes a second. So threads of blocking() write long texts, and the inspector answers
// others meanwhile.
task<http_answer> inspector_server::routines_text(const http_request&) {
  const auto may_have_snapshots = co_await snapshots_.lock_shared();
  std::vector<seen> all = co_await look();
  std::string text = co_await blocking(text_of, std::move(all));
  co_return http_answer{.body = std::move(text), .more_header = {}};
}

// With ?alike=50 at most 50 of those that are alike.
task<http_answer> inspector_server::routines_json(const http_request& r) {
  const auto may_have_snapshots = co_await snapshots_.lock_shared();
  const std::size_t most_alike = std::max<std::size_t>(number_in(r.query, "alike").value_or(~std::size_t{0}), 1);
  std::vector<seen> all = co_await look();
  std::string text = co_await blocking(json_of, std::move(all), most_alike);
  co_return http_answer{.type = "application/json", .body = std::move(text), .more_header = {}};
}

task<http_answer> inspector_server::metrics_text(const http_request&) {
  std::vector<labelled_metrics> all;
  for (inspected_runtime& each : inspect_runtimes()) {
    all.push_back({"runtime=\"" + std::to_string(each.id) + '"', std::move(each.counts)});
  }
  co_return http_answer{.type = "text/plain; version=0.0.4; charset=utf-8",
                        .body = to_prometheus(all) + memory_in_use(),
                        .more_header = {}};
}

// ?seconds=5: of the next 5 s; ?last=5: of the last 5 s; else all that the recorder has.
task<http_answer> inspector_server::recording(const http_request& r) {
  const auto number = number_in(r.query, "runtime"), next = number_in(r.query, "seconds");
  const auto last = next ? next : number_in(r.query, "last");
  if (last.value_or(1) == 0 || last.value_or(1) > longest_trace) {
    co_return refused(400, "A trace is of 1 to 60 seconds.");
  }
  const std::vector<inspected_runtime> all = inspect_runtimes();
  const auto of = std::ranges::find_if(
      all, [&number](const inspected_runtime& each) { return number ? each.id == *number : each.runs; });
  if (of == all.end()) co_return refused(404, "There is no such runtime, or it has ended.");
  if (!of->records) {
    co_return refused(409,
                      "This runtime has no recorder: set RINGO_RECORD=FILE in the program's environment, or "
                      "runtime_options::recorder.");
  }
  if (next) {
    const auto first = co_await select(prefer_first, sleep(std::chrono::seconds(*next)), until_gone(*r.client));
    if (first.index() == 1) throw std::system_error(ECONNRESET, std::generic_category());
  }
  const auto last_seconds = static_cast<std::uint32_t>(last.value_or(0));
  std::string image = co_await blocking(recording_image, of->id, last_seconds);
  if (image.empty()) co_return refused(404, "The runtime has ended meanwhile.");
  co_return http_answer{
      .type = "application/octet-stream",
      .body = std::move(image),
      .more_header = "Content-Disposition: attachment; filename=\"" + std::to_string(::getpid()) + ".ringo\"\r\n"};
}

// The same for ui.perfetto.dev.
task<http_answer> inspector_server::trace(const http_request& r) {
  http_answer a = co_await recording(r);
  if (a.status != 200) co_return a;
  a.type = "application/json";
  a.body = co_await blocking(trace_of, std::move(a.body));
  a.more_header = "Content-Disposition: attachment; filename=\"trace." + std::to_string(::getpid()) + ".json\"\r\n";
  co_return a;
}

task<http_answer> inspector_server::leaks_text(const http_request&) {
  std::string text;
  const std::vector<searched> all = co_await search_leaks();
  for (const searched& each : all) {
    text +=
        std::string(text.empty() ? "" : "\n") + "runtime " + std::to_string(each.runtime) + ": " + to_text(each.found);
    if (!text.ends_with('\n')) text += '\n';
  }
  if (all.empty()) text = "no runtime\n";
  co_return http_answer{.body = std::move(text), .more_header = {}};
}

task<http_answer> inspector_server::leaks_json(const http_request&) {
  std::string text;
  json_writer json(text);
  json.begin_array();
  const std::vector<searched> all = co_await search_leaks();
  for (const searched& each : all) {
    json.begin_object().member("id", each.runtime).key("leaks").raw(to_json(each.found)).end_object();
  }
  json.end_array();
  co_return http_answer{.type = "application/json", .body = std::move(text += '\n'), .more_header = {}};
}

// A search waits for a worker, so a thread of blocking() makes it. The inspector does not search a runtime whose
// workers are kept.
// A client that goes away meanwhile keeps its place until the searches have ended, 10 s at most each. Over TCP its end
// is the same FIN as that of a client which has ended its own half only, and waits for the answer; poll() tells the two
// apart (EPOLLHUP) only after something was sent, and there is nothing to send before the answer that a client of HTTP
// must ignore.
task<std::vector<inspector_server::searched>> inspector_server::search_leaks() {
  std::vector<searched> all;
  {
    const std::vector<seen> runtimes = co_await look();
    for (const seen& each : runtimes) {
      if (!each.it.runs) continue;
      all.push_back({each.it.id, {}});
      if (each.is_kept) all.back().found.not_searched = "no worker of the runtime has answered within 1 s";
    }
  }
  const auto no_snapshots = co_await snapshots_.lock();
  for (searched& each : all) {
    if (!each.found.not_searched.empty()) continue;
    auto search = blocking([id = each.runtime] { return find_leaks(id); });
    auto done = co_await select(prefer_first, std::move(search), sleep(leak_limit));
    if (done.index() == 0) {
      each.found = std::get<0>(std::move(done));
    } else {
      each.found.not_searched = "the search has not ended within 10 s";
    }
  }
  co_return all;
}

task<std::vector<inspector_server::seen>> inspector_server::look() {
  struct asked {
    std::optional<stall_probe> before;
    std::shared_ptr<question> q;
  };
  std::vector<seen> all;
  std::vector<asked> questions;
  for (inspected_runtime& each : inspect_runtimes()) {
    questions.push_back({probe_stalls(each.id), ask(each.id)});
    all.push_back({std::move(each), nullptr, false, {}});
  }
  const time_point until = now() + snapshot_limit;
  for (std::size_t i = 0; i < all.size(); ++i) {
    auto& [before, q] = questions[i];
    if (!q) continue;
    co_await select(prefer_first, q->is_over.wait(), sleep_until(until));
    if (q->is_over.is_set()) {
      all[i].routines = q->answer;
    } else {
      all[i].is_kept = true;
      if (before) all[i].kept = kept_workers(all[i].it.id, *before);
    }
  }
  std::erase_if(all, [](const seen& each) { return each.it.runs && !each.routines && !each.is_kept; });  // has ended
  co_return all;
}

std::shared_ptr<inspector_server::question> inspector_server::ask(std::uint64_t runtime) {
  std::shared_ptr<question>& open = open_questions_[runtime];
  if (open) return open;
  auto q = std::make_shared<question>();
  const bool runs = ask_for_snapshot(runtime, [q, set = q->answered.setter()](std::optional<snapshot> taken) {
    q->taken = std::move(taken);
    set.set_value();
  });
  if (!runs) {
    open_questions_.erase(runtime);
    return nullptr;
  }
  clients_->background(await_answer(runtime, q));
  return open = q;
}

task<> inspector_server::await_answer(std::uint64_t runtime, std::shared_ptr<question> q) {
  try {
    co_await q->answered;
    if (q->taken) q->answer = std::make_shared<const snapshot>(*std::move(q->taken));
  } catch (const std::exception&) {
    q->answer = nullptr;  // there is no memory for it, here or there
  }
  open_questions_.erase(runtime);
  q->is_over.set();
}

}  // namespace ringo::detail
