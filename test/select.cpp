// Select: which case commits, when, and what the others leave behind.
#include <doctest/doctest.h>
#include <malloc.h>

#include <array>
#include <atomic>
#include <initializer_list>
#include <memory>
#include <optional>
#include <ringo/ringo.hpp>
#include <stdexcept>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "every_scheduler.hpp"
#include "task_ending.hpp"

using namespace ringo;
using namespace std::chrono_literals;

namespace {

template <class F>
void check_waits_for_ever(F make_main) {
  on_each(every_scheduler(3),
          [&](const scheduler_under_test& scheduler) { CHECK_THROWS_AS(scheduler.run(make_main), deadlock); });
}

}  // namespace

TEST_CASE("Exactly one case of a select commits, and the others have had no effect (52)") {
  on_every_scheduler([]() -> task<> {
    for (int round = 0; round != 100; ++round) {
      channel<int> left(1), right(1), out(1);
      left.try_send(1);
      right.try_send(2);
      auto r = co_await select(left.recv(), right.recv(), out.send(3));
      CHECK(left.size() == (r.index() == 0 ? 0 : 1));
      CHECK(right.size() == (r.index() == 1 ? 0 : 1));
      CHECK(out.size() == (r.index() == 2 ? 1 : 0));
      if (r.index() == 0) CHECK(std::get<0>(r) == 1);
      if (r.index() == 1) CHECK(std::get<1>(r) == 2);
      if (r.index() == 2) CHECK(out.try_recv() == 3);
    }
  });
}

TEST_CASE("A select that sends each value on one of four channels sends none twice and loses none (52, 80)") {
  on_every_scheduler([]() -> task<> {
    constexpr int values = 500;
    std::vector<channel<int>> channels(4);
    channel<int> together;
    wait_group forwarders;
    for (const auto& from : channels) {
      forwarders.go([from, together]() -> task<> {
        while (auto value = co_await from.recv()) co_await together.send(*value);
      });
    }
    go([channels]() -> task<> {
      for (int i = 0; i != values; ++i) {
        co_await select(channels[0].send(i), channels[1].send(i), channels[2].send(i), channels[3].send(i));
      }
      for (const auto& each : channels) each.close();
    });
    go([&forwarders, together]() -> task<> {
      co_await forwarders.wait();
      together.close();
    });
    std::vector<int> seen(values);
    while (auto value = co_await together.recv()) ++seen[static_cast<std::size_t>(*value)];
    CHECK(seen == std::vector<int>(values, 1));
  });
}

TEST_CASE(
    "Selecting senders and selecting receivers on the same channels deliver every value exactly once (10, 52, 67, "
    "80)") {
  for (const auto capacity : std::initializer_list<std::size_t>{0, 1, 3}) {
    on_every_scheduler(
        [capacity]() -> task<> {
          constexpr int senders = 4;
          constexpr int each_sends = 100;
          std::vector<channel<int>> channels;
          for (int i = 0; i != 4; ++i) channels.emplace_back(capacity);
          std::vector<std::atomic<int>> seen(senders * each_sends);
          wait_group sending, receiving;
          for (int s = 0; s != senders; ++s) {
            sending.go([channels, s]() -> task<> {
              for (int i = 0; i != each_sends; ++i) {
                const int id = s * each_sends + i;
                co_await select(channels[0].send(id), channels[1].send(id), channels[2].send(id), channels[3].send(id));
              }
            });
          }
          for (int i = 0; i != 4; ++i) {
            receiving.go([channels, &seen]() mutable -> task<> {
              for (std::size_t open = channels.size(); open != 0;) {
                auto r =
                    co_await select(channels[0].recv(), channels[1].recv(), channels[2].recv(), channels[3].recv());
                const auto value = std::visit([](std::optional<int> v) { return v; }, r);
                if (value) {
                  ++seen[static_cast<std::size_t>(*value)];
                } else {
                  channels[r.index()] = channel<int>::nil();
                  --open;
                }
              }
            });
          }
          co_await sending.wait();
          for (const auto& each : channels) each.close();
          co_await receiving.wait();
          int wrong = 0;
          for (const auto& times : seen) wrong += times != 1;
          CHECK(wrong == 0);
        },
        4);
  }
}

TEST_CASE("Among several ready cases the choice is uniform (53)") {
  on_every_scheduler(
      []() -> task<> {
        constexpr int draws = 4000;
        channel<void> a(1), b(1), c(1), d(1);
        std::array<int, 4> taken{};
        for (int i = 0; i != draws; ++i) {
          for (const auto& each : {a, b, c, d}) each.try_send();
          auto r = co_await select(a.recv(), b.recv(), c.recv(), d.recv());
          ++taken[r.index()];
        }
        // 200 is more than seven standard deviations.
        for (int times : taken) {
          CHECK(times > draws / 4 - 200);
          CHECK(times < draws / 4 + 200);
        }
      },
      3);
}

TEST_CASE("Ready sends and ready receives have the same chance, whatever their order in the select (53, 76)") {
  on_every_scheduler(
      []() -> task<> {
        constexpr int draws = 2000;
        int sent_listed_first = 0, sent_listed_last = 0;
        for (int i = 0; i != draws; ++i) {
          channel<int> full(1), empty(1);
          full.try_send(1);
          auto r = co_await select(empty.send(2), full.recv());
          sent_listed_first += r.index() == 0;
          empty.try_recv();
          full.try_send(1);
          auto s = co_await select(full.recv(), empty.send(2));
          sent_listed_last += s.index() == 1;
        }
        for (int times : {sent_listed_first, sent_listed_last}) {
          CHECK(times > draws / 2 - 170);
          CHECK(times < draws / 2 + 170);
        }
      },
      3);
}

TEST_CASE(
    "Two sends of one select on the same channel are each taken about as often, with a buffer and without (53, 54)") {
  for (const auto capacity : std::initializer_list<std::size_t>{0, 100}) {
    on_every_scheduler(
        [capacity]() -> task<> {
          constexpr int values = 1000;
          channel<int> c(capacity);
          int ones = 0;
          auto receiving = go([c, &ones]() -> task<> {
            for (int i = 0; i != values; ++i) {
              const auto value = co_await c.recv();
              ones += value.value();
            }
          });
          for (int i = 0; i != values; ++i) co_await select(c.send(0), c.send(1));
          co_await receiving;
          CHECK(ones > values / 2 - 120);
          CHECK(ones < values / 2 + 120);
        },
        4);
  }
}

TEST_CASE("A select that is parked twice on one channel has queued its cases in random order (54)") {
  on_simulated_schedulers(
      []() -> task<> {
        constexpr int rounds = 400;
        channel<int> c;
        int second = 0;
        for (int i = 0; i != rounds; ++i) {
          auto parked = go([c]() -> task<std::size_t> {
            auto r = co_await select(c.recv(), c.recv());
            co_return r.index();
          });
          co_await testing::settle();
          CHECK(c.try_send(i));
          const auto index = co_await parked;
          second += index == 1;
        }
        CHECK(second > rounds / 2 - 80);
        CHECK(second < rounds / 2 + 80);
      },
      3);
}

TEST_CASE("After parking, the first event that happens decides (55)") {
  on_simulated_schedulers([]() -> task<> {
    channel<int> a, b;
    go([a, b]() -> task<> {
      co_await sleep(1s);
      co_await b.send(7);
      co_await a.send(8);
    });
    auto r = co_await select(a.recv(), b.recv());
    REQUIRE(r.index() == 1);
    CHECK(std::get<1>(r) == 7);
    const auto rest = co_await a.recv();
    CHECK(rest == 8);

    auto later_first = co_await select(sleep(2s), sleep(1s));
    CHECK(later_first.index() == 1);
    auto sooner_first = co_await select(sleep(1s), sleep(2s));
    CHECK(sooner_first.index() == 0);
  });
}

TEST_CASE("Otherwise is taken exactly when no other case is ready (56)") {
  on_every_scheduler([]() -> task<> {
    channel<int> c(1);
    auto empty = co_await select(c.recv(), otherwise);
    CHECK(empty.index() == 1);
    auto room = co_await select(c.send(1), otherwise);
    CHECK(room.index() == 0);
    auto full = co_await select(c.send(2), otherwise);
    CHECK(full.index() == 1);
    auto there = co_await select(c.recv(), otherwise);
    REQUIRE(there.index() == 0);
    CHECK(std::get<0>(there) == 1);
    CHECK(c.size() == 0);
  });
}

TEST_CASE("Otherwise meets a parked partner: a waiting receiver or sender makes the case ready (6, 56)") {
  on_simulated_schedulers([]() -> task<> {
    channel<int> c;
    auto receiver = go([c]() -> task<std::optional<int>> { co_return co_await c.recv(); });
    co_await testing::settle();
    auto sent = co_await select(c.send(5), otherwise);
    CHECK(sent.index() == 0);
    const auto received = co_await receiver;
    CHECK(received == 5);

    auto sender = go([c]() -> task<> { co_await c.send(6); });
    co_await testing::settle();
    auto got = co_await select(c.recv(), otherwise);
    REQUIRE(got.index() == 0);
    CHECK(std::get<0>(got) == 6);
    co_await sender;
  });
}

TEST_CASE("While one of two channels is always ready, otherwise is never taken (57)") {
  const auto rounds = stressed(1500);
  on_real_schedulers([rounds]() -> task<> {
    std::size_t missed = 0;
    for (std::size_t i = 0; i != rounds; ++i) {
      channel<int> first(1), second(1);
      channel<bool> found(1);
      first.try_send(1);
      go([first, second, found]() -> task<> {
        auto r = co_await select(first.recv(), second.recv(), otherwise);
        found.try_send(r.index() != 2);
      });
      second.try_send(1);
      first.try_recv();
      const auto saw = co_await found.recv();
      missed += saw != true;
    }
    CHECK(missed == 0);
  });
}

TEST_CASE("While one channel is ready until after another is closed, otherwise is never taken (57)") {
  const auto rounds = stressed(1500);
  on_real_schedulers([rounds]() -> task<> {
    std::size_t missed = 0;
    for (std::size_t i = 0; i != rounds; ++i) {
      channel<int> first(1), second;
      channel<bool> found(1);
      first.try_send(1);
      go([first, second, found]() -> task<> {
        auto r = co_await select(first.recv(), second.recv(), otherwise);
        found.try_send(r.index() != 2);
      });
      second.close();
      first.try_recv();
      const auto saw = co_await found.recv();
      missed += saw != true;
    }
    CHECK(missed == 0);
  });
}

TEST_CASE("The empty select and a select of nil channels wait for ever (34, 58)") {
  check_waits_for_ever([]() -> task<> { co_await never(); });
  check_waits_for_ever([]() -> task<> {
    co_await select(channel<int>::nil().recv(), channel<int>::nil().send(1), channel<void>::nil().recv());
  });
  check_waits_for_ever([]() -> task<> { co_await select(receiver<int>().recv(), sender<int>().send(1)); });
}

TEST_CASE("A routine that waits for ever can still be cancelled (35, 58)") {
  on_simulated_schedulers([]() -> task<> {
    auto empty = go([]() -> task<> { co_await never(); });
    auto of_nil = go([]() -> task<> {
      auto nil = channel<int>::nil();
      co_await select(nil.recv(), nil.send(1));
    });
    co_await testing::settle();
    empty.cancel();
    of_nil.cancel();
    const auto first = co_await ending_of(empty);
    const auto second = co_await ending_of(of_nil);
    CHECK(first == ending::was_cancelled);
    CHECK(second == ending::was_cancelled);
  });
}

TEST_CASE("A select with nothing but otherwise takes it (59)") {
  on_every_scheduler([]() -> task<> {
    auto r = co_await select(otherwise);
    CHECK(r.index() == 0);
  });
}

TEST_CASE("Nil channels are not ready, so otherwise is taken (33, 34)") {
  on_every_scheduler([]() -> task<> {
    auto nil = channel<int>::nil();
    auto r = co_await select(nil.recv(), nil.send(1), otherwise);
    CHECK(r.index() == 2);
  });
}

TEST_CASE("A closed channel's receive is always ready, and a nil switches its case off (34, 60)") {
  on_every_scheduler([]() -> task<> {
    channel<int> odd(8), even(8);
    for (int i = 0; i != 8; ++i) (i % 2 ? odd : even).try_send(i);
    odd.close();
    even.close();
    for (int i = 0; i != 3; ++i) {
      channel<int> done;
      done.close();
      auto r = co_await select(done.recv(), otherwise);
      REQUIRE(r.index() == 0);
      CHECK(std::get<0>(r) == std::nullopt);
    }
    std::vector<int> seen(8);
    int closings = 0;
    while (odd || even) {
      auto r = co_await select(odd.recv(), even.recv());
      const auto value = std::visit([](std::optional<int> v) { return v; }, r);
      if (value) {
        CHECK(*value % 2 == (r.index() == 0 ? 1 : 0));
        ++seen[static_cast<std::size_t>(*value)];
      } else {
        (r.index() == 0 ? odd : even) = channel<int>::nil();
        ++closings;
      }
    }
    CHECK(closings == 2);
    CHECK(seen == std::vector<int>(8, 1));
  });
}

TEST_CASE("A send case on a closed channel counts as ready, and to choose it throws (25, 61)") {
  on_every_scheduler([]() -> task<> {
    channel<int> closed(1);
    closed.close();
    bool threw = false;
    try {
      co_await select(closed.send(1), otherwise);
    } catch (const channel_closed&) {
      threw = true;
    }
    CHECK(threw);
    CHECK(closed.size() == 0);
  });
}

TEST_CASE("Between a ready case and a send on a closed channel either may be chosen, and the other is untouched (61)") {
  on_every_scheduler(
      []() -> task<> {
        channel<int> closed, full(1);
        closed.close();
        int failures = 0, receives = 0;
        for (int i = 0; i != 200; ++i) {
          full.try_send(i);
          try {
            auto r = co_await select(closed.send(1), full.recv());
            REQUIRE(r.index() == 1);
            CHECK(std::get<1>(r) == i);
            ++receives;
          } catch (const channel_closed&) {
            ++failures;
            CHECK(full.try_recv() == i);
          }
        }
        CHECK(failures > 0);
        CHECK(receives > 0);
      },
      3);
}

TEST_CASE("Close wakes a parked select: its receive completes with nullopt (22, 62)") {
  on_simulated_schedulers([]() -> task<> {
    channel<int> quiet, closing;
    auto parked = go([quiet, closing]() -> task<> {
      auto r = co_await select(quiet.recv(), closing.recv());
      REQUIRE(r.index() == 1);
      CHECK(std::get<1>(r) == std::nullopt);
    });
    co_await testing::settle();
    closing.close();
    co_await parked;
    CHECK_FALSE(quiet.try_send(1));
  });
}

TEST_CASE("Close wakes a parked select: its send throws channel_closed and leaves the value whole (23, 62, 70)") {
  on_simulated_schedulers([]() -> task<> {
    channel<std::unique_ptr<int>> quiet, closing;
    auto parked = go([quiet, closing]() -> task<int> {
      auto value = std::make_unique<int>(5);
      try {
        co_await select(quiet.recv(), closing.send(std::move(value)));
      } catch (const channel_closed&) {
        co_return value ? *value : -1;
      }
      co_return -2;
    });
    co_await testing::settle();
    closing.close();
    const auto kept = co_await parked;
    CHECK(kept == 5);
  });
}

TEST_CASE("A routine alone never meets itself in a select that sends and receives on one channel (63)") {
  on_every_scheduler([]() -> task<> {
    channel<int> c;
    auto r = co_await select(c.send(1), c.recv(), otherwise);
    CHECK(r.index() == 2);
    auto s = co_await select(c.recv(), c.send(1), otherwise);
    CHECK(s.index() == 2);
  });
  check_waits_for_ever([]() -> task<> {
    channel<int> c;
    co_await select(c.send(1), c.recv());
  });
}

TEST_CASE("Two routines that each send and receive on one channel always meet each other (64)") {
  for (const auto capacity : std::initializer_list<std::size_t>{0, 10}) {
    on_every_scheduler(
        [capacity]() -> task<> {
          constexpr int rounds = 1000;
          channel<int> c(capacity);
          std::atomic<int> met_itself = 0;
          auto pair = [c, capacity, &met_itself](int me) -> task<> {
            for (int i = 0; i != rounds; ++i) {
              std::optional<int> received;
              if (me == 0 || i % 2 == 0) {
                auto r = co_await select(c.send(me), c.recv());
                if (r.index() == 1) received = std::get<1>(r);
              } else {
                auto r = co_await select(c.recv(), c.send(me));
                if (r.index() == 0) received = std::get<0>(r);
              }
              if (capacity == 0 && received == me) ++met_itself;
            }
          };
          auto first = go(pair, 0);
          auto second = go(pair, 1);
          co_await first;
          co_await second;
          CHECK(met_itself == 0);
        },
        4);
  }
}

TEST_CASE("A channel that is listed twice is left entirely when another case wins (65)") {
  on_simulated_schedulers([]() -> task<> {
    channel<int> twice, other;
    auto selecting = go([twice, other]() -> task<> {
      auto r = co_await select(twice.recv(), twice.recv(), other.recv());
      REQUIRE(r.index() == 2);
      CHECK(std::get<2>(r) == 7);
    });
    co_await testing::settle();
    auto behind = go([twice]() -> task<std::optional<int>> { co_return co_await twice.recv(); });
    co_await testing::settle();
    co_await other.send(7);
    co_await selecting;
    co_await twice.send(8);
    const auto received = co_await behind;
    CHECK(received == 8);
  });
}

TEST_CASE("A select that loses on a channel leaves its queue of receivers intact, wherever it stood in it (66)") {
  constexpr int waiters = 5;
  for (int position = 0; position != waiters; ++position) {
    on_simulated_schedulers(
        [position]() -> task<> {
          channel<int> queue, way_out;
          std::vector<handle<std::optional<int>>> plain;
          handle<void> selecting;
          for (int i = 0; i != waiters; ++i) {
            if (i == position) {
              selecting = go([queue, way_out]() -> task<> {
                auto r = co_await select(queue.recv(), way_out.recv());
                CHECK(r.index() == 1);
              });
            } else {
              plain.push_back(go([queue]() -> task<std::optional<int>> { co_return co_await queue.recv(); }));
            }
            co_await testing::settle();
          }
          co_await way_out.send(0);
          co_await selecting;
          plain.push_back(go([queue]() -> task<std::optional<int>> { co_return co_await queue.recv(); }));
          co_await testing::settle();
          for (int i = 0; i != waiters; ++i) co_await queue.send(i);
          for (int i = 0; i != waiters; ++i) {
            const auto received = co_await plain[static_cast<std::size_t>(i)];
            CHECK(received == i);
          }
        },
        2);
  }
}

TEST_CASE("A select that loses on a channel leaves its queue of senders intact, wherever it stood in it (66)") {
  constexpr int waiters = 5;
  for (int position = 0; position != waiters; ++position) {
    on_simulated_schedulers(
        [position]() -> task<> {
          channel<int> queue, way_out;
          handle<void> selecting;
          std::vector<handle<void>> plain;
          for (int i = 0; i != waiters; ++i) {
            if (i == position) {
              selecting = go([queue, way_out]() -> task<> {
                auto r = co_await select(queue.send(-1), way_out.recv());
                CHECK(r.index() == 1);
              });
            } else {
              plain.push_back(go([queue, i]() -> task<> { co_await queue.send(i); }));
            }
            co_await testing::settle();
          }
          co_await way_out.send(0);
          co_await selecting;
          for (int i = 0; i != waiters; ++i) {
            if (i == position) continue;
            const auto received = co_await queue.recv();
            CHECK(received == i);
          }
          CHECK(queue.try_recv() == std::nullopt);
          for (auto& each : plain) co_await each;
        },
        2);
  }
}

TEST_CASE("Crossed selects neither deadlock nor commit twice (67)") {
  for (bool same_order : {true, false}) {
    on_every_scheduler(
        [same_order]() -> task<> {
          for (int round = 0; round != 200; ++round) {
            channel<int> x, y;
            auto left = go([x, y]() -> task<bool> {
              auto r = co_await select(x.send(1), y.recv());
              if (r.index() == 1) CHECK(std::get<1>(r) == 2);
              co_return r.index() == 0;
            });
            auto right = go([x, y, same_order]() -> task<bool> {
              if (same_order) {
                auto r = co_await select(x.recv(), y.send(2));
                if (r.index() == 0) CHECK(std::get<0>(r) == 1);
                co_return r.index() == 0;
              }
              auto r = co_await select(y.send(2), x.recv());
              if (r.index() == 1) CHECK(std::get<1>(r) == 1);
              co_return r.index() == 1;
            });
            const bool left_used_x = co_await left;
            const bool right_used_x = co_await right;
            CHECK(left_used_x == right_used_x);
          }
        },
        3);
  }
}

TEST_CASE("Three routines that each send to the next and receive from the one before never deadlock (67)") {
  on_every_scheduler(
      []() -> task<> {
        // Each round every routine takes part in exactly two communications, one as a sender and one as a receiver.
        constexpr std::size_t routines = 3;
        constexpr int rounds = 200;
        std::vector<channel<std::size_t>> ring(routines);
        std::vector<handle<void>> all;
        for (std::size_t me = 0; me != routines; ++me) {
          all.push_back(go([ring, me]() -> task<> {
            const std::size_t before = (me + routines - 1) % routines;
            for (int i = 0; i != rounds; ++i) {
              auto out = ring[me];
              auto in = ring[before];
              while (out || in) {
                auto r = co_await select(out.send(me), in.recv());
                if (r.index() == 0) {
                  out = channel<std::size_t>::nil();
                } else {
                  CHECK(std::get<1>(r) == before);
                  in = channel<std::size_t>::nil();
                }
              }
            }
          }));
        }
        for (auto& each : all) co_await each;
      },
      4);
}

TEST_CASE("What a parked select sends was fixed when it began (13, 68)") {
  on_simulated_schedulers([]() -> task<> {
    channel<int> c;
    int value = 1;
    auto sending = go([c, &value]() -> task<> { co_await select(c.send(value), never()); });
    co_await testing::settle();
    value = 2;
    const auto received = co_await c.recv();
    CHECK(received == 1);
    co_await sending;
  });
}

TEST_CASE("Which channel a parked select waits on was fixed when it began (13, 68)") {
  on_simulated_schedulers([]() -> task<> {
    const channel<int> original;
    channel<int> variable = original;
    auto receiving = go([&variable]() -> task<int> {
      auto r = co_await select(variable.recv(), never());
      co_return std::get<0>(r).value();
    });
    co_await testing::settle();
    variable = channel<int>();
    CHECK_FALSE(variable.try_send(1));
    CHECK(original.try_send(2));
    const auto received = co_await receiving;
    CHECK(received == 2);
  });
}

TEST_CASE("A copy that throws while the cases are made has communicated nothing (13, 68)") {
  struct uncopyable {
    uncopyable() = default;
    uncopyable(uncopyable&&) noexcept = default;
    uncopyable(const uncopyable&) { throw std::runtime_error("no copy"); }
    uncopyable& operator=(uncopyable&&) noexcept = default;
    uncopyable& operator=(const uncopyable&) = default;
  };
  on_every_scheduler([]() -> task<> {
    channel<int> ready(1);
    ready.try_send(1);
    channel<uncopyable> out(1);
    const uncopyable value;
    bool threw = false;
    try {
      co_await select(ready.recv(), out.send(value));
    } catch (const std::runtime_error&) {
      threw = true;
    }
    CHECK(threw);
    CHECK(ready.size() == 1);
    CHECK(out.size() == 0);
  });
}

TEST_CASE("A value whose send loses a select stays with the caller (70, D1)") {
  on_every_scheduler([]() -> task<> {
    channel<std::unique_ptr<int>> full(1), empty(1);
    auto value = std::make_unique<int>(1);
    co_await full.send(std::move(value));
    CHECK(value == nullptr);

    value = std::make_unique<int>(2);
    auto not_now = co_await select(full.send(std::move(value)), otherwise);
    CHECK(not_now.index() == 1);
    REQUIRE(value != nullptr);

    auto in_time = co_await select(full.send(std::move(value)), sleep(1ms));
    CHECK(in_time.index() == 1);
    REQUIRE(value != nullptr);
    CHECK(*value == 2);

    auto taken = co_await select(full.send(std::move(value)), empty.send(std::move(value)));
    CHECK(taken.index() == 1);
    CHECK(value == nullptr);
    auto received = empty.try_recv();
    REQUIRE(received.has_value());
    CHECK(**received == 2);
  });
}

TEST_CASE("A value whose send wins a parked select is moved to the receiver (6, 70)") {
  on_simulated_schedulers([]() -> task<> {
    channel<std::unique_ptr<int>> c, quiet;
    auto sending = go([c, quiet]() -> task<> {
      auto value = std::make_unique<int>(3);
      auto r = co_await select(quiet.recv(), c.send(std::move(value)));
      CHECK(r.index() == 1);
      CHECK(value == nullptr);
    });
    co_await testing::settle();
    auto received = co_await c.recv();
    REQUIRE(received.has_value());
    CHECK(**received == 3);
    co_await sending;
  });
}

TEST_CASE("A select of one case is the plain operation, and with otherwise the attempt (71)") {
  on_every_scheduler([]() -> task<> {
    channel<int> c;
    go([c]() -> task<> { co_await select(c.send(4)); });
    auto r = co_await select(c.recv());
    REQUIRE(r.index() == 0);
    CHECK(std::get<0>(r) == 4);
    auto attempt = co_await select(c.recv(), otherwise);
    CHECK(attempt.index() == 1);
    c.close();
    bool threw = false;
    try {
      co_await select(c.send(5));
    } catch (const channel_closed&) {
      threw = true;
    }
    CHECK(threw);
  });
}

TEST_CASE("A select may have many cases, of many types (71)") {
  on_every_scheduler([]() -> task<> {
    std::vector<channel<int>> n(8);
    channel<std::string> text(1);
    channel<std::unique_ptr<int>> pointers;
    channel<void> signal;
    text.try_send("only this one is ready");
    auto r =
        co_await select(n[0].recv(), n[1].recv(), n[2].recv(), n[3].recv(), n[4].send(1), n[5].send(1), n[6].send(1),
                        n[7].send(1), pointers.recv(), signal.recv(), signal.send(), sleep(1h), text.recv());
    REQUIRE(r.index() == 12);
    CHECK(std::get<12>(r) == "only this one is ready");
  });
}

TEST_CASE("A signal's case says whether the channel is still open (71, D5)") {
  on_every_scheduler([]() -> task<> {
    channel<void> signal(1);
    signal.try_send();
    signal.close();
    auto first = co_await select(signal.recv(), otherwise);
    REQUIRE(first.index() == 0);
    CHECK(std::get<0>(first) == true);
    auto second = co_await select(signal.recv(), otherwise);
    REQUIRE(second.index() == 0);
    CHECK(std::get<0>(second) == false);
  });
}

TEST_CASE("A hundred thousand selects leave nothing behind in a channel that stays quiet (73, 74)") {
  // Both run on the calling thread, so mallinfo2 sees what they allocate; under a sanitizer it sees nothing.
  const std::vector<scheduler_under_test> schedulers = {scheduler_under_test::real(1),
                                                        scheduler_under_test::simulated(1, 0)};
  on_each(schedulers, [](const scheduler_under_test& scheduler) {
    scheduler.run([]() -> task<> {
      constexpr int rounds = 100'000;
      channel<int> quiet, busy;
      go([busy]() -> task<> {
        for (int i = 0; i != rounds; ++i) co_await busy.send(i);
      });
      long long sum = 0;
      auto frames = testing::live().frames;
      auto memory = ::mallinfo2().uordblks;
      for (int i = 0; i != rounds - 1; ++i) {
        if (i == 1000) {
          frames = testing::live().frames;
          memory = ::mallinfo2().uordblks;
        }
        auto r = co_await select(quiet.recv(), busy.recv(), quiet.send(1));
        if (r.index() == 1) sum += std::get<1>(r).value();
      }
      CHECK(sum == (rounds - 1LL) * (rounds - 2) / 2);
      CHECK(testing::live().frames == frames);
      CHECK(::mallinfo2().uordblks < memory + 64 * 1024);
      CHECK_FALSE(quiet.try_send(1));
      CHECK(quiet.try_recv() == std::nullopt);
      const auto last = co_await busy.recv();
      CHECK(last == rounds - 1);
    });
  });
}

TEST_CASE("A timer that loses a select goes on running, and one that wins has fired once (77)") {
  on_simulated_schedulers([]() -> task<> {
    const auto start = now();
    timer alarm(2s);
    auto first = co_await select(alarm.wait(), sleep(1s));
    CHECK(first.index() == 1);
    auto second = co_await select(alarm.wait(), sleep(5s));
    REQUIRE(second.index() == 0);
    CHECK(std::get<0>(second) == start + 2s);
    CHECK(now() == start + 2s);
    auto third = co_await select(alarm.wait(), sleep(5s));
    CHECK(third.index() == 1);
  });
}

TEST_CASE("Timers that expire at one instant commit one case, and the other keeps its own for later (79)") {
  on_simulated_schedulers([]() -> task<> {
    const auto start = now();
    timer left(1s), right(1s);
    auto r = co_await select(left.wait(), right.wait());
    CHECK(now() == start + 1s);
    auto& rest = r.index() == 0 ? right : left;
    auto kept = co_await select(rest.wait(), otherwise);
    REQUIRE(kept.index() == 0);
    CHECK(std::get<0>(kept) == start + 1s);
    auto& spent = r.index() == 0 ? left : right;
    auto none = co_await select(spent.wait(), otherwise);
    CHECK(none.index() == 1);
  });
}

TEST_CASE("A join that loses a select leaves the routine running and its result with the handle (77)") {
  on_simulated_schedulers([]() -> task<> {
    auto slow = go([]() -> task<int> {
      co_await sleep(10s);
      co_return 42;
    });
    auto first = co_await select(slow, sleep(1s));
    CHECK(first.index() == 1);
    CHECK_FALSE(slow.is_done());
    auto second = co_await select(slow.join(), sleep(1h));
    REQUIRE(second.index() == 0);
    CHECK(std::get<0>(second) == 42);
  });
}

TEST_CASE("A join in a select rethrows what the routine threw (77)") {
  on_simulated_schedulers([]() -> task<> {
    auto failing = go([]() -> task<int> {
      co_await sleep(1s);
      throw std::runtime_error("on purpose");
    });
    bool threw = false;
    try {
      co_await select(sleep(1h), failing);
    } catch (const std::runtime_error&) {
      threw = true;
    }
    CHECK(threw);
  });
}

TEST_CASE("Waiting for a routine to finish, in a select, takes nothing from its handle (77)") {
  on_simulated_schedulers([]() -> task<> {
    auto routine = go([]() -> task<int> {
      co_await sleep(1s);
      co_return 9;
    });
    auto r = co_await select(routine.wait(), sleep(1h));
    CHECK(r.index() == 0);
    auto again = co_await select(routine.wait(), otherwise);
    CHECK(again.index() == 0);
    const auto result = co_await routine;
    CHECK(result == 9);
  });
}

TEST_CASE("A wait group is a case: ready when it is at zero, and untouched when it loses (77, 107)") {
  on_simulated_schedulers([]() -> task<> {
    wait_group group;
    auto idle = co_await select(group.wait(), otherwise);
    CHECK(idle.index() == 0);
    group.add();
    auto busy = co_await select(group.wait(), sleep(1s));
    CHECK(busy.index() == 1);
    go([&group]() -> task<> {
      co_await sleep(1s);
      group.done();
    });
    auto done = co_await select(sleep(1h), group.wait());
    CHECK(done.index() == 1);
  });
}

TEST_CASE("A sleep of zero is ready at once as a case (81)") {
  on_every_scheduler([]() -> task<> {
    auto r = co_await select(never(), sleep(0s));
    CHECK(r.index() == 1);
    auto s = co_await select(sleep(-1s), otherwise);
    CHECK(s.index() == 0);
  });
}

TEST_CASE("A timeout inside a select costs nothing after the select has ended (74, 91)") {
  const auto report = testing::simulate({.seed = 1, .workers = 1}, []() -> task<> {
    const auto before = testing::live();
    channel<int> ready(1);
    for (int i = 0; i != 1000; ++i) {
      ready.try_send(i);
      auto r = co_await select(ready.recv(), sleep(1h));
      if (r.index() == 0) CHECK(std::get<0>(r) == i);
      // Both were not ready at once: an hour is not over before the value is there.
      CHECK(r.index() == 0);
    }
    CHECK(testing::live().timers == before.timers);
  });
  CHECK(report.elapsed < 1h);
}

TEST_CASE("A timeout that was parked and lost costs nothing after the select has ended (74, 91)") {
  const auto report = testing::simulate({.seed = 1, .workers = 1}, []() -> task<> {
    const auto before = testing::live();
    channel<int> c;
    for (int i = 0; i != 100; ++i) {
      auto sending = go([c, i]() -> task<> {
        co_await sleep(1ms);
        co_await c.send(i);
      });
      auto r = co_await select(c.recv(), sleep(1h));
      CHECK(r.index() == 0);
      co_await sending;
      CHECK(testing::live().timers == before.timers);
    }
  });
  CHECK(report.elapsed == 100ms);
}

TEST_CASE("A cancelled select loses nothing, and its place in every queue is free (52, D9)") {
  on_simulated_schedulers([]() -> task<> {
    channel<int> in, out;
    auto selecting = go([in, out]() -> task<> { co_await select(in.recv(), out.send(1), sleep(1h)); });
    co_await testing::settle();
    auto behind_in = go([in]() -> task<std::optional<int>> { co_return co_await in.recv(); });
    auto behind_out = go([out]() -> task<> { co_await out.send(2); });
    co_await testing::settle();
    selecting.cancel();
    const auto end = co_await ending_of(selecting);
    CHECK(end == ending::was_cancelled);
    co_await in.send(5);
    const auto received = co_await behind_in;
    CHECK(received == 5);
    const auto sent = co_await out.recv();
    CHECK(sent == 2);
    co_await behind_out;
  });
}

TEST_CASE("A cancelled routine's select throws before it tries anything, though a case is ready (D13)") {
  on_simulated_schedulers([]() -> task<> {
    channel<int> ready(1), gate;
    ready.try_send(1);
    auto selecting = go([ready, gate]() -> task<bool> {
      try {
        co_await gate.recv();
      } catch (const cancelled&) {
      }
      try {
        co_await select(ready.recv(), otherwise);
      } catch (const cancelled&) {
        co_return true;
      }
      co_return false;
    });
    co_await testing::settle();
    selecting.cancel();
    const bool threw = co_await selecting;
    CHECK(threw);
    CHECK(ready.size() == 1);
  });
}

TEST_CASE("A select that had committed keeps its result although it is cancelled before it runs (D13)") {
  on_simulated_schedulers([]() -> task<> {
    channel<int> c, quiet;
    auto selecting = go([c, quiet]() -> task<std::optional<int>> {
      auto r = co_await select(quiet.recv(), c.recv());
      co_return std::visit([](std::optional<int> v) { return v; }, r);
    });
    co_await testing::settle();
    CHECK(c.try_send(11));
    selecting.cancel();
    const auto received = co_await selecting;
    CHECK(received == 11);
  });
}

TEST_CASE("Ten routines that send and receive on four channels, two of them by select, lose no wake-up (49)") {
  on_every_scheduler(
      []() -> task<> {
        constexpr int each = 1000;
        std::vector<channel<int>> channels;
        for (const auto capacity : std::initializer_list<std::size_t>{0, 0, 2, 3}) channels.emplace_back(capacity);
        wait_group all;
        for (const auto& c : channels) {
          all.go([c]() -> task<> {
            for (int i = 0; i != each; ++i) co_await c.send(0);
          });
          all.go([c]() -> task<> {
            for (int i = 0; i != each; ++i) co_await c.recv();
          });
        }
        all.go([channels]() mutable -> task<> {
          std::array<int, 4> left = {each, each, each, each};
          for (int i = 0; i != 4 * each; ++i) {
            auto r =
                co_await select(channels[3].send(0), channels[2].send(0), channels[0].send(0), channels[1].send(0));
            constexpr std::array<std::size_t, 4> listed = {3, 2, 0, 1};
            const auto won = listed[r.index()];
            if (--left[won] == 0) channels[won] = channel<int>::nil();
          }
        });
        all.go([channels]() mutable -> task<> {
          std::array<int, 4> left = {each, each, each, each};
          for (int i = 0; i != 4 * each; ++i) {
            auto r = co_await select(channels[0].recv(), channels[1].recv(), channels[2].recv(), channels[3].recv());
            if (--left[r.index()] == 0) channels[r.index()] = channel<int>::nil();
          }
        });
        co_await all.wait();
        for (const auto& c : channels) CHECK(c.size() == 0);
      },
      2);
}

TEST_CASE("A select that is stored before it is awaited keeps its cases") {
  on_every_scheduler([]() -> task<> {
    channel<int> a(1), b(1);
    auto either = select(a.recv(), b.recv());
    b.try_send(2);
    auto r = co_await std::move(either);
    REQUIRE(r.index() == 1);
    CHECK(std::get<1>(r) == 2);
  });
}

TEST_CASE("An operation that lost a select may be awaited again (52)") {
  on_every_scheduler([]() -> task<> {
    channel<int> a(1), b(1);
    b.try_send(2);
    auto from_a = a.recv();
    auto r = co_await select(from_a, b.recv());
    CHECK(r.index() == 1);
    a.try_send(1);
    auto s = co_await select(from_a, b.recv());
    REQUIRE(s.index() == 0);
    CHECK(std::get<0>(s) == 1);
  });
}
