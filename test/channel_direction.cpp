// One-way handles, and ranging over a channel.
#include <doctest/doctest.h>

#include <atomic>
#include <concepts>
#include <cstddef>
#include <exception>
#include <functional>
#include <optional>
#include <ringo/ringo.hpp>
#include <type_traits>
#include <utility>
#include <vector>

#include "every_scheduler.hpp"

using namespace ringo;

namespace {

template <class H>
concept can_recv = requires(const H& h) { h.recv(); };
template <class H>
concept can_try_recv = requires(const H& h) { h.try_recv(); };
template <class H>
concept can_send = requires(const H& h) { h.send(1); };
template <class H>
concept can_try_send = requires(const H& h) { h.try_send(1); };
template <class H>
concept can_emplace = requires(const H& h) { h.emplace(1); };
template <class H>
concept can_close = requires(const H& h) { h.close(); };
template <class H>
concept can_close_with_error = requires(const H& h, std::exception_ptr e) { h.close(e); };
template <class H>
concept can_try_close = requires(const H& h) { h.try_close(); };
template <class H>
concept can_signal = requires(const H& h) { h.send(); };

template <class... C>
concept have_distinct_ends = (... && (!std::convertible_to<sender<C>, channel<C>> &&        //
                                      !std::convertible_to<receiver<C>, channel<C>> &&      //
                                      !std::convertible_to<sender<C>, receiver<C>> &&       //
                                      !std::convertible_to<receiver<C>, sender<C>> &&       //
                                      !std::constructible_from<channel<C>, sender<C>> &&    //
                                      !std::constructible_from<channel<C>, receiver<C>> &&  //
                                      !std::constructible_from<sender<C>, receiver<C>> &&   //
                                      !std::constructible_from<receiver<C>, sender<C>> &&   //
                                      std::convertible_to<channel<C>, sender<C>> &&         //
                                      std::convertible_to<channel<C>, receiver<C>>));

task<> produce(sender<int> out, int count) {
  for (int i = 0; i != count; ++i) co_await out.send(i);
  out.close();
}

task<int> sum_of(receiver<int> in) {
  int sum = 0;
  while (auto value = co_await in.recv()) sum += *value;
  co_return sum;
}

}  // namespace

TEST_CASE("a channel converts to either end; an end converts to nothing else (semantics 36)") {
  static_assert(have_distinct_ends<int, std::vector<int>, void>);
  static_assert(!std::convertible_to<channel<int>, sender<long>>);
  static_assert(!std::convertible_to<channel<int>, receiver<long>>);
  static_assert(!std::convertible_to<channel<int>, channel<long>>);
  static_assert(!std::convertible_to<std::size_t, channel<int>>);
  static_assert(!std::convertible_to<channel<int>, bool>);
  static_assert(std::copyable<channel<int>> && std::copyable<sender<int>> && std::copyable<receiver<int>>);
  static_assert(std::copyable<channel<void>> && std::copyable<sender<void>> && std::copyable<receiver<void>>);
  static_assert(std::is_nothrow_move_constructible_v<channel<int>>);
  static_assert(std::same_as<channel<int>::value_type, int>);
  static_assert(std::same_as<sender<int>::value_type, int>);
  static_assert(std::same_as<receiver<int>::value_type, int>);

  channel<int> ch(3);
  const sender<int> tx = ch;
  const receiver<int> rx = ch;
  CHECK(tx.capacity() == 3);
  CHECK(tx.try_send(1));
  CHECK(rx.size() == 1);
  CHECK(tx.size() == 1);
  CHECK(rx.capacity() == 3);
  auto value = rx.try_recv();
  CHECK(value == 1);
  CHECK(tx == sender<int>(ch));
  CHECK(rx == receiver<int>(ch));
  tx.close();
  CHECK(rx.is_drained());
}

TEST_CASE("an end has no operation of the other direction: a receiver cannot even close (semantics 29, 36)") {
  static_assert(can_recv<receiver<int>> && can_try_recv<receiver<int>>);
  static_assert(!can_send<receiver<int>> && !can_try_send<receiver<int>> && !can_emplace<receiver<int>>);
  static_assert(!can_close<receiver<int>> && !can_try_close<receiver<int>> && !can_close_with_error<receiver<int>>);

  static_assert(can_send<sender<int>> && can_try_send<sender<int>> && can_emplace<sender<int>>);
  static_assert(can_close<sender<int>> && can_try_close<sender<int>> && can_close_with_error<sender<int>>);
  static_assert(!can_recv<sender<int>> && !can_try_recv<sender<int>>);

  static_assert(can_signal<channel<void>> && can_recv<channel<void>>);
  static_assert(can_signal<sender<void>> && !can_recv<sender<void>>);
  static_assert(can_recv<receiver<void>> && !can_signal<receiver<void>>);
  static_assert(!can_close<receiver<void>> && !can_try_close<receiver<void>>);

  // The check above looks for the names that a channel has.
  static_assert(can_send<channel<int>> && can_try_send<channel<int>> && can_emplace<channel<int>>);
  static_assert(can_recv<channel<int>> && can_try_recv<channel<int>>);
  static_assert(can_close<channel<int>> && can_try_close<channel<int>> && can_close_with_error<channel<int>>);
  CHECK(can_recv<receiver<int>>);
}

TEST_CASE("arguments of a started routine convert to the ends that it takes (semantics 36)") {
  on_every_scheduler([]() -> task<> {
    channel<int> ch;
    auto producing = go(produce, ch, 100);
    const int sum = co_await sum_of(ch);
    co_await producing;
    CHECK(sum == 4950);
    CHECK(ch.is_drained());
  });
}

TEST_CASE("ranging sees everything that was sent before the close, and ends (semantics 37)") {
  on_every_scheduler([]() -> task<> {
    for (std::size_t capacity : {0u, 1u, 50u, 100u}) {
      channel<int> ch(capacity);
      auto producing = go(produce, ch, 100);
      int next = 0;
      while (auto value = co_await ch.recv()) {
        CHECK(*value == next);
        ++next;
      }
      co_await producing;
      CHECK(next == 100);
    }

    channel<int> queued(3);
    for (int i = 1; i != 4; ++i) co_await queued.send(i);
    queued.close();
    const int sum = co_await sum_of(queued);
    CHECK(sum == 6);
  });
}

TEST_CASE("leaving a range early leaves the rest in the channel (semantics 38)") {
  on_every_scheduler([]() -> task<> {
    channel<int> ch(10);
    for (int i = 0; i != 10; ++i) co_await ch.send(i);
    ch.close();
    while (auto value = co_await ch.recv()) {
      if (*value == 3) break;
    }
    CHECK(ch.size() == 6);
    auto next = co_await ch.recv();
    CHECK(next == 4);
    const int rest = co_await sum_of(ch);
    CHECK(rest == 5 + 6 + 7 + 8 + 9);
  });
}

TEST_CASE("several routines range over one channel: each value goes to one of them, and all end (semantics 39)") {
  on_every_scheduler([]() -> task<> {
    for (std::size_t capacity : {0u, 5u}) {
      channel<int> ch(capacity);
      std::vector<std::vector<int>> taken(5);
      wait_group all;
      for (auto& mine : taken) {
        all.go([ch, &mine]() -> task<> {
          while (auto value = co_await ch.recv()) mine.push_back(*value);
        });
      }
      all.go(produce, ch, 500);
      co_await all.wait();
      std::vector<int> times(500, 0);
      bool each_in_order = true;
      for (const auto& mine : taken) {
        int last = -1;
        for (int value : mine) {
          each_in_order = each_in_order && value > last;
          last = value;
          ++times.at(static_cast<std::size_t>(value));
        }
      }
      CHECK(each_in_order);
      CHECK(times == std::vector<int>(500, 1));
    }
  });
}

TEST_CASE("ends keep their channel alive (semantics 18, 36)") {
  on_every_scheduler([]() -> task<> {
    sender<int> tx;
    receiver<int> rx;
    {
      channel<int> ch(1);
      tx = ch;
      rx = ch;
    }
    co_await tx.send(8);
    auto value = co_await rx.recv();
    CHECK(value == 8);
    tx.close();
    CHECK(rx.is_drained());
  });
}
