// A static object that threads may use while the process exits. It takes no memory of the heap, so that whatever makes
// it first is not charged with it.
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
