// Blocks that are not used any more and are kept, so that who uses them all the same finds the marks in them
// (ringo/detail/destroyed.hpp).
#pragma once
#include <cstddef>
#include <deque>

namespace ringo::detail {

// Under AddressSanitizer: a use is reported, but of the marks.
void poison_but_marks(void* block, std::size_t size) noexcept;
void unpoison(void* block, std::size_t size) noexcept;

class kept_blocks {
 public:
  kept_blocks() = default;
  kept_blocks(const kept_blocks&) = delete;
  kept_blocks& operator=(const kept_blocks&) = delete;
  ~kept_blocks();

  void add(void* block, std::size_t size) noexcept;

 private:
  // Of each worker; beyond it the oldest go.
  static constexpr std::size_t most_bytes = 16 << 20;
  struct kept {
    void* block;
    std::size_t size;
  };
  void free_oldest() noexcept;

  std::deque<kept> blocks_;
  std::size_t bytes_ = 0;
};

}  // namespace ringo::detail
