// One worker's free coroutine frames, by size.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <new>

#include <ringo/detail/compilers.hpp>

namespace ringo::detail {

class kept_blocks;

class frame_cache {
 public:
  // A recycled frame hides its use after free from AddressSanitizer.
  static constexpr bool recycles = !RINGO_ADDRESS_SANITIZER;
  // Sizes that malloc's chunks have: a multiple of 16, of which the first 8 bytes are its own.
  static constexpr std::size_t step = 16, fits = 8, largest = 1024, classes = largest / step;

  // Without other workers there is nobody to hand blocks to: they stay until the worker is idle.
  explicit frame_cache(bool has_peers) noexcept : usual_most_free_(has_peers ? 2 * batch : ~std::uint32_t{0}) {}
  frame_cache(const frame_cache&) = delete;
  frame_cache& operator=(const frame_cache&) = delete;
  ~frame_cache() { release_all(); }

  // The size that a block of this many bytes has, wherever it is allocated: any worker may come to recycle it.
  static constexpr std::size_t block_size(std::size_t size) noexcept {
    return size_class(size) < classes ? size_class(size) * step + fits : size;
  }

  void* allocate(std::size_t size);  // throws std::bad_alloc
  void free(void* frame, std::size_t size) noexcept;

  // The same where it takes no more than a list; null and false where it does.
  void* try_allocate(std::size_t size) noexcept {
    const std::size_t of_class = size_class(size);
    if (of_class >= classes) [[unlikely]]
      return nullptr;
    stack& s = free_[of_class];
    block* b = s.top;
    if (b == nullptr) [[unlikely]]
      return nullptr;
    s.top = b->next;
    __builtin_prefetch(b->below, 1);  // of many free blocks none is in the cache
    --s.count;
    return b;
  }
  bool try_free(void* frame, std::size_t size) noexcept {
    const std::size_t of_class = size_class(size);
    if (of_class >= classes) [[unlikely]]
      return false;
    stack& s = free_[of_class];
    if (s.count >= most_free_) [[unlikely]]
      return false;
    block* const b = ::new (frame) block{s.top, s.recent[s.count % lead]};
    s.top = b;
    s.recent[s.count % lead] = b;
    ++s.count;
    return true;
  }

  // Until it is called with false, what is freed is kept until the worker goes; but not more than some megabytes.
  void keep(bool all) noexcept {
    keeps_ = all;
    most_free_ = all ? 0 : usual_most_free_;
  }
  bool keeps() const noexcept { return keeps_; }

  // Whether trim() would give something back.
  bool has_plenty() const noexcept;
  // Gives back to the system what has piled up: when the worker has had nothing else to do for a while.
  void trim() noexcept;
  // Gives a part of that back which has not been needed since the last call: of each size the half, and not very many,
  // so that it takes no longer than some resumes.
  void give_back_unneeded() noexcept;
  void release_all() noexcept;
  std::size_t held() const noexcept;  // how many, here

 private:
  static constexpr std::uint32_t batch = 256;  // handed to other workers when twice as many are free here
  static constexpr std::uint32_t kept_when_idle = 64;
  static constexpr std::uint32_t most_at_once = 1 << 16;

  static constexpr std::size_t size_class(std::size_t size) noexcept { return (size + step - fits - 1) / step; }

  static constexpr std::uint32_t lead = 4;
  struct block {
    block* next;
    block* below;  // the block `lead` below it, or that was once: to be fetched, not to be followed
  };
  struct stack {
    block* top = nullptr;
    std::uint32_t count = 0;
    std::array<block*, lead> recent{};
  };
  void share(std::size_t of_class) noexcept;
  bool refill(std::size_t of_class) noexcept;
  std::size_t release_aside() noexcept;  // how many

  void keep_block(void* freed, std::size_t size) noexcept;

  const std::uint32_t usual_most_free_;
  std::uint32_t most_free_ = usual_most_free_;
  bool keeps_ = false;
  std::array<stack, classes> free_{};
  kept_blocks* kept_ = nullptr;
  // Free blocks that have been put aside: they are taken when free_ has none, so those that remain were not needed.
  std::array<stack, classes> aside_{};
  std::size_t released_ = 0;  // since the system had the memory back
};

}  // namespace ringo::detail
