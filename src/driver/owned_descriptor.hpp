#pragma once
#include <unistd.h>

namespace ringo::detail {

class owned_descriptor {
 public:
  explicit owned_descriptor(int number) : number_(number) {}
  owned_descriptor(const owned_descriptor&) = delete;
  owned_descriptor& operator=(const owned_descriptor&) = delete;
  ~owned_descriptor() {
    if (number_ >= 0) ::close(number_);
  }
  int number() const { return number_; }
  void forget() { number_ = -1; }
  void set(int number) { number_ = number; }  // it has none before

 private:
  int number_;
};

}  // namespace ringo::detail
