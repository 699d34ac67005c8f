// An HTTP/1.1 server: it serves the files of a folder, and a few computed answers. It keeps connections alive, answers
// pipelined requests with one send, receives and sends bodies in chunks, and limits how much a client may send and how
// long it may take. http_request.hpp parses the requests. Ctrl-C or SIGTERM stops the server gracefully.
//
//   http_server [ADDRESS [FOLDER [HASTE]]]          127.0.0.1:8080 and this folder by default; port 0: a free port;
//                                                   HASTE divides the time that clients may take, for tests
//   curl 127.0.0.1:8080/README.md
//   curl -T README.md 127.0.0.1:8080/echo           sends the body back, as it comes
//   curl -T README.md 127.0.0.1:8080/count          the number of its bytes
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
#include <new>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <ringo/file.hpp>
#include <ringo/ringo.hpp>

#include "http_request.hpp"

using namespace ringo;
using namespace std::chrono_literals;

constexpr std::size_t most_connections = 20'000;  // further ones wait to be accepted
constexpr std::size_t piece = 64 * 1024;          // the most that one send has

int haste = 1;
duration in_haste(duration limit) { return limit / haste; }
constexpr auto idle_limit = 30s;     // between two requests
constexpr auto head_limit = 5s;      // from a request's first byte to the end of its header
constexpr auto silence_limit = 10s;  // without a byte of a body, in either direction
constexpr auto body_limit = 5min;
constexpr auto linger_limit = 2s;  // for the client to close after the last answer

std::string_view reason(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 304:
      return "Not Modified";
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
    case 412:
      return "Precondition Failed";
    case 413:
      return "Content Too Large";
    case 414:
      return "URI Too Long";
    case 417:
      return "Expectation Failed";
    case 421:
      return "Misdirected Request";
    case 431:
      return "Request Header Fields Too Large";
    case 500:
      return "Internal Server Error";
    case 501:
      return "Not Implemented";
    case 503:
      return "Service Unavailable";
    case 505:
      return "HTTP Version Not Supported";
    default:
      return "";
  }
}

// The text of a Date header, made once a second.
std::string_view date() {
  thread_local std::time_t made = 0;
  thread_local char text[40];
  const std::time_t time = std::time(nullptr);
  if (made != time) {
    http_date(time).copy(text, sizeof text - 1);
    made = time;
  }
  return text;
}

// A client, its current request, and the answer to it.
class connection {
 public:
  connection(tcp_stream stream, context stopping) : stream_(std::move(stream)), stopping_(std::move(stopping)) {}
  connection(const connection&) = delete;
  connection& operator=(const connection&) = delete;
  // Half of an answer must not look whole to the client: to disconnect the socket resets the connection.
  ~connection() {
    const sockaddr nobody{.sa_family = AF_UNSPEC, .sa_data = {}};
    if (is_amid_answer()) connect(stream_.native_handle(), &nobody, sizeof nobody);
  }

  const http_request& request() const { return request_; }

  // Reads up to the end of the next request's head. False if there is none: the client has ended, or the server ends.
  task<bool> next_request() {
    request_.begin();
    answer_ = answering::not_yet;
    expects_continue_ = false;
    deadline_ = now() + in_haste(idle_limit);
    for (bool head_complete = false; !head_complete;) {
      if (unparsed_.empty()) {
        const bool more = co_await receive();
        if (!more && request_.begun()) throw http_error{400};
        if (!more) co_return false;
      }
      const bool was_begun = request_.begun();
      head_complete = request_.take_head(unparsed_);
      if (request_.begun() && !was_begun) deadline_ = now() + in_haste(head_limit);
    }
    deadline_ = now() + in_haste(body_limit);
    keep_alive_ = request_.keeps_alive();
    expects_continue_ = request_.expects_continue();
    co_return true;
  }

  // More of the request's body, valid until the next call; empty at its end.
  task<std::optional<std::string_view>> body() {
    if (std::exchange(expects_continue_, false)) out_ += "HTTP/1.1 100 Continue\r\n\r\n";
    while (!request_.complete()) {
      if (unparsed_.empty()) {
        const bool more = co_await receive();
        if (!more) throw http_error{400};
      }
      const std::string_view bytes = request_.take_body(unparsed_);
      if (!bytes.empty()) co_return bytes;
    }
    co_return std::nullopt;
  }

  // Sends an answer whose size is known. Small answers are kept until no further request is at hand.
  void answer(int status, std::string_view type, std::string_view content, std::string_view more_header = {}) {
    begin_answer(status, type, content.size(), more_header);
    if (!is_head()) out_ += content;
    end_answer();
  }
  // Begins an answer. If its size is not known, the rest is sent in chunks.
  void begin_answer(int status, std::string_view type, std::optional<std::uint64_t> size,
                    std::string_view more_header = {}) {
    answer_ = answering::begun;
    chunked_ = !size && !request_.is_http_1_0();
    // A client that waits for "continue" may send the body or not, so the server cannot know what comes next.
    if (expects_continue_ || stopping_.is_cancelled() || (!size && !chunked_)) keep_alive_ = false;
    ((out_ += "HTTP/1.1 ") += std::to_string(status) += ' ') += reason(status);
    (out_ += "\r\nServer: ringo\r\nDate: ") += date();
    if (!type.empty()) (out_ += "\r\nContent-Type: ") += type;
    if (size) (out_ += "\r\nContent-Length: ") += std::to_string(*size);
    if (chunked_) out_ += "\r\nTransfer-Encoding: chunked";
    if (!keep_alive_) out_ += "\r\nConnection: close";
    if (keep_alive_ && request_.is_http_1_0()) out_ += "\r\nConnection: keep-alive";
    (out_ += "\r\n") += more_header;
    out_ += "\r\n";
  }

  // Sends a piece of the answer: as it is, or as a chunk. Waits while the client does not read.
  task<> send_piece(std::string_view bytes) {
    if (is_head() || bytes.empty()) co_return;
    if (chunked_) {
      char size[24];
      out_.append(size, static_cast<std::size_t>(std::snprintf(size, sizeof size, "%zx\r\n", bytes.size())));
    }
    out_ += bytes;
    if (chunked_) out_ += "\r\n";
    if (out_.size() >= piece) co_await flush();
  }
  void end_answer() {
    if (chunked_ && !is_head()) out_ += "0\r\n\r\n";
    answer_ = answering::ended;
  }

  // Reads the rest of the request. False if no further request will come.
  task<bool> end_request() {
    while (keep_alive_) {
      const auto more = co_await body();
      if (!more) break;
    }
    co_return keep_alive_;
  }

  // Whether the client can still be sent an error.
  bool can_refuse() const { return answer_ == answering::not_yet; }
  bool is_amid_answer() const { return answer_ == answering::begun; }
  void close_after_this() { keep_alive_ = false; }

  // Sends the last answer. The kernel resets a connection that is closed with unread bytes, and then the client might
  // not see the answer. So the server reads them, for a while.
  task<> end() {
    co_await flush();
    co_await stream_.shutdown_send();
    const time_point until = now() + in_haste(linger_limit);
    for (bool more = true; more;) {
      const auto came = co_await select(prefer_first, stream_.recv(), sleep_until(until));
      more = came.index() == 0 && std::get<0>(came).has_value();
    }
  }

  task<> flush() {
    if (out_.empty()) co_return;
    const auto sent = co_await select(prefer_first, stream_.send(out_), sleep(in_haste(silence_limit)));
    if (sent.index() == 1) throw timed_out();
    out_.clear();
  }

 private:
  enum class answering { not_yet, begun, ended };

  bool is_head() const { return request_.method() == "HEAD"; }

  // Receives more bytes. False at the end of the stream, and, between two requests, if the server ends.
  task<bool> receive() {
    co_await flush();
    const bool begun = request_.begun();
    const time_point until = begun ? std::min(deadline_, now() + in_haste(silence_limit)) : deadline_;
    const context ends = begun ? context::background() : stopping_;
    auto came = co_await select(prefer_first, stream_.recv(), ends.wait(), sleep_until(until));
    if (came.index() == 2 && begun) throw http_error{408};
    received_.reset();
    if (came.index() == 0) received_ = std::get<0>(std::move(came));
    unparsed_ = received_ ? received_->text() : std::string_view();
    co_return received_.has_value();
  }

  tcp_stream stream_;
  const context stopping_;
  http_request request_;
  std::optional<chunk> received_;
  std::string_view unparsed_;  // a part of the chunk
  std::string out_;            // not yet sent
  time_point deadline_;        // of the client's current step
  answering answer_ = answering::not_yet;
  bool expects_continue_ = false, keep_alive_ = true, chunked_ = false;
};

void refuse(connection& client, int status, std::string_view more_header = {}) {
  const std::string text = std::to_string(status) + " " + std::string(reason(status)) + "\n";
  client.answer(status, "text/plain", text, more_header);
}

// Empty if the text is not well-formed.
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

// The kernel refuses ".." and links that lead out of the folder. A negative result is an error.
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

  const std::time_t modified = std::chrono::system_clock::to_time_t(
      std::chrono::time_point_cast<std::chrono::system_clock::duration>(status.modified));
  char tag[64];
  std::snprintf(tag, sizeof tag, "\"%llx-%llx\"",
                static_cast<unsigned long long>(status.modified.time_since_epoch().count()),
                static_cast<unsigned long long>(status.size));
  const int code = client.request().precondition(tag, modified);
  if (code == 412) co_return refuse(client, 412);
  client.begin_answer(code, type_of(*name), status.size,
                      "Last-Modified: " + http_date(modified) + "\r\nETag: " + tag + "\r\n");
  if (code == 304 || client.request().method() == "HEAD") co_return client.end_answer();
  std::string bytes(std::min<std::uint64_t>(piece, status.size), '\0');
  for (std::uint64_t sent = 0; sent < status.size;) {
    const std::size_t wanted = std::min<std::uint64_t>(piece, status.size - sent);
    const std::size_t n = co_await content.read_at(sent, std::span(bytes).first(wanted));
    if (n == 0) throw http_error{500};  // the file has become shorter
    co_await client.send_piece(std::string_view(bytes).substr(0, n));
    sent += n;
  }
  client.end_answer();
}

task<> send_back(connection& client) {
  // Awaits the first piece of the body before the answer begins, so that an error in it can still be the answer.
  auto bytes = co_await client.body();
  client.begin_answer(200, client.request().field("Content-Type").value_or(""), std::nullopt);
  for (; bytes; bytes = co_await client.body()) co_await client.send_piece(*bytes);
  client.end_answer();
}

task<> count(connection& client) {
  std::uint64_t size = 0;
  while (const auto bytes = co_await client.body()) size += bytes->size();
  client.answer(200, "text/plain", std::to_string(size) + "\n");
}

task<> respond(connection& client, int folder) {
  const std::string_view path = client.request().path(), method = client.request().method();
  const bool takes_body = path == "/echo" || path == "/count";
  const std::string_view allow = path == "*"  ? "Allow: GET, HEAD, POST, PUT, OPTIONS\r\n"
                                 : takes_body ? "Allow: POST, PUT, OPTIONS\r\n"
                                              : "Allow: GET, HEAD, OPTIONS\r\n";
  if (method == "OPTIONS") {
    client.answer(200, "", "", allow);
  } else if (takes_body ? method != "POST" && method != "PUT" : method != "GET" && method != "HEAD") {
    refuse(client, 405, allow);
  } else if (path == "/echo") {
    co_await send_back(client);
  } else if (path == "/count") {
    co_await count(client);
  } else if (path == "/plaintext") {
    client.answer(200, "text/plain", "Hello, World!");
  } else {
    co_await send_file(client, folder, path);
  }
}

task<> converse(connection& client, int folder) {
  for (bool another = true; another;) {
    const bool begun = co_await client.next_request();
    if (!begun) co_return;
    co_await respond(client, folder);
    another = co_await client.end_request();
  }
}

task<> serve_client(tcp_stream stream, int folder, context stopping) {
  try {
    connection client(std::move(stream), stopping);
    std::optional<http_error> failed;
    try {
      co_await converse(client, folder);
    } catch (const http_error& error) {
      failed = error;
    }
    if (client.is_amid_answer()) co_return;
    client.close_after_this();
    if (failed && client.can_refuse()) refuse(client, failed->status);
    co_await client.end();
  } catch (const std::exception&) {
    // This client is gone, or too slow, or there is no memory for it. The other clients stay.
  }
}

task<> accept_all(tcp_listener& listener, int folder, context stopping, group& clients) {
  for (;;) {
    co_await clients.slot();
    tcp_stream client = co_await listener.accept();
    try {
      clients.go(serve_client(std::move(client), folder, stopping));
    } catch (const std::bad_alloc&) {
      // There is no memory for another client.
    }
  }
}

task<> serve(std::string address, int folder) {
  signals stop({SIGINT, SIGTERM});
  const context stopping = context::with_cancel();
  tcp_listener listener = tcp_listener::bind(address, {.keep_alive_idle = 60s, .keep_alive_interval = 10s});
  std::printf("listening on %s\n", listener.local().to_string().c_str());
  std::fflush(stdout);

  co_await scope([&](group& clients) -> task<> {
    clients.limit(most_connections);
    co_await select(stop.recv(), accept_all(listener, folder, stopping, clients));
    // After the signal there are no new connections, and those without a request end. The others have two seconds.
    stopping.cancel();
    co_await listener.close();
    co_await select(clients.wait(), sleep(2s));
    clients.cancel();
  });
}

int main(int argc, char** argv) try {
  const char* const name = argc > 2 ? argv[2] : ".";
  const int folder = open(name, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0) throw std::system_error(errno, std::generic_category(), name);
  if (argc > 3) haste = std::max(std::atoi(argv[3]), 1);
  run(serve(argc > 1 ? argv[1] : "127.0.0.1:8080", folder));
} catch (const std::exception& error) {
  std::fprintf(stderr, "http_server: %s\n", error.what());
  return 1;
}
