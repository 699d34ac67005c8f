#include "driver/block_pool.hpp"

#include <new>
#include <utility>

#include <ringo/detail/frame_cache.hpp>

namespace ringo::detail {

block_pool::~block_pool() {
  while (free_ != nullptr) free(*std::exchange(free_, free_->next));
}

block* block_pool::take() noexcept {
  if (block* b = free_) {
    free_ = b->next;
    --count_;
    return b;
  }
  void* memory = ::operator new(sizeof(block) + block::size, std::align_val_t(alignof(block)), std::nothrow);
  return memory != nullptr ? ::new (memory) block : nullptr;
}

void block_pool::give_back(block& b) noexcept {
  // A recycled block hides its use after free from the sanitizer.
  if (count_ == most_free || !frame_cache::recycles) return free(b);
  b.next = std::exchange(free_, &b);
  ++count_;
}

void block_pool::free(block& b) noexcept {
  ::operator delete(&b, sizeof(block) + block::size, std::align_val_t(alignof(block)));
}

}  // namespace ringo::detail
