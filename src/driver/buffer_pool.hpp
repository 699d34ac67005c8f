// The buffers of bytes that the kernel fills, and that a chunk gives to the program.
#pragma once
#include <cstddef>
#include <cstdint>

#include <ringo/clock.hpp>

namespace ringo::detail {

class passed_descriptors;

// The length, with the head, is not a power of two: else the heads of all buffers would share one set of the cache.
struct alignas(64) buffer {
  // A TLS record's plain text, and a receive's usual bytes.
  static constexpr std::size_t size = 16 * 1024;

  buffer* next;
  std::uint32_t room = size;
  std::uint32_t begin, end;              // the bytes that no reader has taken yet
  passed_descriptors* passed = nullptr;  // descriptors that came with the bytes, through a Unix socket

  std::byte* bytes() noexcept { return reinterpret_cast<std::byte*>(this + 1); }
};

// One worker's free buffers. A buffer that is in use belongs to no pool: any worker may recycle it.
class buffer_pool {
 public:
  buffer_pool() = default;
  buffer_pool(const buffer_pool&) = delete;
  buffer_pool& operator=(const buffer_pool&) = delete;
  ~buffer_pool();

  buffer* take() noexcept;  // null if there is no memory
  void give_back(buffer& b) noexcept;
  // Frees half of the buffers that were not needed since the last call.
  void free_unneeded() noexcept;
  std::size_t held() const noexcept { return count_; }

  // Thread: any.
  static buffer* allocate(std::size_t room) noexcept;  // null if there is no memory
  static void free(buffer& b) noexcept;

  // Gives freed memory from malloc back to the system, if buffers worth some megabytes were freed, and were not needed
  // again between the last two calls that were half a second apart. Thread: any.
  static void trim_heap(time_point now) noexcept;
  static bool heap_is_trimmed() noexcept;  // false: a later trim_heap() may give memory back

 private:
  static constexpr std::size_t most_free = 256;  // 4 MiB for each worker, whatever the last burst needed

  buffer* free_ = nullptr;
  std::size_t count_ = 0;
  std::size_t fewest_ = 0;  // since the last free_unneeded()
};

}  // namespace ringo::detail
