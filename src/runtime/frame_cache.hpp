// One worker's free coroutine frames, by size.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>

namespace ringo::detail {

class frame_cache {
 public:
  frame_cache() = default;
  frame_cache(const frame_cache&) = delete;
  frame_cache& operator=(const frame_cache&) = delete;
  ~frame_cache() { release_all(); }

  // The size that a block of this many bytes has, wherever it is allocated: any worker may come to recycle it.
  static constexpr std::size_t block_size(std::size_t size) noexcept {
    return size_class(size) < classes ? size_class(size) * step : size;
  }

  void* allocate(std::size_t size);  // throws std::bad_alloc
  void free(void* frame, std::size_t size) noexcept;

  // Gives back to the system what has piled up: when the worker has nothing else to do.
  void trim() noexcept;
  void release_all() noexcept;

 private:
  static constexpr std::size_t step = 32, largest = 1024, classes = largest / step;
  static constexpr std::uint32_t batch = 256;  // handed to other workers when twice as many are free here
  static constexpr std::uint32_t kept_when_idle = 64;

  static constexpr std::size_t size_class(std::size_t size) noexcept { return (size + step - 1) / step; }

  struct block {
    block* next;
  };
  struct stack {
    block* top = nullptr;
    std::uint32_t count = 0;
  };
  void share(std::size_t of_class) noexcept;
  bool refill(std::size_t of_class) noexcept;

  std::array<stack, classes> free_{};
};

}  // namespace ringo::detail
