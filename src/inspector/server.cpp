#include "inspector/server.hpp"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <new>
#include <utility>

#include <ringo/errors.hpp>
#include <ringo/select.hpp>
#include <ringo/time.hpp>
#include <ringo/with_timeout.hpp>

namespace ringo::detail {
namespace {

using namespace std::chrono_literals;

constexpr duration answer_limit = 60s;  // until a client has read its answer: some 100 MB by a slow line
constexpr duration linger_limit = 1s;
constexpr duration look_again_after = 1s;

bool is_allowed(const tcp_stream&, const inspector_options&) { return true; }
bool is_allowed(const unix_stream& client, const inspector_options& o) {
  const unsigned user = client.credentials().user;
  return o.allow_remote || user == 0 || user == ::geteuid();
}

// The kernel resets a connection that is closed with unread bytes, and then the client might not see the answer.
task<> end(stream_reader& in, stream_writer& out) {
  co_await out.shutdown_send();
  const time_point until = now() + linger_limit;
  for (bool more = true; more;) {
    const auto came = co_await select(prefer_first, in.recv(), sleep_until(until));
    more = came.index() == 0 && std::get<0>(came).has_value();
  }
}

}  // namespace

duration inspector_server::request_limit = 5s;

task<> inspector_server::serve(tcp_listener listener) {
  checks_host_ = !options_.allow_remote;
  co_await accept_all<tcp_stream>(listener);
}

task<> inspector_server::serve(unix_listener listener) { co_await accept_all<unix_stream>(listener); }

template <class Stream>
task<> inspector_server::accept_all(auto& listener) {
  co_await scope([&](group& clients) -> task<> {
    clients_ = &clients;
    clients.limit(most_clients);
    for (;;) {
      Stream client = co_await listener.accept();
      const auto place = co_await select(clients.slot(), otherwise);
      if (place.index() == 1) {
        // Its routine sees that the connection has ended, and ends. If all clients wait for their answers now, one of
        // them may not read it then: so this looks again.
        for (bool has_place = false; !has_place;) {
          if (!awaited_clients_.empty()) ::shutdown(awaited_clients_.front(), SHUT_RDWR);
          const auto came = co_await select(prefer_first, clients.slot(), sleep(look_again_after));
          has_place = came.index() == 0;
        }
      }
      try {
        // From now on it is awaited, not from when its routine begins: routines need not begin in the order of accepts.
        auto awaited = std::make_unique<client_is_awaited>(*this, client.native_handle());
        clients.go(serve_client<Stream>(std::move(client), std::move(awaited)));
      } catch (const std::bad_alloc&) {
        // There is no memory for another client.
      }
    }
  });
}

template <class Stream>
task<> inspector_server::serve_client(Stream client, std::unique_ptr<client_is_awaited> accepted) {
  try {
    std::unique_ptr<client_is_awaited> awaited = std::move(accepted);  // it goes before the socket is closed
    if (!is_allowed(client, options_)) co_return;
    reply sent;
    try {
      const std::optional<std::string> head = co_await request_of(client);
      if (!head) co_return;
      awaited.reset();
      sent = co_await respond(*head, client);
    } catch (const http_answer& refusal) {
      sent = {head_of(refusal), refusal.body};
    }
    awaited = std::make_unique<client_is_awaited>(*this, client.native_handle());
    co_await with_timeout(answer_limit, static_cast<stream_writer&>(client).send(sent.head, sent.body));
    co_await end(client, client);
  } catch (const std::exception&) {
    co_return;  // this client is gone, or too slow, or there is no memory for its answer
  }
}

// All up to the empty line; none: the client has asked for nothing. Throws: http_answer, a refusal.
task<std::optional<std::string>> inspector_server::request_of(stream_reader& client) {
  const time_point until = now() + request_limit;
  std::string head;
  for (std::size_t end; (end = head.find("\r\n\r\n")) == std::string::npos || end > most_head_bytes;) {
    if (head.size() > most_head_bytes) throw refused(431, "The head of a request has 8 KiB at most.");
    const auto came = co_await select(prefer_first, client.recv(), sleep_until(until));
    if (came.index() == 1) throw refused(408, "The request did not come in time.");
    const auto& piece = std::get<0>(came);
    if (!piece) co_return std::nullopt;
    head += piece->text();
  }
  head.resize(head.find("\r\n\r\n"));
  co_return head;
}

task<inspector_server::reply> inspector_server::respond(std::string_view head, stream_reader& client) {
  std::optional<http_request> r = parse_request(head);
  if (r) r->client = &client;
  http_answer answer = refused(400, "This is no request of HTTP/1.0 or HTTP/1.1.");
  if (r) {
    if (auto refusal = refusal_of(*r)) {
      answer = std::move(*refusal);
    } else if (const auto to = std::ranges::find(routes(), r->path, &route::path); to != routes().end()) {
      answer = co_await (this->*to->answer)(*r);
    } else {
      std::string paths;
      for (const route& each : routes()) paths.append(" ").append(each.path);
      answer = refused(404, "There is no such page. There are:" + paths);
    }
  }
  reply made{head_of(answer), std::move(answer.body)};
  if (r && r->is_head()) made.body.clear();
  co_return made;
}

std::optional<http_answer> inspector_server::refusal_of(const http_request& r) const {
  if (r.method != "GET" && !r.is_head()) return refused(405, "Only GET and HEAD are answered.", "Allow: GET, HEAD\r\n");
  if (checks_host_ && r.host && !is_local_host(*r.host)) {
    return refused(403, "Asked for by a name that is not this machine's own: use localhost, 127.0.0.1 or [::1].");
  }
  if (r.fetch_site == "cross-site" && r.fetch_mode != "navigate") {
    return refused(403, "A page of another site has asked for this.");
  }
  return std::nullopt;
}

}  // namespace ringo::detail
