#pragma once
#include <atomic>

namespace ringo::detail {

// Keeps an atomic true while it lives, for the other threads that read it. release: a thread that finds it false again
// sees what this thread did meanwhile.
class raised_flag {
 public:
  explicit raised_flag(std::atomic<bool>& of) noexcept : of_(of) { of_.store(true, std::memory_order_release); }
  raised_flag(const raised_flag&) = delete;
  raised_flag& operator=(const raised_flag&) = delete;
  ~raised_flag() { of_.store(false, std::memory_order_release); }

 private:
  std::atomic<bool>& of_;
};

}  // namespace ringo::detail
