// TLS: what is sent arrives, once both sides trust each other, with the promises of every stream; and where they do
// not, it is told why.
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <ringo/ringo.hpp>
#include <ringo/tls.hpp>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include "error_told.hpp"
#include "hostile_driver.hpp"
#include "network.hpp"
#include "tls_certificate.hpp"

using namespace ringo;
using namespace std::chrono_literals;

namespace {

class tls_pair {
 public:
  tls_pair(tls_stream a, tls_stream b) : here(std::move(a)), there(std::move(b)) {}
  tls_stream here, there;
};

task<tls_pair> secure_pair(tls_context client, tls_context server, tcp_options o = {}) {
  connected c = co_await connect_pair(o);
  auto other = go(tls_stream::server(std::move(c.there), std::move(server)));
  tls_stream here = co_await tls_stream::client(std::move(c.here), "localhost", std::move(client));
  tls_stream there = co_await other;
  co_return tls_pair(std::move(here), std::move(there));
}

}  // namespace

TEST_CASE("both sides talk through TLS, and each ends in its own time") {
  on_the_network([]() -> task<> {
    tls_pair p = co_await secure_pair(own().client(), own().server());
    CHECK(p.here.version() == "TLSv1.3");
    co_await p.here.send("question");
    const auto asked = co_await p.there.recv();
    REQUIRE(asked);
    CHECK(asked->text() == "question");
    co_await p.here.shutdown_send();
    const auto end = co_await p.there.recv();
    CHECK(!end);
    co_await p.there.send("answer");
    std::array<char, 6> answer{};
    co_await p.here.read_exactly(answer);
    CHECK(std::string_view(answer.data(), 6) == "answer");
    co_await p.there.close();
    const auto over = co_await p.here.recv();
    CHECK(!over);
  });
}

TEST_CASE("the halves of a TLS stream serve two routines, and TLS ends when the writer is destroyed") {
  on_the_network([]() -> task<> {
    tls_pair p = co_await secure_pair(own().client(), own().server());
    auto [in, out] = std::move(p.here).split();
    auto sending = go(
        [](stream_writer to) -> task<> {
          co_await to.send(std::string(100'000, 'a'));
          co_await to.send("last");
        },
        std::move(out));
    std::string all;
    while (auto piece = co_await p.there.recv()) all += piece->text();  // throws unless TLS has ended
    co_await sending;
    CHECK(all == std::string(100'000, 'a') + "last");
    co_await p.there.send("answer");
    std::array<char, 6> answer{};
    co_await in.read_exactly(answer);
    CHECK(std::string_view(answer.data(), 6) == "answer");
  });
}

TEST_CASE("much passes through TLS both ways at once, whole and in order") {
  on_the_network([]() -> task<> {
    tcp_options small;
    small.send_buffer = small.receive_buffer = 8192;
    tls_pair p = co_await secure_pair(own().client(), own().server(), small);
    std::string much(3'000'000, '\0');
    for (std::size_t i = 0; i < much.size(); ++i) much[i] = static_cast<char>(i * 2654435761u >> 9);
    const auto send_all = [](tls_stream& s, const std::string& text) -> task<> {
      co_await s.send(text);
      co_await s.shutdown_send();
    };
    auto one = go(send_all, std::ref(p.here), std::cref(much));
    auto other = go(send_all, std::ref(p.there), std::cref(much));
    auto read_there = go([](tls_stream& s) -> task<std::string> { co_return co_await read_all(s); }, std::ref(p.there));
    const std::string here = co_await read_all(p.here);
    const std::string there = co_await read_there;
    CHECK(here == much);
    CHECK(there == much);
    co_await one;
    co_await other;
  });
}

TEST_CASE("a receive through TLS that loses a select has taken nothing (H3)") {
  on_the_network([]() -> task<> {
    tls_pair p = co_await secure_pair(own().client(), own().server());
    auto sending = go(
        [](tls_stream& s) -> task<> {
          for (int i = 0; i < 300; ++i) {
            const std::string line = std::to_string(i) + '\n';
            co_await s.send(line);
            if (i % 10 == 0) co_await sleep(100us);
          }
          co_await s.shutdown_send();
        },
        std::ref(p.here));
    std::string all;
    for (unsigned turn = 0;; ++turn) {
      auto came = co_await select(p.there.recv(), sleep(std::chrono::microseconds(turn % 60)));
      if (came.index() == 1) continue;
      const auto& some = std::get<0>(came);
      if (!some) break;
      all += some->text();
    }
    std::string expected;
    for (int i = 0; i < 300; ++i) expected += std::to_string(i) + '\n';
    CHECK(all == expected);
    co_await sending;
  });
}

TEST_CASE("a send through TLS that loses before it has begun leaves nothing, and what follows can be read") {
  run(
      []() -> task<> {
        tls_pair p = co_await secure_pair(own().client(), own().server());
        std::string expected;
        int losses = 0;
        for (int i = 0; i < 10; ++i) {
          const channel<int> other(1);
          auto rival = go([](channel<int> to) -> task<> { co_await to.send(0); }, other);
          const auto first = co_await select(p.here.send("lost"), other.recv());
          first.index() == 1 ? void(++losses) : void(expected += "lost");  // a busy machine may end a turn in between
          co_await rival;
        }
        CHECK(losses > 0);
        co_await p.here.send("sent");
        co_await p.here.shutdown_send();
        const std::string all = co_await read_all(p.there);
        CHECK(all == expected + "sent");
      },
      {.workers = 1});
}

TEST_CASE("TLS is whole both ways on a kernel that answers in hostile orders (c30)") {
  for (const unsigned workers : {1u, 3u}) {
    for (std::uint64_t seed = 0; seed < 8; ++seed) {
      CAPTURE(seed);
      const auto before = open_descriptors();
      hostile_deeds deeds;
      run_on_a_hostile_kernel(workers, seed, deeds, []() -> task<> {
        tls_pair p = co_await secure_pair(own().client(), own().server());
        const auto talk = [](tls_stream& s) -> task<> {
          constexpr std::size_t size = 100'000;
          auto sending = go(
              [](tls_stream& to) -> task<> {
                for (numbered_pieces cut(size); cut.next(7000);) co_await to.send(cut.piece());
                co_await to.shutdown_send();
              },
              std::ref(s));
          std::size_t at = 0;
          bool is_right = true;
          for (bool has_ended = false; !has_ended;) {
            auto came = co_await select(s.recv(), sleep(20us));
            if (came.index() == 1) continue;
            const auto& some = std::get<0>(came);
            has_ended = !some;
            if (some) {
              for (const char b : some->text()) is_right = is_right && b == numbered(at++);
            }
          }
          CHECK(is_right);
          CHECK(at == size);
          co_await sending;
        };
        wait_group both;
        both.go(talk, std::ref(p.here));
        both.go(talk, std::ref(p.there));
        co_await both.wait();
      });
      CHECK(open_descriptors() == before);
      CHECK(deeds.closed_wrong == 0);
    }
  }
}

TEST_CASE("a certificate that is not trusted, or is for another name, is refused with the reason") {
  on_the_network([]() -> task<> {
    for (const bool trusts : {false, true}) {
      connected c = co_await connect_pair();
      auto server = go(tls_stream::server(std::move(c.there), own().server()));
      const tls_context client = trusts ? own().client() : tls_context::client();
      auto refused =
          co_await outcome(tls_stream::client(std::move(c.here), trusts ? "example.org" : "localhost", client));
      REQUIRE(!refused.has_value());
      const std::string why = told(refused.error());
      CHECK(why.find("certificate") != std::string::npos);
      CHECK(why.find(trusts ? "mismatch" : "self") != std::string::npos);
      auto other = co_await outcome(server.join());
      CHECK(!other.has_value());
    }
    connected c = co_await connect_pair();
    auto server = go(tls_stream::server(std::move(c.there), own().server()));
    tls_stream by_address = co_await tls_stream::client(std::move(c.here), "127.0.0.1", own().client());
    CHECK(by_address);
    co_await server;
  });
}

TEST_CASE("a client without a certificate is refused where the server wants one") {
  on_the_network([]() -> task<> {
    connected c = co_await connect_pair();
    auto server = go(tls_stream::server(std::move(c.there), own().server({}, true)));
    auto client = co_await outcome(tls_stream::client(std::move(c.here), "localhost", own().client()));
    auto refused = co_await outcome(server.join());
    REQUIRE(!refused.has_value());
    CHECK(told(refused.error()).find("certificate") != std::string::npos);
    if (client.has_value()) {  // with TLS 1.3 it learns of it afterwards
      tls_stream s = std::move(client).value();
      auto hears = co_await outcome(s.recv());
      CHECK(!hears.has_value());
    }
    tls_pair with = co_await secure_pair(own().client({}, true), own().server({}, true));
    CHECK(with.here);
  });
}

TEST_CASE("the protocol is the server's first that the client has, too (RFC 7301)") {
  on_the_network([]() -> task<> {
    const std::array<std::string_view, 2> servers = {"h2", "http/1.1"}, clients = {"http/1.1", "h2"};
    const std::array<std::string_view, 1> others = {"gopher"};
    tls_pair p = co_await secure_pair(own().client(clients), own().server(servers));
    CHECK(p.here.alpn() == "h2");
    CHECK(p.there.alpn() == "h2");
    tls_pair none = co_await secure_pair(own().client(), own().server(servers));
    CHECK(none.here.alpn().empty());
    connected c = co_await connect_pair();
    auto server = go(tls_stream::server(std::move(c.there), own().server(servers)));
    auto refused = co_await outcome(tls_stream::client(std::move(c.here), "localhost", own().client(others)));
    CHECK(!refused.has_value());
    auto other = co_await outcome(server.join());
    CHECK(!other.has_value());
  });
}

TEST_CASE("a connection that is cut without TLS having ended is disconnected, not at its end") {
  on_the_network([]() -> task<> {
    connected c = co_await connect_pair();
    const int below = c.there.native_handle();
    auto server = go(tls_stream::server(std::move(c.there), own().server()));
    tls_stream here = co_await tls_stream::client(std::move(c.here), "localhost", own().client());
    tls_stream there = co_await server;
    co_await there.send("half");
    const auto half = co_await here.recv();
    CHECK(half);
    ::shutdown(below, SHUT_WR);
    auto cut = co_await outcome(here.recv());
    REQUIRE(!cut.has_value());
    CHECK_THROWS_AS(std::move(cut).value(), disconnected);
  });
}

TEST_CASE("what is no TLS is told so; a peer that says nothing leaves it to the time limit") {
  on_the_network([]() -> task<> {
    connected c = co_await connect_pair();
    co_await c.here.send("GET / HTTP/1.1\r\n\r\n");
    auto wrong = co_await outcome(tls_stream::server(std::move(c.there), own().server()));
    REQUIRE(!wrong.has_value());
    CHECK(told(wrong.error()).find("http request") != std::string::npos);
    connected silent = co_await connect_pair();
    auto late = co_await outcome(with_timeout(5ms, tls_stream::server(std::move(silent.there), own().server())));
    CHECK_THROWS_AS(std::move(late).value(), timed_out);
    const auto end = co_await outcome(silent.here.recv());
    CHECK((end.error() != nullptr || end.has_value()));
  });
}

TEST_CASE("TLS begins on a connection that has been used before (STARTTLS)") {
  on_the_network([]() -> task<> {
    connected c = co_await connect_pair();
    auto server = go(
        [](tcp_stream s) -> task<> {
          std::array<char, 8> asked{};
          co_await s.read_exactly(asked);
          co_await s.send("go ahead");
          tls_stream secure = co_await tls_stream::server(std::move(s), own().server());
          co_await secure.send("secret");
          co_await secure.close();
        },
        std::move(c.there));
    co_await c.here.send("STARTTLS");
    std::array<char, 8> answer{};
    co_await c.here.read_exactly(answer);
    tls_stream secure = co_await tls_stream::client(std::move(c.here), "localhost", own().client());
    const std::string all = co_await read_all(secure);
    CHECK(all == "secret");
    co_await server;
  });
}

TEST_CASE("files that are not there or are wrong are named") {
  tls_options o;
  CHECK_THROWS_AS(tls_context::server(o), std::invalid_argument);
  o.certificate_file = "/no/such/certificate.pem";
  try {
    tls_context::server(o);
    FAIL("a file that is not there was read");
  } catch (const std::system_error& e) {
    CHECK(std::string(e.what()).find("/no/such/certificate.pem") != std::string::npos);
  }
  o.certificate_file = own().key_file;
  CHECK_THROWS_AS(tls_context::server(o), std::system_error);
}

TEST_CASE("a simulation has no TLS: the files of a context are not read") {
  testing::simulate({}, []() -> task<> {
    CHECK(error_thrown_by([] { (void)tls_context::client(); }).find("in a simulation") != std::string::npos);
    CHECK(error_thrown_by([] { (void)tls_context::server({}); }).find("in a simulation") != std::string::npos);
    co_return;
  });
}

TEST_CASE(
    "an address with an interface is compared with the certificate without it, and a mismatch is said to be one") {
  on_the_network([]() -> task<> {
    for (const char* address : {"fe80::1%lo", "fe80::2%lo"}) {
      connected c = co_await connect_pair();
      auto server = go(tls_stream::server(std::move(c.there), own().server()));
      auto agreed = co_await outcome(tls_stream::client(std::move(c.here), address, own().client()));
      CHECK(agreed.has_value() == (std::string_view(address) == "fe80::1%lo"));
      if (!agreed.has_value()) CHECK(told(agreed).find("IP address mismatch") != std::string::npos);
      (void)co_await outcome(server.join());
    }
  });
}

TEST_CASE(
    "an error of a connection whose certificate is not asked for says nothing of certificates, and says it once") {
  on_the_network([]() -> task<> {
    connected c = co_await connect_pair();
    auto server = go(tls_stream::server(std::move(c.there), own().server()));
    tls_options o;
    o.verify_peer = false;
    tls_stream client = co_await tls_stream::client(std::move(c.here), "localhost", tls_context::client(o));
    tls_stream other = co_await server;
    // What is no TLS, past the other's TLS.
    const std::string rubbish(50, 'x');
    CHECK(::send(other.native_handle(), rubbish.data(), rubbish.size(), MSG_NOSIGNAL) == 50);
    auto failed = co_await outcome(client.recv());
    const std::string why = told(failed);
    CHECK(why == "ringo: TLS with localhost: wrong version number");
  });
}

TEST_CASE("a client that names no server is refused, since any certificate would do") {
  on_the_network([]() -> task<> {
    connected c = co_await connect_pair();
    auto refused = co_await outcome(tls_stream::client(std::move(c.here), "", own().client()));
    CHECK_THROWS_AS(std::move(refused).value(), std::invalid_argument);
  });
}
