#include "driver/block_pool.hpp"

#include <algorithm>
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
    fewest_ = std::min(fewest_, --count_);
    return b;
  }
  return allocate(block::size);
}

block* block_pool::allocate(std::size_t room) noexcept {
  void* memory = ::operator new(sizeof(block) + room, std::align_val_t(alignof(block)), std::nothrow);
  if (memory == nullptr) return nullptr;
  auto* b = ::new (memory) block;
  b->room = static_cast<std::uint32_t>(room);
  return b;
}

void block_pool::give_back(block& b) noexcept {
  // A recycled block hides its use after free from the sanitizer.
  if (count_ == most_free || b.room != block::size || !frame_cache::recycles) return free(b);
  b.next = std::exchange(free_, &b);
  ++count_;
}

void block_pool::free_unneeded() noexcept {
  for (std::size_t n = (fewest_ + 1) / 2; n != 0; --n, --count_) {
    free(*std::exchange(free_, free_->next));
  }
  fewest_ = count_;
}

void block_pool::free(block& b) noexcept {
  ::operator delete(&b, sizeof(block) + b.room, std::align_val_t(alignof(block)));
}

}  // namespace ringo::detail
