// descriptor: a number of the system's that is closed when it is destroyed.
#pragma once
#include <ringo/detail/cpp20.hpp>

#include <utility>

namespace ringo {

// Move-only; any thread.
class descriptor {
 public:
  descriptor() noexcept = default;
  explicit descriptor(int number) noexcept : number_(number) {}  // takes it
  descriptor(descriptor&& from) noexcept : number_(from.release()) {}
  descriptor& operator=(descriptor&& from) noexcept {
    std::swap(number_, from.number_);
    return *this;
  }
  ~descriptor();

  int native_handle() const noexcept { return number_; }
  int release() noexcept { return std::exchange(number_, -1); }  // it is the caller's now
  explicit operator bool() const noexcept { return number_ >= 0; }

 private:
  int number_ = -1;
};

}  // namespace ringo
