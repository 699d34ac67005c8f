// Snapshots and leaks as JSON.
#include <cstdio>
#include <string>

#include <ringo/leaks.hpp>

#include "platform/json_writer.hpp"

namespace ringo {
namespace detail {
namespace {

struct address {
  std::uint64_t value;  // 0: null
};

}  // namespace

// json_writer finds these by their first argument, so they are in its namespace.
static void write_json(json_writer& json, const address& a) {
  char text[24];
  std::snprintf(text, sizeof text, "\"0x%llx\"", static_cast<unsigned long long>(a.value));
  json.raw(a.value == 0 ? "null" : text);
}

static void write_json(json_writer& json, const time_point& at) { json.value(at.time_since_epoch().count()); }

static void write_json(json_writer& json, const std::source_location& at) {
  json.begin_object()
      .member("function", function_of(at))
      .member("file", at.file_name())
      .member("line", at.line())
      .end_object();
}

static void write_json(json_writer& json, const snapshot::object& o) {
  json.begin_object()
      .member("id", address{o.id})
      .member("kind", o.kind)
      .member("name", o.name)
      .member("text", o.text)
      .member("length", o.length)
      .member("capacity", o.capacity)
      .member("waiters", o.waiters)
      .member("owners", o.owners)
      .end_object();
}

static void write_json(json_writer& json, const snapshot::routine& r) {
  json.begin_object()
      .member("number", r.number)
      .member("name", r.name)
      .member("main", r.is_main)
      .member("state", r.state == snapshot::state::waits ? "waits" : "active")
      .member("cancelled", r.is_cancelled)
      .member("ended_awaits", r.ended_awaits)
      .member("started", r.started)
      .member("started_by", r.started_by)
      .member("holds", r.holds)
      .member("chain", r.chain)
      .member("waits_for", r.waits_for)
      .member("operation", r.operation)
      .member("objects", r.objects)
      .member("waited_ns", r.waited.count())
      .member("context", address{r.context})
      .member("context_name", r.context_name)
      .member("deadline_ns", r.deadline)
      .end_object();
}

static void write_json(json_writer& json, const snapshot& s) {
  json.begin_object()
      .member("workers", s.workers)
      .member("taken_ns", s.taken.time_since_epoch().count())
      .member("routines", s.routines)
      .member("objects", s.objects)
      .member("cycles", s.cycles)
      .end_object();
}

}  // namespace detail

std::string to_json(const snapshot& s) {
  std::string out;
  detail::json_writer(out).value(s);
  return out;
}

std::string to_json(const leaks& l) {
  std::string out;
  detail::json_writer(out)
      .begin_object()
      .member("not_searched", l.not_searched)
      .member("searched", l.searched)
      .member("found", l.found)
      .member("until_cancelled", l.until_cancelled)
      .end_object();
  return out;
}

}  // namespace ringo
