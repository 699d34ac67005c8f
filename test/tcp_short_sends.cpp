// Sends that are shorter than the kernel's buffer, to readers that are slower. Over epoll a routine makes the system
// call of such a send itself, and waits only for what the kernel has not taken.
#include <doctest/doctest.h>

#include <cstddef>
#include <functional>
#include <optional>
#include <ringo/ringo.hpp>
#include <string>
#include <utility>

#include "every_scheduler.hpp"
#include "network.hpp"
#include "states.hpp"

using namespace ringo;

namespace {

constexpr std::size_t length = 5000;

std::string message(char letter) { return std::string(length - 1, letter) + '\n'; }

tcp_options small_buffers() {
  tcp_options small;
  small.send_buffer = small.receive_buffer = 4096;
  return small;
}

// Sends as long as it may, and counts the sends that have returned.
task<> send_for_ever(tcp_stream& to, std::size_t& sent) {
  for (const std::string text = message('m');; ++sent) co_await to.send(text);
}

}  // namespace

TEST_CASE("Short sends of several routines arrive whole, and a close behind the last one loses none") {
  on_the_network([]() -> task<> {
    constexpr int each_sends = 60;
    connected c = co_await connect_pair(small_buffers());
    auto all_sent = go(
        [](tcp_stream to) -> task<> {
          group senders;
          for (const char letter : {'a', 'b', 'c'}) {
            senders.go(
                [](tcp_stream& s, char l) -> task<> {
                  for (int i = 0; i < each_sends; ++i) co_await s.send(message(l));
                },
                std::ref(to), letter);
          }
          co_await senders.wait();
          co_await to.close();
        },
        std::move(c.here));
    int whole = 0;
    for (std::string line(length, '\0'); whole < 3 * each_sends; ++whole) {
      co_await c.there.read_exactly(line);
      if (line != message(line[0])) break;
      if (whole % 7 == 0) co_await yield();
    }
    CHECK(whole == 3 * each_sends);
    CHECK(!co_await c.there.recv());
    co_await all_sent;
  });
}

TEST_CASE("A short send that is cancelled while it waits for room has been sent in part, or not at all") {
  on_the_network([]() -> task<> {
    connected c = co_await connect_pair(small_buffers());
    std::size_t sent = 0;
    auto sender = go(send_for_ever, std::ref(c.here), std::ref(sent));
    co_await until_parked("bytes to be taken by");
    sender.cancel();
    auto ended = co_await outcome(sender.join());
    CHECK_THROWS_AS(std::move(ended).value(), cancelled);
    auto later = go(
        [](tcp_stream to) -> task<bool> {
          auto o = co_await outcome(to.send("later"));
          co_await to.close();
          if (!o.has_value()) CHECK_THROWS_AS(std::move(o).value(), disconnected);
          co_return o.has_value();
        },
        std::move(c.here));
    const std::string all = co_await read_all(c.there);
    const bool was_cut = !co_await later;
    const std::size_t whole = all.size() / length;
    CHECK(whole >= sent);
    for (std::size_t i = 0; i < whole; ++i) CHECK(all.substr(i * length, length) == message('m'));
    const std::string rest = all.substr(whole * length);
    CHECK((rest == "later" || rest == message('m').substr(0, rest.size())));
    CHECK((was_cut || rest == "later"));
  });
}

TEST_CASE("A close ends a short send that waits for room") {
  on_the_network([]() -> task<> {
    connected c = co_await connect_pair(small_buffers());
    std::size_t sent = 0;
    auto sender = go(send_for_ever, std::ref(c.here), std::ref(sent));
    co_await until_parked("bytes to be taken by");
    co_await c.here.close();
    auto ended = co_await outcome(sender.join());
    CHECK_THROWS_AS(std::move(ended).value(), disconnected);
  });
}
