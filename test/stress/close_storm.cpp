// Senders, receivers and selects on channels that are closed in the middle, with values that can only be moved: each
// value is received once, or is whole with the one who tried to send it, or still queued (semantics 10, 19, 23, D1).
#include <doctest/doctest.h>

#include <atomic>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <ringo/ringo.hpp>
#include <utility>
#include <variant>
#include <vector>

#include "every_scheduler.hpp"

using namespace ringo;

namespace {

using value = std::unique_ptr<int>;

// Where each number has been seen to end up.
class ledger {
 public:
  explicit ledger(std::size_t numbers) : received_(numbers), kept_(numbers) {}
  void receive(const value& number) { number ? static_cast<void>(++received_.at(place(number))) : fault(); }
  // After a send that failed the value must still be there, and be the one that it was.
  void keep(const value& number, int expected) {
    number && *number == expected ? static_cast<void>(++kept_.at(place(number))) : fault();
  }
  // After one that succeeded it must be gone.
  void gone(const value& number) {
    if (number) fault();
  }
  void balance() const {
    CHECK(faults_ == 0);
    int wrong = 0;
    for (std::size_t i = 0; i != received_.size(); ++i) {
      if (received_[i] + kept_[i] != 1) ++wrong;
    }
    CHECK(wrong == 0);
  }
  int kept() const {
    int sum = 0;
    for (const auto& times : kept_) sum += times;
    return sum;
  }

 private:
  static std::size_t place(const value& number) { return static_cast<std::size_t>(*number); }
  void fault() { ++faults_; }

  std::vector<std::atomic<int>> received_, kept_;
  std::atomic<int> faults_ = 0;
};

constexpr int senders = 6;
constexpr int each = 20;

task<> send_all(channel<value> ch, int first, ledger& book) {
  for (int i = first; i != first + each; ++i) {
    auto number = std::make_unique<int>(i);
    try {
      co_await ch.send(std::move(number));
      book.gone(number);
    } catch (const channel_closed&) {
      book.keep(number, i);
    }
  }
}

task<> try_all(channel<value> ch, int first, ledger& book) {
  for (int i = first; i != first + each; ++i) {
    auto number = std::make_unique<int>(i);
    try {
      int attempts = 0;
      while (!ch.try_send(std::move(number))) {
        if (++attempts == 20) {
          book.keep(number, i);
          break;
        }
        co_await yield();
      }
      if (attempts < 20) book.gone(number);
    } catch (const channel_closed&) {
      book.keep(number, i);
    }
  }
}

// Offers each number on either of two channels.
task<> offer_all(channel<value> one, channel<value> other, int first, ledger& book) {
  for (int i = first; i != first + each; ++i) {
    auto number = std::make_unique<int>(i);
    try {
      auto got = co_await select(one.send(std::move(number)), other.send(std::move(number)));
      static_cast<void>(got);
      book.gone(number);
    } catch (const channel_closed&) {
      book.keep(number, i);
    }
  }
}

task<> receive_all(channel<value> ch, ledger& book) {
  while (auto number = co_await ch.recv()) book.receive(*number);
}

task<> receive_from_both(channel<value> one, channel<value> other, ledger& book) {
  while (one || other) {
    auto got = co_await select(one.recv(), other.recv());
    const auto take = [&book](std::optional<value> number, channel<value>& from) {
      number ? book.receive(*number) : void(from = channel<value>::nil());
    };
    if (got.index() == 0) {
      take(std::move(std::get<0>(got)), one);
    } else {
      take(std::move(std::get<1>(got)), other);
    }
  }
}

}  // namespace

TEST_CASE("a close among blocked senders and receivers loses and doubles nothing (semantics 10, 19, 23, D1)") {
  on_every_scheduler([]() -> task<> {
    for (std::size_t capacity : {0u, 1u, 4u}) {
      for (int patience = 0; patience < static_cast<int>(stressed(30)); patience += 3) {
        ledger book(senders * each);
        const channel<value> ch(capacity);
        wait_group all;
        for (int id = 0; id != senders; ++id) {
          id % 3 == 2 ? all.go(try_all, ch, id * each, std::ref(book))
                      : all.go(send_all, ch, id * each, std::ref(book));
        }
        for (int id = 0; id != 3; ++id) all.go(receive_all, ch, std::ref(book));
        for (int i = 0; i != patience; ++i) co_await yield();
        ch.close();
        co_await all.wait();
        CHECK(ch.is_drained());
        book.balance();
      }
    }
  });
}

TEST_CASE("closes of two channels among selects on both lose and double nothing (semantics 10, 52, 62, D1)") {
  on_every_scheduler([]() -> task<> {
    for (std::size_t capacity : {0u, 3u}) {
      for (int patience = 0; patience < static_cast<int>(stressed(30)); patience += 3) {
        ledger book(senders * each);
        const channel<value> one(capacity), other(0);
        wait_group all;
        for (int id = 0; id != senders; ++id) {
          id % 2 == 0 ? all.go(offer_all, one, other, id * each, std::ref(book))
                      : all.go(send_all, other, id * each, std::ref(book));
        }
        for (int id = 0; id != 2; ++id) all.go(receive_from_both, one, other, std::ref(book));
        all.go(receive_all, one, std::ref(book));
        for (int i = 0; i != patience; ++i) co_await yield();
        one.close();
        for (int i = 0; i != patience; ++i) co_await yield();
        other.close();
        co_await all.wait();
        CHECK(one.is_drained());
        CHECK(other.is_drained());
        book.balance();
      }
    }
  });
}

TEST_CASE("when everybody waits to send and nobody receives, a close gives every value back (semantics 23, D1)") {
  on_simulated_schedulers([]() -> task<> {
    ledger book(senders * each);
    const channel<value> ch, other;
    wait_group all;
    for (int id = 0; id != senders; ++id) {
      id % 2 == 0 ? all.go(offer_all, ch, other, id * each, std::ref(book))
                  : all.go(send_all, ch, id * each, std::ref(book));
    }
    co_await testing::settle();
    ch.close();
    co_await all.wait();
    CHECK(book.kept() == senders * each);
    book.balance();
  });
}

TEST_CASE("many closers storm many channels: each is closed once, and everybody who waits is told (semantics 22, 27)") {
  on_every_scheduler([]() -> task<> {
    std::vector<channel<int>> channels;
    for (int i = 0; i != 20; ++i) channels.emplace_back(static_cast<std::size_t>(i % 3));
    std::atomic<int> closed = 0, told = 0;
    wait_group all;
    for (const auto& ch : channels) {
      for (int i = 0; i != 5; ++i) {
        all.go([ch, &told]() -> task<> {
          while (co_await ch.recv()) {
          }
          ++told;
        });
      }
    }
    for (std::size_t start = 0; start != 5; ++start) {
      all.go([channels, start, &closed]() -> task<> {
        for (std::size_t i = 0; i != channels.size(); ++i) {
          if (channels[(i + 4 * start) % channels.size()].try_close()) ++closed;
          if (i % 4 == 0) co_await yield();
        }
      });
    }
    co_await all.wait();
    CHECK(closed == 20);
    CHECK(told == 100);
  });
}

TEST_CASE("a program may end in the middle of a storm, and the values go with it (semantics 159, D9)") {
  const auto counted = std::make_shared<int>(0);
  on_every_scheduler([&]() -> task<> {
    const channel<std::shared_ptr<int>> a, b(2);
    for (int i = 0; i != 20; ++i) {
      go([=]() -> task<> {
        for (;;) {
          auto mine = counted;
          co_await select(a.send(std::move(mine)), b.send(counted));
        }
      });
      if (i % 2 == 0) continue;
      go([=]() -> task<> {
        for (;;) co_await select(a.recv(), b.recv());
      });
    }
    for (int i = 0; i != 30; ++i) co_await yield();
  });
  CHECK(counted.use_count() == 1);
}
