// Memory for coroutine frames and records. The worker that frees a block recycles it by size, without a lock; workers
// exchange blocks in batches (frame_cache.hpp). Outside of workers, and under AddressSanitizer, which could not see a
// use after free, it is new and delete.
#pragma once
#include <cstddef>
#include <new>

#include <ringo/detail/worker.hpp>

namespace ringo::detail {

// The worker calls these if its list has no block to give, or no room for a block that it gets.
void* allocate_frame_slowly(std::size_t size);
void free_frame_slowly(void* frame, std::size_t size) noexcept;
void* allocate_block_slowly(std::size_t size);
void free_block_slowly(void* block, std::size_t size) noexcept;

// Throws std::bad_alloc.
RINGO_ALWAYS_INLINE inline void* allocate_frame(std::size_t size) {
  worker* w = current_worker();
  if (frame_cache::recycles && w != nullptr && !w->simulated) [[likely]] {
    if (void* frame = w->frames.try_allocate(size)) [[likely]] {
      w->counts.frames.add();
      return frame;
    }
  }
  return allocate_frame_slowly(size);
}

inline void free_frame(void* frame, std::size_t size) noexcept {
  worker* w = current_worker();
  if (frame_cache::recycles && w != nullptr && w->frames.try_free(frame, size)) [[likely]] {
    w->counts.frames.add(-1);
    return;
  }
  free_frame_slowly(frame, size);
}

// The same for a block that testing::live() does not count as a frame. Throws std::bad_alloc.
inline void* allocate_block(std::size_t size) {
  worker* w = current_worker();
  if (frame_cache::recycles && w != nullptr) [[likely]] {
    if (void* block = w->frames.try_allocate(size)) [[likely]]
      return block;
  }
  return allocate_block_slowly(size);
}

inline void free_block(void* block, std::size_t size) noexcept {
  worker* w = current_worker();
  if (!frame_cache::recycles || w == nullptr || !w->frames.try_free(block, size)) [[unlikely]]
    free_block_slowly(block, size);
}

// Base of objects that are made and dropped often. (A type with a larger alignment than new's is no block.)
struct in_block {
  static void* operator new(std::size_t size) { return allocate_block(size); }
  static void* operator new(std::size_t size, std::align_val_t alignment) { return ::operator new(size, alignment); }
  static void operator delete(void* block, std::size_t size) noexcept { free_block(block, size); }
  static void operator delete(void* block, std::size_t, std::align_val_t alignment) noexcept {
    ::operator delete(block, alignment);
  }
};

inline void* routine::operator new(std::size_t size) { return allocate_frame(size); }
inline void routine::operator delete(void* block, std::size_t size) noexcept { free_frame(block, size); }

}  // namespace ringo::detail
