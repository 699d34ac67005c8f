// An HTTP/1.1 server: files of a folder, and a few answers that are made. It keeps connections alive, answers pipelined
// requests with one send, takes and sends bodies in chunks, bounds what a client may send and how long it may take, and
// leaves parsing to http_parser. Ctrl-C or SIGTERM stops it gracefully.
//
//   http_server [ADDRESS [FOLDER [HASTE]]]          127.0.0.1:8080, this folder; port 0: one that is free;
//                                                   HASTE divides the time that clients may take, for tests
//   curl 127.0.0.1:8080/README.md
//   curl -T README.md 127.0.0.1:8080/echo           what is sent comes back, as it comes
//   curl -T README.md 127.0.0.1:8080/count          how many bytes that were
//   wrk -c 64 -d 5 http://127.0.0.1:8080/plaintext
#include <algorithm>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <exception>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <http_parser.h>

#include <ringo/file.hpp>
#include <ringo/ringo.hpp>

using namespace ringo;
using namespace std::chrono_literals;

constexpr std::size_t most_connections = 20'000;  // further ones wait to be accepted
constexpr std::uint32_t most_header_bytes = 16 * 1024;
constexpr std::uint64_t most_body_bytes = 64 << 20;
constexpr std::size_t piece = 64 * 1024;  // of what is sent

int haste = 1;
duration in_haste(duration limit) { return limit / haste; }
constexpr auto idle_limit = 30s;     // between two requests
constexpr auto header_limit = 5s;    // from a request's first byte to the end of its header
constexpr auto silence_limit = 10s;  // without a byte of a body, or of what a client takes
constexpr auto body_limit = 5min;

// After this a connection cannot go on.
struct http_error {
  int status;
};

std::string_view reason(int status) {
  switch (status) {
    case 200: return "OK";
    case 400: return "Bad Request";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 408: return "Request Timeout";
    case 413: return "Content Too Large";
    case 431: return "Request Header Fields Too Large";
    case 500: return "Internal Server Error";
    case 501: return "Not Implemented";
    case 503: return "Service Unavailable";
    case 505: return "HTTP Version Not Supported";
    default: return "";
  }
}

// The text of a Date header, made once a second.
std::string_view date() {
  thread_local std::time_t made = 0;
  thread_local char text[32];
  thread_local std::size_t size = 0;
  const std::time_t time = std::time(nullptr);
  if (time != made) {
    std::tm utc{};
    gmtime_r(&time, &utc);
    size = std::strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &utc);
    made = time;
  }
  return {text, size};
}

bool equal(std::string_view a, std::string_view b) {
  return a.size() == b.size() && strncasecmp(a.data(), b.data(), a.size()) == 0;
}

// A client, the request that it is at, and the answer to it.
class connection {
 public:
  connection(tcp_stream stream, context stopping) : stream_(std::move(stream)), stopping_(std::move(stopping)) {
    http_parser_init(&parser_, HTTP_REQUEST);
    parser_.data = this;
  }
  connection(const connection&) = delete;
  connection& operator=(const connection&) = delete;

  // Up to the end of the next request's header; false if there is none: the client has ended, or the server is to.
  task<bool> next_request() {
    target_.clear();
    content_type_.clear();
    expects_continue_ = has_host_ = begun_ = header_complete_ = complete_ = body_taken_ = answered_ = false;
    body_size_ = 0;
    deadline_ = now() + in_haste(idle_limit);
    body_.clear();
    while (!header_complete_) {
      if (unparsed_.empty()) {
        const bool more = co_await receive();
        if (!more) co_return false;
      }
      if (!begun_) {
        begun_ = true;
        deadline_ = now() + in_haste(header_limit);
      }
      parse();
    }
    deadline_ = now() + in_haste(body_limit);
    if (parser_.http_major != 1) throw http_error{505};
    if (parser_.http_minor > 0 && !has_host_) throw http_error{400};
    if (has_length() && parser_.content_length > most_body_bytes) throw http_error{413};
    keep_alive_ = http_should_keep_alive(&parser_) != 0;
    co_return true;
  }

  http_method method() const { return static_cast<http_method>(parser_.method); }
  std::string_view content_type() const { return content_type_; }

  // Without a query; empty where the target is none that this server knows.
  std::string_view path() const {
    http_parser_url parts;
    http_parser_url_init(&parts);
    const bool is_connect = method() == HTTP_CONNECT;
    if (http_parser_parse_url(target_.data(), target_.size(), is_connect, &parts) != 0) return {};
    if ((parts.field_set & (1 << UF_PATH)) == 0) return {};
    return std::string_view(target_).substr(parts.field_data[UF_PATH].off, parts.field_data[UF_PATH].len);
  }

  // More of the request's body, valid until the next call; nothing at its end.
  task<std::optional<std::string_view>> body() {
    if (std::exchange(body_taken_, true)) body_.clear();
    if (expects_continue_ && !complete_) {
      out_ += "HTTP/1.1 100 Continue\r\n\r\n";
      expects_continue_ = false;
    }
    while (body_.empty() && !complete_) {
      if (unparsed_.empty()) {
        const bool more = co_await receive();
        if (!more) throw http_error{400};
      }
      parse();
    }
    if (body_.empty()) co_return std::nullopt;
    body_size_ += body_.size();
    if (body_size_ > most_body_bytes) throw http_error{413};
    co_return body_;
  }

  // An answer whose size is known. Small ones are kept until there is no more request at hand.
  void answer(int status, std::string_view type, std::string_view content, std::string_view more_header = {}) {
    begin_answer(status, type, content.size(), more_header);
    if (method() != HTTP_HEAD) out_ += content;
  }
  // The begin of an answer; of one whose size is not known, the rest is sent in chunks.
  void begin_answer(int status, std::string_view type, std::optional<std::uint64_t> size,
                    std::string_view more_header = {}) {
    answered_ = true;
    chunked_ = !size && parser_.http_minor > 0;
    // A client that waits to be told to continue is not, and so nobody knows what it sends next.
    if (expects_continue_ || stopping_.is_cancelled() || (!size && !chunked_)) keep_alive_ = false;
    ((out_ += "HTTP/1.1 ") += std::to_string(status) += ' ') += reason(status);
    (out_ += "\r\nServer: ringo\r\nDate: ") += date();
    if (!type.empty()) (out_ += "\r\nContent-Type: ") += type;
    if (size) (out_ += "\r\nContent-Length: ") += std::to_string(*size);
    if (chunked_) out_ += "\r\nTransfer-Encoding: chunked";
    if (!keep_alive_) out_ += "\r\nConnection: close";
    if (keep_alive_ && parser_.http_minor == 0) out_ += "\r\nConnection: keep-alive";
    (out_ += "\r\n") += more_header;
    out_ += "\r\n";
  }

  // A piece of it: as it is, or as a chunk. Waits while the client does not read.
  task<> send_piece(std::string_view bytes) {
    if (method() == HTTP_HEAD || bytes.empty()) co_return;
    if (chunked_) {
      char size[24];
      out_.append(size, static_cast<std::size_t>(std::snprintf(size, sizeof size, "%zx\r\n", bytes.size())));
    }
    out_ += bytes;
    if (chunked_) out_ += "\r\n";
    if (out_.size() >= piece) co_await flush();
  }
  void end_answer() {
    if (chunked_ && method() != HTTP_HEAD) out_ += "0\r\n\r\n";
  }

  bool answered() const { return answered_; }
  void close_after_this() { keep_alive_ = false; }

  // What is left of the request is read. False if no further request is to come.
  task<bool> end_request() {
    while (keep_alive_) {
      const auto more = co_await body();
      if (!more) break;
    }
    co_return keep_alive_;
  }

  // The last answer goes out. A connection that is closed with bytes unread in it is reset, and the client might not see
  // what it has been told: so those are read, for a while.
  task<> end() {
    co_await flush();
    co_await stream_.shutdown_send();
    deadline_ = now() + 1s;
    begun_ = true;
    for (bool more = true; more;) more = co_await receive();
  }

  task<> flush() {
    if (out_.empty()) co_return;
    const auto sent = co_await select(prefer_first, stream_.send(out_), sleep(in_haste(silence_limit)));
    if (sent.index() == 1) throw timed_out();
    out_.clear();
  }

 private:
  // More bytes to be parsed; false at the end of the stream, and between two requests also if no further one is to come.
  task<bool> receive() {
    co_await flush();
    const time_point until = begun_ ? std::min(deadline_, now() + in_haste(silence_limit)) : deadline_;
    const context ends = begun_ ? context::background() : stopping_;
    auto came = co_await select(prefer_first, stream_.recv(), ends.done(), sleep_until(until));
    if (came.index() == 2 && begun_) throw http_error{408};
    received_.reset();
    if (came.index() == 0) received_ = std::get<0>(std::move(came));
    unparsed_ = received_ ? received_->text() : std::string_view();
    co_return received_.has_value();
  }

  // To the end of the request, or of the bytes.
  void parse() {
    static const http_parser_settings calls = make_calls();
    http_parser_pause(&parser_, 0);
    const std::size_t parsed = http_parser_execute(&parser_, &calls, unparsed_.data(), unparsed_.size());
    unparsed_.remove_prefix(std::min(parsed, unparsed_.size()));
    switch (HTTP_PARSER_ERRNO(&parser_)) {
      case HPE_OK:
      case HPE_PAUSED: return;
      case HPE_HEADER_OVERFLOW: throw http_error{431};
      case HPE_INVALID_METHOD: throw http_error{501};
      default: throw http_error{400};
    }
  }

  bool has_length() const { return parser_.content_length != UINT64_MAX && (parser_.flags & F_CHUNKED) == 0; }

  void take_header() {
    if (equal(field_, "Host")) has_host_ = true;
    if (equal(field_, "Content-Type")) content_type_ = value_;
    if (equal(field_, "Expect")) expects_continue_ = equal(value_, "100-continue");
    field_.clear();
    value_.clear();
  }

  static connection& of(http_parser* parser) { return *static_cast<connection*>(parser->data); }

  static http_parser_settings make_calls() {
    http_parser_settings c;
    http_parser_settings_init(&c);
    c.on_url = [](http_parser* p, const char* text, std::size_t size) {
      of(p).target_.append(text, size);
      return 0;
    };
    c.on_header_field = [](http_parser* p, const char* text, std::size_t size) {
      if (!of(p).value_.empty()) of(p).take_header();
      of(p).field_.append(text, size);
      return 0;
    };
    c.on_header_value = [](http_parser* p, const char* text, std::size_t size) {
      of(p).value_.append(text, size);
      return 0;
    };
    c.on_headers_complete = [](http_parser* p) {
      of(p).take_header();
      of(p).header_complete_ = true;
      p->upgrade = 0;  // no offer to speak something else is accepted
      return 0;
    };
    c.on_body = [](http_parser* p, const char* text, std::size_t size) {
      of(p).body_.append(text, size);
      return 0;
    };
    c.on_message_complete = [](http_parser* p) {
      of(p).complete_ = true;
      http_parser_pause(p, 1);
      return 0;
    };
    return c;
  }

  tcp_stream stream_;
  const context stopping_;
  http_parser parser_;
  std::optional<chunk> received_;
  std::string_view unparsed_;  // of it
  std::string out_;            // not yet sent

  std::string target_, field_, value_, content_type_, body_;
  std::uint64_t body_size_ = 0;
  time_point deadline_;  // of what the client is at
  bool expects_continue_ = false, has_host_ = false, keep_alive_ = true;
  bool begun_ = false, header_complete_ = false, complete_ = false, body_taken_ = false;  // of the request
  bool answered_ = false, chunked_ = false;
};

void refuse(connection& client, int status, std::string_view more_header = {}) {
  const std::string text = std::to_string(status) + " " + std::string(reason(status)) + "\n";
  client.answer(status, "text/plain", text, more_header);
}

// Nothing where it is no proper text.
std::optional<std::string> without_percents(std::string_view text) {
  std::string plain;
  for (std::size_t i = 0; i < text.size(); ++i) {
    unsigned char c = static_cast<unsigned char>(text[i]);
    if (c == '%') {
      if (i + 2 >= text.size()) return std::nullopt;
      const auto [end, error] = std::from_chars(text.data() + i + 1, text.data() + i + 3, c, 16);
      if (error != std::errc() || end != text.data() + i + 3) return std::nullopt;
      i += 2;
    }
    if (c == 0) return std::nullopt;
    plain += static_cast<char>(c);
  }
  return plain;
}

std::string_view type_of(std::string_view name) {
  constexpr std::pair<std::string_view, std::string_view> types[] = {
      {".html", "text/html; charset=utf-8"}, {".css", "text/css"},   {".js", "text/javascript"},
      {".txt", "text/plain; charset=utf-8"}, {".png", "image/png"},  {".svg", "image/svg+xml"},
      {".md", "text/plain; charset=utf-8"},  {".jpg", "image/jpeg"}, {".json", "application/json"}};
  for (const auto& [ending, type] : types) {
    if (name.ends_with(ending)) return type;
  }
  return "application/octet-stream";
}

// The kernel sees to it that neither ".." nor a link leads out of the folder. An error is negative.
int open_beneath(int folder, const std::string& name) {
  open_how how{};
  how.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
  const long opened = syscall(SYS_openat2, folder, name.c_str(), &how, sizeof how);
  return opened >= 0 ? static_cast<int>(opened) : -errno;
}

task<> send_file(connection& client, int folder, std::string_view path) {
  auto name = without_percents(path);
  if (!name || !name->starts_with('/')) co_return refuse(client, 400);
  if (name->ends_with('/')) *name += "index.html";
  const int opened = co_await blocking(open_beneath, folder, "." + *name);
  if (opened == -EACCES || opened == -EPERM) co_return refuse(client, 403);
  if (opened < 0) co_return refuse(client, opened == -EMFILE || opened == -ENFILE ? 503 : 404);
  const file content = file::adopt(opened);
  const file_status status = co_await content.status();
  if (status.kind != file_kind::regular) co_return refuse(client, 404);

  client.begin_answer(200, type_of(*name), status.size);
  if (client.method() == HTTP_HEAD) co_return;
  std::string bytes(std::min<std::uint64_t>(piece, status.size), '\0');
  for (std::uint64_t sent = 0; sent < status.size;) {
    const std::size_t wanted = std::min<std::uint64_t>(piece, status.size - sent);
    const std::size_t n = co_await content.read_at(sent, std::span(bytes).first(wanted));
    if (n == 0) throw http_error{500};  // it has become shorter
    co_await client.send_piece(std::string_view(bytes).substr(0, n));
    sent += n;
  }
}

task<> send_back(connection& client) {
  // The first of it is awaited before anything is answered: what is wrong with it can then still be said.
  auto bytes = co_await client.body();
  client.begin_answer(200, client.content_type(), std::nullopt);
  for (; bytes; bytes = co_await client.body()) co_await client.send_piece(*bytes);
  client.end_answer();
}

task<> count(connection& client) {
  std::uint64_t size = 0;
  while (const auto bytes = co_await client.body()) size += bytes->size();
  client.answer(200, "text/plain", std::to_string(size) + "\n");
}

task<> respond(connection& client, int folder) {
  const std::string_view path = client.path();
  const http_method method = client.method();
  if (path == "/echo" || path == "/count") {
    if (method != HTTP_POST && method != HTTP_PUT) co_return refuse(client, 405, "Allow: POST, PUT\r\n");
    if (path == "/echo") co_return co_await send_back(client);
    co_await count(client);
  } else if (method != HTTP_GET && method != HTTP_HEAD) {
    refuse(client, 405, "Allow: GET, HEAD\r\n");
  } else if (path == "/plaintext") {
    client.answer(200, "text/plain", "Hello, World!");
  } else {
    co_await send_file(client, folder, path);
  }
}

task<> converse(connection& client, int folder) {
  for (;;) {
    const bool begun = co_await client.next_request();
    if (!begun) co_return;
    co_await respond(client, folder);
    const bool another = co_await client.end_request();
    if (!another) co_return;
  }
}

task<> tell_and_end(connection& client, std::optional<http_error> failed) {
  if (failed && client.answered()) co_return;  // which ends too early, as the client can tell
  client.close_after_this();
  if (failed) refuse(client, failed->status);
  co_await client.end();
}

task<> serve_client(tcp_stream stream, int folder, context stopping) {
  connection client(std::move(stream), stopping);
  std::optional<http_error> failed;
  try {
    co_await converse(client, folder);
  } catch (const http_error& error) {
    failed = error;
  } catch (const std::system_error&) {
    co_return;  // the client is gone, or too slow, or is cut
  }
  co_await outcome(tell_and_end(client, failed));
}

task<> accept_all(tcp_listener& listener, int folder, context stopping, group& clients) {
  for (;;) {
    co_await clients.slot();
    clients.go(serve_client, co_await listener.accept(), folder, stopping);
  }
}

task<> serve(std::string address, int folder) {
  signals stop({SIGINT, SIGTERM});
  const context stopping = context::with_cancel();
  group clients(current_context(), on_error::keep_going);
  clients.limit(most_connections);
  tcp_listener listener = tcp_listener::bind(address);
  std::printf("listening on %s\n", listener.local().to_string().c_str());
  std::fflush(stdout);

  // No new connections after a signal, and those that have no request to answer end. The others have two seconds for it,
  // and are then cut: cancelled and joined.
  co_await select(stop.recv(), accept_all(listener, folder, stopping, clients));
  stopping.cancel();
  co_await listener.close();
  co_await outcome(with_timeout(2s, clients.wait()));
}

int main(int argc, char** argv) try {
  const char* const name = argc > 2 ? argv[2] : ".";
  const int folder = open(name, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0) throw std::system_error(errno, std::generic_category(), name);
  if (argc > 3) haste = std::max(std::atoi(argv[3]), 1);
  http_parser_set_max_header_size(most_header_bytes);
  run(serve(argc > 1 ? argv[1] : "127.0.0.1:8080", folder));
} catch (const std::exception& error) {
  std::fprintf(stderr, "http_server: %s\n", error.what());
  return 1;
}
