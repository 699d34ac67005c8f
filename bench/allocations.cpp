// Counts calls of operator new, for calls.cpp. A file of its own, so that no call of them is inlined.
#include <cstddef>
#include <cstdlib>
#include <new>

#include "timing.hpp"

void* operator new(std::size_t size) {
  ++bench::allocations;
  if (void* const got = std::malloc(size)) return got;
  throw std::bad_alloc();
}
void* operator new(std::size_t size, std::align_val_t alignment) {
  ++bench::allocations;
  const auto to = static_cast<std::size_t>(alignment);
  if (void* const got = std::aligned_alloc(to, (size + to - 1) / to * to)) return got;
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }
