// A snapshot as JSON.
#include <concepts>
#include <cstdio>
#include <string>

#include <ringo/leaks.hpp>

#include "platform/escaped.hpp"

namespace ringo {
namespace {

void append(std::string& out, std::string_view text) { detail::append_json(out, text); }
struct address {
  std::uint64_t value;  // 0: null
};
void append(std::string& out, address a) {
  char text[24];
  std::snprintf(text, sizeof text, "\"0x%llx\"", static_cast<unsigned long long>(a.value));
  out += a.value == 0 ? "null" : text;
}
void append(std::string& out, bool b) { out += b ? "true" : "false"; }
void append(std::string& out, std::integral auto n) requires(!std::same_as<decltype(n), bool>)
{
  out += std::to_string(n);
}
void append(std::string& out, const std::optional<std::size_t>& n) { out += n ? std::to_string(*n) : "null"; }
void append(std::string& out, const std::optional<time_point>& at) {
  out += at ? std::to_string(at->time_since_epoch().count()) : "null";
}
void append(std::string& out, const std::source_location& at);
void append(std::string& out, const snapshot::object& o);
void append(std::string& out, const snapshot::routine& r);
void append(std::string& out, const snapshot& s);
template <class T>
void append(std::string& out, const std::vector<T>& all) {
  out += '[';
  for (const T& each : all) {
    if (&each != all.data()) out += ',';
    append(out, each);
  }
  out += ']';
}

// An object, while it lives: {"key":value,...}
class members {
 public:
  explicit members(std::string& out) : out_(out) { out_ += '{'; }
  members(const members&) = delete;
  members& operator=(const members&) = delete;
  ~members() { out_ += '}'; }

  template <class T>
  members& add(std::string_view key, const T& value) {
    if (out_.back() != '{') out_ += ',';
    append(out_, key);
    out_ += ':';
    append(out_, value);
    return *this;
  }

 private:
  std::string& out_;
};

void append(std::string& out, const std::source_location& at) {
  members(out)
      .add("function", std::string_view(function_of(at)))
      .add("file", std::string_view(at.file_name()))
      .add("line", at.line());
}

void append(std::string& out, const snapshot::object& o) {
  members(out)
      .add("id", address{o.id})
      .add("kind", o.kind)
      .add("name", std::string_view(o.name))
      .add("text", std::string_view(o.text))
      .add("length", o.length)
      .add("capacity", o.capacity)
      .add("waiters", o.waiters)
      .add("owners", o.owners);
}

void append(std::string& out, const snapshot::routine& r) {
  members(out)
      .add("number", r.number)
      .add("name", std::string_view(r.name))
      .add("main", r.is_main)
      .add("state", std::string_view(r.state == snapshot::state::waits ? "waits" : "active"))
      .add("cancelled", r.is_cancelled)
      .add("ended_awaits", r.ended_awaits)
      .add("started", r.started)
      .add("started_by", r.started_by)
      .add("holds", r.holds)
      .add("chain", r.chain)
      .add("waits_for", std::string_view(r.waits_for))
      .add("operation", std::string_view(r.operation))
      .add("objects", r.objects)
      .add("waited_ns", r.waited.count())
      .add("context", address{r.context})
      .add("context_name", std::string_view(r.context_name))
      .add("deadline_ns", r.deadline);
}

void append(std::string& out, const snapshot& s) {
  members(out)
      .add("workers", s.workers)
      .add("taken_ns", s.taken.time_since_epoch().count())
      .add("routines", s.routines)
      .add("objects", s.objects)
      .add("cycles", s.cycles);
}

}  // namespace

std::string to_json(const snapshot& s) {
  std::string out;
  append(out, s);
  return out;
}

std::string to_json(const leaks& l) {
  std::string out;
  members(out).add("not_searched", std::string_view(l.not_searched)).add("searched", l.searched).add("found", l.found);
  return out;
}

}  // namespace ringo
