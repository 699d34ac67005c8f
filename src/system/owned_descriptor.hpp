// A descriptor that is closed at once when its owner goes: for what has not been given to the ring.
#pragma once
#include <unistd.h>

#include <utility>

namespace ringo::detail {

class owned_descriptor {
 public:
  owned_descriptor() noexcept = default;
  explicit owned_descriptor(int number) noexcept : number_(number) {}
  owned_descriptor(owned_descriptor&& from) noexcept : number_(from.release()) {}
  owned_descriptor& operator=(owned_descriptor&& from) noexcept {
    std::swap(number_, from.number_);
    return *this;
  }
  ~owned_descriptor() {
    if (number_ >= 0) ::close(number_);
  }

  int number() const noexcept { return number_; }
  int release() noexcept { return std::exchange(number_, -1); }

 private:
  int number_ = -1;
};

}  // namespace ringo::detail
