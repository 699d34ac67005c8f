// What is copied, and when: no copy is made before it is known to be needed.
#include <doctest/doctest.h>

#include <atomic>

#include "error_told.hpp"
#include "every_scheduler.hpp"

using namespace ringo;

namespace {

std::atomic<int> copies = 0;

// Counts its copies; as a function too.
struct counted {
  counted() = default;
  counted(const counted&) { ++copies; }
  counted(counted&&) noexcept {}
  counted& operator=(const counted&) = delete;
  ~counted() {}
  task<> operator()() const { co_return; }
};

int copies_made_by(auto f) {
  const int before = copies;
  f();
  return copies - before;
}

}  // namespace

TEST_CASE("try_send of a value that is only lent copies it once if it sends it, and not at all if it does not") {
  on_two_schedulers([]() -> task<> {
    const counted value;
    const channel<counted> ch(1);
    CHECK(copies_made_by([&] { CHECK(ch.try_send(value)); }) == 1);
    CHECK(copies_made_by([&] { CHECK_FALSE(ch.try_send(value)); }) == 0);  // full
    (void)co_await ch.recv();
    CHECK(copies_made_by([&] { CHECK(ch.try_send(value)); }) == 1);
    ch.close();
    CHECK(copies_made_by([&] { CHECK_THROWS_AS(ch.try_send(value), channel_closed); }) == 0);
    const auto nil = channel<counted>::nil();
    CHECK(copies_made_by([&] { CHECK_FALSE(nil.try_send(value)); }) == 0);

    const channel<counted> rendezvous;
    CHECK(copies_made_by([&] { CHECK_FALSE(rendezvous.try_send(value)); }) == 0);
    const auto receives = [rendezvous]() -> task<> { (void)co_await rendezvous.recv(); };
    const auto receiver = go(receives);
    int made = 0;
    for (bool sent = false; !sent; co_await yield()) made += copies_made_by([&] { sent = rendezvous.try_send(value); });
    CHECK(made == 1);
    co_await receiver;
  });
}

TEST_CASE("A receiver that has been taken by another case of its select is no reason for a copy") {
  on_simulated_schedulers([]() -> task<> {
    const counted value;
    const channel<counted> ch;
    const channel<> other;
    const auto selects = [ch, other]() -> task<> { (void)co_await select(ch.recv(), other.recv()); };
    const auto routine = go(selects);
    for (bool sent = false; !sent; co_await yield()) sent = other.try_send();
    CHECK(copies_made_by([&] { CHECK_FALSE(ch.try_send(value)); }) == 0);
    co_await routine;
  });
}

TEST_CASE("tee copies a value for all outputs but one, which gets the value itself") {
  on_two_schedulers([]() -> task<> {
    for (const int n : {1, 2, 5}) {
      const channel<counted> in(1);
      in.try_send(counted());
      in.close();
      const int before = copies;
      auto outputs = tee(in, static_cast<std::size_t>(n));
      wait_group all;
      const auto reads = [](receiver<counted> from) -> task<> {
        while (auto value = co_await from.recv()) {
        }
      };
      for (auto& out : outputs) all.go(reads, std::move(out));
      co_await all.wait();
      CHECK(copies - before == n - 1);
    }
  });
}

TEST_CASE("once does not copy a function that it will not run, nor does try_go at the limit") {
  on_two_schedulers([]() -> task<> {
    const counted f;
    once o;
    co_await o.call(f);
    const int before = copies;
    co_await o.call(f);
    CHECK(copies == before);

    group g;
    g.limit(1);
    const channel<> go_on;
    g.go([go_on]() -> task<> { (void)co_await go_on.recv(); });
    CHECK(copies_made_by([&] { CHECK_FALSE(g.try_go(f)); }) == 0);
    go_on.close();
    co_await g.wait();
    CHECK(copies_made_by([&] { CHECK(g.try_go(f)); }) == 1);
    co_await g.wait();
  });
}

TEST_CASE("A call of a once that has run is still an await, and ends with `cancelled` in a cancelled routine") {
  on_two_schedulers([]() -> task<> {
    once o;
    co_await o.call([] {});
    const context c = context::with_cancel();
    c.cancel();
    const auto ended = co_await outcome(with_context(c, o.call([] {})));
    CHECK(told(ended.error()) == "cancelled");
  });
}
