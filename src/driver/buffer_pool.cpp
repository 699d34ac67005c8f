#include "driver/buffer_pool.hpp"

#if defined(__GLIBC__)
#include <malloc.h>
#endif

#include <algorithm>
#include <atomic>
#include <chrono>
#include <new>
#include <utility>

#include <ringo/detail/frame_cache.hpp>

namespace ringo::detail {
namespace {

// The bytes that all buffers of the process take from malloc. Relaxed: they only decide when memory is given back.
std::atomic<std::size_t> in_use = 0;
std::atomic<std::size_t> most_in_use = 0;         // since the last look
std::atomic<std::size_t> most_in_heap = 0;        // since the heap was trimmed; written by the thread that looks
std::atomic<std::int64_t> next_look_at_pool = 0;  // in the clock's units; the thread that moves it looks

constexpr std::size_t much = 4 * 1024 * 1024;
constexpr duration between_looks = std::chrono::milliseconds(500);

void raise(std::atomic<std::size_t>& most, std::size_t value) noexcept {
  std::size_t seen = most.load(std::memory_order_relaxed);
  while (seen < value && !most.compare_exchange_weak(seen, value, std::memory_order_relaxed)) {
  }
}

}  // namespace

buffer_pool::~buffer_pool() {
  while (free_ != nullptr) free(*std::exchange(free_, free_->next));
}

buffer* buffer_pool::take() noexcept {
  if (buffer* b = free_) {
    free_ = b->next;
    fewest_ = std::min(fewest_, --count_);
    return b;
  }
  return allocate(buffer::size);
}

buffer* buffer_pool::allocate(std::size_t room) noexcept {
  void* memory = ::operator new(sizeof(buffer) + room, std::align_val_t(alignof(buffer)), std::nothrow);
  if (memory == nullptr) return nullptr;
  const std::size_t size = sizeof(buffer) + room;
  raise(most_in_use, in_use.fetch_add(size, std::memory_order_relaxed) + size);
  auto* b = ::new (memory) buffer;
  b->room = static_cast<std::uint32_t>(room);
  return b;
}

void buffer_pool::give_back(buffer& b) noexcept {
  // A recycled buffer hides its use after free from the sanitizer.
  if (count_ == most_free || b.room != buffer::size || !frame_cache::recycles) return free(b);
  b.next = std::exchange(free_, &b);
  ++count_;
}

void buffer_pool::free_unneeded() noexcept {
  for (std::size_t n = (fewest_ + 1) / 2; n != 0; --n, --count_) {
    free(*std::exchange(free_, free_->next));
  }
  fewest_ = count_;
}

void buffer_pool::free(buffer& b) noexcept {
  in_use.fetch_sub(sizeof(buffer) + b.room, std::memory_order_relaxed);
  ::operator delete(&b, std::align_val_t(alignof(buffer)));  // clang before 19 has no sized deallocation
}

void buffer_pool::trim_heap(time_point now) noexcept {
  std::int64_t due = next_look_at_pool.load(std::memory_order_relaxed);
  const std::int64_t time = now.time_since_epoch().count();
  if (time < due) return;
  // Acquire and release: of two threads that look, the later one sees the writes of the earlier one.
  if (!next_look_at_pool.compare_exchange_strong(due, time + between_looks.count(), std::memory_order_acq_rel)) return;
  const std::size_t needed = most_in_use.exchange(in_use.load(std::memory_order_relaxed), std::memory_order_relaxed);
  raise(most_in_heap, needed);
  if (most_in_heap.load(std::memory_order_relaxed) - needed < much) return;
  most_in_heap.store(needed, std::memory_order_relaxed);
#if defined(__GLIBC__)
  ::malloc_trim(0);
#endif
}

bool buffer_pool::heap_is_trimmed() noexcept {
  const std::size_t most =
      std::max(most_in_heap.load(std::memory_order_relaxed), most_in_use.load(std::memory_order_relaxed));
  return most < in_use.load(std::memory_order_relaxed) + much;
}

}  // namespace ringo::detail
