// The part of HTTP that an inspector needs: one request without a body, one answer, and the end of the connection.
#pragma once
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace ringo {
class stream_reader;
}

namespace ringo::detail {

inline constexpr std::size_t most_head_bytes = 8 * 1024;

struct http_request {
  std::string_view method, path, query;  // "GET", "/trace", "seconds=5"
  std::optional<std::string_view> host;
  std::string_view fetch_site, fetch_mode;  // what a browser says of the page that has sent it
  bool is_1_0 = false;
  stream_reader* client = nullptr;  // that it came from, for answers that take long

  bool is_head() const noexcept { return method == "HEAD"; }
};

// Of all up to the empty line, which is not in it. None if it is no HTTP/1 or breaks its rules.
std::optional<http_request> parse_request(std::string_view head);

// The value of a parameter in "a=1&b=2"; none if it is not there.
std::optional<std::string_view> parameter_of(std::string_view query, std::string_view name);

struct http_answer {
  int status = 200;
  std::string_view type = "text/plain; charset=utf-8";
  std::string body;
  std::string more_header;  // lines, each with its end
};
std::string head_of(const http_answer& a);
http_answer refused(int status, std::string text, std::string more_header = {});  // the text is a line for people

// Whether a Host means this machine: "localhost", 127.0.0.0/8 or "[::1]", with any port. A page of another site can
// make a browser ask this inspector under a name of its own, which leads here (DNS rebinding); the Host tells.
bool is_local_host(std::string_view host);

}  // namespace ringo::detail
