// Keeps freed blocks for a while, so that a use after free finds the marks in them (ringo/detail/destroyed.hpp).
#pragma once
#include <cstddef>
#include <deque>

namespace ringo::detail {

// AddressSanitizer then reports each use of the block, except of the marks.
void poison_but_marks(void* block, std::size_t size) noexcept;
void unpoison(void* block, std::size_t size) noexcept;

class kept_blocks {
 public:
  kept_blocks() = default;
  kept_blocks(const kept_blocks&) = delete;
  kept_blocks& operator=(const kept_blocks&) = delete;
  ~kept_blocks();

  void add(void* block, std::size_t size) noexcept;
  template <class F>
  void each(F f) const {
    for (const kept& k : blocks_) f(k.block);
  }

 private:
  // For each worker; beyond it the oldest blocks are freed.
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
