// The inspector: what it answers about the program's runtimes, what it refuses, and that it disturbs none of them.
#include <ringo/inspector.hpp>

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <ringo/ringo.hpp>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "every_scheduler.hpp"
#include "exposition.hpp"
#include "folder.hpp"
#include "http_client.hpp"
#include "inspector/http.hpp"
#include "inspector/server.hpp"
#include "inspector/thin_snapshot.hpp"
#include "json_checker.hpp"
#include "platform/heap_map.hpp"
#include "process_counts.hpp"
#include "reached.hpp"
#include "running_child.hpp"
#include "states.hpp"

using namespace ringo;
using namespace std::chrono_literals;

namespace {

bool mentions(std::string_view text, std::string_view part) { return text.find(part) != text.npos; }

task<http_reply> got(const inspector& from, std::string path) {
  co_return co_await blocking([&] { return get(from.address(), path); });
}

task<> waits_for_ever(channel<int> c) { co_await c.recv(); }

// Nothing has the channel, so nothing can wake the routine.
[[gnu::noinline]] void leave_waiting() { go(waits_for_ever, channel<int>()); }
const bool can_search = detail::heap_map().is_known();  // not under sanitizers

// A program that runs on a thread of its own until this is ended.
class program {
 public:
  explicit program(task<> main, unsigned workers = 1) : program(std::move(main), runtime_options{.workers = workers}) {}
  program(task<> main, const runtime_options& o) : runtime_(o) {
    thread_ = std::thread([this, main = std::move(main)]() mutable { runtime_.run(std::move(main)); });
  }
  program(const program&) = delete;
  program& operator=(const program&) = delete;
  ~program() {
    runtime_.stop();
    thread_.join();
  }
  runtime& its() { return runtime_; }

 private:
  runtime runtime_;
  std::thread thread_;
};

task<> until_cancelled() {
  try {
    co_await never();
  } catch (const cancelled&) {
  }
}

std::string message_of(const std::string& address) {
  try {
    const inspector i = inspector::listen(address);
  } catch (const std::invalid_argument& e) {
    return e.what();
  }
  return "no exception";
}

}  // namespace

TEST_CASE("An inspector shows the routines, as text and as JSON, and the metrics of a program that runs") {
  const inspector here = inspector::listen("127.0.0.1:0");
  for (const unsigned workers : {1u, 2u, 4u}) {
    scheduler_under_test::real(workers).run([&]() -> task<> {
      channel<int> c;
      auto waiting = go(named("session <7>", waits_for_ever), c);
      co_await until_parked("receive on channel");
      const http_reply text = co_await got(here, "/routines");
      CHECK(text.status == 200);
      CHECK(mentions(text.head, "Content-Type: text/plain; charset=utf-8\r\n"));
      CHECK(mentions(text.body, "\"session <7>\": waits for receive on channel"));
      CHECK(mentions(text.body, "inspector.cpp:"));
      CHECK(!mentions(text.body, "server.cpp"));  // its own routines

      http_reply json = co_await got(here, "/routines.json");
      CHECK(mentions(json.head, "Content-Type: application/json\r\n"));
      CHECK(json.body.back() == '\n');
      json.body.pop_back();
      CHECK(json_checker(json.body).is_valid());
      CHECK(mentions(json.body, "{\"pid\":" + std::to_string(::getpid()) + ",\"program\":"));
      CHECK(mentions(json.body, "\"state\":\"runs\""));
      CHECK(mentions(json.body, "\"name\":\"session <7>\""));
      CHECK(!mentions(json.body, "server.cpp"));

      const http_reply metrics = co_await got(here, "/metrics");
      CHECK(mentions(metrics.head, "Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n"));
      const exposition read(metrics.body);
      CHECK(read.families.at("ringo_resumes_total").samples.size() == workers);
      CHECK(read.families.at("ringo_routines_live").samples.size() == 1);
      CHECK(read.families.at("ringo_routines_live").samples.begin()->second >= 2);
      waiting.cancel();
    });
  }
  const http_reply after = get(here.address(), "/routines");
  CHECK(after.body == "no runtime\n");
  CHECK(get(here.address(), "/metrics").status == 200);
}

TEST_CASE("The page has a policy by which nothing but its own script runs, and loads nothing") {
  const inspector here = inspector::listen("127.0.0.1:0");
  const http_reply page = get(here.address(), "/"), again = get(here.address(), "/");
  CHECK(page.status == 200);
  CHECK(mentions(page.head, "Content-Type: text/html; charset=utf-8\r\n"));
  const auto nonce_of = [](const http_reply& r) {
    const auto at = r.head.find("script-src 'nonce-");
    REQUIRE(at != r.head.npos);
    return r.head.substr(at + 18, 32);
  };
  CHECK(mentions(page.head, "Content-Security-Policy: default-src 'none';"));
  CHECK(mentions(page.body, "<script nonce=\"" + nonce_of(page) + "\">"));
  CHECK(mentions(page.body, "<style nonce=\"" + nonce_of(page) + "\">"));
  CHECK(!mentions(page.body, "{{"));
  CHECK(nonce_of(page) != nonce_of(again));
  for (const char* loads : {"src=", "href=", "@import", "https:", "innerHTML"}) CHECK(!mentions(page.body, loads));
}

TEST_CASE("It listens at addresses of this machine only, unless it is told to do otherwise") {
  for (const char* address : {"0.0.0.0:0", ":0", "[::]:0", "192.0.2.1:6060"}) {
    CAPTURE(address);
    CHECK(mentions(message_of(address), "other machines can reach"));
    CHECK(mentions(message_of(address), "inspector_options::allow_remote"));
  }
  for (const char* address : {"", "6060", "127.0.0.1", "somewhere:6060", "127.0.0.1:66666", "unix:", "unix:@"}) {
    CAPTURE(address);
    CHECK(mentions(message_of(address), "ringo: "));
  }
  for (const char* address : {"127.0.0.1:0", "127.9.8.7:0", "localhost:0"}) {
    CAPTURE(address);
    CHECK(message_of(address) == "no exception");
  }
  const inspector wide = inspector::listen("0.0.0.0:0", {.allow_remote = true});
  CHECK(ask(wide.address(), "GET /routines HTTP/1.1\r\nHost: shop.example.org\r\n\r\n").status == 200);
}

TEST_CASE("An address that is taken is an error that names it") {
  const inspector first = inspector::listen("127.0.0.1:0");
  try {
    const inspector second = inspector::listen(first.address());
    CHECK(false);
  } catch (const std::system_error& e) {
    CHECK(mentions(e.what(), first.address()));
    CHECK(e.code() == std::errc::address_in_use);
  }
}

TEST_CASE("It ends with its object, moves with it, and leaves no thread and no descriptor") {
  const auto descriptors = open_descriptors();
  const auto threads = threads_of_this_process();
  const auto before = testing::live();
  {
    inspector one = inspector::listen("127.0.0.1:0");
    const std::string address = one.address();
    inspector two = std::move(one);
    CHECK(!one);
    CHECK(one.address().empty());
    CHECK(two.address() == address);
    CHECK(get(address, "/routines").status == 200);
    two = inspector::listen("127.0.0.1:0");
    CHECK_THROWS(connect_to(address));
    CHECK(get(two.address(), "/routines").status == 200);
    two = inspector();
    CHECK(!two);
  }
  while (threads_of_this_process() != threads) std::this_thread::yield();
  CHECK(open_descriptors() == descriptors);
  CHECK(testing::live().frames == before.frames);
}

TEST_CASE("It answers on a Unix socket, whose file is the user's own and goes with it") {
  const folder at;
  const std::string path = at / "inspect";
  {
    const inspector here = inspector::listen("unix:" + path);
    CHECK(here.address() == "unix:" + path);
    struct stat of{};
    CHECK(::stat(path.c_str(), &of) == 0);
    CHECK((of.st_mode & 0777) == 0600);
    CHECK(get(here.address(), "/routines").status == 200);
  }
  CHECK(::access(path.c_str(), F_OK) != 0);
  const inspector abstract = inspector::listen("unix:@ringo.test.%p");
  CHECK(abstract.address() == "unix:@ringo.test." + std::to_string(::getpid()));
  CHECK(ask(abstract.address(), "GET /routines HTTP/1.1\r\nHost: \r\n\r\n").status == 200);
}

TEST_CASE("It takes the place of a Unix socket's file whose program was killed, and of no other file") {
  const folder at;
  const std::string path = at / "inspect";
  const auto killed = run_in_a_child([&]() -> int {
    const inspector here = inspector::listen("unix:" + path);
    ::raise(SIGKILL);
    return 1;
  });
  REQUIRE(!killed.exited);
  REQUIRE(::access(path.c_str(), F_OK) == 0);
  std::atomic<int> listen = 0, fail = 0;
  std::atomic<bool> ends = false;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      try {
        const inspector here = inspector::listen("unix:" + path);
        ++listen;
        while (!ends) std::this_thread::yield();
      } catch (const std::system_error& e) {
        const std::string by = "process " + std::to_string(::getpid()) + " listens there already";
        fail += e.code() == std::errc::address_in_use && mentions(e.what(), by) ? 1 : 10;
      }
    });
  }
  while (listen + fail < 4) std::this_thread::yield();
  CHECK(listen == 1);
  CHECK(fail == 3);
  CHECK(get("unix:" + path, "/routines").status == 200);
  ends = true;
  for (auto& each : threads) each.join();
  CHECK(::access(path.c_str(), F_OK) != 0);

  std::ofstream(path) << "kept";
  CHECK_THROWS_AS(inspector::listen("unix:" + path), std::system_error);
  std::string text;
  std::ifstream(path) >> text;
  CHECK(text == "kept");
}

TEST_CASE("With RINGO_INSPECT a program that calls exit leaves no file of a Unix socket behind") {
  const folder at;
  const std::string path = at / "inspect";
  const auto end = run_in_a_child([&]() -> int {
    ::setenv("RINGO_INSPECT", ("unix:" + path).c_str(), 1);
    run([&]() -> task<> {
      std::exit(::access(path.c_str(), F_OK));
      co_return;
    });
    return 1;
  });
  CHECK(end.exited);
  CHECK(end.status == 0);
  CHECK(::access(path.c_str(), F_OK) != 0);
}

TEST_CASE("It does not answer another user on a Unix socket") {
  if (::geteuid() != 0) return reached("only root can be another user");
  const inspector here = inspector::listen("unix:@ringo.test.%p");
  const auto end = run_in_a_child([&] {
    if (::setuid(65534) != 0) return 2;
    return get(here.address(), "/routines").status == 0 ? 0 : 1;
  });
  CHECK(end.exited);
  CHECK(end.status == 0);
  CHECK(get(here.address(), "/routines").status == 200);
}

TEST_CASE("It answers GET and HEAD for names of this machine, and refuses all else") {
  const inspector here = inspector::listen("127.0.0.1:0");
  const auto status = [&](std::string_view request) { return ask(here.address(), request).status; };
  CHECK(status("GET /routines HTTP/1.1\r\nHost: 127.0.0.1:6060\r\n\r\n") == 200);
  CHECK(status("GET /routines?x=1 HTTP/1.1\r\nhost:localhost\r\n\r\n") == 200);
  CHECK(status("GET /routines HTTP/1.0\r\n\r\n") == 200);
  CHECK(status("GET /routines HTTP/1.1\r\nHost: localhost\r\nSec-Fetch-Site: same-origin\r\n\r\n") == 200);
  CHECK(status("GET / HTTP/1.1\r\nHost: localhost\r\nSec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\n\r\n") ==
        200);
  CHECK(status("GET /no HTTP/1.1\r\nHost: localhost\r\n\r\n") == 404);
  CHECK(
      status(
          "GET /routines HTTP/1.1\r\nHost: localhost\r\nSec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: cors\r\n\r\n") ==
      403);
  for (const char* host : {"evil.example.org", "localhost.evil.org", "127.0.0.1.evil.org", "10.0.0.1", "", "127.1",
                           "localhost:x", "[::2]", "user@localhost"}) {
    CAPTURE(host);
    CHECK(status("GET /routines HTTP/1.1\r\nHost: " + std::string(host) + "\r\n\r\n") == 403);
  }
  for (const char* request :
       {"GET /routines HTTP/1.1\r\n\r\n", "GET /routines HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n",
        "GET /routines HTTP/2\r\nHost: localhost\r\n\r\n", "GET  /routines HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "GET http://localhost/routines HTTP/1.1\r\nHost: localhost\r\n\r\n", "\x16\x03\x01\r\n\r\n", "\r\n\r\n",
        "GET /routines HTTP/1.1\r\nHost : localhost\r\n\r\n", "GET /routines HTTP/1.1\r\n Host: localhost\r\n\r\n",
        "GET /routines HTTP/1.1\r\nHost\r\n\r\n", "GET /rou\ntines HTTP/1.1\r\nHost: localhost\r\n\r\n"}) {
    CAPTURE(request);
    CHECK(status(request) == 400);
  }
  for (const char* method : {"POST", "PUT", "DELETE", "OPTIONS", "get"}) {
    CAPTURE(method);
    const http_reply r = ask(here.address(), method + std::string(" /routines HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    CHECK(r.status == 405);
    CHECK(mentions(r.head, "Allow: GET, HEAD\r\n"));
    CHECK(!mentions(r.head, "Access-Control"));
  }
  const http_reply get = ask(here.address(), "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
  const http_reply head = ask(here.address(), "HEAD / HTTP/1.1\r\nHost: localhost\r\n\r\n");
  CHECK(head.status == 200);
  CHECK(head.body.empty());
  CHECK(mentions(head.head, "Content-Length: " + std::to_string(get.body.size()) + "\r\n"));
  CHECK(status("GET /" + std::string(9000, 'a') + " HTTP/1.1\r\nHost: localhost\r\n\r\n") == 431);
  CHECK(status("GET / HTTP/1.1\r\nHost: localhost\r\nCookie: " + std::string(9000, 'a')) == 431);
}

TEST_CASE("The loopback addresses and localhost are local hosts, and other names are not") {
  for (const char* host : {"localhost", "LocalHost:80", "127.0.0.1", "127.255.0.3:65535", "[::1]", "[::1]:80"}) {
    CAPTURE(host);
    CHECK(detail::is_local_host(host));
  }
  for (const char* host : {"", ":80", "localhost.", "a.localhost", "127.0.0", "127.0.0.1.2", "127.a.0.1", "1127.0.0.1",
                           "[::1", "[::1]80", "::1", "[]", "127.0.0.1:80:80"}) {
    CAPTURE(host);
    CHECK(!detail::is_local_host(host));
  }
}

TEST_CASE("A client that sends no whole request is answered that it was too slow") {
  const duration before = std::exchange(detail::inspector_server::request_limit, duration(300ms));
  {
    const inspector here = inspector::listen("127.0.0.1:0");
    std::vector<descriptor> slow;
    for (std::size_t i = 0; i < detail::inspector_server::most_clients / 2; ++i) {
      slow.push_back(connect_to(here.address()));
      send_all(slow.back(), "GET /rou");
    }
    CHECK(get(here.address(), "/routines").status == 200);
    for (const descriptor& each : slow) CHECK(read_reply(each).status == 408);
    const descriptor silent = connect_to(here.address());
    ::shutdown(silent.native_handle(), SHUT_WR);
    CHECK(read_reply(silent).status == 0);
  }
  detail::inspector_server::request_limit = before;
}

TEST_CASE("Clients that are silent or do not read keep no other from an answer: those that are awaited longest go") {
  // Else each request waits for this long.
  const duration before = std::exchange(detail::inspector_server::request_limit, duration(10min));
  constexpr std::size_t most = detail::inspector_server::most_clients;
  for (const char* address : {"127.0.0.1:0", "unix:@ringo.test.%p"}) {
    const inspector here = inspector::listen(address);
    std::vector<descriptor> slow;
    for (std::size_t i = 0; i < 2 * most; ++i) {
      slow.push_back(connect_to(here.address()));
      send_all(slow.back(), i % 2 == 0 ? "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" : i % 3 == 0 ? "GET /rou" : "");
    }
    for (std::size_t i = 0; i < most; ++i) CHECK(get(here.address(), "/routines").status == 200);
    for (std::size_t i = 1; i < most; i += 2) CHECK(read_reply(slow[i]).status == 0);
    send_all(slow.back(), "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n");
    CHECK(read_reply(slow.back()).status == 200);
  }
  detail::inspector_server::request_limit = before;
}

TEST_CASE("Traces of the next seconds keep no other client from an answer, nor does the end of the inspector wait") {
  program recorded(until_cancelled(), {.workers = 1, .recorder = 1 << 16});
  while (!mentions(dump_of(recorded.its()), "(main): waits")) std::this_thread::yield();
  std::vector<descriptor> traces;
  {
    const inspector here = inspector::listen("127.0.0.1:0");
    for (std::size_t i = 0; i < detail::inspector_server::most_clients - 1; ++i) {
      traces.push_back(connect_to(here.address()));
      send_all(traces.back(), "GET /trace?seconds=60 HTTP/1.1\r\nHost: localhost\r\n\r\n");
    }
    for (int i = 0; i < 3; ++i) CHECK(get(here.address(), "/routines").status == 200);
  }
  for (const descriptor& each : traces) CHECK(read_reply(each).status == 0);
}

TEST_CASE("A client that goes away while its trace is made leaves its place to another one at once") {
  program recorded(until_cancelled(), {.workers = 1, .recorder = 1 << 16});
  while (!mentions(dump_of(recorded.its()), "(main): waits")) std::this_thread::yield();
  for (const char* address : {"127.0.0.1:0", "unix:@ringo.test.%p"}) {
    const inspector here = inspector::listen(address);
    for (int round = 0; round < 3; ++round) {  // each would take as long as a trace
      std::vector<descriptor> traces;
      for (std::size_t i = 0; i < detail::inspector_server::most_clients; ++i) {
        traces.push_back(connect_to(here.address()));
        send_all(traces.back(), i % 2 == 0 ? "GET /trace?seconds=60 HTTP/1.1\r\nHost: localhost\r\n\r\n"
                                           : "GET /recording?seconds=60 HTTP/1.1\r\nHost: localhost\r\n\r\n");
      }
      traces.clear();
      CHECK(get(here.address(), "/routines").status == 200);
    }
  }
}

TEST_CASE("It answers although the workers of a program are kept, and says what keeps them") {
  const inspector here = inspector::listen("127.0.0.1:0");
  int ends[2];
  REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
  std::atomic<bool> computes = true;
  {
    program blocked([](int from) -> task<> {
      char byte;
      CHECK(::read(from, &byte, 1) == 1);
      co_await until_cancelled();
    }(ends[0]));
    program computing([](std::atomic<bool>& goes_on) -> task<> {
      while (goes_on) {
      }
      co_await until_cancelled();
    }(computes));
    http_reply text;
    while (!mentions(text.body, "system call read") || !mentions(text.body, "It computes")) {
      text = get(here.address(), "/routines");
    }
    CAPTURE(text.body);
    CHECK(mentions(text.body, "No worker has answered within 1 s, so the routines are not known."));
    CHECK(mentions(text.body, "by the main routine, run at "));
    CHECK(mentions(text.body, "It is in the system call read (descriptor "));
    CHECK(mentions(text.body, "It computes ("));
    http_reply json = get(here.address(), "/routines.json");
    json.body.pop_back();
    CHECK(json_checker(json.body).is_valid());
    CHECK(mentions(json.body, "\"state\":\"kept\""));
    CHECK(mentions(json.body, "\"snapshot\":null"));
    CHECK(exposition(get(here.address(), "/metrics").body).families.at("ringo_routines_live").samples.size() == 2);
    CHECK(::write(ends[1], "x", 1) == 1);
    computes = false;
    while (mentions(get(here.address(), "/routines").body, "No worker has answered")) {
    }
    CHECK(mentions(get(here.address(), "/routines").body, "(main): waits"));
  }
  ::close(ends[0]);
  ::close(ends[1]);
}

namespace {

[[gnu::noinline]] void compute_until(const std::atomic<int>& go_on, int round) {
  while (go_on < round) {
  }
}
// A stall for each round that the test lets go on.
task<> stalls_twice(const std::atomic<int>& go_on) {
  for (int round = 1; round <= 2; ++round) {
    co_await sleep(1us);
    compute_until(go_on, round);
  }
}

}  // namespace

TEST_CASE("It tells of stalls, also while one goes on: how long, which routine, its places, its stack, and how many") {
  const inspector here = inspector::listen("127.0.0.1:0");
  const auto shown = [&](const char* path) { return get(here.address(), path).body; };
  const auto until_shown = [&](const char* path, auto... words) {
    std::string text;
    while (!(mentions(text, words) && ...)) text = shown(path);
    return text;
  };
  std::atomic<int> go_on = 0;
  runtime_options how{.workers = 1, .stall = 10ms};
  how.on_warning = [](std::string_view) {};
  program stalls(
      [](const std::atomic<int>& until) -> task<> {
        go(named("report \"7\"", stalls_twice), std::cref(until));
        co_await until_cancelled();
      }(go_on),
      how);
  const std::string kept = until_shown("/stalls", "worker 0 is kept, for ", "It computes (", "compute_until");
  CAPTURE(kept);
  CHECK(kept.starts_with("runtime "));
  CHECK(mentions(kept, " of more than 10 ms"));
  CHECK(mentions(kept, "by the routine \"report \"7\"\" started at "));
  CHECK(mentions(kept, "which last waited at "));
  CHECK(mentions(kept, "inspector.cpp:"));
  std::string json = until_shown("/stalls.json", "\"goes_on\":true", "compute_until");
  json.pop_back();
  CAPTURE(json);
  CHECK(json_checker(json).is_valid());
  for (const char* each : {"\"limit_ns\":10000000,", "\"name\":\"report \\\"7\\\"\"", "\"main\":false", "\"call\":\"\"",
                           "\"worker\":0", "\"routine\":2", "\"times\":1", "\"stack\":[\""})
    CHECK(mentions(json, each));
  go_on = 1;
  until_shown("/stalls.json", "\"times\":2");
  go_on = 2;
  const std::string both = until_shown("/stalls", "worker 0 was kept for ", " like it, the longest for ");
  CHECK(mentions(both, "compute_until"));  // the second stall came at once, and its stack is that of the first
  program ignorant(until_cancelled(), {.workers = 1, .stall = 0ms});
  until_shown("/stalls", "nothing looks for stalls: set RINGO_STALL=50ms");
  CHECK(mentions(shown("/stalls.json"), "\"limit_ns\":0,\"count\":0,\"stalls\":[]}"));
}

TEST_CASE("It shows all runtimes of the process, each as long as it runs") {
  const inspector here = inspector::listen("127.0.0.1:0");
  const auto shown = [&] { return get(here.address(), "/routines").body; };
  runtime not_begun({.workers = 1});
  CHECK(mentions(shown(), "it does not run yet"));
  {
    program first(until_cancelled()), second(until_cancelled(), 2);
    for (auto* each : {&first, &second}) {
      while (!mentions(dump_of(each->its()), "(main): waits")) std::this_thread::yield();
    }
    CHECK(mentions(shown(), "1 routine on 1 worker\n"));
    CHECK(mentions(shown(), "1 routine on 2 workers\n"));
    const exposition read(get(here.address(), "/metrics").body);
    CHECK(read.families.at("ringo_routines_live").samples.size() == 3);
    CHECK(read.families.at("ringo_parks_total").samples.size() == 4);
  }
  CHECK(!mentions(shown(), "(main)"));
}

TEST_CASE("A trace is what the recorder has, or gets from now on, and without a recorder it says so") {
  const inspector here = inspector::listen("127.0.0.1:0");
  const auto main = [&](const std::vector<std::string>& paths, auto check) {
    return [&here, paths, check]() mutable -> task<> {
      channel<int> c;
      auto ticks = go(
          [](channel<int> to) -> task<> {
            for (;;) {
              co_await sleep(10ms);
              to.try_send(1);
            }
          },
          c);
      co_await c.recv();
      for (const std::string& path : paths) check(co_await got(here, path));
      ticks.cancel();
    };
  };
  run(main({"/trace", "/trace?last=1", "/trace?seconds=1", "/trace?runtime=" + std::to_string(~0u)},
           [answers = 0](const http_reply& r) mutable {
             const bool no_such_runtime = answers++ == 3;
             CHECK(r.status == (no_such_runtime ? 404 : 200));
             if (no_such_runtime) return;
             CHECK(mentions(r.head, "Content-Type: application/json\r\nContent-Length: "));
             CHECK(mentions(r.head, "Content-Disposition: attachment; filename=\"trace."));
             CHECK(mentions(r.body, "\"traceEvents\""));
             CHECK(mentions(r.body, "inspector.cpp"));
           }),
      {.workers = 2, .recorder = 1 << 16});
  const folder files;
  run(main({"/recording?seconds=1", "/recording?last=1"},
           [&files](const http_reply& r) {
             CHECK(r.status == 200);
             CHECK(mentions(r.head, "Content-Type: application/octet-stream\r\nContent-Length: "));
             const std::string path = files.path() + "/a.ringo";
             std::ofstream(path, std::ios::binary) << r.body;
             const recording made = read_recording(path);
             CHECK(made.until - made.from <= 1s);  // it runs for longer
             CHECK(mentions(to_text(made), "inspector.cpp"));
           }),
      {.workers = 2, .recorder = 1 << 16});
  run(main({"/trace?seconds=1", "/recording"}, [](const http_reply& r) {
    CHECK(r.status == 409);
    CHECK(mentions(r.body, "RINGO_RECORD"));
  }));
  for (const char* wrong : {"/trace?seconds=0", "/trace?last=61", "/recording?last=61"})
    CHECK(get(here.address(), wrong).status == 400);
  CHECK(get(here.address(), "/trace").status == 404);  // no runtime runs
}

TEST_CASE("It has all routines searched for leaks, or says why not") {
  const inspector here = inspector::listen("127.0.0.1:0");
  on_each({scheduler_under_test::real(1), scheduler_under_test::real(4)}, [&](const scheduler_under_test& scheduler) {
    scheduler.run([&]() -> task<> {
      group g;
      g.go([]() -> task<> { co_await waits_for_ever(channel<int>()); });
      co_await until_parked("receive on channel");
      const http_reply text = co_await got(here, "/leaks");
      CHECK(text.status == 200);
      CHECK(text.body.starts_with("runtime "));
      http_reply json = co_await got(here, "/leaks.json");
      json.body.pop_back();
      CHECK(json_checker(json.body).is_valid());
      CHECK(mentions(json.body, "\"leaks\":{\"not_searched\":"));
      const bool searched = mentions(json.body, "\"not_searched\":\"\"");
      CHECK(mentions(json.body, searched ? "\"searched\":2" : "\"searched\":0"));
      // An old address in unused memory may hide a leak: of one worker hardly each of some; of several, the stacks keep
      // more of them. So a search may find one leak, or several at once: "waits for receive on channel 0x...", or
      // "2 routines wait for receive on a channel".
      bool is_found = false;
      for (std::size_t leaks = 1; can_search && !is_found && leaks <= 10; ++leaks) {
        leave_waiting();
        co_await until_parked("receive on channel", 1 + leaks);
        const http_reply again = co_await got(here, "/leaks");
        is_found = mentions(again.body, "nothing can wake these any more") && mentions(again.body, "for receive on ") &&
                   mentions(again.body, "inspector.cpp:");
      }
      if (scheduler.workers() == 1) CHECK(is_found == can_search);
      g.cancel();
      co_await g.wait();
    });
  });
  CHECK(get(here.address(), "/leaks").body == "no runtime\n");
}

TEST_CASE("Of routines that are alike as many are shown as were asked for, and the others are counted") {
  const inspector here = inspector::listen("127.0.0.1:0");
  on_each({scheduler_under_test::real(1), scheduler_under_test::real(4)}, [&](const scheduler_under_test& scheduler) {
    scheduler.run([&]() -> task<> {
      channel<int> c, other;
      mutex m;
      const auto held = co_await m.lock();
      group g;
      for (int i = 0; i < 100; ++i) g.go(waits_for_ever, c);
      g.go([](channel<int> from) -> task<> { co_await from.recv(); }, other);
      g.go([](mutex& of) -> task<> { (void)co_await of.lock(); }, std::ref(m));
      co_await until_parked("receive on channel", 101);
      co_await until_parked("the lock of mutex");
      const snapshot all = runtime::current().snapshot();
      const detail::thin_snapshot thin = detail::thin_out(all, 10);
      CHECK(thin.left.routines.size() == 13);  // with main
      CHECK(thin.more.size() == 1);
      CHECK(thin.more.front().count == 90);
      CHECK(thin.left.objects.size() == 3);
      for (const auto& r : thin.left.routines) {
        CHECK(r.is_main == !r.holds.empty());
        for (const std::size_t i : r.holds) CHECK(thin.left.objects[i].kind == "mutex");
        for (const std::size_t i : r.objects) CHECK(r.waits_for.find(thin.left.objects[i].text) != std::string::npos);
      }
      CHECK(detail::thin_out(all, 1000).left.routines.size() == all.routines.size());
      const http_reply thin_json = co_await got(here, "/routines.json?alike=10"),
                       whole = co_await got(here, "/routines.json");
      const auto routines_in = [](const http_reply& r) {
        std::size_t found = 0;
        for (std::size_t at = 0; (at = r.body.find("\"number\":", at)) != std::string::npos; ++at) ++found;
        return found;
      };
      CHECK(routines_in(thin_json) == 13);
      CHECK(mentions(thin_json.body, "\"count\":90}]"));
      CHECK(routines_in(whole) == 103);
      CHECK(mentions(whole.body, "\"left_out\":[]"));
      g.cancel();
      co_await g.wait();
    });
  });
}

TEST_CASE("A program may end at any time while its inspector is asked") {
  const inspector here = inspector::listen("127.0.0.1:0");
  std::atomic<bool> ends = false;
  std::atomic<int> answers = 0;
  std::vector<std::thread> clients;
  for (const char* path : {"/routines", "/routines.json", "/metrics"}) {
    clients.emplace_back([&, path] {
      while (!ends) answers += get(here.address(), path).status == 200 ? 1 : 0;
    });
  }
  for (std::size_t i = 0; i < stressed(50) || answers < 50; ++i) {
    run(
        []() -> task<> {
          group g;
          for (int k = 0; k < 20; ++k) g.go([]() -> task<> { co_await yield(); });
          co_await g.wait();
        },
        {.workers = static_cast<unsigned>(1 + i % 3)});
  }
  ends = true;
  for (auto& each : clients) each.join();
  reached("all clients have had their answers");
}

TEST_CASE("A deadlock is reported all the same, and run() returns") {
  const inspector here = inspector::listen("127.0.0.1:0");
  std::atomic<bool> ends = false;
  std::thread client([&] {
    while (!ends) get(here.address(), "/routines");
  });
  // The client's thread hides a deadlock, as any thread of the program does.
  run([]() -> task<> { co_await sleep(1ms); });
  ends = true;
  client.join();
  for (const unsigned workers : {1u, 2u, 4u}) {
    CHECK_THROWS_AS(run([]() -> task<> { co_await channel<int>().recv(); }, {.workers = workers}), deadlock);
  }
}

TEST_CASE("An inspector may be made and ended by a routine, on its only worker, and is no routine of the program") {
  run(
      []() -> task<> {
        const auto before = testing::live();
        inspector here = inspector::listen("127.0.0.1:0");
        const http_reply r = co_await got(here, "/routines");
        CHECK(mentions(r.body, "1 routine on 1 worker\n"));
        CHECK(testing::live().routines == before.routines);
        CHECK(runtime::current().snapshot().routines.size() == 1);
        here = inspector();
      },
      {.workers = 1});
  const inspector here = inspector::listen("127.0.0.1:0");
  CHECK(get(here.address(), "/routines").status == 200);
  channel<int> c(1);  // which the only thread may use as long as no runtime runs
  CHECK(c.try_send(1));
}

TEST_CASE("A simulation has no inspector") {
  testing::simulate({}, []() -> task<> {
    CHECK_THROWS_AS(inspector::listen("127.0.0.1:0"), std::logic_error);
    co_return;
  });
}

TEST_CASE("RINGO_INSPECT in the environment gives a program an inspector while it runs") {
  const auto end = run_in_a_child([] {
    ::setenv("RINGO_INSPECT", "unix:@ringo.test.%p", 1);
    const std::string address = "unix:@ringo.test." + std::to_string(::getpid());
    int answers = 0;
    for (int i = 0; i < 2; ++i) {
      run([&]() -> task<> {
        const http_reply r = co_await blocking([&] { return get(address, "/routines"); });
        answers += mentions(r.body, "(main)") ? 1 : 0;
      });
    }
    try {
      connect_to(address);
    } catch (const std::runtime_error&) {
      return answers == 2 ? 0 : 1;
    }
    return 2;
  });
  CHECK(end.exited);
  CHECK(end.status == 0);
  CHECK(mentions(end.errors, " listens at unix:@ringo.test."));
}

TEST_CASE("With RINGO_INSPECT one run may begin while the inspector of the last one ends") {
  const folder of;
  const std::string address = "unix:" + of / "inspector";
  const auto end = run_in_a_child([&] {
    ::setenv("RINGO_INSPECT", address.c_str(), 1);
    const auto runs = [] {
      for (std::size_t i = 0; i < stressed(300); ++i) run([]() -> task<> { co_return; }, {.workers = 1});
    };
    std::thread other(runs);
    runs();
    other.join();
    return 0;
  });
  CHECK(end.exited);
  CHECK(end.status == 0);
  CAPTURE(end.errors);
  CHECK(!mentions(end.errors, "warning"));
}

TEST_CASE("The warning that there is no inspector comes to a hook that may run another runtime") {
  const auto end = run_in_a_child([] {
    ::setenv("RINGO_INSPECT", "nonsense", 1);
    bool has_run = false;
    runtime_options o;
    o.on_warning = [&](std::string_view) {
      std::thread([&] { run([&]() -> task<> { co_return void(has_run = true); }); }).join();
    };
    run([]() -> task<> { co_return; }, o);
    return has_run ? 0 : 1;
  });
  CHECK(end.exited);
  CHECK(end.status == 0);
}

TEST_CASE("RINGO_INSPECT with an address that is wrong or taken is one warning, and the program runs") {
  const tcp_listener taken = tcp_listener::bind("127.0.0.1:0");
  for (const std::string& address : {taken.local().to_string(), std::string("0.0.0.0:0"), std::string("nonsense")}) {
    CAPTURE(address);
    const auto end = run_in_a_child([&] {
      ::setenv("RINGO_INSPECT", address.c_str(), 1);
      for (int i = 0; i < 2; ++i) run([]() -> task<> { co_return; });
      return 0;
    });
    CHECK(end.exited);
    CHECK(end.status == 0);
    CAPTURE(end.errors);
    const std::string warning =
        "ringo: warning: RINGO_INSPECT in the environment is \"" + address + "\", and is not used: ";
    CHECK(end.errors.starts_with(warning));
    CHECK(end.errors.find(warning, 1) == end.errors.npos);
  }
}
