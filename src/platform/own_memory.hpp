// Reads memory of this process that another thread may change or free meanwhile.
#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <type_traits>

namespace ringo::detail {

struct memory_range {
  std::uintptr_t begin = 0, end = 0;
  bool contains(std::uintptr_t address) const noexcept { return begin <= address && address < end; }
};

// The kernel copies, so memory that is gone is no fault, and a write by another thread at the same time is no data
// race: the copy may be half old, half new. False if not all of it is there, or if seccomp refuses the call.
bool copy_own_memory(std::uintptr_t from, void* to, std::size_t size) noexcept;

// The same for several ranges, which are copied one behind the other. At most 256.
bool copy_own_memory(std::span<const memory_range> from, void* to, std::size_t size) noexcept;

template <class T>
requires std::is_trivially_copyable_v<T>
std::optional<T> read_own(std::uintptr_t from) noexcept {
  T value;
  // NOLINTNEXTLINE(bugprone-sizeof-expression): T may be a pointer, which is then what is copied
  if (!copy_own_memory(from, static_cast<void*>(&value), sizeof(T))) return std::nullopt;
  return value;
}
template <class T>
std::optional<T> read_own(const T* from) noexcept {
  return read_own<T>(reinterpret_cast<std::uintptr_t>(from));
}

}  // namespace ringo::detail
