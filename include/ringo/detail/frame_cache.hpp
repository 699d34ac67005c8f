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
  // AddressSanitizer could not see a use after free of a recycled frame.
  static constexpr bool recycles = !RINGO_ADDRESS_SANITIZER;
  // The sizes of malloc's chunks: a multiple of 16, of which malloc uses the first 8 bytes. Those of large frames,
  // which are few, are further apart, so a block of them has up to an eighth that is not used.
  static constexpr std::size_t step = 16, fits = 8, fine_classes = 64, fine = (fine_classes - 1) * step + fits;
  static constexpr std::size_t coarse_step = 128, coarse_classes = 24, classes = fine_classes + coarse_classes;
  static constexpr std::size_t largest = fine + coarse_classes * coarse_step;

  // Without other workers there is no exchange: all blocks stay until the worker is idle.
  explicit frame_cache(bool has_peers) noexcept : usual_most_free_(has_peers ? 2 * batch : ~std::uint32_t{0}) {}
  frame_cache(const frame_cache&) = delete;
  frame_cache& operator=(const frame_cache&) = delete;
  ~frame_cache() { release_all(); }

  // The size of a block for this many bytes, for each allocator: any worker may recycle the block.
  static constexpr std::size_t block_size(std::size_t size) noexcept {
    const std::size_t of_class = size_class(size);
    if (of_class < fine_classes) return of_class * step + fits;
    return of_class < classes ? fine + (of_class - fine_classes + 1) * coarse_step : size;
  }

  void* allocate(std::size_t size);  // throws std::bad_alloc
  void free(void* frame, std::size_t size) noexcept;

  // The same, if that needs only this cache's list; else null and false.
  void* try_allocate(std::size_t size) noexcept {
    const std::size_t of_class = size_class(size);
    if (of_class >= classes) [[unlikely]]
      return nullptr;
    stack& s = free_[of_class];
    block* b = s.top;
    if (b == nullptr) [[unlikely]]
      return nullptr;
    s.top = b->next;
    __builtin_prefetch(b->below, 1);  // with many free blocks, none is in the CPU's cache
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

  // After keep(true), freed blocks are not used again until keep(false), for the marks in them; at most some megabytes.
  void keep(bool all) noexcept {
    keeps_ = all;
    most_free_ = all ? 0 : usual_most_free_;
  }
  bool keeps() const noexcept { return keeps_; }

  // Whether trim() would give memory back.
  bool has_plenty() const noexcept;
  // Gives spare blocks back to the system. Called when the worker has been idle for a while.
  void trim() noexcept;
  // Gives back half of the blocks of each size that were not needed since the last call; but only some at a time, so
  // that it takes no longer than some resumes.
  void give_back_unneeded() noexcept;
  void release_all() noexcept;
  std::size_t held() const noexcept;  // the number of free blocks here
  // Each free block, for the search for leaks: here, while the worker does not run; and those that workers exchange.
  void each_free(void (*f)(void* to, const void* block), void* to) const;
  static void each_exchanged(void (*f)(void* to, const void* block), void* to);

 private:
  static constexpr std::uint32_t batch = 256;  // goes to the exchange when twice as many are free here
  static constexpr std::uint32_t kept_when_idle(std::size_t of_class) noexcept {
    return of_class < fine_classes ? 64 : 16;
  }
  static constexpr std::uint32_t most_at_once = 1 << 16;

  static constexpr std::size_t size_class(std::size_t size) noexcept {
    return size <= fine ? (size + step - fits - 1) / step : fine_classes + (size - fine - 1) / coarse_step;
  }

  static constexpr std::uint32_t lead = 4;
  struct block {
    block* next;
    block* below;  // the block `lead` below it, perhaps taken since: only for prefetch
  };
  struct stack {
    block* top = nullptr;
    std::uint32_t count = 0;
    std::array<block*, lead> recent{};
  };
  void share(std::size_t of_class) noexcept;
  bool refill(std::size_t of_class) noexcept;
  std::size_t release_aside() noexcept;  // returns their number

  void keep_block(void* freed, std::size_t size) noexcept;

  const std::uint32_t usual_most_free_;
  std::uint32_t most_free_ = usual_most_free_;
  bool keeps_ = false;
  std::array<stack, classes> free_{};
  kept_blocks* kept_ = nullptr;
  // Free blocks that were set aside. They are used only when free_ is empty, so the ones that remain were not needed.
  std::array<stack, classes> aside_{};
  std::size_t released_ = 0;  // blocks since malloc was last told to give memory back
};

}  // namespace ringo::detail
