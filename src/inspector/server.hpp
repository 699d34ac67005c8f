// Answers the requests of an inspector's clients, in the inspector's own runtime.
#pragma once
#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <ringo/completion.hpp>
#include <ringo/event.hpp>
#include <ringo/group.hpp>
#include <ringo/inspector.hpp>
#include <ringo/leaks.hpp>
#include <ringo/shared_mutex.hpp>
#include <ringo/snapshot.hpp>
#include <ringo/tcp.hpp>
#include <ringo/unix.hpp>

#include "inspector/http.hpp"
#include "runtime/inspection.hpp"

namespace ringo::detail {

class inspector_server {
 public:
  explicit inspector_server(inspector_options o) : options_(o) {}
  inspector_server(const inspector_server&) = delete;
  inspector_server& operator=(const inspector_server&) = delete;

  // A further one takes the place of the client that the inspector has waited for longest: it has not sent its request,
  // or does not read its answer. If there is none, because all wait for their answers, it waits until one has its own.
  static constexpr std::size_t most_clients = 64;
  static duration request_limit;  // until the head of a request is there; tests change it

  // Until it is cancelled.
  task<> serve(tcp_listener listener);
  task<> serve(unix_listener listener);

 private:
  // What is known of a runtime.
  struct seen {
    inspected_runtime it;
    std::shared_ptr<const snapshot> routines;  // null: no worker has answered in time, or the runtime does not run
    bool is_kept = false;                      // it runs, and no worker has answered in time
    std::vector<std::string> kept;             // then for each worker what keeps it, or empty
  };
  struct searched {
    std::uint64_t runtime;
    leaks found;
  };
  // A question that a runtime has not answered. All requests wait for the same one, so the inspector does not ask again
  // and again while all workers of the runtime are kept.
  struct question {
    completion<> answered;
    std::optional<snapshot> taken;  // set by a worker of the program's runtime, before `answered`
    event is_over;
    std::shared_ptr<const snapshot> answer;  // null: the runtime has ended
  };
  struct reply {
    std::string head, body;  // both empty: the client has asked for nothing
  };
  using answerer = task<http_answer> (inspector_server::*)(const http_request&);
  struct route {
    std::string_view path;
    answerer answer;
  };
  static std::span<const route> routes();
  static std::string text_of(const std::vector<seen>& all);
  static std::string json_of(const std::vector<seen>& all, std::size_t most_alike);

  // While it lives, the client has to do something.
  class client_is_awaited {
   public:
    client_is_awaited(inspector_server& of, int socket)
        : all_(of.awaited_clients_), here_(all_.insert(all_.end(), socket)) {}
    client_is_awaited(const client_is_awaited&) = delete;
    client_is_awaited& operator=(const client_is_awaited&) = delete;
    ~client_is_awaited() { all_.erase(here_); }

   private:
    std::list<int>& all_;
    const std::list<int>::iterator here_;
  };
  template <class Stream>
  task<> accept_all(auto& listener);
  template <class Stream>
  task<> serve_client(Stream client, std::unique_ptr<client_is_awaited> accepted);
  task<std::optional<std::string>> request_of(stream_reader& client);
  task<reply> respond(std::string_view head, stream_reader& client);
  std::optional<http_answer> refusal_of(const http_request& r) const;

  task<http_answer> page(const http_request& r);
  task<http_answer> routines_text(const http_request& r);
  task<http_answer> routines_json(const http_request& r);
  task<http_answer> metrics_text(const http_request& r);
  task<http_answer> recording(const http_request& r);
  task<http_answer> trace(const http_request& r);
  task<http_answer> leaks_text(const http_request& r);
  task<http_answer> leaks_json(const http_request& r);
  task<http_answer> stalls_text(const http_request& r);
  task<http_answer> stalls_json(const http_request& r);

  task<std::vector<seen>> look();
  task<std::vector<searched>> search_leaks();
  std::shared_ptr<question> ask(std::uint64_t runtime);
  task<> await_answer(std::uint64_t runtime, std::shared_ptr<question> q);

  const inspector_options options_;
  group* clients_ = nullptr;        // while it serves
  std::list<int> awaited_clients_;  // their sockets, the one that is awaited for longest first
  std::map<std::uint64_t, std::shared_ptr<question>> open_questions_;
  // Snapshots have addresses of objects, which a search for leaks would take for references. So no answer has one
  // meanwhile.
  shared_mutex snapshots_;
  bool checks_host_ = false;
};

}  // namespace ringo::detail
