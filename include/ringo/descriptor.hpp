// descriptor: owns a file descriptor.
#pragma once
#include <ringo/detail/cpp20.hpp>

#include <utility>

namespace ringo {

/// Owns a file descriptor; its destructor closes it. Move-only. Thread: any.
class descriptor {
 public:
  descriptor() noexcept = default;
  explicit descriptor(int number) noexcept : number_(number) {}  ///< Takes ownership.
  descriptor(descriptor&& from) noexcept : number_(from.release()) {}
  descriptor& operator=(descriptor&& from) noexcept {
    std::swap(number_, from.number_);
    return *this;
  }
  ~descriptor();

  int native_handle() const noexcept { return number_; }
  int release() noexcept { return std::exchange(number_, -1); }  ///< Gives the ownership to the caller.
  explicit operator bool() const noexcept { return number_ >= 0; }

 private:
  int number_ = -1;
};

}  // namespace ringo
