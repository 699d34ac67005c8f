// Sends that are shorter than the kernel's buffer, to readers that are slower. Over epoll a routine makes the system
// call of such a send itself, and waits only for what the kernel has not taken.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/ioctl.h>

#include <atomic>
#include <coroutine>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <ringo/ringo.hpp>
#include <string>
#include <thread>
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

// An await of a send. If the send does not go on at once, and has done what `begun` asks for, another worker closes the
// stream and drops it before the send waits, or before its routine's next turn.
class send_that_is_overtaken {
 public:
  send_that_is_overtaken(detail::stream_send_operation& of, std::atomic<int>& at, std::function<bool()> begun)
      : of_(of), at_(at), begun_(std::move(begun)) {}
  bool await_ready() {
    if (of_.await_ready()) return true;
    if (begun_()) {
      for (at_ = 1; at_ != 2;) std::this_thread::yield();
    }
    return false;
  }
  template <class P>
  std::coroutine_handle<> await_suspend(std::coroutine_handle<P> coroutine) {
    return of_.await_suspend(coroutine);
  }
  void await_resume() { of_.await_resume(); }

 private:
  detail::stream_send_operation& of_;
  std::atomic<int>& at_;
  std::function<bool()> begun_;
};

int bytes_at(const tcp_stream& s) {
  int there = 0;
  return ::ioctl(s.native_handle(), FIONREAD, &there) == 0 ? there : 0;
}

// Drops the stream as soon as `at` is 1; then it is 2.
task<> drop(std::unique_ptr<tcp_stream>& stream, std::atomic<int>& at) {
  const int number = stream->native_handle();
  while (at == 0) co_await yield();
  if (at != 1) co_return;
  stream.reset();
  while (::fcntl(number, F_GETFD) >= 0) co_await yield();
  for (int i = 0; i < 100; ++i) co_await yield();
  at = 2;
}

TEST_CASE("A send that the kernel has taken in part keeps the stream until it waits") {
  scheduler_under_test::real(2).run([]() -> task<> {
    connected c = co_await connect_pair(small_buffers());
    auto here = std::make_unique<tcp_stream>(std::move(c.here));
    std::atomic<int> at = 0;  // 1: the peer has bytes; 2: the stream is closed; 3: the send has ended
    auto sends = go([&]() -> task<bool> {
      const std::string text(15'000, 'm');
      auto send = here->send(text);
      bool failed = false;
      try {
        co_await send_that_is_overtaken(send, at, [&] { return bytes_at(c.there) != 0; });
      } catch (const disconnected&) {
        failed = true;
      }
      co_return at.exchange(3) != 2 || failed;
    });
    auto drops = go([&]() -> task<> { return drop(here, at); });
    while (at == 0) {  // a driver that makes no call at once needs a reader
      co_await yield();
      if (bytes_at(c.there) != 0 && at == 0) co_await c.there.recv();
    }
    const bool as_it_should = co_await sends;
    CHECK(as_it_should);
    co_await drops;
  });
}

TEST_CASE("A send that has failed names its stream, which goes before the routine's next turn") {
  scheduler_under_test::real(2).run([]() -> task<> {
    connected c = co_await connect_pair();
    co_await c.here.shutdown_send();
    auto here = std::make_unique<tcp_stream>(std::move(c.here));
    const std::string name = here->peer().to_string();
    std::atomic<int> at = 0;
    auto sends = go([&]() -> task<std::string> {
      for (;;) {
        auto send = here->send("m");
        try {
          co_await send_that_is_overtaken(send, at, [] { return true; });
        } catch (const disconnected& e) {
          if (at == 2) co_return e.what();
        }
      }
    });
    co_await drop(here, at);
    const std::string told = co_await sends;
    CHECK(told.find(name) != std::string::npos);
  });
}
