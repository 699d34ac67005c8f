// What may travel in a channel, and what becomes of a value that does not get through.
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <ringo/ringo.hpp>
#include <stdexcept>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "every_scheduler.hpp"

using namespace ringo;

namespace {

struct nothing {};

// No default constructor, no copy, no assignment.
class ticket {
 public:
  explicit ticket(int number) : number_(std::make_unique<int>(number)) {}
  ticket(ticket&&) noexcept = default;
  ticket& operator=(ticket&&) = delete;
  bool whole() const { return number_ != nullptr; }
  int number() const { return number_ ? *number_ : -1; }

 private:
  std::unique_ptr<int> number_;
};

// Counts the objects of its kind that exist, and notices one that is not aligned.
template <std::size_t Alignment, std::size_t Size = Alignment>
class alignas(Alignment) block {
 public:
  explicit block(unsigned char fill) {
    bytes_.fill(fill);
    born();
  }
  block(const block& other) : bytes_(other.bytes_) { born(); }
  block(block&& other) noexcept : bytes_(other.bytes_) { born(); }
  block& operator=(const block&) = default;
  ~block() { --live(); }
  bool holds(unsigned char fill) const {
    return std::all_of(bytes_.begin(), bytes_.end(), [=](unsigned char byte) { return byte == fill; });
  }
  static std::atomic<int>& live() {
    static std::atomic<int> count = 0;
    return count;
  }
  static std::atomic<int>& misaligned() {
    static std::atomic<int> count = 0;
    return count;
  }

 private:
  void born() noexcept {
    ++live();
    if (reinterpret_cast<std::uintptr_t>(this) % Alignment != 0) ++misaligned();
  }
  std::array<unsigned char, Size> bytes_;
};

struct copy_failed : std::runtime_error {
  copy_failed() : std::runtime_error("this one cannot be copied") {}
};

class touchy {
 public:
  explicit touchy(int number, bool throws = false) : throws_(throws), number_(number) {
    if (number < 0) throw std::invalid_argument("negative");
  }
  touchy(const touchy& other) : throws_(other.throws_), number_(other.number_) {
    if (throws_) throw copy_failed();
  }
  touchy(touchy&&) noexcept = default;
  touchy& operator=(const touchy&) = delete;
  int number() const { return number_; }

 private:
  bool throws_;
  int number_;
};

// Runs what it was given when it dies, unless it was moved from.
class parting {
 public:
  explicit parting(std::function<void()> last_act) : last_act_(std::move(last_act)) {}
  parting(parting&& other) noexcept : last_act_(std::exchange(other.last_act_, nullptr)) {}
  parting& operator=(parting&&) = delete;
  ~parting() {
    if (last_act_) last_act_();
  }

 private:
  std::function<void()> last_act_;
};

// Looks at a channel each time it is moved or dies.
class nosy {
 public:
  explicit nosy(const channel<nosy>* watched) : watched_(watched) {}
  nosy(nosy&& other) noexcept : watched_(other.watched_) { look(); }
  nosy& operator=(nosy&&) = delete;
  ~nosy() { look(); }
  static std::atomic<int>& looks() {
    static std::atomic<int> times = 0;
    return times;
  }
  static std::atomic<int>& surprises() {
    static std::atomic<int> times = 0;
    return times;
  }

 private:
  void look() const noexcept {
    ++looks();
    if (watched_->size() > watched_->capacity() || watched_->is_closed()) ++surprises();
  }
  const channel<nosy>* watched_;
};

}  // namespace

TEST_CASE("values without a size travel and are counted (semantics 14)") {
  on_every_scheduler([]() -> task<> {
    for (std::size_t capacity : {0u, 3u}) {
      const channel<nothing> ch(capacity);
      auto sending = go([ch]() -> task<> {
        for (int i = 0; i != 100; ++i) co_await ch.send(nothing());
        ch.close();
      });
      int count = 0;
      while (auto value = co_await ch.recv()) ++count;
      co_await sending;
      CHECK(count == 100);
    }
    const channel<nothing> full(2);
    CHECK(full.try_send(nothing()));
    CHECK(full.try_send(nothing()));
    CHECK_FALSE(full.try_send(nothing()));
    CHECK(full.size() == 2);
  });
}

TEST_CASE("values of 100 KB travel, through a buffer and out of a waiting sender's frame (semantics 15, 51)") {
  using huge = block<1, 100000>;
  const int before = huge::live();
  on_every_scheduler(
      []() -> task<> {
        for (std::size_t capacity : {0u, 2u}) {
          const channel<huge> ch(capacity);
          wait_group senders;
          for (unsigned char id = 0; id != 4; ++id) {
            senders.go([ch, id]() -> task<> {
              for (unsigned char i = 0; i != 5; ++i) {
                huge value(static_cast<unsigned char>(16 * id + i));
                co_await ch.send(std::move(value));
              }
            });
          }
          std::array<unsigned char, 4> next = {};
          int right = 0;
          for (int n = 0; n != 20; ++n) {
            auto value = co_await ch.recv();
            for (unsigned char id = 0; id != 4; ++id) {
              if (next[id] < 5 && value->holds(static_cast<unsigned char>(16 * id + next[id]))) {
                ++next[id];
                ++right;
                break;
              }
            }
          }
          co_await senders.wait();
          CHECK(right == 20);
        }
      },
      3);
  CHECK(huge::live() == before);
}

TEST_CASE("move-only values travel by send, emplace, attempt and select (D1)") {
  on_every_scheduler([]() -> task<> {
    for (std::size_t capacity : {0u, 1u}) {
      const channel<std::unique_ptr<int>> ch(capacity);
      auto sending = go([ch]() -> task<> {
        co_await ch.send(std::make_unique<int>(0));
        auto named = std::make_unique<int>(1);
        co_await ch.send(std::move(named));
        CHECK(named == nullptr);
        co_await ch.emplace(std::make_unique<int>(2));
        co_await ch.emplace(new int(3));
        auto chosen = std::make_unique<int>(4);
        co_await select(ch.send(std::move(chosen)), never());
        CHECK(chosen == nullptr);
        auto tried = std::make_unique<int>(5);
        while (!ch.try_send(std::move(tried))) {
          CHECK(tried != nullptr);
          co_await yield();
        }
        CHECK(tried == nullptr);
        ch.close();
      });
      int next = 0;
      while (auto value = co_await ch.recv()) {
        CHECK(**value == next);
        ++next;
      }
      co_await sending;
      CHECK(next == 6);
    }
  });
}

TEST_CASE("a value without default constructor, copy or assignment travels (D3)") {
  static_assert(!std::is_default_constructible_v<ticket>);
  static_assert(!std::is_copy_constructible_v<ticket> && !std::is_move_assignable_v<ticket>);
  on_every_scheduler([]() -> task<> {
    for (std::size_t capacity : {0u, 1u, 5u}) {
      const channel<ticket> ch(capacity);
      auto sending = go([ch]() -> task<> {
        for (int i = 0; i != 20; ++i) {
          ticket one(i);
          if (i % 2 == 0) {
            co_await ch.send(std::move(one));
            CHECK_FALSE(one.whole());
          } else {
            co_await ch.emplace(i);
          }
        }
        ch.close();
      });
      int next = 0;
      for (;;) {
        auto got = co_await ch.recv();
        if (!got) break;
        CHECK(got->number() == next);
        ++next;
      }
      auto end = co_await select(ch.recv(), otherwise);
      CHECK_FALSE(std::get<0>(end).has_value());
      co_await sending;
      CHECK(next == 20);
    }
  });
}

TEST_CASE("a channel keeps over-aligned values aligned (D5)") {
  using aligned = block<256>;
  const int before = aligned::live();
  // No coroutine here: a compiler may misplace an over-aligned local in a frame, which is not the channel's doing.
  const channel<aligned> ch(7);
  for (unsigned char i = 0; i != 7; ++i) CHECK(ch.try_send(aligned(i)));
  for (unsigned char i = 0; i != 4; ++i) {
    auto value = ch.try_recv();
    CHECK(value->holds(i));
  }
  for (unsigned char i = 7; i != 11; ++i) {
    const aligned value(i);
    CHECK(ch.try_send(value));
  }
  for (unsigned char i = 4; i != 11; ++i) {
    auto value = ch.try_recv();
    CHECK(value->holds(i));
  }
  CHECK(aligned::misaligned() == 0);
  CHECK(aligned::live() == before);
}

TEST_CASE("over-aligned values pass between routines (D5)") {
  using aligned = block<64>;
  const int before = aligned::live();
  on_every_scheduler([]() -> task<> {
    for (std::size_t capacity : {0u, 2u}) {
      const channel<aligned> ch(capacity);
      auto sending = go([ch]() -> task<> {
        for (unsigned char i = 0; i != 50; ++i) co_await ch.emplace(i);
        ch.close();
      });
      unsigned char next = 0;
      while (auto value = co_await ch.recv()) {
        CHECK(value->holds(next));
        ++next;
      }
      co_await sending;
      CHECK(next == 50);
    }
  });
  CHECK(aligned::live() == before);
}

TEST_CASE("values are constructed and destroyed equally often, also those that nobody received (semantics 30, D4)") {
  using counted = block<8>;
  const int before = counted::live();
  on_every_scheduler([]() -> task<> {
    const channel<counted> buffered(3), unbuffered;
    for (unsigned char i = 0; i != 3; ++i) co_await buffered.emplace(i);
    auto value = co_await buffered.recv();
    value.reset();
    go([unbuffered]() -> task<> { co_await unbuffered.emplace(static_cast<unsigned char>(1)); });
    go([unbuffered]() -> task<> {
      const counted copied(2);
      co_await unbuffered.send(copied);
    });
    go([unbuffered]() -> task<> {
      counted moved(3);
      co_await unbuffered.send(std::move(moved));
    });
    co_await yield();
    // main ends: two values are queued, and up to three senders wait
  });
  CHECK(counted::live() == before);
}

TEST_CASE("a copy that throws has sent nothing, and the channel goes on (semantics 13, D2)") {
  on_every_scheduler([]() -> task<> {
    for (std::size_t capacity : {0u, 1u}) {
      const channel<touchy> ch(capacity);
      const touchy bad(1, true);
      bool threw = false;
      try {
        co_await ch.send(bad);
      } catch (const copy_failed&) {
        threw = true;
      }
      CHECK(threw);
      CHECK(ch.size() == 0);

      threw = false;
      try {
        co_await ch.emplace(-1);
      } catch (const std::invalid_argument&) {
        threw = true;
      }
      CHECK(threw);
      auto none = ch.try_recv();
      CHECK_FALSE(none);

      auto receiving = go([ch]() -> task<int> {
        auto value = co_await ch.recv();
        co_return value->number();
      });
      const touchy good(7);
      co_await ch.send(good);
      const int number = co_await receiving;
      CHECK(number == 7);
    }
    const channel<touchy> buffered(1);
    const touchy bad(1, true);
    CHECK_THROWS_AS(buffered.try_send(bad), copy_failed);
    CHECK(buffered.size() == 0);
    CHECK(buffered.try_send(touchy(2)));
    auto value = buffered.try_recv();
    CHECK(value->number() == 2);
  });
}

TEST_CASE("a copy that throws leaves the receiver that waits where it is (D2)") {
  on_simulated_schedulers([]() -> task<> {
    const channel<touchy> ch;
    auto receiving = go([ch]() -> task<int> {
      auto value = co_await ch.recv();
      co_return value->number();
    });
    co_await testing::settle();
    const touchy bad(1, true);
    CHECK_THROWS_AS(ch.try_send(bad), copy_failed);
    co_await testing::settle();
    CHECK_FALSE(receiving.is_done());
    CHECK(ch.try_send(touchy(2)));
    const int number = co_await receiving;
    CHECK(number == 2);
  });
}

TEST_CASE(
    "a case whose value cannot be made throws where it is written, and the other cases are untouched (semantics 68, "
    "D2)") {
  on_every_scheduler([]() -> task<> {
    const channel<int> ready(1);
    const channel<touchy> other(1);
    co_await ready.send(1);
    const touchy bad(1, true);
    bool threw = false;
    try {
      co_await select(ready.recv(), other.send(bad));
    } catch (const copy_failed&) {
      threw = true;
    }
    CHECK(threw);
    CHECK(ready.size() == 1);
    CHECK(other.size() == 0);
  });
}

TEST_CASE("the destructor of a value may use the channel that it was in (D4, D30)") {
  on_every_scheduler([]() -> task<> {
    std::atomic<int> acts = 0;
    {
      const channel<parting> ch(2);
      const auto* same = &ch;
      const auto act = [&acts, same] {
        if (same->size() <= 2 && same->capacity() == 2) ++acts;
      };
      co_await ch.emplace(act);
      co_await ch.emplace(act);
      CHECK_FALSE(ch.try_send(parting(act)));
      CHECK(acts == 1);
      (void)ch.try_recv();
      CHECK(acts == 2);
      ch.close();
      try {
        co_await ch.emplace(act);
      } catch (const channel_closed&) {
      }
      CHECK(acts == 3);
      co_await ch.recv();
      CHECK(acts == 4);
    }
    CHECK(acts == 4);
  });
}

TEST_CASE("the destructor of a value may send on a channel, receive from it and close it (D4, D30)") {
  on_every_scheduler([]() -> task<> {
    const channel<int> told(4);
    {
      const channel<parting> ch(3);
      for (int i = 0; i != 3; ++i) {
        auto act = [told, i] { (void)told.try_send(i); };
        co_await ch.emplace(std::move(act));
      }
      // Handed over, and dropped at once.
      co_await ch.recv();
      CHECK(told.size() == 1);
    }
    // With the last handle went the two that were queued.
    CHECK(told.size() == 3);

    channel<parting> closing(1);
    auto act = [told] { told.close(); };
    co_await closing.emplace(std::move(act));
    closing = channel<parting>::nil();
    CHECK(told.is_closed());
    int sum = 0;
    while (auto value = co_await told.recv()) sum += *value;
    CHECK(sum == 3);
  });
}

TEST_CASE("a value's destructor may drop the last handle of another channel that holds values (D4)") {
  const auto counted = std::make_shared<int>(0);
  on_every_scheduler([&]() -> task<> {
    {
      channel<std::shared_ptr<void>> outer(1);
      for (int depth = 0; depth != 100; ++depth) {
        const channel<std::shared_ptr<void>> inner(2);
        co_await inner.send(counted);
        auto boxed = std::make_shared<channel<std::shared_ptr<void>>>(outer);
        co_await inner.send(std::move(boxed));
        outer = inner;
      }
      CHECK(counted.use_count() == 101);
    }
    CHECK(counted.use_count() == 1);
  });
}

TEST_CASE("the move of a value may look at the channel: it runs under no lock (D30)") {
  on_every_scheduler([]() -> task<> {
    for (std::size_t capacity : {0u, 2u}) {
      const channel<nosy> ch(capacity);
      auto sending = go([&ch]() -> task<> {
        for (int i = 0; i != 20; ++i) {
          nosy value(&ch);
          co_await ch.send(std::move(value));
        }
      });
      for (int i = 0; i != 20; ++i) co_await ch.recv();
      co_await sending;
    }
  });
  CHECK(nosy::looks() > 0);
  CHECK(nosy::surprises() == 0);
}
