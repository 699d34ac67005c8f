// A snapshot as JSON.
#include <concepts>
#include <cstdio>
#include <string>

#include <ringo/snapshot.hpp>

namespace ringo {
namespace {

// How many bytes at the front of the text are one character of UTF-8; 0: none.
std::size_t character_at(std::string_view text) {
  const auto byte = [&](std::size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0U; };
  const auto follows = [&](std::size_t i, unsigned from = 0x80, unsigned to = 0xBF) {
    return byte(i) >= from && byte(i) <= to;
  };
  const unsigned first = byte(0);
  if (first < 0x80) return 1;
  if (first >= 0xC2 && first <= 0xDF) return follows(1) ? 2 : 0;
  if (first >= 0xE0 && first <= 0xEF) {  // without overlong forms and surrogates
    return follows(1, first == 0xE0 ? 0xA0 : 0x80, first == 0xED ? 0x9F : 0xBF) && follows(2) ? 3 : 0;
  }
  if (first >= 0xF0 && first <= 0xF4) {
    return follows(1, first == 0xF0 ? 0x90 : 0x80, first == 0xF4 ? 0x8F : 0xBF) && follows(2) && follows(3) ? 4 : 0;
  }
  return 0;
}

// Bytes that are no UTF-8, as a file's name may have them, become U+FFFD.
void append(std::string& out, std::string_view text) {
  out += '"';
  while (!text.empty()) {
    const std::size_t length = character_at(text);
    const char c = text.front();
    if (length == 0) {
      out += "\\ufffd";
    } else if (c == '"' || c == '\\') {
      out += {'\\', c};
    } else if (static_cast<unsigned char>(c) < 0x20) {
      char escaped[8];
      std::snprintf(escaped, sizeof escaped, "\\u%04x", static_cast<unsigned>(c));
      out += escaped;
    } else {
      out += text.substr(0, length);
    }
    text.remove_prefix(length == 0 ? 1 : length);
  }
  out += '"';
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
  char id[24];
  std::snprintf(id, sizeof id, "0x%llx", static_cast<unsigned long long>(o.id));
  members(out)
      .add("id", std::string_view(id))
      .add("kind", o.kind)
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
      .add("deadline_ns", r.deadline);
}

}  // namespace

std::string to_json(const snapshot& s) {
  std::string out;
  members(out)
      .add("workers", s.workers)
      .add("taken_ns", s.taken.time_since_epoch().count())
      .add("routines", s.routines)
      .add("objects", s.objects)
      .add("cycles", s.cycles);
  return out;
}

}  // namespace ringo
