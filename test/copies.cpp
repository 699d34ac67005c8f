// What is copied, and when: no copy is made before it is known to be needed.
#include <doctest/doctest.h>

#include <atomic>

#include "error_told.hpp"
#include "every_scheduler.hpp"
#include "states.hpp"

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

// Counts its copies and its moves.
struct movable {
  explicit movable(int n) : number(n) {}
  movable(const movable& from) : number(from.number) { ++copied; }
  movable(movable&& from) noexcept : number(from.number) { ++moved; }
  movable& operator=(const movable&) = delete;
  ~movable() {}

  int number;
  static inline std::atomic<int> copied = 0, moved = 0;
};

// Runs each way of a value through a channel. `in_hand` is how often more a receive that need not wait moves a value:
// with several workers it takes the value out under the lock, and gives it to the caller later.
task<> count_moves(int in_hand) {
  const auto expect = [](int copied, int moved) {
    const int copies_now = movable::copied.exchange(0), moves_now = movable::moved.exchange(0);
    CHECK(copies_now == copied);
    CHECK(moves_now == moved);
  };
  const channel<movable> ch(2);
  movable value(1);
  expect(0, 0);

  // Through the buffer: once in, once out.
  co_await ch.send(std::move(value));
  expect(0, 1);
  {
    const auto got = co_await ch.recv();
    CHECK(got->number == 1);
    expect(0, 1 + in_hand);
  }
  co_await ch.send(value);  // the copy is made first, for it may throw
  expect(1, 1);
  (void)co_await ch.recv();
  expect(0, 1 + in_hand);
  co_await ch.emplace(2);
  expect(0, 1);
  for (int i = 0; i < 2; ++i) {
    if (i == 1) ch.close();
    while (const auto got = co_await ch.recv()) {
      CHECK(got->number == 2);
      expect(0, 1 + in_hand);
      if (i == 0) break;
    }
  }
  expect(0, 0);

  // Attempts.
  const channel<movable> tried(1);
  CHECK(tried.try_send(std::move(value)));
  expect(0, 1);
  CHECK_FALSE(tried.try_send(std::move(value)));
  CHECK_FALSE(tried.try_send(value));
  expect(0, 0);
  {
    const auto got = tried.try_recv();
    CHECK(got->number == 1);
    expect(0, 1);
  }
  CHECK(tried.try_send(value));
  expect(1, 1);
  {
    const auto got = co_await select(tried.recv(), otherwise);
    CHECK(std::get<0>(got)->number == 1);
    expect(0, 2);
  }
  co_await select(tried.send(std::move(value)), otherwise);
  expect(0, 1);

  // From hand to hand: once into the operation of the receiver, once out of it.
  const channel<movable> direct;
  const auto receives = [direct]() -> task<int> {
    const auto got = co_await direct.recv();
    co_return got->number;
  };
  auto receiver = go(receives);
  co_await until_parked("receive on channel");
  co_await direct.send(std::move(value));
  const int number = co_await receiver;
  CHECK(number == 1);
  expect(0, 2);
  const auto sends = [](sender<movable> to) -> task<> {
    movable mine(3);
    co_await to.send(std::move(mine));
  };
  auto sender_first = go(sends, direct);
  co_await until_parked("send on channel");
  {
    const auto got = co_await direct.recv();
    CHECK(got->number == 3);
  }
  co_await sender_first;
  expect(0, 2);

  // A sender that waits for room: its value goes into the buffer, as without the wait.
  auto waits = go(sends, tried);
  co_await until_parked("send on channel");
  for (int i = 0; i < 2; ++i) (void)co_await tried.recv();
  co_await waits;
  expect(0, 3 + 2 * in_hand);
}

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

TEST_CASE("A channel moves a value once into its buffer, or to the receiver, and once to the caller") {
  scheduler_under_test::real(1).run([] { return count_moves(0); });
}

TEST_CASE("With several workers, a receive that need not wait moves its value once more") {
  for (const auto& scheduler : {scheduler_under_test::real(2), scheduler_under_test::simulated(4, 1)}) {
    scheduler.run([] { return count_moves(1); });
  }
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
