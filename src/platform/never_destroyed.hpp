// A static object that threads may use while the process exits. It needs no heap memory, so tests that count
// allocations do not see it.
#pragma once
#include <cstddef>
#include <new>

namespace ringo::detail {

template <class T>
class never_destroyed {
 public:
  never_destroyed() noexcept { ::new (static_cast<void*>(memory_)) T; }
  T& operator*() noexcept { return *std::launder(reinterpret_cast<T*>(memory_)); }

 private:
  alignas(T) std::byte memory_[sizeof(T)];
};

}  // namespace ringo::detail
