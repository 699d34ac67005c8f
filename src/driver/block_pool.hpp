// Blocks of bytes that the kernel fills and that chunks lend to the program.
#pragma once
#include <cstddef>
#include <cstdint>

#include <ringo/clock.hpp>

namespace ringo::detail {

class passed_descriptors;

// With its head it is no power of two long, so that the beginnings of many do not share a set of the cache.
struct alignas(64) block {
  static constexpr std::size_t size = 16 * 1024;

  block* next;
  std::uint32_t room = size;
  std::uint32_t begin, end;              // of the bytes in it that nobody has taken
  passed_descriptors* passed = nullptr;  // what has come with its bytes, through a Unix socket

  std::byte* bytes() noexcept { return reinterpret_cast<std::byte*>(this + 1); }
};

// One worker's free blocks. A block belongs to no pool while it is out: any worker may come to recycle it.
class block_pool {
 public:
  block_pool() = default;
  block_pool(const block_pool&) = delete;
  block_pool& operator=(const block_pool&) = delete;
  ~block_pool();

  block* take() noexcept;  // null where there is no memory
  void give_back(block& b) noexcept;
  // Frees the half of those that have not been needed since the last call.
  void free_unneeded() noexcept;
  std::size_t held() const noexcept { return count_; }

  // These are for any thread.
  static block* allocate(std::size_t room) noexcept;  // null where there is no memory
  static void free(block& b) noexcept;

  // malloc keeps what has been freed. This gives it back to the system where it is much: the megabytes of blocks, of
  // all the process, that have been freed and were not needed again between the last two calls that were half a second
  // apart. Any thread.
  static void trim_heap(time_point now) noexcept;
  static bool heap_is_trimmed() noexcept;  // false: a later trim_heap() may give something back

 private:
  static constexpr std::size_t most_free = 256;

  block* free_ = nullptr;
  std::size_t count_ = 0;
  std::size_t fewest_ = 0;  // since the last free_unneeded()
};

}  // namespace ringo::detail
