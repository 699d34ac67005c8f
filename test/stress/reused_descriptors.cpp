// Connections that come and go so fast that the kernel gives each number out again at once, while operations on the one
// that had it are still being ended: no byte of one connection comes to another, and no close ends another (H6).
#include <doctest/doctest.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <ringo/ringo.hpp>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "dice.hpp"
#include "network.hpp"

using namespace ringo;
using namespace std::chrono_literals;

namespace {

class numbers_seen {
 public:
  void add(int number) {
    const std::lock_guard guard(mutex_);
    ++uses_;
    all_.insert(number);
  }
  std::size_t uses() const { return uses_; }
  std::size_t different() const { return all_.size(); }

 private:
  std::mutex mutex_;
  std::set<int> all_;
  std::size_t uses_ = 0;
};

// Whether they are the beginning of one tag, over and over.
bool are_of_one(std::string_view bytes, std::string_view tag) {
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    if (bytes[i] != tag[i % tag.size()]) return false;
  }
  return true;
}

// Gives back what comes, which is one client's, and leaves at a random moment.
task<> serve(tcp_stream s, std::uint64_t seed) {
  dice d(seed);
  std::string all;
  for (;;) {
    auto came = co_await select(s.recv(), sleep(std::chrono::microseconds(d.below(300))));
    if (came.index() == 1) {
      if (d.below(3) == 0) break;
      continue;
    }
    auto& some = std::get<0>(came);
    if (!some) break;
    all += some->text();
    co_await s.send(*some);
  }
  if (const std::size_t end = all.find(';'); end != all.npos) {
    const bool is_one = are_of_one(all, std::string_view(all).substr(0, end + 1));
    CHECK(is_one);
  }
  if (d.below(2) == 0) co_await s.close();
}

task<> be_a_client(endpoint at, std::string tag, std::uint64_t seed, numbers_seen& numbers) {
  dice d(seed);
  tcp_stream s = co_await tcp_stream::connect(at);
  numbers.add(s.native_handle());
  std::string much;
  while (much.size() < 30'000) much += tag;
  std::string came;
  {
    group both;
    both.go(
        [](tcp_stream& to, std::string_view text) -> task<> {
          for (;;) co_await to.send(text);
        },
        std::ref(s), std::string_view(much).substr(0, much.size() - much.size() % tag.size()));
    both.go(
        [](tcp_stream& from, std::string& all) -> task<> {
          while (auto some = co_await from.recv()) all += some->text();
        },
        std::ref(s), std::ref(came));
    co_await sleep(std::chrono::microseconds(d.below(400)));
    switch (d.below(4)) {
      case 0:  // under the feet of who sends and receives
        co_await s.close();
        break;
      case 1:
        reset_when_closed(s);
        co_await s.close();
        break;
      default:  // they are cancelled, and their operations are still in flight when it goes
        break;
    }
    context(both.ctx()).cancel();
    co_await outcome(both.wait());
  }
  const bool is_its_own = are_of_one(came, tag);
  CHECK(is_its_own);
}

}  // namespace

TEST_CASE("No byte of one connection comes to another that has its number (H6)") {
  const std::size_t rounds = stressed(60);
  on_the_network([=]() -> task<> {
    auto listener = listen_locally();
    numbers_seen numbers;
    auto accepting = go([&]() -> task<> {
      group serving(current_context(), on_error::keep_going);
      for (std::uint64_t n = 1;; ++n) {
        tcp_stream s = co_await listener.accept();
        numbers.add(s.native_handle());
        serving.go(serve, std::move(s), n);
      }
    });
    wait_group clients;
    for (std::size_t one = 0; one < 3; ++one) {
      clients.go([&, one]() -> task<> {
        for (std::size_t i = 0; i < rounds; ++i) {
          const std::size_t n = one * rounds + i;
          auto client = go(be_a_client, listener.local(), std::to_string(n) + ';', n + 1, std::ref(numbers));
          co_await client;
        }
      });
    }
    co_await clients.wait();
    accepting.cancel();
    co_await accepting.wait();
    // As it has to be for this test to be one.
    CHECK(numbers.uses() > 3 * rounds);
    CHECK(numbers.different() * 4 < numbers.uses());
  });
}
