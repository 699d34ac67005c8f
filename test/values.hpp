// Values that tests send, and routines that send and receive numbers.
#pragma once
#include <atomic>
#include <functional>
#include <optional>
#include <ringo/ringo.hpp>
#include <utility>

// Moves only; counts its objects.
class payload {
 public:
  explicit payload(int number) : number_(number) { ++alive; }
  payload(payload&& other) noexcept : number_(std::exchange(other.number_, 0)) { ++alive; }
  payload& operator=(payload&& other) noexcept {
    number_ = std::exchange(other.number_, 0);
    return *this;
  }
  ~payload() { --alive; }
  int number() const { return number_; }

  static inline std::atomic<int> alive = 0;

 private:
  int number_;
};

// Counts itself in `alive` while it lives.
template <class Count = std::atomic<int>>
class witness {
 public:
  explicit witness(Count& alive) : alive_(&alive) { ++*alive_; }
  witness(witness&& other) noexcept : witness(*other.alive_) {}
  witness& operator=(witness&& other) noexcept {
    std::swap(alive_, other.alive_);
    return *this;
  }
  ~witness() { --*alive_; }

 private:
  Count* alive_;
};

inline ringo::task<> send_numbers(ringo::sender<int> to, int first, int last) {
  for (int i = first; i != last; ++i) co_await to.send(i);
}

inline ringo::task<> send_one(ringo::sender<int> to, int value, std::atomic<int>& sent) {
  co_await to.send(value);
  ++sent;
}

inline ringo::task<> receive_one(ringo::receiver<int> from, std::optional<int>& into, std::atomic<int>& received) {
  into = co_await from.recv();
  ++received;
}
