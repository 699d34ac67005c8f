#include "inspector/http.hpp"

#include <algorithm>
#include <utility>

namespace ringo::detail {
namespace {

// Takes the part before the first separator off the text; all of it if there is none.
std::string_view take_before(std::string_view& text, std::string_view separator) {
  const std::size_t at = text.find(separator);
  const std::string_view part = text.substr(0, at);
  text.remove_prefix(at == std::string_view::npos ? text.size() : at + separator.size());
  return part;
}

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }
bool is_word(std::string_view a, std::string_view b) { return std::ranges::equal(a, b, {}, lower, lower); }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_token(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) {
    return is_digit(c) || (lower(c) >= 'a' && lower(c) <= 'z') ||
           std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
  });
}
bool is_visible(char c) { return c > ' ' && c < 127; }
bool is_value(char c) { return c == '\t' || (static_cast<unsigned char>(c) >= ' ' && c != 127); }

std::string_view trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

std::string_view reason(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 400:
      return "Bad Request";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 408:
      return "Request Timeout";
    case 409:
      return "Conflict";
    case 431:
      return "Request Header Fields Too Large";
    case 503:
      return "Service Unavailable";
    default:
      return "Internal Server Error";
  }
}

}  // namespace

std::optional<http_request> parse_request(std::string_view head) {
  http_request r;
  std::string_view line = take_before(head, "\r\n");
  r.method = take_before(line, " ");
  r.query = take_before(line, " ");
  if (!is_token(r.method) || !r.query.starts_with('/') || !std::ranges::all_of(r.query, is_visible)) return {};
  r.path = take_before(r.query, "?");
  if (line != "HTTP/1.1" && line != "HTTP/1.0") return {};
  r.is_1_0 = line == "HTTP/1.0";
  while (!head.empty()) {
    line = take_before(head, "\r\n");
    if (line.find(':') == std::string_view::npos) return {};
    const std::string_view name = take_before(line, ":"), value = trim(line);
    if (!is_token(name) || !std::ranges::all_of(value, is_value)) return {};
    if (is_word(name, "Host")) {
      if (r.host) return {};
      r.host = value;
    }
    if (is_word(name, "Sec-Fetch-Site")) r.fetch_site = value;
    if (is_word(name, "Sec-Fetch-Mode")) r.fetch_mode = value;
  }
  if (!r.host && !r.is_1_0) return {};
  return r;
}

std::optional<std::string_view> parameter_of(std::string_view query, std::string_view name) {
  while (!query.empty()) {
    std::string_view value = take_before(query, "&");
    if (take_before(value, "=") == name) return value;
  }
  return {};
}

std::string head_of(const http_answer& a) {
  std::string text = "HTTP/1.1 " + std::to_string(a.status);
  text.append(" ").append(reason(a.status)).append("\r\nServer: ringo-inspector\r\nContent-Type: ").append(a.type);
  text.append("\r\nContent-Length: ").append(std::to_string(a.body.size()));
  text +=
      "\r\nConnection: close\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n"
      "Cross-Origin-Resource-Policy: same-origin\r\n";
  return text.append(a.more_header).append("\r\n");
}

http_answer refused(int status, std::string text, std::string more_header) {
  return {.status = status, .body = std::move(text) + '\n', .more_header = std::move(more_header)};
}

bool is_local_host(std::string_view host) {
  const std::size_t end = host.starts_with('[') ? host.find(']') : host.find(':');
  std::string_view port;
  if (end != std::string_view::npos) {
    const std::size_t colon = end + (host.starts_with('[') ? 1 : 0);
    port = host.substr(colon);
    host = host.substr(0, colon);
  }
  if (!port.empty() && (port.front() != ':' || !std::ranges::all_of(port.substr(1), is_digit))) return false;
  if (is_word(host, "localhost") || host == "[::1]") return true;
  // Four numbers, the first of which is 127. A name has a letter in its last part.
  std::size_t parts = 0;
  const bool is_loopback = host.starts_with("127.");
  while (!host.empty()) {
    const std::string_view part = take_before(host, ".");
    if (part.empty() || part.size() > 3 || !std::ranges::all_of(part, is_digit)) return false;
    ++parts;
  }
  return is_loopback && parts == 4;
}

}  // namespace ringo::detail
