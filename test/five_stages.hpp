// A pipeline of five stages over counted values, for the tests of how pipelines end.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <ranges>
#include <ringo/ringo.hpp>
#include <utility>
#include <vector>

// Move-only and counted.
class item {
 public:
  explicit item(int number) : number_(number) { ++alive; }
  item(item&& other) noexcept : number_(std::exchange(other.number_, -1)) { ++alive; }
  item& operator=(item&& other) noexcept {
    number_ = std::exchange(other.number_, -1);
    return *this;
  }
  ~item() { --alive; }
  int number() const { return number_; }

  static inline std::atomic<int> alive = 0;

 private:
  int number_;
};

inline ringo::task<item> make_item(int x) {
  for (int i = x % 3; i > 0; --i) co_await ringo::yield();
  co_return item(x);
}

inline int first_of(const std::vector<item>& some) { return some.front().number(); }

// Numbers, made into items by three at once, gathered in twos, of which the first counts.
inline ringo::receiver<int> five_stages(std::size_t take_n, bool ordered, int count = 1'000'000) {
  auto numbers = ringo::generate(std::views::iota(0, count), 1);
  auto items = ringo::map(std::move(numbers), 3, make_item, {.buffer = 1, .ordered = ordered});
  return ringo::take(ringo::map(ringo::batch(std::move(items), 2, std::chrono::hours(1)), 1, first_of), take_n);
}
