// Makes HTTP/1.1 requests of the bytes that a client sends. llhttp parses them. This file has the checks that RFC 9110
// and RFC 9112 ask of a server and that llhttp leaves to its user. It does no input or output.
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <ctime>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <arpa/inet.h>
#include <strings.h>

#include <llhttp.h>

// The status of the answer to a mistake of the client, or to a limit. The connection ends after it.
struct http_error {
  int status;
};

constexpr std::size_t most_line_bytes = 8 * 1024;   // of the request line
constexpr std::size_t most_head_bytes = 16 * 1024;  // of the request line and the header; of the trailer, too
constexpr std::uint64_t most_body_bytes = 64 << 20;

inline bool same_word(std::string_view a, std::string_view b) {  // HTTP's words have no case
  return a.size() == b.size() && strncasecmp(a.data(), b.data(), a.size()) == 0;
}

inline bool is_alphanumeric(char c) {
  return ('0' <= c && c <= '9') || ('a' <= c && c <= 'z') || ('A' <= c && c <= 'Z');
}
inline bool is_token(char c) {
  return is_alphanumeric(c) || std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
}
inline bool is_digit(char c) { return '0' <= c && c <= '9'; }

template <class Predicate>
bool all_are(std::string_view text, Predicate is) {
  return std::all_of(text.begin(), text.end(), is);
}

inline std::string_view trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

inline std::string http_date(std::time_t time) {
  char text[32];
  std::tm utc{};
  gmtime_r(&time, &utc);
  return {text, std::strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &utc)};
}

// A date in one of HTTP's three forms; nothing if the text is not a date.
inline std::optional<std::time_t> parse_http_date(std::string_view text) {
  const std::string ended_by_zero(text);
  for (const char* const form : {"%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"}) {
    std::tm utc{};
    const char* const end = strptime(ended_by_zero.c_str(), form, &utc);
    if (end != nullptr && *end == '\0') return timegm(&utc);
  }
  return std::nullopt;
}

// "example.org", "example.org:80", "[::1]:80"
inline bool is_authority(std::string_view text) {
  std::size_t end = text.find(':');
  if (text.starts_with('[')) {
    end = text.find(']');
    if (end == std::string_view::npos) return false;
    in6_addr ignored;
    if (inet_pton(AF_INET6, std::string(text.substr(1, end - 1)).c_str(), &ignored) != 1) return false;
    ++end;
  } else {
    end = std::min(end, text.size());
    const auto allowed = [](char c) {
      return is_alphanumeric(c) || std::string_view("-._~%!$&'()*+,;=").find(c) != std::string_view::npos;
    };
    if (end == 0 || !all_are(text.substr(0, end), allowed)) return false;
  }
  const std::string_view port = text.substr(end);
  return port.empty() || (port[0] == ':' && port.size() <= 6 && all_are(port.substr(1), is_digit));
}

class http_request {
 public:
  http_request() {
    static const llhttp_settings_t calls = make_calls();
    llhttp_init(&parser_, HTTP_REQUEST, &calls);
    parser_.data = this;
    parser_.lenient_flags |= LENIENT_VERSION;  // check_request_line() knows more of versions than llhttp does
  }
  http_request(const http_request&) = delete;
  http_request& operator=(const http_request&) = delete;

  // Begins a new request.
  void begin() {
    llhttp_reset(&parser_);
    head_.clear();
    chunk_size_.clear();
    trailer_.clear();
    fields_.clear();
    body_.clear();
    method_ = target_ = path_ = {};
    body_bytes_ = framing_bytes_ = 0;
    header_complete_ = at_chunk_size_ = in_trailer_ = complete_ = false;
  }

  // Removes the bytes that it parses from `bytes`. True when the head is complete: the request line, and the header up
  // to its empty line.
  bool take_head(std::string_view& bytes) {
    if (!take_lines(bytes, head_)) return false;
    if (parse(head_.text) != head_.text.size() || !header_complete_) throw http_error{400};
    check_head();
    return true;
  }

  // Removes the bytes that it parses from `bytes`. Returns the bytes of the body among them, valid until the next call.
  std::string_view take_body(std::string_view& bytes) {
    body_.clear();
    const std::size_t size = bytes.size();
    if (at_chunk_size_ && !take_chunk_size(bytes)) return {};
    if (!in_trailer_) {
      if (!at_chunk_size_) bytes.remove_prefix(parse(bytes));
      body_bytes_ += body_.size();
      framing_bytes_ += size - bytes.size() - body_.size();
      if (body_bytes_ > most_body_bytes) throw http_error{413};
      // A chunk of one byte has 5 bytes around it. A client that sends much more framing than that is an attack.
      if (framing_bytes_ > most_head_bytes + 8 * body_bytes_) throw http_error{400};
    }
    // The trailer is checked and dropped: its fields must not be taken for header fields.
    if (in_trailer_ && take_lines(bytes, trailer_)) complete_ = true;
    return body_;
  }

  bool begun() const { return !head_.text.empty(); }
  bool complete() const { return complete_; }  // all of the body has come

  std::string_view method() const { return method_; }
  std::string_view path() const { return path_; }  // without a query
  bool is_http_1_0() const { return minor_version_ == 0; }

  // The value of a header field; nothing if there is none.
  std::optional<std::string_view> field(std::string_view name) const {
    for (const auto& [n, value] : fields_) {
      if (same_word(n, name)) return value;
    }
    return std::nullopt;
  }
  // The elements of a field that is a list, which may be spread over several lines.
  std::vector<std::string_view> elements(std::string_view name) const {
    std::vector<std::string_view> all;
    for (auto [n, rest] : fields_) {
      if (!same_word(n, name)) continue;
      for (bool more = true; more;) {
        const std::size_t comma = rest.find(',');
        if (const auto element = trim(rest.substr(0, comma)); !element.empty()) all.push_back(element);
        more = comma != std::string_view::npos;
        if (more) rest.remove_prefix(comma + 1);
      }
    }
    return all;
  }

  bool keeps_alive() const {
    bool keep = !is_http_1_0();
    for (const auto option : elements("Connection")) {
      if (same_word(option, "close")) return false;
      keep = keep || same_word(option, "keep-alive");
    }
    return keep && method_ != "CONNECT";
  }
  // Whether the client waits for "100 Continue" before it sends the body.
  bool expects_continue() const { return !is_http_1_0() && !complete_ && field("Expect").has_value(); }

  // The status for a resource with this tag and time of modification, by the request's conditions: 200, 304 or 412.
  int precondition(std::string_view tag, std::time_t modified) const {
    const auto has_tag = [&](std::string_view name, bool weak) {
      for (auto one : elements(name)) {
        if (weak && one.starts_with("W/")) one.remove_prefix(2);
        if (one == "*" || one == tag) return true;
      }
      return false;
    };
    const auto is_modified_since = [&](std::string_view name, bool otherwise) {
      const auto value = field(name);
      const auto time = value ? parse_http_date(*value) : std::nullopt;
      return time ? modified > *time : otherwise;
    };
    if (field("If-Match") ? !has_tag("If-Match", false) : is_modified_since("If-Unmodified-Since", false)) return 412;
    if (field("If-None-Match") ? has_tag("If-None-Match", true) : !is_modified_since("If-Modified-Since", true))
      return 304;
    return 200;
  }

 private:
  struct block {
    std::string text;
    std::size_t line_begin = 0;  // where the incomplete line begins

    void clear() {
      text.clear();
      line_begin = 0;
    }
  };

  // The next line, without its end; nothing if its end has not come yet. Valid until the next call.
  std::optional<std::string_view> take_line(std::string_view& bytes, block& lines) {
    const std::size_t end = bytes.find('\n');
    const std::string_view part = bytes.substr(0, end == std::string_view::npos ? end : end + 1);
    bytes.remove_prefix(part.size());
    const auto is_wrong = [](char c) { return (0 <= c && c < ' ' && c != '\t' && c != '\r' && c != '\n') || c == 127; };
    if (std::any_of(part.begin(), part.end(), is_wrong)) throw http_error{400};
    lines.text += part;
    if (&lines == &head_ && lines.line_begin == 0 && lines.text.size() > most_line_bytes) {
      throw http_error{lines.text.find(' ') == std::string::npos ? 501 : 414};
    }
    if (lines.text.size() > most_head_bytes) throw http_error{&lines == &chunk_size_ ? 400 : 431};
    if (end == std::string_view::npos) return std::nullopt;

    const std::string_view line = std::string_view(lines.text).substr(lines.line_begin);
    // A line ends with CR LF, and has neither CR nor LF anywhere else.
    if (line.size() < 2 || line.find('\r') != line.size() - 2) throw http_error{400};
    lines.line_begin = lines.text.size();
    return line.substr(0, line.size() - 2);
  }

  // Parses lines up to and with an empty one. False if the empty line has not come yet.
  bool take_lines(std::string_view& bytes, block& lines) {
    while (!bytes.empty()) {
      const bool is_first = lines.line_begin == 0;
      const auto line = take_line(bytes, lines);
      if (!line) return false;
      if (!line->empty()) {
        is_first && &lines == &head_ ? check_request_line(*line) : check_field_line(*line);
      } else if (is_first && &lines == &head_) {
        lines.clear();  // old clients send an empty line after a body
      } else {
        return true;
      }
    }
    return false;
  }

  // Passes the line with a chunk's size to llhttp, without extensions: a server ignores them; llhttp refuses some.
  bool take_chunk_size(std::string_view& bytes) {
    const auto line = take_line(bytes, chunk_size_);
    if (!line) return false;
    const std::size_t end = line->find(';');
    std::string size(end == std::string_view::npos ? *line : trim(line->substr(0, end)));
    chunk_size_.clear();
    at_chunk_size_ = false;
    parse(size += "\r\n");
    return true;
  }

  void check_request_line(std::string_view line) {
    const std::size_t first = line.find(' '), last = line.rfind(' ');
    if (first == last) throw http_error{400};  // HTTP/0.9 had only one space
    const std::string_view method = line.substr(0, first), target = line.substr(first + 1, last - first - 1);
    const std::string_view version = line.substr(last + 1);
    const auto is_visible = [](char c) { return '!' <= c && c <= '~' && c != '#'; };
    if (method.empty() || !all_are(method, is_token) || target.empty() || !all_are(target, is_visible)) {
      throw http_error{400};
    }
    if (version.size() != 8 || !version.starts_with("HTTP/") || !is_digit(version[5]) || version[6] != '.' ||
        !is_digit(version[7])) {
      throw http_error{400};
    }
    if (version[5] != '1') throw http_error{505};
    minor_version_ = version[7] - '0';  // 1.2 and later are as 1.1
    constexpr std::string_view methods[] = {"GET",     "HEAD",    "POST",  "PUT",  "DELETE",
                                            "CONNECT", "OPTIONS", "TRACE", "PATCH"};
    const auto known = std::find(std::begin(methods), std::end(methods), method);
    if (known == std::end(methods)) throw http_error{501};
    method_ = *known;
  }

  // A field's name has no space before its colon. A line that begins with a space is an obsolete form, and is refused.
  static void check_field_line(std::string_view line) {
    const std::size_t colon = line.find(':');
    if (colon == 0 || colon == std::string_view::npos || !all_are(line.substr(0, colon), is_token)) {
      throw http_error{400};
    }
  }

  void check_head() {
    path_ = path_of(target_);

    std::size_t hosts = 0;
    for (const auto& [name, value] : fields_) {
      if (!same_word(name, "Host")) continue;
      ++hosts;
      if (!is_authority(value)) throw http_error{400};
    }
    if (hosts > 1 || (hosts == 0 && !is_http_1_0())) throw http_error{400};

    // If the end of a body is ambiguous, an attacker can hide one request behind another.
    if (field("Transfer-Encoding")) {
      const auto codings = elements("Transfer-Encoding");
      const auto is_chunked = [](std::string_view coding) { return same_word(coding, "chunked"); };
      if (is_http_1_0() || field("Content-Length")) throw http_error{400};
      if (codings.empty() || std::find_if(codings.begin(), codings.end(), is_chunked) != codings.end() - 1) {
        throw http_error{400};  // chunked is the last one, and there only
      }
      if (codings.size() > 1) throw http_error{501};
      at_chunk_size_ = true;
    } else if (parser_.content_length > most_body_bytes) {
      throw http_error{413};
    }

    if (is_http_1_0()) return;
    for (const auto expectation : elements("Expect")) {
      if (!same_word(expectation, "100-continue")) throw http_error{417};
    }
  }

  // A target is a path, or a whole URL, for CONNECT a host and port, for OPTIONS also "*".
  std::string_view path_of(std::string_view target) const {
    if (method_ == "CONNECT") {
      if (!is_authority(target) || !is_digit(target.back()) || target.rfind(':') == std::string_view::npos) {
        throw http_error{400};
      }
      return {};
    }
    if (target == "*" && method_ == "OPTIONS") return target;
    if (!target.starts_with('/')) {
      const std::size_t colon = target.find("://");
      if (colon == std::string_view::npos || colon == 0 || !all_are(target.substr(0, colon), is_alphanumeric)) {
        throw http_error{400};
      }
      const std::string_view scheme = target.substr(0, colon);
      target.remove_prefix(colon + 3);
      const std::size_t end = std::min(target.find_first_of("/?"), target.size());
      if (!is_authority(target.substr(0, end))) throw http_error{400};
      if (!same_word(scheme, "http")) throw http_error{421};
      target.remove_prefix(end);
      if (!target.starts_with('/')) return "/";
    }
    return target.substr(0, target.find('?'));
  }

  // The number of bytes that llhttp has parsed: up to the end of the bytes or of the request, or up to the trailer.
  std::size_t parse(std::string_view bytes) {
    llhttp_resume(&parser_);
    const llhttp_errno_t error = llhttp_execute(&parser_, bytes.data(), bytes.size());
    if (error == HPE_OK) return bytes.size();
    if (error != HPE_PAUSED) throw http_error{400};
    return static_cast<std::size_t>(llhttp_get_error_pos(&parser_) - bytes.data());
  }

  static http_request& of(llhttp_t* parser) { return *static_cast<http_request*>(parser->data); }

  // The head is parsed in one piece, so llhttp calls each of these once for each text.
  static llhttp_settings_t make_calls() {
    llhttp_settings_t c;
    llhttp_settings_init(&c);
    c.on_url = [](llhttp_t* p, const char* text, std::size_t size) {
      of(p).target_ = {text, size};
      return 0;
    };
    c.on_header_field = [](llhttp_t* p, const char* text, std::size_t size) {
      of(p).fields_.emplace_back(std::string_view(text, size), std::string_view());
      return 0;
    };
    c.on_header_value = [](llhttp_t* p, const char* text, std::size_t size) {
      of(p).fields_.back().second = trim({text, size});
      return 0;
    };
    c.on_headers_complete = [](llhttp_t* p) {
      of(p).header_complete_ = true;
      p->upgrade = 0;  // no other protocol is accepted
      return 0;
    };
    c.on_body = [](llhttp_t* p, const char* text, std::size_t size) {
      of(p).body_.append(text, size);
      return 0;
    };
    c.on_chunk_header = [](llhttp_t* p) -> int {
      if (p->content_length > 0) return 0;
      of(p).in_trailer_ = true;  // after the last chunk
      return HPE_PAUSED;
    };
    c.on_chunk_complete = [](llhttp_t* p) -> int {
      of(p).at_chunk_size_ = true;
      return HPE_PAUSED;
    };
    c.on_message_complete = [](llhttp_t* p) -> int {
      of(p).complete_ = true;
      return HPE_PAUSED;
    };
    return c;
  }

  llhttp_t parser_;
  block head_, chunk_size_, trailer_;
  std::string_view method_, target_, path_;
  int minor_version_ = 1;
  std::vector<std::pair<std::string_view, std::string_view>> fields_;
  std::string body_;
  std::uint64_t body_bytes_ = 0, framing_bytes_ = 0;
  bool header_complete_ = false, at_chunk_size_ = false, in_trailer_ = false, complete_ = false;
};
